"""Layers side by side: a few at a time, the first failure ends all, progress is told sparingly."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import TypeVar

from runtime.api import Progress, Report
from runtime.embedded.layers.streams import owned

_SIDE_BY_SIDE = 3
_REPORT_EVERY = 0.1  # seconds

Job = TypeVar("Job")


class Stopped(Exception):
    """Another layer has failed, and its failure is the one that is reported."""


@dataclass(frozen=True, slots=True)
class Workers:
    """Threads that each bring one layer here."""

    report: Report
    stop: threading.Event = field(default_factory=threading.Event)

    def run(self, work: Callable[[Job], object], jobs: Iterable[Job]) -> None:
        """Do ``work`` for every job; raises the first failure, after the others have ended."""
        with ThreadPoolExecutor(_SIDE_BY_SIDE, thread_name_prefix="layer") as pool:
            running = [pool.submit(work, job) for job in jobs]
            try:
                for each in wait(running, return_when=FIRST_EXCEPTION).done:
                    failure = each.exception()
                    if failure is not None:
                        raise failure
            finally:
                self.stop.set()
                for each in running:
                    each.cancel()

    def still(self) -> None:
        """Ends with ``Stopped`` when another layer has failed."""
        if self.stop.is_set():
            raise Stopped

    def told(
        self, pieces: Iterator[bytes], what: str, doing: str, total: int | None, *, done: int = 0
    ) -> Iterator[bytes]:
        """Pass pieces through and tell how far it is, at most ten times a second, ``done`` bytes
        having been done before; ends with ``Stopped`` when another layer has failed."""
        last = 0.0
        with owned(pieces):
            for piece in pieces:
                self.still()
                yield piece
                done += len(piece)
                now = time.monotonic()
                if now - last >= _REPORT_EVERY or done == total:
                    last = now
                    self.report(Progress(what=what, doing=doing, done=done, total=total))
