"""The images of an instance: found, pulled, loaded, removed.

Facts come from the index, and an image counts as here only while every one of its layers is.
Looking never writes and never asks a network, unless the image's policy says that it must.
"""

import os
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from runtime.api import (
    ArchiveSource,
    ImageDefaults,
    ImageSpec,
    ImageSummary,
    ObservedImage,
    PullPolicy,
    RegistryAccess,
    RegistrySource,
    Report,
    RootfsSource,
)
from runtime.embedded.registry.faults import RegistryUnreachable
from runtime.embedded.store.faults import AmbiguousImage, ImageAbsent
from runtime.embedded.store.index import FileStamp, Image, Index, Rows
from runtime.embedded.store.layout import Layout
from runtime.errors import Fault
from runtime.reference import BadReference, Reference, parse

if TYPE_CHECKING:
    from runtime.embedded.registry.client import Client
    from runtime.embedded.registry.config import ImageConfig
    from runtime.embedded.store.unpack import Unpacker

Found = TypeVar("Found")

__all__ = ["Image", "ImageStore"]

_SHORTEST_PREFIX = 6  # an image that a spec calls "db" is no id
_HEX = frozenset("0123456789abcdef")


class ImageStore:
    """The images below ``root``; threads and processes may use the same one at a time."""

    def __init__(self, root: Path) -> None:
        self.layout = Layout(root)
        self.index = Index(self.layout.index)

    # --- looking ----------------------------------------------------------------------------

    def image(self, id: str) -> Image:
        """The image with that id. Raises ``ImageAbsent``."""
        found = self._read(lambda rows: rows.image(id))
        if found is None or not self._is_whole(found):
            raise ImageAbsent(id)
        return found

    def find(self, name: str) -> Image | None:
        """The image that ``name`` means: what a spec calls it, a reference in any form, an id or
        the beginning of one. Raises ``AmbiguousImage``."""
        found = self._read(lambda rows: _find(rows, name))
        return found if found is not None and self._is_whole(found) else None

    def list(self) -> tuple[ImageSummary, ...]:
        """All images that are here, the youngest first."""
        found = self._read(self._summaries) or ()
        return tuple(sorted(found, key=lambda image: (-image.created, image.id)))

    def layers(self, id: str) -> tuple[Path, ...]:
        """The folders to mount, top first. Raises ``ImageAbsent``.

        A folder stands there once, at its highest place: overlayfs takes none twice, and what a
        lower copy shows or hides, the upper one does, too.
        """
        image = self.image(id)
        hiding = self._read(lambda rows: {d for d in image.layers if _hides_all(rows, d)}) or set()
        folders: dict[str, Path] = {}
        for diff_id in reversed(image.layers):
            folders.setdefault(diff_id, self.layout.layer(diff_id))
            if diff_id in hiding:
                break
        return tuple(folders.values()) or (self.layout.empty,)

    def state(self, spec: ImageSpec, access: Sequence[RegistryAccess]) -> ObservedImage:
        """What is here of an image, and whether it is still what its source means. A registry
        is asked only under the policies ``always`` and ``newer``; one that does not answer has
        nothing newer to say."""
        match spec.source:
            case RegistrySource():
                return self._registry_state(spec, spec.source, access)
            case ArchiveSource(path=path):
                return self._archive_state(spec, path)
            case RootfsSource():
                return self._rootfs_state(spec, spec.source)

    # --- making -----------------------------------------------------------------------------

    def ensure(self, spec: ImageSpec, access: Sequence[RegistryAccess], report: Report) -> Image:
        """Make the image be here as its source means it now. Raises ``ImageAbsent`` under the
        policy ``never``, and the faults of registries, archives and layers."""
        if isinstance(spec.source, RegistrySource):
            return self._ensure_pulled(spec.source, access, report)
        if isinstance(spec.source, ArchiveSource):
            image = self._ensure_loaded(spec.source.path, report)
        else:
            image = self.import_rootfs(spec.source.path, spec.source.config, report)
        with self._adding(), self.index.writing() as rows:
            rows.put_name(spec.name, image.id)
        return image

    def pull(
        self,
        reference: str,
        access: Sequence[RegistryAccess],
        report: Report,
        platform: str | None = None,
    ) -> Image:
        """Bring the image here as the registry has it now; what is here already is not fetched.
        A reference means one image at a time: that of the platform asked for last."""
        from runtime.embedded.registry.manifest import wanted_platform
        from runtime.embedded.store.pull import pull

        wanted = parse(reference)
        with self._adding(), _client(wanted, access) as client:
            pulled = pull(client, wanted, self.unpacker, report, wanted_platform(platform))
            self._keep(pulled.documents)
            with self.index.writing() as rows:
                _enter(rows, pulled.config, pulled.documents)
                rows.put_reference(str(wanted), pulled.config.id, pulled.digest)
        return self.image(pulled.config.id)

    def load(self, path: str, report: Report) -> Image:
        """Bring the one image of an archive here (docker-archive or OCI, plain or gzip)."""
        from runtime.embedded.store import local

        with self._adding():
            made = local.load(path, self.unpacker, report)
            self._keep(made.documents)
            with self.index.writing() as rows:
                _enter(rows, made.config, made.documents)
                rows.put_file(path, made.stamp)
        return self.image(made.config.id)

    def import_rootfs(self, path: str, config: ImageDefaults, report: Report) -> Image:
        """Make an image of a bare file system; the file is unpacked only if it is new."""
        from runtime.embedded.store import local

        with self._adding():
            stamp = self._remembered(path)
            if stamp is None or not self.unpacker.whole(stamp.result):
                stamp = local.import_rootfs(path, self.unpacker, report)
            image, raw = local.rootfs_image(stamp.result, config)
            self._keep({image.id: raw})
            with self.index.writing() as rows:
                _enter(rows, image, [image.id])
                rows.put_file(path, stamp)
        return self.image(image.id)

    # --- removing ---------------------------------------------------------------------------

    def remove(self, id: str) -> None:
        """Forget an image and its names; ``collect`` frees the room. Whether a container still
        needs it, the caller knows."""
        if self._read(lambda rows: rows.image(id)) is not None:
            with self.index.writing() as rows:
                rows.remove_image(id)

    def collect(self, in_use: Collection[str]) -> int:
        """Remove images that have neither a name nor a place in ``in_use`` (ids), then every
        layer, archive and document that no image needs, and what killed processes left half made.
        Tells how many bytes went. Does nothing while somebody pulls."""
        if not self.layout.index.exists():
            return 0
        try:
            with self.layout.removing():
                return self._collect(frozenset(in_use))
        except BlockingIOError:
            return 0

    def _collect(self, in_use: frozenset[str]) -> int:
        freed = 0
        with self.index.writing() as rows:
            for id in rows.unnamed():
                if id not in in_use:
                    rows.remove_image(id)
            needed = rows.needed_layers()
            for layer in rows.all_layers():
                if layer.diff_id not in needed:
                    rows.remove_layer(layer.diff_id)
                    freed += layer.size
            for blob in rows.blobs():
                if blob.diff_id not in needed:
                    rows.remove_blob(blob.digest)
            blobs = rows.documents() | {blob.digest for blob in rows.blobs()}
        return freed + self.layout.keep_only(needed, blobs)

    # --- inside: looking --------------------------------------------------------------------

    def _summaries(self, rows: Rows) -> Sequence[ImageSummary]:
        images = (rows.image(id) for id in rows.ids())
        return [
            ImageSummary(
                id=image.id,
                references=(*image.references, *rows.digests(image.id)),
                names=rows.names(image.id),
                created=image.created,
                size=image.size,
            )
            for image in images
            if image is not None and self._is_whole(image)
        ]

    def _read(self, ask: Callable[[Rows], Found]) -> Found | None:
        with self.index.reading() as rows:
            return None if rows is None else ask(rows)

    def _whole(self, id: str) -> Image | None:
        found = self._read(lambda rows: rows.image(id))
        return found if found is not None and self._is_whole(found) else None

    def _is_whole(self, image: Image) -> bool:
        """Whether every layer is there, undamaged: somebody may have removed files by hand."""
        damaged = self._read(Rows.damaged_layers) or set()
        return damaged.isdisjoint(image.layers) and all(
            os.path.isdir(self.layout.layer(diff_id)) for diff_id in image.layers
        )

    def _pulled(self, reference: Reference) -> tuple[Image, str] | None:
        """The image that was pulled as ``reference``, and the digest that it had there."""
        row = self._read(lambda rows: rows.reference(str(reference)))
        image = self._whole(row[0]) if row else None
        return (image, row[1]) if image and row else None

    def _registry_state(
        self, spec: ImageSpec, source: RegistrySource, access: Sequence[RegistryAccess]
    ) -> ObservedImage:
        wanted = parse(source.reference)
        here = self._pulled(wanted)
        if here is None:
            return ObservedImage(name=spec.name)
        image, digest = here
        stale = _platform_staleness(image, source)
        if not stale and _is_asked_again(source) and not wanted.digest:
            with suppress(Fault), _client(wanted, access, tries=1) as client:
                now = client.digest(wanted)
                stale = "" if now == digest else f"the registry has {now[:19]} now"
        return ObservedImage(name=spec.name, id=image.id, stale=stale)

    def _archive_state(self, spec: ImageSpec, path: str) -> ObservedImage:
        stamp = self._read(lambda rows: rows.file(path))
        image = self._whole(stamp.result) if stamp else None
        if stamp is None or image is None:
            return ObservedImage(name=spec.name)
        return ObservedImage(name=spec.name, id=image.id, stale=_file_staleness(path, stamp))

    def _rootfs_state(self, spec: ImageSpec, source: RootfsSource) -> ObservedImage:
        from runtime.embedded.store.local import rootfs_image

        stamp = self._read(lambda rows: rows.file(source.path))
        if stamp is None:
            return ObservedImage(name=spec.name)
        image = self._whole(rootfs_image(stamp.result, source.config)[0].id)
        if image is None:
            return ObservedImage(name=spec.name)
        stale = _file_staleness(source.path, stamp)
        return ObservedImage(name=spec.name, id=image.id, stale=stale)

    # --- inside: making ---------------------------------------------------------------------

    @cached_property
    def unpacker(self) -> "Unpacker":
        from runtime.embedded.store.unpack import Unpacker

        return Unpacker(self.layout, self.index)

    @contextmanager
    def _adding(self) -> Iterator[None]:
        self.layout.prepare()
        self.layout.sweep()
        with self.layout.adding():
            yield

    def _ensure_pulled(
        self, source: RegistrySource, access: Sequence[RegistryAccess], report: Report
    ) -> Image:
        wanted = parse(source.reference)
        here = self._pulled(wanted)
        if here and _platform_staleness(here[0], source):
            here = None
        if here and (wanted.digest or not _is_asked_again(source)):
            return here[0]
        if source.pull is PullPolicy.NEVER:
            raise ImageAbsent(wanted.familiar, never=True)
        try:
            return self.pull(source.reference, access, report, source.platform)
        except RegistryUnreachable:
            if here and source.pull is PullPolicy.NEWER:
                return here[0]
            raise

    def _ensure_loaded(self, path: str, report: Report) -> Image:
        stamp = self._remembered(path)
        image = self._whole(stamp.result) if stamp else None
        return image or self.load(path, report)

    def _remembered(self, path: str) -> FileStamp | None:
        """What was made from the file, unless its content is another now."""
        stamp = self._read(lambda rows: rows.file(path))
        return stamp if stamp and not _file_staleness(path, stamp) else None

    def _keep(self, documents: Mapping[str, bytes]) -> None:
        for digest, raw in documents.items():
            self.layout.write_blob(digest, raw)


