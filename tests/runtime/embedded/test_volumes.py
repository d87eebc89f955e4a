"""Volumes on a real file system: made, filled once for all who share them, and removed."""

import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from runtime import durable
from runtime.api import ContainerKey, VolumeSpec
from runtime.embedded.linux import files, mounts
from runtime.embedded.volumes import (
    MountedInVolume,
    NoSuchVolume,
    UnsupportedDriver,
    Volumes,
    anonymous_name,
)
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


# --- volumes of other projects ------------------------------------------------------------------


def test_an_external_volume_is_its_owners(volumes: Volumes) -> None:
    volumes.create(VolumeSpec(project="shop", name="data", full_name="wares"))
    volumes.create(VolumeSpec(project="blog", name="theirs", external=True, full_name="wares"))
    assert volumes.data("blog", "theirs") == volumes.data("shop", "data")
    (seen,) = volumes.of("blog")
    assert (seen.applied.name, seen.path) == ("theirs", str(volumes.data("shop", "data")))
    assert [use.project for use in volumes.uses()] == ["shop"]


def test_a_volume_goes_by_project_and_name_where_it_has_no_other(volumes: Volumes) -> None:
    volumes.create(VolumeSpec(project="shop", name="data"))
    volumes.create(VolumeSpec(project="blog", name="d", external=True, full_name="shop_data"))
    assert volumes.data("blog", "d") == volumes.data("shop", "data")


def test_an_external_volume_that_nobody_has_is_told(volumes: Volumes) -> None:
    with pytest.raises(NoSuchVolume, match="wares"):
        volumes.create(VolumeSpec(project="blog", name="x", external=True, full_name="wares"))
    assert list(volumes.of("blog")) == []


def test_forgetting_an_external_volume_leaves_the_owners(volumes: Volumes) -> None:
    volumes.create(VolumeSpec(project="shop", name="data"))
    (volumes.data("shop", "data") / "file").touch()
    volumes.create(VolumeSpec(project="blog", name="d", external=True, full_name="shop_data"))
    volumes.remove("blog", "d")
    assert (volumes.data("shop", "data") / "file").exists()
    assert list(volumes.of("blog")) == []


def test_forgetting_waits_for_nobody_who_deletes(volumes: Volumes, tmp_path: Path) -> None:
    """It is done under the host lock, and a large volume takes its time."""
    root = tmp_path / "volumes"
    volumes.create(VolumeSpec(project="shop", name="data"))
    volumes.create(VolumeSpec(project="blog", name="d", external=True, full_name="shop_data"))
    (root / ".gone" / "large").mkdir(parents=True)
    with durable.lock(root / ".locks" / ",gone", what="a test"):
        volumes.forget_externals("blog")
    assert not (root / "blog").exists()
    assert os.listdir(root / ".gone") == ["large"]


def test_an_external_volume_goes_with_its_owners(volumes: Volumes) -> None:
    volumes.create(VolumeSpec(project="shop", name="data"))
    volumes.create(VolumeSpec(project="blog", name="d", external=True, full_name="shop_data"))
    volumes.remove("shop", "data")
    assert list(volumes.of("blog")) == []
    with pytest.raises(NoSuchVolume):
        volumes.prepare("blog", "d")


def test_all_volumes_and_whose_they_are(volumes: Volumes) -> None:
    key = ContainerKey(project="shop", name="web", replica=2)
    before = time.time()
    for spec in (
        VolumeSpec(project="shop", name="data"),
        VolumeSpec(project="shop", name=anonymous_name(key, "/cache")),
        VolumeSpec(project="blog", name="posts"),
    ):
        volumes.create(spec)
    found = volumes.uses()
    assert [(use.project, use.owner) for use in found] == [
        ("blog", ""), ("shop", ""), ("shop", "web.2")
    ]  # fmt: skip
    assert all(before <= use.volume.created <= time.time() for use in found)
    assert Path(found[0].volume.path).is_dir()
    again = found[0].volume.created
    volumes.create(VolumeSpec(project="blog", name="posts", mode=0o700))
    assert next(volumes.of("blog")).created == again


# --- driver_opts --------------------------------------------------------------------------------

REFUSED: dict[str, tuple[dict[str, str], str]] = {
    "nfs": ({"type": "nfs", "o": "addr=192.0.2.1", "device": ":/x"}, "type is nfs"),
    "cifs": ({"type": "cifs", "device": "//host/x"}, "type is cifs"),
    "a folder that is not there": (
        {"type": "none", "o": "bind", "device": "/no/such/folder"},
        "/no/such/folder is no folder",
    ),
    "no folder": ({"type": "none", "o": "bind"}, "its device is no folder"),
    "no bind": ({"type": "none", "device": "/"}, "type is none"),
    "options of another": ({"o": "bind,uid=5", "device": "/"}, "uid=5"),
    "a word that nobody reads": ({"size": "5"}, "size"),
}


@pytest.mark.parametrize(("options", "words"), REFUSED.values(), ids=REFUSED)
def test_what_no_driver_does_is_refused_by_name(
    volumes: Volumes, options: dict[str, str], words: str
) -> None:
    with pytest.raises(UnsupportedDriver, match=words):
        volumes.create(VolumeSpec(project="shop", name="x", driver_opts=options))
    assert list(volumes.of("shop")) == []


def test_a_folder_of_the_host_is_used_where_it_is(volumes: Volumes, tmp_path: Path) -> None:
    place = tmp_path / "place"
    place.mkdir()
    (place / "file").touch()
    options = {"type": "none", "o": "bind", "device": str(place)}
    volumes.create(VolumeSpec(project="shop", name="x", driver_opts=options))
    assert volumes.data("shop", "x") == place
    volumes.remove("shop", "x")
    assert (place / "file").exists()


def test_a_volume_in_memory_is_mounted_once_and_goes(volumes: Volumes) -> None:
    options = {"type": "tmpfs", "o": "size=1m"}
    volumes.create(VolumeSpec(project="shop", name="x", driver_opts=options, mode=0o750))
    data = volumes.data("shop", "x")
    volumes.prepare("shop", "x")
    (data / "file").touch()
    volumes.prepare("shop", "x")
    assert (data / "file").exists()
    assert data.stat().st_mode & 0o777 == 0o750
    volumes.remove("shop", "x")
    assert not data.is_mount()


def test_a_volume_in_memory_has_the_flags_of_mount(volumes: Volumes) -> None:
    options = {"type": "tmpfs", "device": "tmpfs", "o": "size=1m,noexec,noatime,uid=7"}
    volumes.create(
        VolumeSpec(project="shop", name="x", driver_opts=options, owner=(33, 34), mode=0o750)
    )
    volumes.prepare("shop", "x")
    data = volumes.data("shop", "x")
    flags = os.statvfs(data).f_flag
    for wanted in (os.ST_NOEXEC, os.ST_NOATIME, os.ST_NOSUID, os.ST_NODEV):
        assert flags & wanted
    status = data.stat()
    assert (status.st_uid, status.st_gid, status.st_mode & 0o777) == (33, 34, 0o750)
    volumes.remove("shop", "x")


def test_options_that_the_kernel_does_not_know_are_told(volumes: Volumes) -> None:
    options = {"type": "tmpfs", "o": "siz=1m"}
    volumes.create(VolumeSpec(project="shop", name="x", driver_opts=options))
    with pytest.raises(UnsupportedDriver, match="siz=1m"):
        volumes.prepare("shop", "x")
    volumes.remove("shop", "x")
