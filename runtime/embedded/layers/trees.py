"""Two unpacked layers, compared entry by entry, by descriptors: no name is ever followed."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from runtime.embedded.layers.faults import shown
from runtime.embedded.linux import files

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW
_FILE = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
_PIECE = 1 << 18


def first_difference(found: Path, right: Path) -> str:
    """Where the tree ``found`` is not as ``right``, in words; "" when nowhere. However deep they
    are, few descriptors are open at a time."""
    roots = [os.open(place, _FOLDER) for place in (found, right)]
    try:
        if difference := _facts(os.fstat(roots[0]), os.fstat(roots[1]), b"/"):
            return difference
        left = [b""]
        while left:
            path = left.pop()
            with _opened(roots, path) as fds:
                if difference := _folders(fds[0], fds[1], path, left):
                    return difference
        return ""
    finally:
        for fd in roots:
            os.close(fd)


@contextmanager
def _opened(roots: list[int], path: bytes) -> Iterator[list[int]]:
    """The folder ``path`` of both, also one whose path is longer than the kernel takes."""
    fds: list[int] = []
    try:
        fds.extend(files.open_below(root, path) for root in roots)
        yield fds
    finally:
        for fd in fds:
            os.close(fd)


def _folders(found: int, right: int, path: bytes, left: list[bytes]) -> str:
    """Compare two folders without those below, which are added to ``left``."""
    if _attributes(found) != _attributes(right):
        return f"{shown(path or b'/')}: its attributes differ"
    names = [{os.fsencode(name) for name in os.listdir(fd)} for fd in (found, right)]
    for name in sorted(names[0] | names[1]):
        where = path + b"/" + name if path else name
        if name not in names[0]:
            return f"{shown(where)} is gone"
        if name not in names[1]:
            return f"{shown(where)} was not there"
        if difference := _entries(found, right, name, where, left):
            return difference
    return ""


def _entries(found: int, right: int, name: bytes, path: bytes, left: list[bytes]) -> str:
    ours, theirs = (os.stat(name, dir_fd=fd, follow_symlinks=False) for fd in (found, right))
    if difference := _facts(ours, theirs, path):
        return difference
    if stat.S_ISLNK(ours.st_mode):
        targets = {os.readlink(name, dir_fd=fd) for fd in (found, right)}
        return "" if len(targets) == 1 else f"{shown(path)}: its target differs"
    if stat.S_ISDIR(ours.st_mode):
        left.append(path)
    if not stat.S_ISREG(ours.st_mode):
        return ""
    fds = [os.open(name, _FILE, dir_fd=fd) for fd in (found, right)]
    try:
        if _attributes(fds[0]) != _attributes(fds[1]):
            return f"{shown(path)}: its attributes differ"
        return "" if _is_same_content(fds[0], fds[1]) else f"{shown(path)}: its content differs"
    finally:
        for fd in fds:
            os.close(fd)


def _facts(ours: os.stat_result, theirs: os.stat_result, path: bytes) -> str:
    """Kind, mode, owner, size, time, device number and number of names."""
    if stat.S_IFMT(ours.st_mode) != stat.S_IFMT(theirs.st_mode):
        return f"{shown(path)} is of another kind"
    facts: dict[str, tuple[object, object]] = {
        "mode": (ours.st_mode, theirs.st_mode),
        "owner": ((ours.st_uid, ours.st_gid), (theirs.st_uid, theirs.st_gid)),
        "device number": (ours.st_rdev, theirs.st_rdev),
    }
    if not stat.S_ISDIR(ours.st_mode):  # folders that no archive names have the time of unpacking
        facts["time"] = (ours.st_mtime_ns, theirs.st_mtime_ns)
        facts["size"] = (ours.st_size, theirs.st_size)
        facts["number of names"] = (ours.st_nlink, theirs.st_nlink)
    for what, (here, there) in facts.items():
        if here != there:
            return f"{shown(path)}: its {what} differs"
    return ""


def _attributes(fd: int) -> dict[str, bytes]:
    return {name: os.getxattr(fd, name) for name in os.listxattr(fd)}


def _is_same_content(found: int, right: int) -> bool:
    while True:
        ours, theirs = os.read(found, _PIECE), os.read(right, _PIECE)
        if ours != theirs:
            return False
        if not ours:
            return True
