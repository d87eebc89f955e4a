"""Overlay mounts: layers as the kernel shows them, and marks that it must not obey."""

import os
import stat
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from runtime.embedded.layers import overlay
from runtime.embedded.linux import mounts
from tests.runtime.embedded.layers.tars import archive, directory, member, whiteout
from tests.runtime.embedded.layers.unpacking import make_place

pytestmark = pytest.mark.root


class Stack:
    """A mount that the test's end takes away."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.target = base / "target"

    def mount(self, lowers: Sequence[Path]) -> Path:
        folders = [self.base / name for name in ("upper", "work", "target")]
        for folder in folders:
            folder.mkdir()
        overlay.mount(lowers, *folders)
        return self.target

    def layers(self, *archives: bytes) -> list[Path]:
        """Unpack archives, the lowest first; returns them as ``mount`` wants them."""
        made = []
        for number, data in enumerate(archives):
            place = make_place(self.base / f"layer{number}")
            place.unpack(data)
            made.append(place.root)
        return made[::-1]


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    made = Stack(tmp_path / "a,b:c\\d e")
    made.base.mkdir()
    yield made
    overlay.unmount(made.target)
    overlay.unmount(made.target)  # again is no error
    assert str(tmp_path) not in Path("/proc/self/mounts").read_text()


def test_layers_and_whiteouts_are_seen_as_one_tree(stack: Stack) -> None:
    low = archive(
        member(b"kept", body=b"1"),
        member(b"changed", body=b"old"),
        member(b"removed"),
        member(b"opaque/old"),
        member(b"merged/old"),
        member(b"again/old"),
        member(b"deep/er/removed"),
    )
    high = archive(
        member(b"changed", body=b"new"),
        whiteout(b".wh.removed"),
        member(b"opaque/new"),
        whiteout(b"opaque/.wh..wh..opq"),
        member(b"merged/new"),
        whiteout(b".wh.again"),
        member(b"again/new"),
        whiteout(b"deep/er/.wh.removed"),
    )
    root = stack.mount(stack.layers(low, high))
    shown = sorted(str(p.relative_to(root)) for p in root.rglob("*") if p.is_file())
    assert shown == ["again/new", "changed", "kept", "merged/new", "merged/old", "opaque/new"]
    assert (root / "changed").read_text() == "new"
    assert os.listdir(root / "deep/er") == []


def test_what_is_written_goes_to_the_upper_directory(stack: Stack) -> None:
    root = stack.mount(stack.layers(archive(member(b"a", body=b"1"))))
    (root / "a").write_text("2")
    (root / "new").touch()
    assert (stack.base / "upper" / "a").read_text() == "2"
    assert (stack.base / "layer0/stage/root/a").read_text() == "1"


def test_a_redirect_is_not_followed(stack: Stack) -> None:
    lowers = stack.layers(archive(member(b"hidden/secret")), archive(directory(b"x")))
    os.setxattr(lowers[0] / "x", "trusted.overlay.redirect", b"/hidden")
    root = stack.mount(lowers)
    shown = subprocess.run(["ls", root / "x"], capture_output=True, text=True)
    assert "secret" not in shown.stdout


def test_a_metadata_only_file_does_not_bring_back_what_is_below(stack: Stack) -> None:
    low, high = member(b"x", body=b"secret"), member(b"x", body=b"")
    lowers = stack.layers(archive(low), archive(high))
    os.setxattr(lowers[0] / "x", "trusted.overlay.metacopy", b"")
    root = stack.mount(lowers)
    shown = subprocess.run(["cat", root / "x"], capture_output=True, text=True)
    assert "secret" not in shown.stdout


def test_devices_open_nothing(stack: Stack) -> None:
    node = member(b"null", kind=b"3", mode=0o666, device=(1, 3))
    root = stack.mount(stack.layers(archive(node)))
    os.mknod(root / "zero", 0o20666, os.makedev(1, 5))
    assert os.stat(root / "null").st_rdev == os.makedev(1, 3)
    for name in ("null", "zero"):
        with pytest.raises(PermissionError):
            os.open(root / name, os.O_RDONLY)


@pytest.mark.parametrize("count", [1, 40, 120, 500])
def test_any_number_of_layers_that_the_kernel_takes(stack: Stack, count: int) -> None:
    lowers = []
    for number in range(count):
        folder = stack.base / f"{number:064d}"
        folder.mkdir()
        (folder / f"file{number}").touch()
        (folder / "same").write_text(str(number))
        lowers.append(folder)
    root = stack.mount(lowers)
    assert len(os.listdir(root)) == count + 1
    assert (root / "same").read_text() == "0"


def test_one_layer_too_many_is_refused(stack: Stack) -> None:
    with pytest.raises(overlay.TooManyLayers):
        stack.mount([stack.base] * 501)


@pytest.mark.parametrize("count", [2, 120])
def test_a_view_is_read_only_seen_by_nobody_and_outlives_its_layers_names(
    stack: Stack, count: int
) -> None:
    empty = [stack.base / f"{number:064d}" for number in range(count - 1)]
    for folder in empty:
        folder.mkdir()
    (low,) = stack.layers(archive(member(b"low", body=b"1"), member(b"gone")))
    os.mknod(empty[0] / "gone", stat.S_IFCHR, 0)
    (empty[0] / "high").write_text("2")
    before = Path("/proc/self/mountinfo").read_text()
    fd = overlay.view([*empty, low], stack.base)
    try:
        assert Path("/proc/self/mountinfo").read_text() == before
        low.rename(stack.base / "renamed")
        assert sorted(os.listdir(f"/proc/self/fd/{fd}")) == ["high", "low"]
        with pytest.raises(OSError, match="Read-only"):
            os.open("new", os.O_CREAT | os.O_WRONLY, dir_fd=fd)
    finally:
        os.close(fd)


def test_a_view_shows_what_a_mounted_container_wrote(stack: Stack) -> None:
    root = stack.mount(stack.layers(archive(member(b"old"), member(b"gone"))))
    (root / "new").touch()
    (root / "gone").unlink()
    fd = overlay.view([stack.base / "upper", stack.base / "layer0/stage/root"], stack.base)
    try:
        assert sorted(os.listdir(f"/proc/self/fd/{fd}")) == ["new", "old"]
    finally:
        os.close(fd)


def test_a_clone_of_a_mount_is_without_the_mounts_in_it(stack: Stack) -> None:
    root = stack.mount(stack.layers(archive(directory(b"place"))))
    mounts.bind(str(stack.base), str(root / "place"))
    try:
        fd = mounts.cloned(str(root))
        assert os.listdir(f"/proc/self/fd/{fd}/place") == []
        os.close(fd)
    finally:
        mounts.unmount(str(root / "place"))


def test_a_view_of_too_many_layers_is_refused(stack: Stack) -> None:
    with pytest.raises(overlay.TooManyLayers):
        overlay.view([stack.base] * 501, stack.base)
