"""Files by directory descriptor, one call each: openat2(2), xattr(7), syncfs(2).

Paths of foreign origin are only ever resolved by ``openat2`` with RESOLVE_IN_ROOT: links,
absolute ones and ``..`` too, then end inside the given directory whatever they say.
"""

import ctypes
import errno
import os
import stat
from contextlib import suppress
from pathlib import Path

from runtime.embedded.linux.libc import check, libc

RESOLVE_NO_XDEV, RESOLVE_NO_MAGICLINKS, RESOLVE_NO_SYMLINKS = 0x01, 0x02, 0x04
RESOLVE_BENEATH, RESOLVE_IN_ROOT = 0x08, 0x10
DEFAULT_ACL = b"system.posix_acl_default"  # of a directory: what is made in it inherits it (acl(5))

_SYS_OPENAT2 = 437  # the same number on every architecture
_LONGEST_PATH = 4000  # below PATH_MAX
_RACES = 100  # EAGAIN: somebody renamed a directory while the kernel was in it


class _OpenHow(ctypes.Structure):
    _fields_ = (
        ("flags", ctypes.c_uint64),
        ("mode", ctypes.c_uint64),
        ("resolve", ctypes.c_uint64),
    )


def openat2(folder: int, path: bytes, flags: int, resolve: int, mode: int = 0) -> int:
    """Open ``path`` below the directory ``folder`` under the rules of ``resolve``; always
    close-on-exec and never through /proc's magic links. Raises ``OSError`` with the path."""
    how = _OpenHow(flags | os.O_CLOEXEC, mode, resolve | RESOLVE_NO_MAGICLINKS)
    for _ in range(_RACES):
        fd: int = libc.syscall(_SYS_OPENAT2, folder, path, ctypes.byref(how), ctypes.sizeof(how))
        if fd >= 0:
            return fd
        if ctypes.get_errno() != errno.EAGAIN:
            break
    code = ctypes.get_errno()
    raise OSError(code, os.strerror(code), path)


def open_directory(root: int, path: bytes) -> int:
    """Open a directory inside ``root``; links are followed and stay inside."""
    return openat2(root, path or b".", os.O_RDONLY | os.O_DIRECTORY, RESOLVE_IN_ROOT)


def open_below(root: int, path: bytes) -> int:
    """Open the directory ``path`` below ``root`` as it stands there: no part of it is a link or has
    something mounted on it. A path may be longer than the kernel takes at once."""
    flags, rules = os.O_RDONLY | os.O_DIRECTORY, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS
    fd = openat2(root, b".", flags, rules)
    while path:
        cut = len(path) if len(path) < _LONGEST_PATH else path.rindex(b"/", 0, _LONGEST_PATH)
        try:
            below = openat2(fd, path[:cut], flags, rules | RESOLVE_NO_XDEV)
        finally:
            os.close(fd)
        fd, path = below, path[cut + 1 :]
    return fd


def set_xattr(fd: int, name: bytes, value: bytes) -> None:
    """fsetxattr(2); a file system without such attributes is no error, as for tar and rsync."""
    try:
        os.setxattr(fd, name, value)
    except OSError as error:
        if error.errno != errno.EOPNOTSUPP:
            raise


def set_xattr_at(folder: int, name: bytes, key: bytes, value: bytes) -> None:
    """lsetxattr(2) on an entry of ``folder``; ``name`` is one component, a link is not followed.

    There is no setxattrat before Linux 6.13: /proc gives the same by a path of our own making.
    """
    try:
        os.setxattr(b"/proc/self/fd/%d/%s" % (folder, name), key, value, follow_symlinks=False)
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EPERM):
            raise


def set_mode_at(folder: int, name: bytes, mode: int) -> None:
    """chmod(2) of what stands there, never of what it leads to: fchmodat(2) cannot say so before
    Linux 6.6, and a descriptor that only names a file takes no fchmod(2)."""
    fd = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
    try:
        if not stat.S_ISLNK(os.fstat(fd).st_mode):
            os.chmod(b"/proc/self/fd/%d" % fd, mode)
    finally:
        os.close(fd)


def sync_file_system(fd: int) -> None:
    """syncfs(2): everything written to the file system of ``fd`` survives power loss."""
    check(libc.syncfs(fd), "syncfs")


def remove_tree(folder: int, name: bytes, *, aside: int | None = None) -> None:
    """Remove an entry of ``folder`` and all below it; what is not there is no error.

    No recursion and three descriptors at most, however deep the tree: each directory is moved
    to ``aside`` (else to the top of the tree) before it is emptied. That folder must be ours
    alone. A mount in the way is not crossed: ``OSError`` (EBUSY or EXDEV), with a part removed.
    """
    try:
        os.unlink(name, dir_fd=folder)
    except FileNotFoundError:
        return
    except IsADirectoryError:
        top = _open_unmounted(folder, name)
        try:
            _empty(top, top if aside is None else aside)
        finally:
            os.close(top)
        os.rmdir(name, dir_fd=folder)


def remove(path: Path) -> None:
    """``remove_tree`` by a path of our own making."""
    with suppress(FileNotFoundError):
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            remove_tree(folder, os.fsencode(path.name))
        finally:
            os.close(folder)


def _empty(top: int, aside: int) -> None:
    waiting = [(top, name) for name in _unlink_all_but_directories(top)]
    # Nobody who can make names in the tree can know this one.
    prefix, moved = b".%s." % os.urandom(8).hex().encode(), 0
    while waiting:
        place, name = waiting.pop()
        fd = _open_unmounted(place, name)
        try:
            for below in _unlink_all_but_directories(fd):
                moved += 1
                fresh = b"%s%d" % (prefix, moved)
                os.rename(below, fresh, src_dir_fd=fd, dst_dir_fd=aside)
                waiting.append((aside, fresh))
        finally:
            os.close(fd)
        os.rmdir(name, dir_fd=place)


def _open_unmounted(folder: int, name: bytes) -> int:
    """Open a directory in ``folder``, but not one that is mounted there (EXDEV)."""
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
    return openat2(folder, name, flags, RESOLVE_NO_XDEV | RESOLVE_BENEATH)


def _unlink_all_but_directories(fd: int) -> list[bytes]:
    """Empty a directory but for its directories, and return those."""
    directories = []
    with os.scandir(fd) as entries:
        found = [(os.fsencode(e.name), e.is_dir(follow_symlinks=False)) for e in entries]
    for name, is_directory in found:
        if is_directory:
            directories.append(name)
        else:
            with suppress(FileNotFoundError):
                os.unlink(name, dir_fd=fd)
    return directories


def is_whiteout(status: os.stat_result) -> bool:
    """Whether this is overlayfs's mark for a removed name: a character device 0:0."""
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == 0
