"""A layer's archive becomes a layer of the store: verified, whole or absent, made once."""

import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from runtime.embedded.layers.extract import Limits, extract
from runtime.embedded.layers.faults import BadLayer, LayerTooLarge
from runtime.embedded.layers.streams import (
    FREE_GROWTH,
    MOST_GROWTH,
    Counted,
    Hashed,
    ahead,
    bounded,
    owned,
    plain,
)
from runtime.embedded.registry.faults import WrongContent
from runtime.embedded.store.blobs import Again, Archive, Arrival
from runtime.embedded.store.faults import WrongLayer
from runtime.embedded.store.index import Blob, Index, Layer
from runtime.embedded.store.layout import Layout, Stage
from runtime.errors import DiskFull

# What is wrong with an archive itself: nothing of it is worth keeping.
CONTENT_FAULTS = (BadLayer, LayerTooLarge, WrongContent, WrongLayer)


@contextmanager
def layers_of(source: str) -> Iterator[None]:
    """What is found wrong with a layer meanwhile tells that it came from there: the name of an
    image or a file."""
    try:
        yield
    except (BadLayer, LayerTooLarge) as error:
        raise error.named(f"{error.layer} of {source}") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """How large a layer may become: ``free`` bytes and ``growth`` times what came compressed;
    and how many ``entries`` it may have."""

    free: int = FREE_GROWTH
    growth: int = MOST_GROWTH
    entries: int = 2_000_000


@dataclass(frozen=True, slots=True)
class Unpacker:
    """Puts layers into the store; several threads and processes may unpack the same one."""

    layout: Layout
    index: Index
    budget: Budget = field(default_factory=Budget)

    def whole(self, diff_id: str) -> Layer | None:
        """The layer when it is here, undamaged."""
        with self.index.reading() as rows:
            found = rows and rows.layer(diff_id)
            damaged = rows is not None and diff_id in rows.damaged_layers()
        return found if found and not damaged and self.layout.layer(diff_id).is_dir() else None

    def add(
        self,
        diff_id: str,
        arrival: Callable[[], Arrival],
        still: Callable[[], None] | None = None,
    ) -> Layer:
        """Unpack the archive that arrives, in any compression, as the layer ``diff_id``; nothing
        is fetched of one that is here already. ``still`` may raise while another process makes
        it, and while nothing comes. Raises ``WrongLayer``, ``BadLayer``, ``DiskFull`` ..."""
        # The store's lock once more: our caller may leave us to ourselves and give back its own.
        with self.layout.adding(), self.layout.making(diff_id, still):
            try:
                here = self.whole(diff_id) or self._restored(diff_id)
                return here or self._add(diff_id, arrival(), still)
            except (BadLayer, LayerTooLarge) as error:
                raise error.named(f"layer {diff_id[:19]}") from error

    def add_unknown(self, arrival: Arrival) -> Layer:
        """As ``add`` for an archive whose diff id is not known before: a bare file system."""
        return self._add("", arrival)

    def unpack_kept(self, blob: Blob, stage: Stage) -> None:
        """Unpack a kept archive into ``stage``. Raises ``WrongLayer``, ``BadLayer`` ..."""
        layer, _ = self._extract(stage, Again(self.layout, blob))
        if layer.diff_id != blob.diff_id:
            raise WrongLayer(blob.diff_id, layer.diff_id)

    def _restored(self, diff_id: str) -> Layer | None:
        """A layer that is damaged or gone, out of the archive that was kept of it."""
        with self.index.reading() as rows:
            blob = rows.blob_of(diff_id) if rows else None
        if blob is None or not self.layout.blob(blob.digest).exists():
            return None
        with suppress(*CONTENT_FAULTS):
            return self._add(diff_id, Again(self.layout, blob))
        return None

    def _add(self, wanted: str, arrival: Arrival, still: Callable[[], None] | None = None) -> Layer:
        """What came before the network broke off is kept, what was wrong is not."""
        resumable = True
        try:
            with self.layout.staging() as stage:
                layer, plain_size = self._extract(stage, arrival, still)
                if wanted:
                    if layer.diff_id != wanted:
                        raise WrongLayer(wanted, layer.diff_id)
                    self._commit(stage, layer, plain_size, arrival.archive())
                    return layer
                with self.layout.making(layer.diff_id):
                    if not self.whole(layer.diff_id):
                        self._commit(stage, layer, plain_size, arrival.archive())
                    return layer
        except (*CONTENT_FAULTS, DiskFull):
            resumable = False
            raise
        finally:
            arrival.close(resumable=resumable)

    def _extract(
        self, stage: Stage, arrival: Arrival, still: Callable[[], None] | None = None
    ) -> tuple[Layer, int]:
        """The unpacked layer, and the size of its archive when not compressed."""
        came = Counted(arrival.pieces())
        budget = self.budget
        limits = Limits(entries=budget.entries)
        try:
            inflated = plain(ahead(iter(came), still), arrival.padded)
            raw = Hashed(bounded(inflated, lambda: budget.free + budget.growth * came.size))
            with owned(ahead(arrival.plain(iter(raw)))) as pieces:
                extracted = extract(pieces, stage.root, stage.aside, limits)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise DiskFull(str(self.layout.root)) from error
            raise
        layer = Layer(diff_id=raw.digest, size=extracted.size, hides_all=extracted.hides_all)
        return layer, raw.size

    def _commit(self, stage: Stage, layer: Layer, plain_size: int, archive: Archive) -> None:
        """Enter what was just made, for there is no whole one. Of a folder that lies there without
        a row (a lost index, a death between the two) nobody can say whether it is whole."""
        self.layout.keep_archive(stage, archive.path, archive.digest)
        self.layout.keep_layer(stage, layer.diff_id)
        blob = Blob(
            digest=archive.digest,
            diff_id=layer.diff_id,
            media_type=archive.media_type,
            size=archive.size,
            plain_size=plain_size,
        )
        with self.index.writing() as rows:
            rows.put_layer(layer)
            rows.put_blob(blob)
