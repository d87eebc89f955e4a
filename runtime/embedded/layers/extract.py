"""An archive becomes a directory that overlayfs can use as a lower layer.

Everything happens relative to directory descriptors inside the layer's root: parents are found
by openat2 with RESOLVE_IN_ROOT, the last component is never followed, and metadata goes to the
descriptor or the name just made. So neither links nor names of the archive reach outside it.
The root must be a fresh directory that nobody else can enter.
"""

import errno
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from runtime.embedded.layers import tarstream
from runtime.embedded.layers.faults import BadLayer, LayerTooLarge
from runtime.embedded.layers.parents import REPLACED, Parents, components
from runtime.embedded.layers.remembered import Remembered
from runtime.embedded.layers.tarstream import Bytes, Entry, TarStream
from runtime.embedded.layers.whiteouts import PREFIX, Whiteouts, is_of_the_host
from runtime.embedded.linux import files

_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_SMALL = 1 << 16  # up to here a file is written in one call
_LARGEST_ID = (1 << 32) - 2  # -1 means "leave it" to chown(2)
_SECOND = 1_000_000_000
_LATEST = (1 << 34) * _SECOND  # ext4 counts to 2446; the kernel clamps what lies beyond
_OURS = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EMFILE, errno.ENFILE, errno.EROFS)

