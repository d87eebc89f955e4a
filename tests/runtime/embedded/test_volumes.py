"""Volumes on a real file system: made, filled once for all who share them, and removed."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from runtime.api import VolumeSpec
from runtime.embedded.linux import files, mounts
from runtime.embedded.volumes import MountedInVolume, Volumes
from tests.runtime.embedded.deep import deep

pytestmark = pytest.mark.root

DATA = VolumeSpec(project="shop", name="data")


@pytest.fixture
def volumes(tmp_path: Path) -> Volumes:
    return Volumes(tmp_path / "volumes", tmp_path / "run")


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


def test_a_declared_owner_and_mode_outrank_the_images_even_after_a_kill(
    volumes: Volumes, rootfs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dies(_: int) -> None:
        raise KeyboardInterrupt

    spec = VolumeSpec(project="shop", name="data", owner=(1000, 34), mode=0o2750)
    volumes.create(spec)
    monkeypatch.setattr(os, "fsync", dies)  # the first thing after the data is in its place
    with pytest.raises(KeyboardInterrupt):
        volumes.seed("shop", "data", rootfs, "/data")
    monkeypatch.undo()
    volumes.seed("shop", "data", rootfs, "/data")
    seen = volumes.data("shop", "data").stat()
    assert (seen.st_uid, seen.st_gid, oct(seen.st_mode)) == (1000, 34, "0o42750")
    assert len(os.listdir(volumes.data("shop", "data"))) == 10


# --- removing -------------------------------------------------------------------------------------


def test_a_volume_is_removed_however_deep_its_data(volumes: Volumes, tmp_path: Path) -> None:
    volumes.create(DATA)
    deep(volumes.data("shop", "data") / "x", 1200)
    volumes.remove("shop", "data")
    volumes.remove("shop", "data")
    assert list(volumes.of("shop")) == []
    assert not (tmp_path / "volumes" / "shop").exists()


def test_whoever_is_killed_while_he_removes_a_volume_leaves_none(
    volumes: Volumes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of its data must never be taken for the volume."""

    def dies(path: Path) -> None:
        raise KeyboardInterrupt

    volumes.create(DATA)
    (volumes.data("shop", "data") / "mine").touch()
    monkeypatch.setattr(files, "remove", dies)
    with pytest.raises(KeyboardInterrupt):
        volumes.remove("shop", "data")
    monkeypatch.undo()
    assert volumes.record("shop", "data") is None
    assert not volumes.data("shop", "data").exists()
    assert len(list((tmp_path / "volumes" / ".gone").rglob("mine"))) == 1
    volumes.create(DATA)
    assert os.listdir(volumes.data("shop", "data")) == []
    assert os.listdir(tmp_path / "volumes" / ".gone") == []


@pytest.mark.parametrize("place", ["", "data", "data/a b\\\t\u00fc"])
def test_a_volume_with_a_mount_in_it_is_kept(volumes: Volumes, tmp_path: Path, place: str) -> None:
    volumes.create(DATA)
    point = volumes.data("shop", "data").parent / place
    point.mkdir(exist_ok=True)
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "precious").touch()
    mounts.bind(str(theirs), str(point))
    try:
        with pytest.raises(MountedInVolume) as raised:
            volumes.remove("shop", "data")
        assert raised.value.point == str(point)
    finally:
        mounts.unmount(str(point))
    assert volumes.record("shop", "data") is not None
    volumes.remove("shop", "data")
    assert volumes.record("shop", "data") is None
    assert (theirs / "precious").exists()


def test_volumes_are_removed_and_made_at_the_same_time(volumes: Volumes) -> None:
    """The project's folder comes and goes with its last volume."""

    def again(number: int) -> None:
        for _ in range(20):
            volumes.create(VolumeSpec(project="shop", name=f"v{number}"))
            (volumes.data("shop", f"v{number}") / "file").touch()
            volumes.remove("shop", f"v{number}")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(again, range(4)))
    assert list(volumes.of("shop")) == []
