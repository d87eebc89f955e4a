"""Is everything that images are made of still what it was? Documents and archives are hashed; a
layer's archive is unpacked once more beside it and both trees are compared.

What is found damaged counts as not here from then on; whoever pulls the image makes it anew.
"""

import errno
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from runtime.api import Damage, Report
from runtime.embedded.layers.streams import Hashed
from runtime.embedded.layers.trees import first_difference
from runtime.embedded.registry.image_config import digest_of
from runtime.embedded.store.archives import file_pieces
from runtime.embedded.store.blobs import opened
from runtime.embedded.store.faults import ImageAbsent
from runtime.embedded.store.images import ImageStore
from runtime.embedded.store.index import Blob, Image
from runtime.embedded.store.lookup import find_id
from runtime.embedded.store.unpack import CONTENT_FAULTS
from runtime.embedded.store.workers import Workers

# A bad sector, and what ext4 and xfs say of metadata that are not what they were.
_DAMAGE = (errno.EIO, errno.EUCLEAN, errno.EBADMSG)


@dataclass(frozen=True, slots=True)
class Verifier:
    """Compares what is in ``store`` with what it was."""

    store: ImageStore
    report: Report

    def verify(self, names: Sequence[str]) -> tuple[Damage, ...]:
        """All damage of these images, or of every one. Raises ``ImageAbsent``, ``DiskFull``."""
        with self.store.held():
            images = self._images(names)
            return (*_entries(images), *self._documents(images), *self._layers(images))

    def _images(self, names: Sequence[str]) -> dict[str, Image | None]:
        """By id; None for one whose row cannot be read."""
        with self.store.index.reading() as rows:
            if rows is None:
                if names:
                    raise ImageAbsent(names[0])
                return {}
            found = {name: find_id(rows, name) for name in names or rows.ids()}
            for name, id in found.items():
                if not id:
                    raise ImageAbsent(name)
            return {id: rows.image(id) for id in found.values()}

    def _documents(self, images: Iterable[str]) -> Iterator[Damage]:
        """A damaged one goes, so that a pull writes it again."""
        for id in images:
            with self.store.index.reading() as rows:
                digests = sorted(rows.documents_of(id)) if rows else []
            for digest in digests:
                path = self.store.layout.blob(digest)
                try:
                    how = "" if digest_of(path.read_bytes()) == digest else "is not what it was"
                except OSError as error:
                    how = _unreadable(error)
                if how:
                    _discard(path)
                    what = "configuration" if digest == id else "manifest"
                    yield Damage(what=f"{what} {digest[:19]} {how}", images=(id,))

    def _layers(self, images: Mapping[str, Image | None]) -> Iterator[Damage]:
        users: dict[str, list[str]] = {}
        for image in filter(None, images.values()):
            for diff_id in dict.fromkeys(image.layers):
                users.setdefault(diff_id, []).append(image.id)
        for diff_id, ids in users.items():
            # What somebody makes anew meanwhile must not be marked for what was there before.
            with self.store.layout.making(diff_id):
                why = self._marked(diff_id)
            if why:
                yield Damage(what=f"layer {diff_id[:19]}: {why}", images=tuple(ids))

    def _marked(self, diff_id: str) -> str:
        """What is wrong with a layer, in words; "" when nothing is. It is marked then, and a
        damaged archive goes."""
        with self.store.index.reading() as rows:
            blob = rows.blob_of(diff_id) if rows else None
            known = rows is not None and diff_id in rows.damaged_layers()
        before = "it was found damaged before" if known else ""
        folder = self.store.layout.layer(diff_id)
        if not folder.is_dir():
            return self._mark(diff_id, "its files are gone")
        if blob is None:  # of a time when archives were not kept, or it was damaged and is gone
            return before
        if why := self._archive_damage(blob):
            self._mark(diff_id, why, blob)
            _discard(self.store.layout.blob(blob.digest))
            return why
        why = self._difference(folder, blob) or before
        return self._mark(diff_id, why) if why else ""

    def _mark(self, diff_id: str, why: str, archive: Blob | None = None) -> str:
        with self.store.index.writing() as rows:
            rows.mark_damaged(diff_id)
            if archive is not None:
                rows.remove_blob(archive.digest)
        return why

    def _difference(self, folder: Path, blob: Blob) -> str:
        """How the layer in ``folder`` differs from its archive, in words."""
        with self.store.layout.staging() as stage:
            with suppress(*CONTENT_FAULTS):
                self.store.unpacker.unpack_kept(blob, stage)
                try:
                    return first_difference(folder, stage.path)
                except OSError as error:
                    return f"one of its files {_unreadable(error)}"
            return "its archive cannot be unpacked"

    def _archive_damage(self, blob: Blob) -> str:
        try:
            with opened(self.store.layout, blob) as fd:
                hashed = Hashed(file_pieces(fd))
                name = blob.diff_id[7:19]
                for _ in Workers(self.report).told(iter(hashed), name, "verifying", blob.size):
                    pass
        except OSError as error:
            return f"its archive {_unreadable(error)}"
        return "" if hashed.digest == blob.digest else "its archive is not what it was"


def _entries(images: Mapping[str, Image | None]) -> Iterator[Damage]:
    for id, image in images.items():
        if image is None:
            yield Damage(what=f"entry {id[:19]} of the index cannot be read", images=(id,))


def _discard(path: Path) -> None:
    """A damaged file goes, if the disk lets it: else that is told all the same."""
    with suppress(OSError):
        path.unlink()


def _unreadable(error: OSError) -> str:
    """What a file is that the disk does not give. Raises other errors again: they are no damage."""
    if isinstance(error, FileNotFoundError):
        return "is gone"
    if error.errno in _DAMAGE:
        return f"cannot be read ({os.strerror(error.errno)})"
    raise error