Maker = Callable[[Entry, int, bytes], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one layer may cost: bytes of file content, and entries."""

    size: int = 1 << 40
    entries: int = 2_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Extracted:
    """``size`` is the content in bytes; ``hides_all`` says that no lower layer is seen."""

    size: int
    hides_all: bool


class _Folder(NamedTuple):
    """What a directory gets last of all; ``inode`` tells whether it still stands there."""

    mtime: int
    inode: int
    acl: bytes | None


def extract(chunks: Iterator[bytes], root: int, aside: int, limits: Limits) -> Extracted:
    """Unpack the archive in ``chunks`` below the empty directory ``root`` (a descriptor).

    ``aside`` is another empty directory of the same file system, for what gets replaced.
    Raises ``BadLayer`` and ``LayerTooLarge``; then the caller throws both away.
    """
    stream = TarStream(Bytes(chunks), most_entries=limits.entries)
    extraction = _Extraction(stream, root, aside, limits)
    try:
        return extraction.run()
    finally:
        extraction.parents.close()


class _Extraction:
    """The state of one unpacking. A maker makes one entry in an open directory."""

    def __init__(self, stream: TarStream, root: int, aside: int, limits: Limits) -> None:
        self.stream, self.root, self.aside, self.limits = stream, root, aside, limits
        self.remembered = Remembered()
        self.whiteouts = Whiteouts(self.remembered)
        self.parents = Parents(root, self._implied)
        self.size = self.implied = 0
        self.path = b""
        self.folders: dict[bytes, _Folder] = {}
        self.makers: dict[bytes, Maker] = {
            tarstream.FILE: self._file,
            tarstream.DIRECTORY: self._directory,
            tarstream.SYMLINK: self._symlink,
            tarstream.HARD_LINK: self._hard_link,
            tarstream.FIFO: self._fifo,
            tarstream.CHARACTER_DEVICE: self._device,
            tarstream.BLOCK_DEVICE: self._device,
        }

    def run(self) -> Extracted:
        for entry in self.stream:
            try:
                self._entry(entry)
            except OSError as error:
                raise _refusal(error, entry.name) from error
        try:
            self.whiteouts.finish(self.parents)
            self._finish_directories()
        except OSError as error:
            raise _refusal(error) from error
        return Extracted(size=self.size, hides_all=self.whiteouts.hides_all)

    def _entry(self, entry: Entry) -> None:
        self.parents.sweep()
        parts = components(entry.name)
        if not parts:
            return self._root(entry)
        if PREFIX in entry.name and self.whiteouts.add(parts, self.parents):
            return None
        make = self.makers.get(entry.kind)
        if make is None:
            raise BadLayer(f"it has the unknown type {entry.kind!r}", entry=entry.name)
        self.path = b"/".join(parts)
        return make(entry, self.parents.open(b"/".join(parts[:-1])), parts[-1])

    def _root(self, entry: Entry) -> None:
        """The root entry may only be a directory, and gives only its metadata."""
        if entry.kind != tarstream.DIRECTORY:
            raise BadLayer("the root is not a directory", entry=entry.name)
        self._dress_folder(b"", self.root, entry)

    def _file(self, entry: Entry, parent: int, name: bytes) -> None:
        self.size += entry.size
        if self.size > self.limits.size:
            raise LayerTooLarge("its files have too many bytes", self.limits.size)
        try:
            fd = os.open(name, _NEW_FILE, 0o600, dir_fd=parent)
        except FileExistsError:
            self._clear(parent, name)
            fd = os.open(name, _NEW_FILE, 0o600, dir_fd=parent)
        try:
            if entry.size <= _SMALL:
                _write(fd, self.stream.whole())
            else:
                for piece in self.stream.pieces():
                    _write(fd, piece)
            _dress(fd, entry)
            os.utime(fd, ns=_times(entry))
        finally:
            os.close(fd)

    def _directory(self, entry: Entry, parent: int, name: bytes) -> None:
        try:
            os.mkdir(name, 0o700, dir_fd=parent)
            made = True
        except FileExistsError:
            made = not stat.S_ISDIR(_status(parent, name))
            if made:
                self._clear(parent, name)
                os.mkdir(name, 0o700, dir_fd=parent)
        if made:
            self._forget(self.path)
        fd = os.open(name, _FOLDER, dir_fd=parent)
        self.parents.keep(self.path, fd)
        self._dress_folder(self.path, fd, entry)
        self.whiteouts.made(self.path, fd)

    def _symlink(self, entry: Entry, parent: int, name: bytes) -> None:
        if b"\0" in entry.link:
            raise BadLayer("a link target with a zero byte", entry=entry.name)
        try:
            os.symlink(entry.link, name, dir_fd=parent)
        except FileExistsError:
            self._clear(parent, name)
            os.symlink(entry.link, name, dir_fd=parent)
        _dress_name(parent, name, entry)

    def _hard_link(self, entry: Entry, parent: int, name: bytes) -> None:
        """The target must be in this layer already; a symbolic link is linked itself."""
        parts = components(entry.link)
        if not parts:
            raise BadLayer("a hard link to the root", entry=entry.name)
        folder, target = b"/".join(parts[:-1]), parts[-1]
        source = os.stat(target, dir_fd=self.parents.existing(folder), follow_symlinks=False)
        if files.is_whiteout(source) or stat.S_ISDIR(source.st_mode):
            raise BadLayer("a hard link to what cannot be linked", entry=entry.name)
        if not _is_same(source, parent, name):
            self._clear(parent, name)
            place = self.parents.existing(folder)
            os.link(target, name, src_dir_fd=place, dst_dir_fd=parent, follow_symlinks=False)

    def _fifo(self, entry: Entry, parent: int, name: bytes) -> None:
        self._clear(parent, name)
        os.mkfifo(name, 0o600, dir_fd=parent)
        _dress_name(parent, name, entry)
        files.set_mode_at(parent, name, entry.mode)

    def _device(self, entry: Entry, parent: int, name: bytes) -> None:
        """A node belongs to the layer; what it opens is for containers' device cgroups to say.
        0:0 stands for no device, and to overlayfs for a removed name: that one is left out, as
        are all where we may not make any (mknod(2): CAP_MKNOD)."""
        self._clear(parent, name)
        kind = stat.S_IFCHR if entry.kind == tarstream.CHARACTER_DEVICE else stat.S_IFBLK
        if kind == stat.S_IFCHR and not entry.device:
            return
        with suppress(PermissionError):
            os.mknod(name, kind | 0o600, entry.device, dir_fd=parent)
            _dress_name(parent, name, entry)
            files.set_mode_at(parent, name, entry.mode)

    def _clear(self, parent: int, name: bytes) -> None:
        """Make room for an entry that comes again: the last one wins."""
        try:
            mode = _status(parent, name)
        except FileNotFoundError:
            return
        files.remove_tree(parent, name, aside=self.aside)
        if stat.S_ISDIR(mode) or stat.S_ISLNK(mode):
            self.parents.forget()

    def _implied(self, path: bytes, fd: int) -> None:
        """A directory that no entry describes counts as one: a single name may need many."""
        self.implied += 1
        if self.implied > self.limits.entries:
            raise LayerTooLarge("its names need too many directories", self.limits.entries)
        self._forget(path)
        self.whiteouts.made(path, fd)

    def _forget(self, path: bytes) -> None:
        """One that stood there before has gone, and its inode's number may be this one's now."""
        self.folders.pop(path, None)

    def _dress_folder(self, path: bytes, fd: int, entry: Entry) -> None:
        """Its time moves with each entry made in it, and those would inherit a default ACL that
        the archive does not give them: both wait."""
        now = {key: value for key, value in entry.xattrs.items() if key != files.DEFAULT_ACL}
        _dress(fd, entry._replace(xattrs=now))
        known, inode = self.folders.get(path), os.fstat(fd).st_ino
        acl = entry.xattrs.get(files.DEFAULT_ACL)
        if known is None:
            self.remembered.add(path)
        if acl is not None:
            self.remembered.add(acl)
        elif known is not None and known.inode == inode:
            acl = known.acl
        self.folders[path] = _Folder(entry.mtime, inode, acl)

    def _finish_directories(self) -> None:
        for path, folder in self.folders.items():
            try:
                fd = self.parents.existing(path)
            except OSError as error:
                if error.errno not in REPLACED:
                    raise
                continue
            if os.fstat(fd).st_ino == folder.inode:  # else another stands there, or a link
                if folder.acl is not None:
                    _set_default_acl(fd, path, folder.acl)
                os.utime(fd, ns=_clamped(folder.mtime))
            self.parents.sweep()


def _refusal(error: OSError, entry: bytes | None = None) -> Exception:
    """What the layer asked for and the kernel refused; ``error`` itself when we are to blame."""
    if error.errno in _OURS:
        return error
    return BadLayer(os.strerror(error.errno or 0), entry=entry)


def _status(parent: int, name: bytes) -> int:
    return os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode


def _is_same(source: os.stat_result, parent: int, name: bytes) -> bool:
    try:
        return os.path.samestat(source, os.stat(name, dir_fd=parent, follow_symlinks=False))
    except FileNotFoundError:
        return False


def _write(fd: int, content: memoryview) -> None:
    written = os.write(fd, content)
    while written < len(content):
        written += os.write(fd, content[written:])


def _dress(fd: int, entry: Entry) -> None:
    """Owner, then mode and attributes: chown(2) clears set-user-id and security.capability."""
    os.fchown(fd, *_owner(entry))
    os.fchmod(fd, entry.mode)
    if entry.xattrs:
        _set_attributes(fd, entry.name, entry.xattrs, partial(files.set_xattr, fd))


def _set_default_acl(fd: int, path: bytes, acl: bytes) -> None:
    try:
        _set_attributes(fd, path, {files.DEFAULT_ACL: acl}, partial(files.set_xattr, fd))
    except OSError as error:
        raise _refusal(error, path) from error


def _dress_name(parent: int, name: bytes, entry: Entry) -> None:
    """As ``_dress`` for what cannot be opened: a link (which has no mode), a fifo."""
    os.chown(name, *_owner(entry), dir_fd=parent, follow_symlinks=False)
    if entry.xattrs:
        put = partial(files.set_xattr_at, parent, name)
        _set_attributes(parent, entry.name, entry.xattrs, put)
    os.utime(name, ns=_times(entry), dir_fd=parent, follow_symlinks=False)


def _set_attributes(
    fd: int, name: bytes, attributes: Mapping[bytes, bytes], put: Callable[[bytes, bytes], None]
) -> None:
    """ext4 says that the disk is full when a file's attributes fill their one block."""
    try:
        for key, value in attributes.items():
            if not is_of_the_host(key):
                put(key, value)
    except OSError as error:
        room = os.fstatvfs(fd)
        if error.errno == errno.ENOSPC and room.f_bavail and room.f_favail:
            raise BadLayer("more attributes than the file system takes", entry=name) from None
        raise


def _owner(entry: Entry) -> tuple[int, int]:
    if entry.uid > _LARGEST_ID or entry.gid > _LARGEST_ID:
        raise BadLayer("an owner beyond 32 bits", entry=entry.name)
    return entry.uid, entry.gid


def _times(entry: Entry) -> tuple[int, int]:
    return _clamped(entry.mtime)


def _clamped(mtime: int) -> tuple[int, int]:
    mtime = min(max(mtime, -_LATEST), _LATEST)
    return mtime, mtime
