"""A lab for the network: a fresh host, and an instance whose network is taken down at the end."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hosts import make_host
from tests.runtime.embedded.estate import Estate, make_estate
from tests.runtime.embedded.lab import Lab, make_lab


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    """The test runs inside the lab's host; nothing that it does to rules touches others."""
    with make_host(f"tul{os.getpid()}") as host, make_lab(host, tmp_path / "i") as made:
        yield made


@pytest.fixture
def estate(lab: Lab) -> Iterator[Estate]:
    """The same with a ledger that the network follows."""
    with make_estate(lab) as made:
        yield made
