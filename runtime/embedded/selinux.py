"""Labels for what a container mounts, on hosts with SELinux: `z` and `Z` of Docker's volumes."""

import hashlib
import os
from pathlib import Path

_ENFORCE = Path("/sys/fs/selinux/enforce")
_ATTRIBUTE = "security.selinux"
_TYPE = "system_u:object_r:container_file_t"
_CATEGORIES = 1024  # of a level, c0 to c1023


def relabel(path: Path, container: str | None, enforce: Path = _ENFORCE) -> None:
    """Let containers use ``path`` and all below it: one alone (``container`` is its id), or all
    (None). Nothing happens on a host without SELinux."""
    if not enforce.exists():
        return
    label = label_for(container).encode() + b"\0"
    _set(path, label)
    for folder, names, others in os.walk(path):
        for name in (*names, *others):
            _set(Path(folder, name), label)


def label_for(container: str | None) -> str:
    """The level that all containers have in common, or one of the container's own."""
    if container is None:
        return f"{_TYPE}:s0"
    number = int.from_bytes(hashlib.sha256(container.encode()).digest()[:4], "big")
    first = number % _CATEGORIES
    second = (first + 1 + number // _CATEGORIES % (_CATEGORIES - 1)) % _CATEGORIES
    low, high = sorted((first, second))
    return f"{_TYPE}:s0:c{low},c{high}"


def _set(path: Path, label: bytes) -> None:
    os.setxattr(path, _ATTRIBUTE, label, follow_symlinks=False)
