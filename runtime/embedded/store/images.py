"""The images of an instance: found, pulled, loaded, removed.

Facts come from the index, and an image counts as here only while every one of its layers is.
Looking never writes and asks no network: what only registries know is told to the caller.
"""

import os
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar

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
from runtime.embedded.registry.faults import NotInRegistry, RegistryUnreachable
from runtime.embedded.registry.stop import Stop
from runtime.embedded.store import ballast
from runtime.embedded.store.faults import ImageAbsent
from runtime.embedded.store.index import FileStamp, Image, Index, Rows
from runtime.embedded.store.layout import Layout
from runtime.embedded.store.lookup import find, summaries
from runtime.reference import Reference, parse

if TYPE_CHECKING:
    from runtime.embedded.registry.client import Client
    from runtime.embedded.registry.image_config import ImageConfig
    from runtime.embedded.store.unpack import Unpacker

Found = TypeVar("Found")

__all__ = ["Expected", "Image", "ImageStore", "Look"]


class _Here(NamedTuple):
    """An image of a registry, the reference that means it and its digest there. ``named``: the
    reference leads to it already."""

    reference: Reference
    image: Image
    digest: str
    named: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """A tag, and the digest that it has in its registry if all is as it shall be. ``itself``: what
    mirrors have in the registry's place does not count."""

    tag: Reference
    digest: str
    itself: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What is here of an image; ``moving`` is what its registry must be asked before one knows if
    it is still what the source means, None when that is settled."""

    state: ObservedImage
    moving: Expected | None = None


class ImageStore:
    """The images below ``root``; threads and processes may use the same one at a time."""

    def __init__(self, root: Path) -> None:
        self.layout = Layout(root)
        self.index = Index(self.layout.index)
        self.stop = Stop()  # of what is pulled and pushed

    # --- looking ----------------------------------------------------------------------------

    def image(self, id: str) -> Image:
        """The image with that id. Raises ``ImageAbsent``."""
        found = self._whole(lambda rows: rows.image(id))
        if found is None:
            raise ImageAbsent(id)
        return found

    def find(self, name: str) -> Image | None:
        """The image that ``name`` means: what a spec calls it, a reference in any form, an id or
        the beginning of one. Raises ``AmbiguousImage``."""
        return self._whole(lambda rows: find(rows, name))

    def list(self) -> tuple[ImageSummary, ...]:
        """All images, also damaged ones, the youngest first."""
        found = self._read(summaries) or ()
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

    def look(self, spec: ImageSpec) -> Look:
        """What is here of an image, and whether it is still what its source means, as far as that
        is known here; its tags are left to others."""
        match spec.source:
            case RegistrySource():
                return self._registry_state(spec, spec.source)
            case ArchiveSource(path=path):
                return Look(state=self._archive_state(spec, path))
            case _:
                return Look(state=self._rootfs_state(spec, spec.source))

    # --- making -----------------------------------------------------------------------------

    def ensure(self, spec: ImageSpec, access: Sequence[RegistryAccess], report: Report) -> Image:
        """Make the image be here as its source means it now. Raises ``ImageAbsent`` under the
        policy ``never``, and the faults of registries, archives and layers."""
        source = spec.source
        if isinstance(source, RegistrySource) and not source.alternatives:
            return self._ensure_pulled(source, access, report)
        with self.adding():  # until it has its name: without one it would be nobody's
            if isinstance(source, RegistrySource):
                image = self._ensure_pulled(source, access, report)
            elif isinstance(source, ArchiveSource):
                image = self._ensure_loaded(source.path, report)
            else:
                image = self.import_rootfs(source.path, source.config, report)
            with self.index.writing() as rows:
                rows.put_name(spec.name, image.id)
        return image

    def pull(
        self,
        reference: str,
        access: Sequence[RegistryAccess],
        report: Report,
        platform: str | None = None,
    ) -> Image:
        """Bring the image here as the registry has it now; what is here already is not fetched. A
        reference means one image at a time: that of the platform asked for last."""
        from runtime.embedded.registry.endpoints import first_answer
        from runtime.embedded.registry.manifest import wanted_platform
        from runtime.embedded.store.pulling import Pulled, pull

        wanted = parse(reference)

        def ask(client: "Client", there: Reference) -> Pulled:
            return pull(client, there, self.unpacker, report, wanted_platform(platform))

        with self.adding():
            pulled = first_answer(wanted, access, ask, stop=self.stop)
            self.keep(pulled.documents)
            with self.index.writing() as rows:
                self.enter(rows, pulled.config, pulled.documents)
                rows.put_reference(str(wanted), pulled.config.id, pulled.digest)
            return self.image(pulled.config.id)

    def tag(self, name: str, reference: Reference) -> None:
        """Let ``reference`` mean the image that ``name`` means. Raises ``ImageAbsent``."""
        with self.adding():
            image = self.find(name)
            if image is None:
                raise ImageAbsent(name)
            with self.index.writing() as rows:
                rows.put_tag(str(reference), image.id)

    def load(self, path: str, report: Report) -> Image:
        """Bring the one image of an archive here (docker-archive or OCI, plain or gzip)."""
        from runtime.embedded.store import local

        with self.adding():
            made = local.from_archive(path, self.unpacker, report)
            self.keep(made.documents)
            with self.index.writing() as rows:
                self.enter(rows, made.config, made.documents)
                rows.put_file(path, made.stamp)
            return self.image(made.config.id)

    def import_rootfs(self, path: str, config: ImageDefaults, report: Report) -> Image:
        """Make an image of a bare file system; the file is unpacked only if it is new."""
        from runtime.embedded.store import local

        with self.adding():
            stamp = self._remembered(path)
            if stamp is None or not self.unpacker.whole(stamp.result):
                stamp = local.from_tree(path, self.unpacker, report)
            image, raw = local.rootfs_image(stamp.result, config)
            self.keep({image.id: raw})
            with self.index.writing() as rows:
                self.enter(rows, image, [image.id])
                rows.put_file(path, stamp)
            return self.image(image.id)

    # --- inside: looking --------------------------------------------------------------------

    def _read(self, ask: Callable[[Rows], Found]) -> Found | None:
        with self.index.reading() as rows:
            return None if rows is None else ask(rows)

    def _whole(self, ask: Callable[[Rows], Image | None]) -> Image | None:
        """The image that ``ask`` finds, if every layer of it is there, undamaged."""
        with self.index.reading() as rows:
            found = ask(rows) if rows is not None else None
            if rows is None or found is None or not rows.damaged_layers().isdisjoint(found.layers):
                return None
        return found if self._has_all(found) else None

    def _has_all(self, image: Image) -> bool:
        """Whether the configuration and every layer's folder are there: somebody may have removed
        some by hand."""
        return self.layout.blob(image.id).exists() and all(
            os.path.isdir(self.layout.layer(diff_id)) for diff_id in image.layers
        )

    def _pulled(self, reference: Reference) -> tuple[Image, str] | None:
        """The image that was pulled as ``reference``, and the digest that it had there."""
        row = self._read(lambda rows: rows.reference(str(reference)))
        image = self._whole(partial(Rows.image, id=row[0])) if row else None
        return (image, row[1]) if image and row else None

    def _here(self, source: RegistrySource) -> "_Here | None":
        """What is here of the names that the source may mean, the first of them; else by whatever
        name it has the digest."""
        meant = [parse(each) for each in (source.reference, *source.alternatives)]
        called = [_Here(each, *found) for each in meant if (found := self._pulled(each))]
        if called and not _platform_staleness(called[0].image, source):
            return called[0]
        for digest in filter(None, (meant[0].digest, *source.variants)):
            for id in self._read(partial(Rows.holding, digest=digest)) or ():
                image = self._whole(partial(Rows.image, id=id))
                if image and not _platform_staleness(image, source, exactly=True):
                    return _Here(meant[0], image, meant[0].digest, named=False)
        return called[0] if called else None

    def _registry_state(self, spec: ImageSpec, source: RegistrySource) -> Look:
        """A registry is asked only under the policies ``always`` and ``newer``."""
        here = self._here(source)
        if here is None:
            return Look(state=ObservedImage(name=spec.name))
        moving = None
        stale = _platform_staleness(here.image, source)
        if not stale and _is_asked_again(source) and not here.reference.digest:
            moving = Expected(tag=here.reference, digest=here.digest)
        state = ObservedImage(name=spec.name, id=here.image.id, stale=stale, named=here.named)
        return Look(state=state, moving=moving)

    def _archive_state(self, spec: ImageSpec, path: str) -> ObservedImage:
        stamp = self._read(lambda rows: rows.file(path))
        image = self._whole(partial(Rows.image, id=stamp.result)) if stamp else None
        if stamp is None or image is None:
            return ObservedImage(name=spec.name)
        return ObservedImage(name=spec.name, id=image.id, stale=_file_staleness(path, stamp))

    def _rootfs_state(self, spec: ImageSpec, source: RootfsSource) -> ObservedImage:
        from runtime.embedded.store.local import rootfs_image

        stamp = self._read(lambda rows: rows.file(source.path))
        if stamp is None:
            return ObservedImage(name=spec.name)
        id = rootfs_image(stamp.result, source.config)[0].id
        image = self._whole(partial(Rows.image, id=id))
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
    def held(self) -> Iterator[None]:
        """Nothing leaves the store meanwhile; whoever found an image here can rely on it."""
        if not self.layout.root.exists():
            yield
            return
        with self.layout.adding():
            yield

    @contextmanager
    def adding(self) -> Iterator[None]:
        """Nothing leaves the store while something comes to it."""
        self.layout.prepare()
        self.layout.sweep()
        ballast.keep(self.layout)
        with self.layout.adding():
            yield

    def _ensure_pulled(
        self, source: RegistrySource, access: Sequence[RegistryAccess], report: Report
    ) -> Image:
        here = self._here(source)
        if here and _platform_staleness(here.image, source):
            here = None
        if here and (here.reference.digest or not _is_asked_again(source)):
            if not here.named:
                return self._name(here)
            return here.image
        if source.pull is PullPolicy.NEVER:
            raise ImageAbsent(parse(source.reference).familiar, never=True)
        try:
            return self._pull_first(source, access, report)
        except RegistryUnreachable:
            if here and source.pull is PullPolicy.NEWER:
                return here.image
            raise

    def _name(self, here: _Here) -> Image:
        """Let the reference mean the image. Raises ``ImageAbsent`` when it has just gone."""
        with self.adding():
            image = self.image(here.image.id)
            with self.index.writing() as rows:
                rows.put_reference(str(here.reference), image.id, here.digest)
        return image

    def _pull_first(
        self, source: RegistrySource, access: Sequence[RegistryAccess], report: Report
    ) -> Image:
        """From the first registry that has it; any other answer than that it has not, and none,
        ends the search: a name must not mean something else while a registry is away."""
        *before, last = source.reference, *source.alternatives
        for reference in before:
            with suppress(NotInRegistry):
                return self.pull(reference, access, report, source.platform)
        return self.pull(last, access, report, source.platform)

    def _ensure_loaded(self, path: str, report: Report) -> Image:
        stamp = self._remembered(path)
        image = self._whole(partial(Rows.image, id=stamp.result)) if stamp else None
        return image or self.load(path, report)

    def _remembered(self, path: str) -> FileStamp | None:
        """What was made from the file, unless its content is another now."""
        stamp = self._read(lambda rows: rows.file(path))
        return stamp if stamp and not _file_staleness(path, stamp) else None

    @staticmethod
    def enter(rows: Rows, config: "ImageConfig", documents: Collection[str]) -> None:
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

    def keep(self, documents: Mapping[str, bytes]) -> None:
        """Write documents, by digest, before the image that needs them is entered."""
        for digest, raw in documents.items():
            self.layout.write_blob(digest, raw)


def _hides_all(rows: Rows, diff_id: str) -> bool:
    layer = rows.layer(diff_id)
    return layer is not None and layer.hides_all


def _is_asked_again(source: RegistrySource) -> bool:
    return source.pull in (PullPolicy.ALWAYS, PullPolicy.NEWER)


def _platform_staleness(image: Image, source: RegistrySource, *, exactly: bool = False) -> str:
    """Of an image for another platform than the one asked for; ``exactly``: or another variant."""
    if not image.platform:
        return ""
    from runtime.embedded.registry.image_config import is_for
    from runtime.embedded.registry.manifest import wanted_platform

    here, wanted = wanted_platform(image.platform), wanted_platform(source.platform)
    varies = exactly and here.variant and wanted.variant and here.variant != wanted.variant
    fits = is_for(here, wanted) and not varies
    return "" if fits else f"it is for {image.platform}, not {wanted}"


def _file_staleness(path: str, stamp: FileStamp) -> str:
    from runtime.embedded.store.local import is_unchanged

    return "" if is_unchanged(path, stamp) else f"{os.path.basename(path)} changed"
