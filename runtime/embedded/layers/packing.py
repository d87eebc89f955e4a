"""A directory becomes an archive: the way back from ``extract``.

The tree may be that of a running container, and hostile: folders are entered without following a
link or crossing a mount, only files are opened, and what is replaced or removed between two looks
is left out.
"""

import errno
import os
import stat
from collections.abc import Callable
from contextlib import suppress

from runtime.embedded.layers import tarstream
from runtime.embedded.layers.tarstream import Entry
from runtime.embedded.layers.tarwriter import TarWriter
from runtime.embedded.layers.whiteouts import is_of_the_host
from runtime.embedded.linux import files

_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_NOATIME | os.O_CLOEXEC
_GONE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EXDEV, errno.ESTALE)
_SECOND = 1_000_000_000
_KINDS = {
    stat.S_IFREG: tarstream.FILE,
    stat.S_IFDIR: tarstream.DIRECTORY,
    stat.S_IFLNK: tarstream.SYMLINK,
    stat.S_IFIFO: tarstream.FIFO,
    stat.S_IFCHR: tarstream.CHARACTER_DEVICE,
    stat.S_IFBLK: tarstream.BLOCK_DEVICE,
}


def pack(root: int, out: TarWriter, told: Callable[[int], None]) -> None:
    """Write all below the directory ``root`` (a descriptor) to ``out``, in the order of names, each
    folder after the other entries of the one that it is in. Sockets are left out: they mean nothing
    without their program. ``told`` hears the size of each file, in bytes. Raises ``OSError``."""
    packing = _Packing(root, out, told)
    waiting = [b""]
    while waiting:
        waiting += reversed(packing.folder(waiting.pop()))


class _Packing:
    """The state of one archive: files with several names, by what they were called first."""

    def __init__(self, root: int, out: TarWriter, told: Callable[[int], None]) -> None:
        self._root, self._out, self._told = root, out, told
        self._named: dict[tuple[int, int], tuple[bytes, int]] = {}

    def folder(self, path: bytes) -> list[bytes]:
        """Write a folder and what is in it but for its folders, whose paths are returned."""
        try:
            fd = files.open_below(self._root, path)
        except OSError as error:
            if error.errno in _GONE:
                return []
            raise
        try:
            if path:
                self._out.entry(_described(path + b"/", os.fstat(fd), _attributes(fd)))
            below = []
            for name in sorted(map(os.fsencode, os.listdir(fd))):
                with suppress(FileNotFoundError):
                    status = os.stat(name, dir_fd=fd, follow_symlinks=False)
                    place = path + b"/" + name if path else name
                    if stat.S_ISDIR(status.st_mode):
                        below.append(place)
                    else:
                        self._entry(place, status, fd, name)
            return below
        finally:
            os.close(fd)

    def _entry(self, path: bytes, status: os.stat_result, parent: int, name: bytes) -> None:
        if stat.S_ISSOCK(status.st_mode):
            return
        if first := self._first_name(status):
            entry = _described(path, status, {})
            self._out.entry(entry._replace(kind=tarstream.HARD_LINK, size=0, link=first))
        elif stat.S_ISREG(status.st_mode):
            self._file(path, parent, name)
        else:
            place = b"/proc/self/fd/%d/%s" % (parent, name)
            link = _target(name, parent) if stat.S_ISLNK(status.st_mode) else b""
            self._begin(path, status, _attributes(place), link)

    def _file(self, path: bytes, parent: int, name: bytes) -> None:
        """The file that stands there now; what has taken its place is none of ours."""
        try:
            fd = os.open(name, _READ, dir_fd=parent)
        except OSError as error:
            if error.errno in (*_GONE, errno.EACCES, errno.ENXIO):  # a link, a device, a socket
                return
            raise
        try:
            status = os.fstat(fd)
            if stat.S_ISREG(status.st_mode):
                self._begin(path, status, _attributes(fd))
                self._out.copy(fd)
                self._told(status.st_size)
        finally:
            os.close(fd)

    def _begin(
        self,
        path: bytes,
        status: os.stat_result,
        attributes: dict[bytes, bytes],
        link: bytes = b"",
    ) -> None:
        self._out.entry(_described(path, status, attributes, link))
        if status.st_nlink > 1:
            self._named[status.st_dev, status.st_ino] = (path, status.st_nlink - 1)

    def _first_name(self, status: os.stat_result) -> bytes:
        """What a file was called before, "" for one that comes the first time. One whose names have
        all come is forgotten."""
        identity = (status.st_dev, status.st_ino)
        path, left = self._named.pop(identity, (b"", 0))
        if left > 1:
            self._named[identity] = (path, left - 1)
        return path


def _described(
    path: bytes, status: os.stat_result, attributes: dict[bytes, bytes], link: bytes = b""
) -> Entry:
    """Times go over in whole seconds, as other tools write them."""
    kind = _KINDS[stat.S_IFMT(status.st_mode)]
    return Entry(
        path,
        kind,
        stat.S_IMODE(status.st_mode),
        status.st_uid,
        status.st_gid,
        status.st_size if kind == tarstream.FILE else 0,
        status.st_mtime_ns // _SECOND * _SECOND,
        link,
        attributes,
        status.st_rdev if kind in (tarstream.CHARACTER_DEVICE, tarstream.BLOCK_DEVICE) else 0,
    )


def _target(name: bytes, parent: int) -> bytes:
    """Where a link leads. Raises ``FileNotFoundError`` for what has taken its place."""
    try:
        return os.readlink(name, dir_fd=parent)
    except OSError as error:
        if error.errno == errno.EINVAL:
            raise FileNotFoundError(errno.ENOENT, "it is no link any more", name) from error
        raise


def _attributes(place: int | bytes) -> dict[bytes, bytes]:
    """What an open file, or the entry of that path (a link itself), has of its own."""
    found: dict[bytes, bytes] = {}
    follow = isinstance(place, int)
    try:
        for name in os.listxattr(place, follow_symlinks=follow):
            if not is_of_the_host(key := os.fsencode(name)):
                found[key] = os.getxattr(place, name, follow_symlinks=follow)
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.ENODATA):  # none there, or gone
            raise
    return found
