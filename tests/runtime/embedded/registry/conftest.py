"""Fixtures: servers that say what a test wants."""

from collections.abc import Iterator

import pytest

from tests.runtime.embedded.registry.hostile import Server, serving


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as made:
        yield made


@pytest.fixture
def other() -> Iterator[Server]:
    """A stranger: another host, that must learn nothing."""
    with serving("127.0.0.2") as made:
        yield made
