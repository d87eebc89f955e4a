"""Mounting: mount(2), umount2(2); and what is mounted: proc_pid_mountinfo(5)."""

import ctypes
import os
import re
from pathlib import Path

from runtime.embedded.linux import files
from runtime.embedded.linux.libc import check, libc

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT = 1, 2, 4, 8, 32
MS_NOATIME, MS_NODIRATIME = 1024, 2048
MS_BIND, MS_REC, MS_PRIVATE = 4096, 16384, 1 << 18
_SYS_OPEN_TREE = 428  # the same number on every architecture
MNT_DETACH, UMOUNT_NOFOLLOW = 2, 8


def mount(source: str, target: str, kind: str, flags: int = 0, data: str = "") -> None:
    """mount(2); raises ``OSError`` with the target. ``data`` above 4,095 bytes is cut by the
    kernel without a word, so it is refused here."""
    if len(os.fsencode(data)) > 4095:
        raise OSError(7, f"mount {target}: options longer than 4095 bytes")
    status = libc.mount(
        os.fsencode(source),
        os.fsencode(target),
        os.fsencode(kind),
        ctypes.c_ulong(flags),
        os.fsencode(data) if data else None,
    )
    check(status, f"mount {kind or 'flags'} on {target}")


def bind(source: str, target: str) -> None:
    """Show ``source`` at ``target`` too."""
    mount(source, target, "", MS_BIND)


def cloned(target: str) -> int:
    """What is mounted at ``target``, without mounts below it, as a mount of its own that has no
    name and goes when the descriptor is closed: open_tree(2)."""
    fd: int = libc.syscall(_SYS_OPEN_TREE, -100, os.fsencode(target), os.O_CLOEXEC | 1)
    return check(fd, f"clone the mount at {target}")


def make_private(target: str) -> None:
    """Keep what is mounted below ``target`` out of other mount namespaces."""
    mount("", target, "", MS_PRIVATE | MS_REC)


def unmount(target: str) -> None:
    """umount2(2) with MNT_DETACH: the name is free at once, busy or not. Never follows a link;
    what is not mounted is left alone."""
    status = libc.umount2(os.fsencode(target), MNT_DETACH | UMOUNT_NOFOLLOW)
    if status != 0 and ctypes.get_errno() not in (22, 2):  # EINVAL, ENOENT: not mounted
        check(status, f"unmount {target}")


def below(folder: Path) -> list[str]:
    """Mount points at and below ``folder``, the latest first. Links above it are followed, as
    the kernel knows real names only; ``folder`` itself is not."""
    real = os.path.join(os.path.realpath(folder.parent), folder.name)
    lines = Path("/proc/self/mountinfo").read_bytes().splitlines()
    points = [unescape(line.split(b" ")[4]) for line in lines]
    return [point for point in reversed(points) if point == real or point.startswith(f"{real}/")]


def is_other_file_system(path: Path) -> bool:
    """Whether ``path`` is of another file system than its folder: a mount that is no bind mount
    of the same one. Reads no table of mounts."""
    try:
        return os.stat(path).st_dev != os.stat(path.parent).st_dev
    except FileNotFoundError:
        return False


def is_mount_point(path: Path) -> bool:
    """Whether something is mounted at ``path`` or below, of the same file system or not."""
    return bool(below(path)) and path.exists()


def remove_unmounting(path: Path) -> None:
    """Remove a folder of ours; what is mounted in it is let go, never emptied."""
    for target in below(path):
        unmount(target)
    files.remove(path)


def unescape(field: bytes) -> str:
    """A path as mountinfo writes it: space, tab, line feed and backslash as octal numbers."""
    plain = re.sub(rb"\\([0-3][0-7]{2})", lambda found: bytes((int(found[1], 8),)), field)
    return os.fsdecode(plain)
