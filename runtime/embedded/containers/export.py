"""A container's file system as one flat archive, running or stopped: its image's layers and what it
wrote itself. Where something is mounted, there is the folder or the empty file that it stands on.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from runtime.api import Progress, Report
from runtime.embedded import faults
from runtime.embedded.layers import overlay
from runtime.embedded.layers.packing import pack
from runtime.embedded.layers.tarwriter import TarWriter
from runtime.embedded.ledger import ContainerRow, Ledger
from runtime.embedded.linux import mounts
from runtime.embedded.paths import Paths
from runtime.embedded.store.images import ImageStore

_REPORT_EVERY = 0.1  # seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Exporter:
    """Writes the file systems of an instance's containers; nothing of them is touched."""

    paths: Paths
    store: ImageStore
    ledger: Ledger
    report: Report

    def run(self, id: str, out: int) -> None:
        """Write the container's file system to the descriptor ``out``. Raises ``NoSuchContainer``,
        also for one that is removed meanwhile."""
        with self._root(self._row(id)) as root:
            archive, told = TarWriter(out), _Told(self.report)
            pack(root, archive, told)
            self._row(id)  # files of one that was removed are missing
            archive.close()
            told.end()

    def _row(self, id: str) -> ContainerRow:
        row = self.ledger.state().containers.get(id)
        if row is None or not (self.paths.container(id) / "upper").is_dir():
            raise faults.NoSuchContainer(id)
        return row

    @contextmanager
    def _root(self, row: ContainerRow) -> Iterator[int]:
        """Its root: of the mount that it runs on, without what is mounted in there; else (this boot
        has not started it) of one of our own."""
        mounted, kept = self.paths.bundle(row.id) / "rootfs", self.paths.container(row.id)
        with self.store.held():
            try:
                if mounts.is_other_file_system(mounted):
                    fd = mounts.cloned(str(mounted))
                else:
                    fd = overlay.view((kept / "upper", *self.store.layers(row.image)), kept)
            except OSError:
                self._row(row.id)  # somebody removes it at this moment
                raise
            try:
                yield fd
            finally:
                os.close(fd)


class _Told:
    """Tells at most ten times a second how much was written."""

    def __init__(self, report: Report) -> None:
        self._report, self._done, self._last = report, 0, 0.0

    def __call__(self, size: int) -> None:
        self._done += size
        now = time.monotonic()
        if now - self._last >= _REPORT_EVERY:
            self._last = now
            self._report(Progress(what="files", doing="exporting", done=self._done))

    def end(self) -> None:
        self._report(Progress(what="files", doing="exporting", done=self._done, over=True))
