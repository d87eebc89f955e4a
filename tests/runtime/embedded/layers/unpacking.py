"""A folder to unpack into beside a canary, and what a tree looks like."""

import hashlib
import os
import stat
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from runtime.embedded.layers.extract import Extracted, Limits, extract

Attributes = tuple[tuple[str, bytes], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """``root`` gets the layer; nothing of ``canary`` may ever change."""

    root: Path
    canary: Path

    def unpack(
        self, data: bytes, *, piece: int = 1 << 16, limits: Limits | None = None
    ) -> Extracted:
        aside = self.root.parent / "aside"
        aside.mkdir(exist_ok=True)
        fds = [os.open(path, os.O_RDONLY) for path in (self.root, aside)]
        try:
            return extract(pieces(data, piece), fds[0], fds[1], limits or Limits())
        finally:
            for fd in fds:
                os.close(fd)


def make_place(tmp_path: Path) -> Place:
    """A root, and a canary directory with a file, a link and a program beside it."""
    place = Place(root=tmp_path / "stage" / "root", canary=tmp_path / "canary")
    place.root.mkdir(parents=True)
    place.canary.mkdir()
    (place.canary / "secret").write_text("untouched")
    (place.canary / "secret").chmod(0o600)
    (place.canary / "link").symlink_to("secret")
    (place.canary / "folder").mkdir()
    (place.canary / "program").write_text("#!/bin/sh\n")
    (place.canary / "program").chmod(0o4755)
    os.setxattr(place.canary / "secret", "user.kept", b"1")
    os.utime(place.canary / "secret", (1, 1))
    return place


def traces(folder: Path) -> dict[str, tuple[object, ...]]:
    """Everything of ``folder`` and below that writing leaves a trace in: content, kind and mode,
    owner, attributes, number of links, both times. Reading leaves none."""
    found: dict[str, tuple[object, ...]] = {}
    for path in (folder, *folder.rglob("*")):
        status = path.lstat()
        found[str(path)] = (
            path.read_bytes() if stat.S_ISREG(status.st_mode) else b"",
            status.st_mode,
            (status.st_uid, status.st_gid),
            os.listxattr(path, follow_symlinks=False),
            status.st_nlink,
            (status.st_ino, status.st_mtime_ns, status.st_ctime_ns),
        )
    return found


def acl(*, user: int) -> bytes:
    """An access control list as the kernel keeps it (acl(5), linux/posix_acl_xattr.h): that user,
    the owner and the mask may do all, the others read and enter."""
    entries = ((1, 7, -1), (2, 7, user), (4, 5, -1), (0x10, 7, -1), (0x20, 5, -1))
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHi", *each) for each in entries)


def pieces(data: bytes, size: int) -> Iterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


def tree(root: Path, *, exact: bool = False) -> dict[str, tuple[object, ...]]:
    """Every entry below ``root`` with mode, owner, content, links, attributes and time, which is
    in seconds or, when ``exact``, in nanoseconds.

    Hard links to one file show the smallest path among them. Paths of any length are walked."""
    seen = dict(sorted(_walk(os.open(root, os.O_RDONLY), "")))
    first: dict[tuple[int, int], str] = {}
    found: dict[str, tuple[object, ...]] = {}
    for path, (status, content, attributes) in seen.items():
        same = first.setdefault((status.st_dev, status.st_ino), path)
        found[path] = (
            oct(status.st_mode),
            (status.st_uid, status.st_gid),
            content,
            "" if stat.S_ISDIR(status.st_mode) or status.st_nlink == 1 else same,
            attributes,
            status.st_mtime_ns if exact else int(status.st_mtime),
        )
    return found


def names(root: Path) -> list[str]:
    """Every path below ``root``."""
    return sorted(tree(root))


def _walk(fd: int, above: str) -> Iterator[tuple[str, tuple[os.stat_result, str, Attributes]]]:
    """Paths and facts; takes over ``fd``."""
    try:
        for name in os.listdir(fd):
            status = os.stat(name, dir_fd=fd, follow_symlinks=False)
            yield f"{above}/{name}", (status, _content(fd, name, status), _attributes(fd, name))
            if stat.S_ISDIR(status.st_mode):
                below = os.open(name, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=fd)
                yield from _walk(below, f"{above}/{name}")
    finally:
        os.close(fd)


def _content(fd: int, name: str, status: os.stat_result) -> str:
    if stat.S_ISLNK(status.st_mode):
        return os.readlink(name, dir_fd=fd)
    if stat.S_ISREG(status.st_mode):
        with open(os.open(name, os.O_RDONLY, dir_fd=fd), "rb") as file:
            return hashlib.sha256(file.read()).hexdigest()
    return str(status.st_rdev)


def _attributes(fd: int, name: str) -> Attributes:
    path = f"/proc/self/fd/{fd}/{name}"
    names = sorted(os.listxattr(path, follow_symlinks=False))
    return tuple((key, os.getxattr(path, key, follow_symlinks=False)) for key in names)
