"""Fixtures: servers that say what a test wants."""

from collections.abc import Iterator

import pytest

from tests.runtime.embedded.registry.hostile import Server, serving


@pytest.fixture(autouse=True)
def without_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the machine that tests us has."""
    for name in ("HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as made:
        yield made


@pytest.fixture
def other() -> Iterator[Server]:
    """A stranger: another host, that must learn nothing."""
    with serving("127.0.0.2") as made:
        yield made