def _enter(rows: Rows, config: "ImageConfig", documents: Collection[str]) -> None:
    """Enter an image whose layers and documents are here."""
    layers = [rows.layer(diff_id) for diff_id in dict.fromkeys(config.diff_ids)]
    image = Image(
        id=config.id,
        layers=config.diff_ids,
        defaults=config.defaults,
        created=config.created or time.time(),
        size=sum(layer.size for layer in layers if layer is not None),
        platform=str(config.platform),
    )
    rows.put_image(image, documents)


def _find(rows: Rows, name: str) -> Image | None:
    """By the name of a spec's file, then as a reference, then as an id or its beginning."""
    id = rows.named(name)
    if id is None:
        with suppress(BadReference):
            found = rows.reference(str(parse(name)))
            id = found[0] if found else None
    return rows.image(id or _by_prefix(rows, name))


def _by_prefix(rows: Rows, text: str) -> str:
    digits = text.removeprefix("sha256:")
    if len(digits) < _SHORTEST_PREFIX or not set(digits) <= _HEX:
        return ""
    ids = rows.ids(digits)
    if len(ids) > 1:
        raise AmbiguousImage(text, ids)
    return ids[0] if ids else ""


def _hides_all(rows: Rows, diff_id: str) -> bool:
    layer = rows.layer(diff_id)
    return layer is not None and layer.hides_all


def _is_asked_again(source: RegistrySource) -> bool:
    return source.pull in (PullPolicy.ALWAYS, PullPolicy.NEWER)


def _platform_staleness(image: Image, source: RegistrySource) -> str:
    """Of an image that was pulled for another platform than the one asked for."""
    if source.platform is None or not image.platform:
        return ""
    from runtime.embedded.registry.config import is_for
    from runtime.embedded.registry.manifest import wanted_platform

    here, wanted = wanted_platform(image.platform), wanted_platform(source.platform)
    return "" if is_for(here, wanted) else f"it is for {image.platform}, not {source.platform}"


def _file_staleness(path: str, stamp: FileStamp) -> str:
    from runtime.embedded.store.local import is_unchanged

    return "" if is_unchanged(path, stamp) else f"{os.path.basename(path)} changed"


def _client(
    reference: Reference, access: Sequence[RegistryAccess], *, tries: int | None = None
) -> "AbstractContextManager[Client]":
    """A client for the reference's registry, with what the spec says of that host."""
    from runtime.embedded.registry.client import TRIES, Client

    known = {each.host: each for each in access}
    mine = known.get(reference.host) or RegistryAccess(host=reference.host)
    return closing(Client(mine, tries=tries or TRIES))
