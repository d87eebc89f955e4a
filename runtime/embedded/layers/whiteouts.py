"""Removed names: from the marks in archives (AUFS) to those of overlayfs.

image-spec, layer.md: ``.wh.x`` hides ``x`` of the layers below, ``.wh..wh..opq`` hides all that
the layers below have in that directory. Both speak of lower layers only, in whatever order they
stand beside names of their own layer. overlayfs has a character device 0:0 for the first and
the attribute trusted.overlay.opaque for the second.
"""

import os
import stat
from collections.abc import Iterator

from runtime.embedded.layers.faults import BadLayer
from runtime.embedded.layers.parents import REPLACED, Parents
from runtime.embedded.layers.remembered import Remembered
from runtime.embedded.linux import files

PREFIX = b".wh."
_RESERVED = PREFIX + PREFIX
_OPAQUE_MARK = _RESERVED + b".opq"
_OPAQUE_ATTRIBUTE, _OPAQUE_VALUE = b"trusted.overlay.opaque", b"y"
_LABELS = (b"security.selinux", b"security.ima", b"security.evm")
_OVERLAY_ATTRIBUTES = (b"trusted.overlay.", b"user.overlay.")


def is_overlay_attribute(key: bytes) -> bool:
    """Whether an attribute would speak to overlayfs: a layer must not (it could bring hidden
    files back or lead a directory elsewhere)."""
    return key.startswith(_OVERLAY_ATTRIBUTES)


def is_of_the_host(key: bytes) -> bool:
    """Whether an attribute says something to or by this host, and is no part of an image."""
    return is_overlay_attribute(key) or key in _LABELS


class Whiteouts:
    """What one layer hides of those below.

    Notes are kept by path and never taken back: what an archive once hid stays hidden, whatever
    its later entries put there.
    """

    def __init__(self, remembered: Remembered) -> None:
        self._remembered = remembered
        self._hidden: set[bytes] = set()
        self._opaque: set[bytes] = set()

    @property
    def hides_all(self) -> bool:
        """The root is opaque: no lower layer is seen. overlayfs has no mark for that."""
        return b"" in self._opaque

    def add(self, parts: list[bytes], parents: Parents) -> bool:
        """Take the entry of that name if it is a whiteout; False when it is none.

        AUFS's other marks (``.wh..wh.plnk``) are taken and mean nothing.
        """
        folder, name = b"/".join(parts[:-1]), parts[-1]
        if name == _OPAQUE_MARK:
            self._make_opaque(folder, parents.open(folder))
        elif any(part.startswith(_RESERVED) for part in parts):
            pass
        elif any(part.startswith(PREFIX) for part in parts[:-1]):
            raise BadLayer("a whiteout as a directory", entry=b"/".join(parts))
        elif name.startswith(PREFIX):
            self._hide(folder, name[len(PREFIX) :], parents)
        else:
            return False
        return True

    def made(self, path: bytes, fd: int) -> None:
        """A directory was made; where the layer hid a name before, it shows nothing of it."""
        if path in self._hidden or path in self._opaque:
            self._make_opaque(path, fd)

    def finish(self, parents: Parents) -> None:
        """Remove the devices in and below opaque directories: nothing is left there to hide, and
        overlayfs would list their names where it need not merge."""
        if not self._opaque:
            return
        for path in self._hidden:
            if any(above in self._opaque for above in _folders(path)):
                _remove_device(path, parents)

    def _hide(self, folder: bytes, name: bytes, parents: Parents) -> None:
        if name in (b"", b".", b".."):
            raise BadLayer("a whiteout that hides no name", entry=_join(folder, PREFIX + name))
        path, parent = _join(folder, name), parents.open(folder)
        self._note(path, self._hidden)
        try:
            os.mknod(name, stat.S_IFCHR, 0, dir_fd=parent)
        except FileExistsError:
            if stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode):
                self._make_opaque(path, parents.open(path))

    def _make_opaque(self, path: bytes, fd: int) -> None:
        self._note(path, self._opaque)
        if path:
            os.setxattr(fd, _OPAQUE_ATTRIBUTE, _OPAQUE_VALUE)

    def _note(self, path: bytes, names: set[bytes]) -> None:
        if path not in names:
            self._remembered.add(path)
            names.add(path)


def _join(folder: bytes, name: bytes) -> bytes:
    return folder + b"/" + name if folder else name


def _folders(path: bytes) -> Iterator[bytes]:
    """All directories above ``path``, the root (an empty path) last."""
    while path:
        path = path.rpartition(b"/")[0]
        yield path


def _remove_device(path: bytes, parents: Parents) -> None:
    folder, _, name = path.rpartition(b"/")
    try:
        parent = parents.existing(folder)
        if files.is_whiteout(os.stat(name, dir_fd=parent, follow_symlinks=False)):
            os.unlink(name, dir_fd=parent)
    except OSError as error:
        if error.errno not in REPLACED:
            raise
    parents.sweep()
