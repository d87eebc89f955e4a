"""Volumes on a real file system: made, filled once for all who share them, and removed."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from runtime.api import VolumeSpec
from runtime.embedded.volumes import Volumes
from tests.runtime.embedded.deep import deep

pytestmark = pytest.mark.root

DATA = VolumeSpec(project="shop", name="data")


@pytest.fixture
def volumes(tmp_path: Path) -> Volumes:
    return Volumes(tmp_path / "volumes")


@pytest.fixture
def rootfs(tmp_path: Path) -> Path:
    """An image with enough in /data that filling a volume takes a while."""
    data = tmp_path / "rootfs" / "data"
    for number in range(300):
        folder = data / f"folder{number % 10}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / str(number)).write_text("of the image")
    os.chown(data, 33, 33)
    data.chmod(0o751)
    return data.parent


# --- filling --------------------------------------------------------------------------------------


def test_who_shares_a_new_volume_gets_one_folder(volumes: Volumes, rootfs: Path) -> None:
    """Each takes the folder as soon as it may start; none may be replaced after that."""

    def prepare(_: int) -> int:
        volumes.create(DATA)
        volumes.seed("shop", "data", rootfs, "/data")
        return volumes.data("shop", "data").stat().st_ino

    with ThreadPoolExecutor(8) as pool:
        taken = set(pool.map(prepare, range(8)))
    assert taken == {volumes.data("shop", "data").stat().st_ino}
    assert len(list(volumes.data("shop", "data").rglob("*"))) == 310
    assert sorted(os.listdir(volumes.data("shop", "data").parent)) == ["data", "volume.json"]


def test_a_volume_that_a_container_started_with_empty_is_never_filled(
    volumes: Volumes, rootfs: Path
) -> None:
    volumes.create(DATA)
    volumes.seed("shop", "data", rootfs, "/nothing")
    before = volumes.data("shop", "data").stat().st_ino
    volumes.create(DATA)
    volumes.seed("shop", "data", rootfs, "/data")
    assert volumes.data("shop", "data").stat().st_ino == before
    assert os.listdir(volumes.data("shop", "data")) == []


# --- removing -------------------------------------------------------------------------------------


def test_a_volume_is_removed_however_deep_its_data(volumes: Volumes, tmp_path: Path) -> None:
    volumes.create(DATA)
    deep(volumes.data("shop", "data") / "x", 1200)
    volumes.remove("shop", "data")
    volumes.remove("shop", "data")
    assert list(volumes.of("shop")) == []
    assert not (tmp_path / "volumes" / "shop").exists()
