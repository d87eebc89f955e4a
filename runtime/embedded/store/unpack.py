"""A layer's archive becomes a layer of the store: verified, whole or absent, made once."""

import errno
from collections.abc import Iterator
from dataclasses import dataclass, field

from runtime.embedded.layers.extract import Extracted, Limits, extract
from runtime.embedded.layers.streams import Hashed, ahead, bounded, plain
from runtime.embedded.store.faults import WrongLayer
from runtime.embedded.store.index import Index, Layer
from runtime.embedded.store.layout import Layout, Stage
from runtime.errors import DiskFull

_FREE_GROWTH = 1 << 30  # bytes that any layer may unpack to
_MOST_GROWTH = 200  # and so many times its compressed size beyond: deflate's best is 1032


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """How large a layer may become: ``free`` bytes and ``growth`` times what came compressed;
    and how many ``entries`` it may have."""

    free: int = _FREE_GROWTH
    growth: int = _MOST_GROWTH
    entries: int = 2_000_000


@dataclass(frozen=True, slots=True)
class Unpacker:
    """Puts layers into the store; several threads and processes may unpack the same one."""

    layout: Layout
    index: Index
    budget: Budget = field(default_factory=Budget)

    def whole(self, diff_id: str) -> Layer | None:
        """The layer when it is here."""
        with self.index.reading() as rows:
            found = rows and rows.layer(diff_id)
        return found if found and self.layout.layer(diff_id).is_dir() else None

    def add(self, diff_id: str, pieces: Iterator[bytes]) -> Layer:
        """Unpack the archive in ``pieces``, plain or gzip, as the layer ``diff_id``; one that is
        here already is left alone. Raises ``WrongLayer``, ``BadLayer``, ``DiskFull`` ..."""
        with self.layout.making(diff_id):
            found = self.whole(diff_id)
            if found:
                return found
            with self.layout.staging() as stage:
                extracted, digest = self._extract(stage, pieces)
                if digest != diff_id:
                    raise WrongLayer(diff_id, digest)
                return self._commit(stage, diff_id, extracted)

    def add_unknown(self, pieces: Iterator[bytes]) -> Layer:
        """As ``add`` for an archive whose diff id is not known before: a bare file system."""
        with self.layout.staging() as stage:
            extracted, diff_id = self._extract(stage, pieces)
            with self.layout.making(diff_id):
                return self.whole(diff_id) or self._commit(stage, diff_id, extracted)

    def _extract(self, stage: Stage, pieces: Iterator[bytes]) -> tuple[Extracted, str]:
        came = _Counted(pieces)
        budget = self.budget
        raw = Hashed(
            bounded(plain(ahead(iter(came))), lambda: budget.free + budget.growth * came.size)
        )
        limits = Limits(entries=budget.entries)
        try:
            extracted = extract(ahead(iter(raw)), stage.root, stage.aside, limits)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise DiskFull(str(self.layout.root)) from error
            raise
        return extracted, raw.digest

    def _commit(self, stage: Stage, diff_id: str, extracted: Extracted) -> Layer:
        layer = Layer(diff_id=diff_id, size=extracted.size, hides_all=extracted.hides_all)
        # A folder without a row is whole all the same (a lost index, a death between the two),
        # and containers may stand on it: keep it.
        if not self.layout.layer(diff_id).is_dir():
            self.layout.commit(stage, diff_id)
        with self.index.writing() as rows:
            rows.put_layer(layer)
        return layer


class _Counted:
    """Passes pieces through; ``size`` is what has come so far."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self.size = 0

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._pieces:
            self.size += len(piece)
            yield piece
