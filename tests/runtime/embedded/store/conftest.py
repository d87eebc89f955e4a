from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime.embedded.store.images import ImageStore
from tests.images import layers, oci
from tests.images.registry import Registry
from tests.runtime.embedded.registry.hostile import Server, serving


@pytest.fixture
def store(tmp_path: Path) -> ImageStore:
    return ImageStore(tmp_path / "images")


@pytest.fixture
def server() -> Iterator[Server]:
    """A registry that says what the test wants."""
    with serving() as made:
        yield made


@pytest.fixture
def moving(registry: Registry) -> str:
    """A tag of its own that a test may move."""
    return registry.publish(oci.Image(layers=[{"v": layers.file("1")}]), "moving")
