"""The directories of a layer under construction: found inside its root, made where missing."""

import errno
import os
from collections import OrderedDict
from collections.abc import Callable, Sequence

from runtime.embedded.layers.faults import BadLayer
from runtime.embedded.linux import files

DEEPEST = 1000  # components of one name
_OPEN_FOLDERS = 64
_MOST_LINKS = 40  # as the kernel's own limit
_LONGEST_PATH = 4000  # below PATH_MAX; longer paths are walked in pieces
# A directory that was there before and is now something else, or a link to nothing.
REPLACED = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)
_FOLDER = os.O_RDONLY | os.O_DIRECTORY
_BELOW = files.RESOLVE_NO_SYMLINKS | files.RESOLVE_BENEATH


def components(name: bytes) -> list[bytes]:
    """The parts of a name, seen from the root; an empty list is the root itself.

    A leading slash means nothing, as in every other tool. Raises ``BadLayer`` for ``..``.
    """
    parts = [part for part in name.split(b"/") if part not in (b"", b".")]
    if b".." in parts:
        raise BadLayer("it leads out of the layer with '..'", entry=name)
    if len(parts) > DEEPEST:
        raise BadLayer(f"it is more than {DEEPEST} directories deep", entry=name)
    if b"\0" in name:
        raise BadLayer("a name with a zero byte", entry=name)
    return parts


class _Dangling(Exception):
    """A link that leads to nothing yet."""

    def __init__(self, target: bytes) -> None:
        self.target = target


class Parents:
    """Descriptors of directories by path, the last used ones kept open.

    ``made`` is told of every directory that no entry described, with its path and descriptor.
    """

    def __init__(self, root: int, made: Callable[[bytes, int], None]) -> None:
        self._root, self._made = root, made
        self._open: OrderedDict[bytes, int] = OrderedDict()
        self._retired: list[int] = []

    def open(self, folder: bytes) -> int:
        """The directory ``folder``, made with its parents when missing (mode 0755, root's).

        The descriptor is ours and good until the next ``sweep``."""
        fd = self._open.get(folder)
        if fd is not None:
            self._open.move_to_end(folder)
            return fd
        try:
            fd = self._resolve(folder)
        except (FileNotFoundError, NotADirectoryError):
            fd = self._make(folder, _MOST_LINKS)
        self.keep(folder, fd)
        return fd

    def existing(self, folder: bytes) -> int:
        """As ``open``, but what is missing raises ``FileNotFoundError``."""
        if folder not in self._open:
            self.keep(folder, self._resolve(folder))
        return self._open[folder]

    def keep(self, folder: bytes, fd: int) -> None:
        """Remember an open directory; from now on it is ours to close."""
        before = self._open.pop(folder, None)
        if before is not None:
            self._retired.append(before)
        elif len(self._open) >= _OPEN_FOLDERS:
            self._retired.append(self._open.popitem(last=False)[1])
        self._open[folder] = fd

    def forget(self) -> None:
        """A directory or link was removed: any path may lead elsewhere now."""
        self._retired += self._open.values()
        self._open.clear()

    def sweep(self) -> None:
        """Nobody uses a descriptor from before this call any more, unless it is remembered."""
        while self._retired:
            os.close(self._retired.pop())

    def close(self) -> None:
        self.forget()
        self.sweep()

    def _resolve(self, folder: bytes) -> int:
        if len(folder) <= _LONGEST_PATH:
            return files.openat2(self._root, folder or b".", _FOLDER, files.RESOLVE_IN_ROOT)
        return self._resolve_in_pieces(folder)

    def _resolve_in_pieces(self, folder: bytes) -> int:
        """A path beyond PATH_MAX: every piece but the first must be free of links, which would
        mean something else when seen from the middle of the path, and must not climb above it:
        a link's target can be ``../`` a thousand times, and the root is no limit in there."""
        cut = folder.rfind(b"/", 0, _LONGEST_PATH)
        fd = self._resolve(folder[:cut])
        while cut < len(folder):
            start, end = cut + 1, len(folder)
            cut = (
                end
                if end - start <= _LONGEST_PATH
                else folder.rfind(b"/", start, start + _LONGEST_PATH)
            )
            try:
                below = files.openat2(fd, folder[start:cut], _FOLDER, _BELOW)
            finally:
                os.close(fd)
            fd = below
        return fd

    def _make(self, folder: bytes, links: int) -> int:
        """Make what is missing of ``folder``, from the top; a dangling link's target is made."""
        parts = [part for part in folder.split(b"/") if part not in (b"", b".")]
        depth = self._depth_of_what_is_here(parts)
        fd = self._resolve(b"/".join(parts[:depth]))
        while depth < len(parts):
            path = b"/".join(parts[: depth + 1])
            try:
                below = self._make_one(fd, parts[depth], path)
            except _Dangling as link:
                if links == 0:
                    raise BadLayer("too many links", entry=folder) from None
                base = [] if link.target.startswith(b"/") else parts[:depth]
                return self._make(b"/".join((*base, link.target, *parts[depth + 1 :])), links - 1)
            finally:
                os.close(fd)
            fd, depth = below, depth + 1
        return fd

    def _depth_of_what_is_here(self, parts: Sequence[bytes]) -> int:
        """How many of the first parts lead to a directory: those above it are there, too, so a
        few looks are enough however deep it is."""
        here, missing = 0, len(parts)  # the root is; the whole path is not
        while missing - here > 1:
            middle = (here + missing) // 2
            if self._is_here(b"/".join(parts[:middle])):
                here = middle
            else:
                missing = middle
        return here

    def _is_here(self, folder: bytes) -> bool:
        try:
            os.close(self._resolve(folder))
        except (FileNotFoundError, NotADirectoryError):
            return False
        return True

    def _make_one(self, parent: int, part: bytes, path: bytes) -> int:
        """The directory ``part``, made unless it is there (``..`` is). Raises ``_Dangling``."""
        try:
            os.mkdir(part, 0o755, dir_fd=parent)
        except FileExistsError:
            status = os.stat(part, dir_fd=parent, follow_symlinks=False)
            if not files.is_whiteout(status):
                return self._there(parent, part, path)
            os.unlink(part, dir_fd=parent)
            os.mkdir(part, 0o755, dir_fd=parent)
        return self._dressed(parent, part, path)

    def _there(self, parent: int, part: bytes, path: bytes) -> int:
        try:
            return self._resolve(path)
        except FileNotFoundError:
            raise _Dangling(os.readlink(part, dir_fd=parent)) from None
        except NotADirectoryError:
            raise BadLayer("a file stands where a directory is needed", entry=path) from None

    def _dressed(self, parent: int, part: bytes, path: bytes) -> int:
        """The directory just made, open; its owner and mode do not depend on where it stands."""
        fd = os.open(part, _FOLDER | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
        try:
            os.fchown(fd, 0, 0)
            os.fchmod(fd, 0o755)
            self._made(path, fd)
        except BaseException:
            os.close(fd)
            raise
        return fd
