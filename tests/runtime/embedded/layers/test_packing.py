"""Trees that become archives: all of it, nothing from beside it, whatever moves meanwhile."""

import ctypes
import os
import socket
import subprocess
import tarfile
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from runtime.embedded.layers.packing import pack
from runtime.embedded.layers.tarwriter import TarWriter
from tests.runtime.embedded.layers.unpacking import make_place, tree

pytestmark = pytest.mark.root

_EXCHANGE = 2  # renameat2(2)
CAPABILITY = bytes.fromhex("0100000200200000000000000000000000000000")  # cap_net_raw=p
LONG = "n" * 90 + "/" + "o" * 200


def packed(root: Path, told: Callable[[int], None] = lambda _: None) -> bytes:
    path = root.parent / "packed.tar"
    with path.open("wb") as file:
        writer, fd = TarWriter(file.fileno()), os.open(root, os.O_PATH | os.O_DIRECTORY)
        pack(fd, writer, told)
        writer.close()
        os.close(fd)
    return path.read_bytes()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Something of every kind."""
    root = tmp_path / "root"
    (root / "a/b").mkdir(parents=True)
    (root / "a").chmod(0o1777)
    (root / "a/file").write_bytes(os.urandom(3_000_000))
    (root / "a/set").write_text("#!/bin/sh\n")
    (root / "a/empty").touch()
    os.link(root / "a/file", root / "a/b/hard")
    os.link(root / "a/file", root / "other")
    (root / LONG).parent.mkdir()
    (root / LONG).write_text("long")
    (root / "link").symlink_to("/etc/shadow")
    os.link(root / "link", root / "link2", follow_symlinks=False)
    (root / "far").symlink_to("x" * 300)
    (root / os.fsdecode(b"\xff\n")).touch()
    os.mkfifo(root / "pipe", 0o620)
    os.mknod(root / "null", 0o20666, os.makedev(1, 3))
    os.mknod(root / "disk", 0o60660, os.makedev(259, 70_000))
    for name, ids in (("a/set", (1000, 4_000_000_000)), ("link", (7, 8)), ("pipe", (9, 10))):
        os.chown(root / name, *ids, follow_symlinks=False)
    (root / "a/set").chmod(0o6755)
    os.setxattr(root / "a/set", "security.capability", CAPABILITY)
    os.setxattr(root / "a/b", "user.note", b"\0=\n")
    os.setxattr(root / "link", "trusted.note", b"of the link itself", follow_symlinks=False)
    for path in [*root.rglob("*")]:
        os.utime(path, (5, 1_234_567_890), follow_symlinks=False)
    os.utime(root / "other", (5, -100))
    return root


def test_what_is_packed_is_the_same_unpacked(root: Path, tmp_path: Path) -> None:
    place, sizes = make_place(tmp_path / "again"), list[int]()
    place.unpack(packed(root, sizes.append))
    assert tree(place.root) == tree(root)
    assert sum(sizes) == 3_000_000 + len("#!/bin/sh\n") + len("long")


def test_gnu_tar_unpacks_the_same(root: Path, tmp_path: Path) -> None:
    place = tmp_path / "by_tar"
    place.mkdir()
    command = ["tar", "-x", "-p", "--xattrs", "--xattrs-include=*", "--numeric-owner"]
    done = subprocess.run(
        [*command, "-C", place], input=packed(root), check=True, capture_output=True
    )
    assert [line for line in done.stderr.splitlines() if b"implausibly old" not in line] == []
    assert tree(place) == tree(root)


def test_names_are_as_in_docker_exports(root: Path) -> None:
    """Without ./ and the root itself, folders with a slash, parents first."""
    packed(root)
    with tarfile.open(root.parent / "packed.tar") as archive:
        found = [(m.name + "/" * m.isdir(), m.linkname, m.uname, m.mtime) for m in archive]
    assert found == [
        ("disk", "", "", 1_234_567_890),
        ("far", "x" * 300, "", 1_234_567_890),
        ("link", "/etc/shadow", "", 1_234_567_890),
        ("link2", "link", "", 1_234_567_890),
        ("null", "", "", 1_234_567_890),
        ("other", "", "", -100),
        ("pipe", "", "", 1_234_567_890),
        ("\udcff\n", "", "", 1_234_567_890),
        ("a/", "", "", 1_234_567_890),
        ("a/empty", "", "", 1_234_567_890),
        ("a/file", "other", "", -100),
        ("a/set", "", "", 1_234_567_890),
        ("a/b/", "", "", 1_234_567_890),
        ("a/b/hard", "other", "", -100),
        (f"{LONG[:90]}/", "", "", 1_234_567_890),
        (LONG, "", "", 1_234_567_890),
    ]


def test_sockets_and_marks_for_the_kernel_stay_behind(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(str(root / "door"))
    (root / "file").touch()
    os.setxattr(root / "file", "trusted.overlay.metacopy", b"")
    os.setxattr(root / "file", "user.mine", b"1")
    place = make_place(tmp_path / "again")
    place.unpack(packed(root))
    assert {path: facts[4] for path, facts in tree(place.root).items()} == {
        "/file": (("user.mine", b"1"),)
    }


def test_a_very_deep_tree_takes_few_descriptors(tmp_path: Path) -> None:
    fd = os.open(tmp_path, os.O_PATH)
    for part in ["root", *["d" * 200] * 400]:
        os.mkdir(part, dir_fd=fd)
        below = os.open(part, os.O_PATH, dir_fd=fd)
        os.close(fd)
        fd = below
    os.close(os.open("bottom", os.O_CREAT | os.O_WRONLY, dir_fd=fd))
    os.close(fd)
    packed(tmp_path / "root")
    names = subprocess.run(
        ["tar", "-tf", tmp_path / "packed.tar"], capture_output=True, check=True, text=True
    ).stdout.splitlines()
    assert names[-1] == "/".join(["d" * 200] * 400) + "/bottom"
    subprocess.run(["rm", "-r", tmp_path / "root"], check=True)


def test_nothing_is_read_through_what_takes_a_folders_or_files_place(tmp_path: Path) -> None:
    """Links to a folder and a file beside the tree are exchanged with ones in it all the time."""
    root, canary = tmp_path / "root", tmp_path / "canary"
    (root / "d").mkdir(parents=True)
    (root / "d/inside").write_text("ours")
    (root / "f").write_text("ours")
    canary.mkdir()
    (canary / "outside").write_text("secret")
    (root / "toward").symlink_to(canary)
    (root / "to").symlink_to(canary / "outside")
    rename, over = ctypes.CDLL(None).renameat2, threading.Event()
    names = [
        [str(root / name).encode() for name in pair] for pair in (("d", "toward"), ("f", "to"))
    ]

    def exchange() -> None:
        while not over.is_set():
            for one, other in names:
                rename(-100, one, -100, other, _EXCHANGE)

    thread = threading.Thread(target=exchange)
    thread.start()
    found: set[str] = set()
    try:
        for _ in range(300):
            assert b"secret" not in packed(root)
            with tarfile.open(tmp_path / "packed.tar") as archive:
                found.update(archive.getnames())
    finally:
        over.set()
        thread.join()
    below = {"d/inside", "toward/inside"}
    assert found - below == {"d", "toward", "f", "to"}
    assert found & below
