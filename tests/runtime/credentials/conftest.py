"""Fixtures: programs that keep logins."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime import programs
from tests.runtime.credentials.vault import Helpers


@pytest.fixture
def helpers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Helpers]:
    """Programs are looked for in a folder of the test's own first; no path is remembered."""
    programs.find.cache_clear()
    yield Helpers(tmp_path, monkeypatch)
    programs.find.cache_clear()
