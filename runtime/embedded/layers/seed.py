"""The first content of a volume: what the image has at the place where it is mounted.

The copy is made beside the volume's folder, brought to disk and renamed over it while that is
still empty: a volume is seeded as a whole or not at all. Owners, modes, times, attributes, hard
links, links and pipes are kept; devices are not copied.
"""

import errno
import os
import stat
from contextlib import ExitStack
from pathlib import Path

from runtime.embedded.layers.parents import Parents
from runtime.embedded.layers.whiteouts import is_overlay_attribute
from runtime.embedded.linux import files

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_WRITE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_PIECE = 1 << 20


def copy(
    rootfs: Path,
    target: str,
    data: Path,
    *,
    owner: tuple[int, int] | None = None,
    mode: int | None = None,
) -> None:
    """Fill the empty folder ``data`` with what ``rootfs`` (a mounted image) has at ``target``.

    An image that has nothing there, or no directory, leaves it as it is. ``target`` is the
    container's word: it is resolved inside ``rootfs``, links too. ``owner`` and ``mode`` outrank
    what the image says of the folder itself. Raises ``OSError``.
    """
    with ExitStack() as stack:
        source = _source(rootfs, target, stack)
        if source is None:
            return
        beside = os.open(data.parent, _FOLDER)
        stack.callback(os.close, beside)
        staged = f".{data.name}.seeding".encode()
        files.remove_tree(beside, staged)  # of a copy that was killed
        stack.callback(files.remove_tree, beside, staged)
        os.mkdir(staged, 0o700, dir_fd=beside)
        place = os.open(staged, _FOLDER, dir_fd=beside)
        stack.callback(os.close, place)
        _Copy(source, place).run()
        if owner is not None:
            os.fchown(place, *owner)
        if mode is not None:
            os.fchmod(place, mode)
        files.sync_file_system(place)
        os.rename(staged, os.fsencode(data.name), src_dir_fd=beside, dst_dir_fd=beside)
        os.fsync(beside)


def _source(rootfs: Path, target: str, stack: ExitStack) -> int | None:
    root = os.open(rootfs, _FOLDER)
    stack.callback(os.close, root)
    try:
        found = files.open_directory(root, os.fsencode(target))
    except (FileNotFoundError, NotADirectoryError):
        return None
    stack.callback(os.close, found)
    return found


class _Copy:
    """One copy of a tree. Paths of directories wait in a list, so depth costs neither stack nor
    descriptors."""

    def __init__(self, source: int, place: int) -> None:
        self._from = Parents(source, _nothing)
        self._to = Parents(place, _nothing)
        self._links: dict[tuple[int, int], bytes] = {}
        self._times: dict[bytes, os.stat_result] = {}
        self._waiting = [b""]

    def run(self) -> None:
        try:
            while self._waiting:
                self._folder(self._waiting.pop())
            for path, status in self._times.items():
                self._finish(path, status)
        finally:
            self._from.close()
            self._to.close()

    def _folder(self, path: bytes) -> None:
        """A directory that is there already, empty: its metadata and all in it."""
        self._from.sweep()
        self._to.sweep()
        here, there = self._from.existing(path), self._to.existing(path)
        self._times[path] = os.fstat(here)
        _dress(here, there, self._times[path])
        with os.scandir(here) as entries:
            names = sorted(os.fsencode(entry.name) for entry in entries)
        for name in names:
            self._entry(path + b"/" + name if path else name, here, there, name)

    def _finish(self, path: bytes, status: os.stat_result) -> None:
        """What was made in a directory has moved its time, and would have inherited its default
        ACL."""
        self._from.sweep()
        self._to.sweep()
        source, copy = self._from.existing(path), self._to.existing(path)
        if os.fsdecode(files.DEFAULT_ACL) in os.listxattr(source):
            _copy_attribute(source, copy, files.DEFAULT_ACL)
        os.utime(copy, ns=_times(status))

    def _entry(self, path: bytes, here: int, there: int, name: bytes) -> None:
        status = os.stat(name, dir_fd=here, follow_symlinks=False)
        identity = (status.st_dev, status.st_ino)
        if stat.S_ISDIR(status.st_mode):
            os.mkdir(name, 0o700, dir_fd=there)
            self._waiting.append(path)
        elif identity in self._links:
            self._link(self._links[identity], there, name)
        else:
            _make(here, there, name, status)
            if status.st_nlink > 1 and _is_copied(status):
                self._links[identity] = path

    def _link(self, first: bytes, there: int, name: bytes) -> None:
        folder, _, target = first.rpartition(b"/")
        place = self._to.existing(folder)
        os.link(target, name, src_dir_fd=place, dst_dir_fd=there, follow_symlinks=False)


def _nothing(_path: bytes, _fd: int) -> None:
    """Nobody wants to know of directories that were made."""


def _is_copied(status: os.stat_result) -> bool:
    return stat.S_IFMT(status.st_mode) in (stat.S_IFREG, stat.S_IFLNK, stat.S_IFIFO)


def _make(here: int, there: int, name: bytes, status: os.stat_result) -> None:
    if stat.S_ISREG(status.st_mode):
        _file(here, there, name, status)
    elif stat.S_ISLNK(status.st_mode):
        os.symlink(os.readlink(name, dir_fd=here), name, dir_fd=there)
        _dress_name(there, name, status)
    elif stat.S_ISFIFO(status.st_mode):
        os.mkfifo(name, 0o600, dir_fd=there)
        _dress_name(there, name, status)
        files.set_mode_at(there, name, stat.S_IMODE(status.st_mode))


def _file(here: int, there: int, name: bytes, status: os.stat_result) -> None:
    with ExitStack() as stack:
        source = os.open(name, _READ, dir_fd=here)
        stack.callback(os.close, source)
        copy = os.open(name, _WRITE, 0o600, dir_fd=there)
        stack.callback(os.close, copy)
        _content(source, copy, status.st_size)
        _dress(source, copy, status)
        os.utime(copy, ns=_times(status))


def _content(source: int, copy: int, size: int) -> None:
    """Copy what is data; holes stay holes (lseek(2), SEEK_DATA)."""
    at = 0
    while at < size:
        try:
            at = os.lseek(source, at, os.SEEK_DATA)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            break  # nothing but a hole is left
        end = os.lseek(source, at, os.SEEK_HOLE)
        os.lseek(copy, at, os.SEEK_SET)
        while at < end and (done := os.sendfile(copy, source, at, min(_PIECE, end - at))):
            at += done
    os.ftruncate(copy, size)


def _dress(source: int, copy: int, status: os.stat_result) -> None:
    """Owner, then mode and attributes: chown(2) clears set-user-id and security.capability."""
    os.fchown(copy, status.st_uid, status.st_gid)
    os.fchmod(copy, stat.S_IMODE(status.st_mode))
    for key in map(os.fsencode, os.listxattr(source)):
        if key != files.DEFAULT_ACL and not is_overlay_attribute(key):
            _copy_attribute(source, copy, key)


def _copy_attribute(source: int, copy: int, key: bytes) -> None:
    files.set_xattr(copy, key, os.getxattr(source, key))


def _dress_name(there: int, name: bytes, status: os.stat_result) -> None:
    os.chown(name, status.st_uid, status.st_gid, dir_fd=there, follow_symlinks=False)
    os.utime(name, ns=_times(status), dir_fd=there, follow_symlinks=False)


def _times(status: os.stat_result) -> tuple[int, int]:
    return status.st_atime_ns, status.st_mtime_ns
