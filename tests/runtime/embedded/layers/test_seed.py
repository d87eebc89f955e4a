"""Volumes filled from an image: everything kept, all or nothing, never from outside it."""

import os
from pathlib import Path

import pytest

from runtime.embedded.layers import seed
from tests.runtime.embedded.layers.unpacking import acl, tree

pytestmark = pytest.mark.root


@pytest.fixture
def rootfs(tmp_path: Path) -> Path:
    """An image's root with something of every kind in /data."""
    root = tmp_path / "rootfs"
    data = root / "data"
    (data / "deep/er").mkdir(parents=True)
    (data / "file").write_bytes(b"content" * 1000)
    (data / "file").chmod(0o4750)
    os.setxattr(data / "file", "user.note", b"1")
    os.link(data / "file", data / "deep/hard")
    os.link(data / "file", data / "deep/er/harder")
    (data / "link").symlink_to("/etc/shadow")
    (data / "broken").symlink_to("nowhere")
    os.mkfifo(data / "pipe", 0o620)
    (data / os.fsdecode(b"\xff\n")).touch()
    os.mknod(data / "device", 0o20666, os.makedev(1, 3))
    with (data / "sparse").open("wb") as file:
        file.seek(64 << 20)
        file.write(b"end")
        file.truncate(128 << 20)
    for name, owner in (("deep", (5, 6)), ("file", (7, 8)), ("link", (9, 10)), (".", (11, 12))):
        os.chown(data / name, *owner, follow_symlinks=False)
    data.chmod(0o1770)
    for path in [*data.rglob("*"), data]:
        os.utime(path, (1000, 1000), follow_symlinks=False)
    return root


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    folder = tmp_path / "volume" / "data"
    folder.mkdir(parents=True)
    return folder


def test_everything_but_devices_is_kept(rootfs: Path, volume: Path) -> None:
    seed.copy(rootfs, "/data", volume)
    expected = tree(rootfs / "data")
    del expected["/device"]
    assert tree(volume) == expected
    status = volume.stat()
    assert (oct(status.st_mode), status.st_uid, status.st_gid) == ("0o41770", 11, 12)
    assert (volume / "sparse").stat().st_blocks < 1000
    assert os.listdir(volume.parent) == ["data"]


@pytest.mark.parametrize("target", ["/nothing", "/data/file", "/data/pipe", "/data/broken"])
def test_where_the_image_has_no_directory_nothing_happens(
    rootfs: Path, volume: Path, target: str
) -> None:
    before = os.stat(volume).st_ino
    seed.copy(rootfs, target, volume)
    assert os.stat(volume).st_ino == before
    assert os.listdir(volume) == []


def test_a_link_leads_to_nothing_outside_the_image(rootfs: Path, volume: Path) -> None:
    (rootfs / "evil").symlink_to("/etc")
    (rootfs / "up").symlink_to("../../../../etc")
    for target in ("/evil", "/up", "/../../etc"):
        seed.copy(rootfs, target, volume)
        assert os.listdir(volume) == []


def test_a_link_inside_the_image_is_followed(rootfs: Path, volume: Path) -> None:
    (rootfs / "var").symlink_to("/data")
    seed.copy(rootfs, "/var", volume)
    assert (volume / "file").exists()


def test_a_copy_that_was_killed_is_made_anew(rootfs: Path, volume: Path) -> None:
    half = volume.parent / ".data.seeding"
    (half / "deep").mkdir(parents=True)
    (half / "deep/half").touch()
    seed.copy(rootfs, "/data", volume)
    assert not (volume / "deep/half").exists()
    assert os.listdir(volume.parent) == ["data"]


def test_a_volume_with_content_is_not_touched(rootfs: Path, volume: Path) -> None:
    (volume / "mine").touch()
    with pytest.raises(OSError):
        seed.copy(rootfs, "/data", volume)
    assert os.listdir(volume) == ["mine"]
    assert os.listdir(volume.parent) == ["data"]


def test_a_default_acl_is_not_passed_on_by_the_copy(rootfs: Path, volume: Path) -> None:
    name = "system.posix_acl_default"
    for folder in (rootfs / "data", rootfs / "data/deep"):
        os.setxattr(folder, name, acl(user=1234))
    expected = tree(rootfs / "data")
    del expected["/device"]
    seed.copy(rootfs, "/data", volume)
    assert tree(volume) == expected
    assert os.getxattr(volume, name) == acl(user=1234)


def test_a_mode_does_not_hang_on_the_umask(rootfs: Path, volume: Path) -> None:
    (rootfs / "data/pipe").chmod(0o666)
    before = os.umask(0o077)
    try:
        seed.copy(rootfs, "/data", volume)
    finally:
        os.umask(before)
    assert (volume / "pipe").stat().st_mode & 0o7777 == 0o666
