"""The manifest that an image has when it leaves this machine: the one that it came with, or one
made from its configuration and the archives of its layers."""

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from runtime.embedded.registry import manifest
from runtime.embedded.registry.documents import BadDocument, Descriptor
from runtime.embedded.registry.image_config import digest_of
from runtime.embedded.registry.manifest import OCI_CONFIG, OCI_MANIFEST, Manifest
from runtime.embedded.store.faults import ArchiveMissing, ImageAbsent
from runtime.embedded.store.index import Blob, Image, Index, Rows
from runtime.embedded.store.layout import Layout


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """A manifest as bytes, and what it names. ``config`` is the configuration's document,
    ``layers`` the archives in the manifest's order, the lowest first; each is in the store."""

    raw: bytes
    media_type: str
    config: bytes
    config_media_type: str
    layers: tuple[Blob, ...]

    @property
    def digest(self) -> str:
        return digest_of(self.raw)


def outgoing(index: Index, layout: Layout, id: str) -> Outgoing:
    """The manifest of an image that is here. Raises ``ImageAbsent``, also when a document that may
    be the manifest is gone or damaged, and ``ArchiveMissing`` for an image whose layers came before
    archives were kept."""
    with index.reading() as rows:
        image = rows.image(id) if rows is not None else None
        if rows is None or image is None:
            raise ImageAbsent(id)
        here = _documents(rows, layout, id)
        config = here[id]
        found = None if config is None else _as_it_came(rows, here, id, config)
        if found is not None:
            return found
        if config is None or None in here.values():  # one made anew would have another digest
            raise ImageAbsent(next(iter(image.references), id))
        return _made(rows, image, config)


def is_one_of_several(index: Index, layout: Layout, id: str) -> bool:
    """Whether the image came out of an index of several platforms, which does not leave with it."""
    with index.reading() as rows:
        here = _documents(rows, layout, id) if rows is not None else {}
    for raw in here.values():
        with suppress(BadDocument):
            found = manifest.parse(raw or b"")
            if isinstance(found, manifest.Index) and len(found.platforms) > 1:
                return True
    return False


def _documents(rows: Rows, layout: Layout, id: str) -> dict[str, bytes | None]:
    """The image's documents by digest, None for one that is gone or not what it was."""
    found: dict[str, bytes | None] = {}
    for digest in sorted({id, *rows.documents_of(id)}):
        path = layout.blob(digest)
        raw = path.read_bytes() if path.exists() else b""
        found[digest] = raw if digest_of(raw) == digest else None
    return found


def _as_it_came(
    rows: Rows, here: Mapping[str, bytes | None], id: str, config: bytes
) -> Outgoing | None:
    """The image's own manifest among its documents, if we have all that it names."""
    for digest, raw in here.items():
        if digest == id or raw is None:
            continue
        with suppress(BadDocument):
            found = manifest.parse(raw)
            if isinstance(found, Manifest) and found.config.digest == id:
                blobs = [rows.blob(layer.digest) for layer in found.layers]
                layers = tuple(blob for blob in blobs if blob is not None)
                if len(layers) == len(blobs):
                    return Outgoing(
                        raw=raw,
                        media_type=manifest.kind(raw),
                        config=config,
                        config_media_type=found.config.media_type,
                        layers=layers,
                    )
    return None


def _made(rows: Rows, image: Image, config: bytes) -> Outgoing:
    layers: list[Blob] = []
    for diff_id in image.layers:
        blob = rows.blob_of(diff_id)
        if blob is None:
            raise ArchiveMissing(next(iter(image.references), image.id), diff_id)
        layers.append(blob)
    own = Descriptor(media_type=OCI_CONFIG, digest=image.id, size=len(config))
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": _written(own),
        "layers": [_written(blob) for blob in layers],
    }
    return Outgoing(
        raw=json.dumps(document, separators=(",", ":")).encode(),
        media_type=OCI_MANIFEST,
        config=config,
        config_media_type=OCI_CONFIG,
        layers=tuple(layers),
    )


def _written(part: Descriptor | Blob) -> dict[str, object]:
    return {"mediaType": part.media_type, "digest": part.digest, "size": part.size}
