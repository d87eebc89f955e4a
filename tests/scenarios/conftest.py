"""A project for one test, or for all tests of a module."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Images, Trueup, fresh_instance
from tests.hosts import Host
from tests.images.layers import file
from tests.images.registry import Registry
from tests.scenarios import shop
from tests.scenarios.scene import FOUR, page_files
from tests.scenarios.stage import Stage


@pytest.fixture
def stage(trueup: Trueup, images: Images, tmp_path: Path) -> Stage:
    """A project of the test's own on an instance of its own."""
    return Stage(trueup=trueup, images=images, folder=tmp_path)


@pytest.fixture(scope="module")
def long_stage(
    host: Host, images: Images, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stage]:
    """A project that stands for a whole module."""
    with fresh_instance(host) as root:
        folder = tmp_path_factory.mktemp("project")
        yield Stage(trueup=Trueup(root=root, host=host), images=images, folder=folder)


@pytest.fixture(scope="session")
def pages(images: Images) -> str:
    """The image of the project of four."""
    return images.publish("pages", page_files(), {})


@pytest.fixture(scope="session")
def other_pages(images: Images) -> str:
    """The same with one more file."""
    return images.publish("other-pages", {**page_files(), "new": file("new")}, {})


@pytest.fixture
def four(stage: Stage, pages: str) -> Stage:
    """The project of four (`scene.FOUR`), not applied yet."""
    stage.write(FOUR.replace("$pages", pages))
    return stage


@pytest.fixture(scope="session")
def wares(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> Registry:
    """The registry with the images of examples/shop in it."""
    shop.push(registry, tmp_path_factory.mktemp("variant"))
    return registry


@pytest.fixture(scope="module")
def open_shop(long_stage: Stage, wares: Registry) -> Stage:
    """examples/shop, applied, for a whole module."""
    shop.write(long_stage.folder, wares)
    long_stage.apply()
    return long_stage
