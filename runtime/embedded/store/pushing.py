"""An image goes to a registry: what that lacks is sent, several blobs at a time, then the
manifest; the digest there is the one here."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass

from runtime.api import Progress, RegistryAccess, Report
from runtime.embedded.registry.documents import Descriptor
from runtime.embedded.registry.upload import Uploader
from runtime.embedded.store.archives import file_pieces
from runtime.embedded.store.blobs import opened
from runtime.embedded.store.faults import ImageAbsent
from runtime.embedded.store.images import ImageStore
from runtime.embedded.store.index import Blob, Rows
from runtime.embedded.store.layout import Layout
from runtime.embedded.store.outgoing import outgoing
from runtime.embedded.store.workers import Workers
from runtime.reference import Reference, parse


@dataclass(frozen=True, slots=True)
class Parcel:
    """A blob to send; ``source`` is a repository of the same registry that has it, "" for none
    that we know of."""

    blob: Descriptor
    body: bytes | Blob
    source: str = ""


def push(store: ImageStore, reference: Reference, access: RegistryAccess, report: Report) -> str:
    """Send the image that ``reference`` means to its registry, and return its digest. Raises
    ``ImageAbsent``, ``ArchiveMissing`` and the registry's faults."""
    with store.held(), closing(Uploader(access, stop=store.stop)) as uploader:
        with store.index.reading() as rows:
            row = rows.reference(str(reference)) if rows else None
            if rows is None or row is None:
                raise ImageAbsent(reference.familiar)
            sources = _Sources(rows, reference)
        id = row[0]
        image = outgoing(store.index, store.layout, id)
        own = Descriptor(media_type=image.config_media_type, digest=id, size=len(image.config))
        parcels = [Parcel(own, image.config)]
        for blob in {blob.digest: blob for blob in image.layers}.values():
            described = Descriptor(media_type=blob.media_type, digest=blob.digest, size=blob.size)
            parcels.append(Parcel(described, blob, sources.of(blob)))
        _send(store, reference, uploader, parcels, report)
        uploader.put_manifest(reference, image.raw, image.media_type, image.digest)
        with store.index.writing() as changed:
            now = changed.reference(str(reference))
            if now is not None and now[0] == id:  # else it was given to another image meanwhile
                changed.put_reference(str(reference), id, image.digest)
    return image.digest


def _send(
    store: ImageStore,
    reference: Reference,
    uploader: Uploader,
    parcels: list[Parcel],
    report: Report,
) -> None:
    workers = Workers(report, uploader.stop)

    def send(parcel: Parcel) -> None:
        blob = parcel.blob
        name = parcel.body.diff_id[7:19] if isinstance(parcel.body, Blob) else blob.digest[7:19]

        def body() -> _Body:
            pieces = _pieces(store.layout, parcel.body)
            return _Body(workers.told(pieces, name, "pushing", blob.size), blob.size)

        done = 0
        with store.layout.sending(reference.host, blob.digest, workers.stop.still):
            if uploader.has(reference, blob):
                words = "already there"
            elif uploader.send(reference, blob, body, parcel.source):
                words = f"mounted from {parcel.source}"
            else:
                words, done = "pushing", blob.size
        report(Progress(what=name, doing=words, done=done, total=blob.size, over=True))

    workers.run(send, parcels)


def _pieces(layout: Layout, body: bytes | Blob) -> Iterator[bytes]:
    if isinstance(body, bytes):
        yield body
        return
    with opened(layout, body) as fd:
        yield from file_pieces(fd)


class _Body:
    """Pieces as a file of a known length, which is what HTTP clients send."""

    def __init__(self, pieces: Iterator[bytes], size: int) -> None:
        self._pieces, self._size, self._left = pieces, size, b""

    def __len__(self) -> int:
        return self._size

    def read(self, size: int = -1, /) -> bytes:
        """The next bytes, at most ``size``; nothing at the end."""
        if not self._left:
            self._left = next(self._pieces, b"")
        if size < 0:
            whole, self._left = self._left + b"".join(self._pieces), b""
            return whole
        piece, self._left = self._left[:size], self._left[size:]
        return piece


class _Sources:
    """Repositories of the reference's registry that have what we have here."""

    def __init__(self, rows: Rows, reference: Reference) -> None:
        self._of: dict[str, str] = {}
        for image in filter(None, map(rows.image, rows.ids())):
            names = (parse(name) for name in image.references if (rows.reference(name) or "  ")[1])
            theirs = [
                name.repository
                for name in names
                if name.host == reference.host and name.repository != reference.repository
            ]
            for diff_id in image.layers if theirs else ():
                self._of.setdefault(diff_id, theirs[0])

    def of(self, blob: Blob) -> str:
        return self._of.get(blob.diff_id, "")
