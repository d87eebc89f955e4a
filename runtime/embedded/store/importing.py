"""An image of one layer, from a tar of a file system: a new one each time, with its date."""

import os
import stat
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from runtime.api import ImageDefaults, Report
from runtime.embedded.layers.faults import BadLayer
from runtime.embedded.registry import image_config
from runtime.embedded.registry.manifest import wanted_platform
from runtime.embedded.store.archives import stream_pieces
from runtime.embedded.store.blobs import arrival
from runtime.embedded.store.faults import BadTree
from runtime.embedded.store.images import ImageStore
from runtime.embedded.store.unpack import layers_of
from runtime.embedded.store.workers import Workers


@dataclass(frozen=True, slots=True, kw_only=True)
class Importer:
    """Makes images of trees in ``store``; ``now`` in seconds since the epoch."""

    store: ImageStore
    report: Report
    now: Callable[[], float] = time.time

    def run(
        self,
        source: int,
        name: str,
        reference: str,
        defaults: ImageDefaults,
        message: str,
        platform: str | None,
    ) -> str:
        """Take the tar in the descriptor ``source``, a file or a pipe, called ``name`` in messages,
        in any compression. ``reference`` "" gives the image no name, ``message`` "" lets its
        history tell where it came from. Returns its id. Raises ``BadTree``, ``LayerTooLarge``."""
        with self.store.adding():
            diff_id = self._layer(source, name)
            date = datetime.fromtimestamp(self.now(), UTC).isoformat().replace("+00:00", "Z")
            step = {"created": date, "comment": message or f"Imported from {name}"}
            raw = image_config.compose(diff_id, defaults, wanted_platform(platform), step)
            image = image_config.parse(raw)
            self.store.keep({image.id: raw})
            with self.store.index.writing() as rows:
                self.store.enter(rows, image, [image.id])
                if reference:
                    rows.put_reference(reference, image.id, "")
        return image.id

    def _layer(self, source: int, name: str) -> str:
        status = os.fstat(source)
        size = status.st_size if stat.S_ISREG(status.st_mode) else None
        told = Workers(self.report).told(_some(source, name), name, "importing", size)
        try:
            with layers_of(name):
                return self.store.unpacker.add_unknown(arrival(self.store.layout, told)).diff_id
        except BadLayer as error:
            raise BadTree(name, error.why) from error


def _some(source: int, name: str) -> Iterator[bytes]:
    """What is read; of nothing at all, as a failed program leaves it, no image is made."""
    empty = True
    for piece in stream_pieces(source):
        empty = False
        yield piece
    if empty:
        raise BadTree(name, "it is empty")
