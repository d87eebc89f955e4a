"""Labels for what a container mounts, on hosts with SELinux: `z` and `Z` of Docker's volumes."""

import hashlib
import os
from contextlib import suppress
from pathlib import Path

from runtime.embedded.linux import files

_ENFORCE = Path("/sys/fs/selinux/enforce")
_ATTRIBUTE = "security.selinux"
_NO_LINKS = files.RESOLVE_BENEATH | files.RESOLVE_NO_SYMLINKS
_TYPE = "system_u:object_r:container_file_t"
_CATEGORIES = 1024  # of a level, c0 to c1023


def relabel(path: Path, container: str | None, enforce: Path = _ENFORCE) -> None:
    """Let containers use ``path`` and all below it: one alone (``container`` is its id), or all
    (None). Nothing happens on a host without SELinux."""
    if not enforce.exists():
        return
    label = label_for(container).encode() + b"\0"
    place = os.path.realpath(path)
    os.setxattr(place, _ATTRIBUTE, label, follow_symlinks=False)
    if os.path.isdir(place):
        root = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            _relabel_below(root, label)
        finally:
            os.close(root)


def _relabel_below(root: int, label: bytes) -> None:
    """A container may put a link in the place of a folder meanwhile: each is opened without
    following any."""
    folders = [b"."]
    while folders:
        place = folders.pop()
        with suppress(OSError):  # gone, a link by now, or too deep for a path
            fd = files.openat2(root, place, os.O_RDONLY | os.O_DIRECTORY, _NO_LINKS)
            try:
                folders += _relabel_entries(fd, place, label)
            finally:
                os.close(fd)


def _relabel_entries(folder: int, place: bytes, label: bytes) -> list[bytes]:
    """Label what is in a folder, and return the folders among it."""
    found = []
    with os.scandir(folder) as entries:
        for entry in entries:
            name = os.fsencode(entry.name)
            with suppress(FileNotFoundError):
                files.set_xattr_at(folder, name, _ATTRIBUTE.encode(), label)
            if entry.is_dir(follow_symlinks=False):
                found.append(place + b"/" + name)
    return found


def label_for(container: str | None) -> str:
    """The level that all containers have in common, or one of the container's own."""
    if container is None:
        return f"{_TYPE}:s0"
    number = int.from_bytes(hashlib.sha256(container.encode()).digest()[:4], "big")
    first = number % _CATEGORIES
    second = (first + 1 + number // _CATEGORIES % (_CATEGORIES - 1)) % _CATEGORIES
    low, high = sorted((first, second))
    return f"{_TYPE}:s0:c{low},c{high}"
