"""Images made from files of this machine: archives and bare file systems.

The index remembers a file by size, time and inode; only when one of them changed is the content
read again, and only when the content changed is the image stale.
"""

import hashlib
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from runtime.api import ImageDefaults, Report
from runtime.embedded.layers.faults import BadLayer
from runtime.embedded.layers.streams import Hashed
from runtime.embedded.registry import image_config
from runtime.embedded.registry.image_config import ImageConfig
from runtime.embedded.registry.manifest import host_platform
from runtime.embedded.store import archives
from runtime.embedded.store.archives import file_pieces
from runtime.embedded.store.blobs import Arrival, arrival
from runtime.embedded.store.faults import BadTree, FileChanged, FileUnreadable, SeveralImages
from runtime.embedded.store.index import FileStamp
from runtime.embedded.store.unpack import Unpacker, layers_of
from runtime.embedded.store.workers import Workers


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """What a file became: its image, the documents to keep, and the file as it was."""

    config: ImageConfig
    documents: dict[str, bytes]
    stamp: FileStamp


def is_unchanged(path: str, stamp: FileStamp) -> bool:
    """Whether the file still has the content that ``stamp`` remembers. A file that is gone or
    cannot be read counts as unchanged: nothing newer can be made from it."""
    try:
        with _opened(path) as fd:
            return _is_same(os.fstat(fd), stamp) or _digest(fd) == stamp.digest
    except FileUnreadable:
        return True


def from_archive(path: str, unpacker: Unpacker, report: Report) -> Made:
    """Bring the layers of an archive's only image here. Raises ``BadArchive``,
    ``FileUnreadable`` ..."""
    with _opened(path) as fd:
        before = os.fstat(fd)
        with archives.opened(path, fd, unpacker.layout.tmp) as images:
            if len(images) != 1:
                names = [name for image in images for name in image.references]
                raise SeveralImages(path, len(images), names)
            add_layers(images, path, unpacker, report)
        image = images[0]
        stamp = _stamp(path, fd, before, _digest(fd), image.config.id)
        return Made(config=image.config, documents=image.documents, stamp=stamp)


def from_tree(path: str, unpacker: Unpacker, report: Report) -> FileStamp:
    """Bring a bare file system here as one layer; the stamp's ``result`` is its diff id. Raises
    ``BadTree``, ``FileUnreadable`` ..."""
    with _opened(path) as fd:
        before, workers = os.fstat(fd), Workers(report)
        if before.st_size == 0:
            raise BadTree(path, "it is empty")
        name = os.path.basename(path)
        hashed = Hashed(file_pieces(fd))
        told = workers.told(iter(hashed), name, "importing", before.st_size)
        try:
            with layers_of(path):
                layer = unpacker.add_unknown(arrival(unpacker.layout, told))
        except BadLayer as error:
            raise BadTree(path, error.why) from error
        return _stamp(path, fd, before, hashed.digest, layer.diff_id)


def rootfs_image(diff_id: str, defaults: ImageDefaults) -> tuple[ImageConfig, bytes]:
    """The image of one bare layer, and its document."""
    raw = image_config.compose(diff_id, defaults, host_platform())
    return image_config.parse(raw), raw


def add_layers(
    images: Sequence[archives.Contents], source: str, unpacker: Unpacker, report: Report
) -> None:
    """Bring the layers of an opened archive, called ``source`` in messages, here, each once."""
    workers = Workers(report)

    def add(layer: archives.LayerFile) -> None:
        def read() -> Arrival:
            name = layer.diff_id[7:19]
            told = workers.told(layer.pieces(), name, "unpacking", layer.size)
            return arrival(unpacker.layout, told)

        unpacker.add(layer.diff_id, read, workers.stop.still)

    layers = {layer.diff_id: layer for image in images for layer in image.layers}
    with layers_of(source):
        workers.run(add, [each for each in layers.values() if not unpacker.whole(each.diff_id)])


@contextmanager
def _opened(path: str) -> Iterator[int]:
    """A plain file, open for reading; a pipe or device of that name is not waited for."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise FileUnreadable(path, os.strerror(error.errno or 0)) from error
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise FileUnreadable(path, "it is not a plain file")
        yield fd
    finally:
        os.close(fd)


def _stamp(path: str, fd: int, before: os.stat_result, digest: str, result: str) -> FileStamp:
    """What to remember of a file. Raises ``FileChanged`` when it did not hold still."""
    found = FileStamp(
        size=before.st_size,
        mtime_ns=before.st_mtime_ns,
        inode=before.st_ino,
        digest=digest,
        result=result,
    )
    if not _is_same(os.fstat(fd), found):
        raise FileChanged(path)
    return found


def _is_same(status: os.stat_result, stamp: FileStamp) -> bool:
    now = (status.st_size, status.st_mtime_ns, status.st_ino)
    return now == (stamp.size, stamp.mtime_ns, stamp.inode)


def _digest(fd: int) -> str:
    hashed = hashlib.sha256()
    for piece in file_pieces(fd):
        hashed.update(piece)
    return f"sha256:{hashed.hexdigest()}"
