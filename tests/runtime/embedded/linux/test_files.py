"""Directory descriptors: what openat2 must not leave, and trees that go away."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from runtime.embedded.linux import files, mounts

pytestmark = pytest.mark.root


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[int]:
    fd = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    yield fd
    os.close(fd)


@pytest.mark.parametrize(
    "path", [b"/inside", b"../../inside", b"up/../inside", b"absolute/inside", b"dots/inside"]
)
def test_every_path_ends_inside_the_root(folder: int, tmp_path: Path, path: bytes) -> None:
    (tmp_path / "inside").write_text("mine")
    (tmp_path / "up").mkdir()
    (tmp_path / "absolute").symlink_to("/")
    (tmp_path / "dots").symlink_to("../../../..")
    fd = files.openat2(folder, path, os.O_RDONLY, files.RESOLVE_IN_ROOT)
    with open(fd) as file:
        assert file.read() == "mine"
        assert not os.get_inheritable(fd)


def test_magic_links_are_refused(tmp_path: Path) -> None:
    proc = os.open("/proc/self", os.O_RDONLY | os.O_DIRECTORY)
    try:
        with pytest.raises(OSError, match="symbolic links"):
            files.openat2(proc, b"root/etc", os.O_RDONLY, 0)
    finally:
        os.close(proc)


@pytest.mark.parametrize("kind", ["file", "link", "pipe", "nothing"])
def test_what_is_no_tree_is_removed_too(folder: int, tmp_path: Path, kind: str) -> None:
    (tmp_path / "outside").mkdir()
    place = tmp_path / "x"
    makers: dict[str, Callable[[], object]] = {
        "file": place.touch,
        "link": lambda: place.symlink_to(tmp_path / "outside"),
        "pipe": lambda: os.mkfifo(place),
        "nothing": lambda: None,
    }
    makers[kind]()
    files.remove_tree(folder, b"x")
    assert os.listdir(tmp_path) == ["outside"]


def test_a_tree_deeper_than_stack_and_descriptors_is_removed(folder: int, tmp_path: Path) -> None:
    above = os.open(tmp_path, os.O_RDONLY)
    for _ in range(3000):
        os.mkdir("d" * 50, dir_fd=above)
        os.mkdir("other", dir_fd=above)
        os.symlink("/etc", "link", dir_fd=above)
        below = os.open("d" * 50, os.O_RDONLY, dir_fd=above)
        os.close(above)
        above = below
    os.close(above)
    (tmp_path / "link").unlink()
    (tmp_path / "other").rmdir()
    files.remove_tree(folder, b"d" * 50)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("place", ["tree", "tree/in/it"])
def test_a_mount_is_not_crossed(folder: int, tmp_path: Path, place: str) -> None:
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs/precious").touch()
    (tmp_path / place).mkdir(parents=True)
    mounts.bind(str(tmp_path / "theirs"), str(tmp_path / place))
    try:
        with pytest.raises(OSError):
            files.remove_tree(folder, b"tree")
        assert (tmp_path / place / "precious").exists()
    finally:
        mounts.unmount(str(tmp_path / place))
    files.remove_tree(folder, b"tree")
    assert os.listdir(tmp_path) == ["theirs"]
    assert (tmp_path / "theirs/precious").exists()


def test_a_name_that_the_tree_has_already_does_no_harm(folder: int, tmp_path: Path) -> None:
    for name in ("a/b/c", ".a", ".b", ".tree.1", ".1"):
        (tmp_path / "tree" / name / "full").mkdir(parents=True)
    files.remove_tree(folder, b"tree")
    assert os.listdir(tmp_path) == []


def test_a_folder_is_opened_however_long_its_path_is(folder: int) -> None:
    part = b"d" * 250
    fd = os.dup(folder)
    for _ in range(100):
        os.mkdir(part, dir_fd=fd)
        below = os.open(part, os.O_PATH, dir_fd=fd)
        os.close(fd)
        fd = below
    found = files.open_below(folder, b"/".join([part] * 100))
    assert os.path.samestat(os.fstat(found), os.fstat(fd))
    os.close(found)
    os.close(fd)


@pytest.mark.parametrize("path", [b"link", b"link/below", b"../outside", b"/", b"mounted/on"])
def test_no_link_and_no_mount_leads_to_a_folder(folder: int, tmp_path: Path, path: bytes) -> None:
    outside, mounted = tmp_path / "elsewhere", f"/proc/self/fd/{folder}/mounted"
    (outside / "below").mkdir(parents=True)
    (outside / "on").mkdir()
    os.symlink(outside, "link", dir_fd=folder)
    os.mkdir("mounted", dir_fd=folder)
    mounts.bind(str(outside), mounted)
    try:
        with pytest.raises(OSError, match=r"symbolic links|[Cc]ross-device"):
            files.open_below(folder, path)
    finally:
        mounts.unmount(os.path.realpath(mounted))
