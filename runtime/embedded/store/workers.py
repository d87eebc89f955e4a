"""Layers side by side: a few at a time, the first failure ends all, progress is told sparingly."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import TypeVar

from runtime.api import Progress, Report
from runtime.embedded.layers.streams import owned
from runtime.embedded.registry.stop import Stop

_SIDE_BY_SIDE = 3
_REPORT_EVERY = 0.1  # seconds
_LAST_WORK = 1.5  # seconds to tidy up after the end

Job = TypeVar("Job")


@dataclass(frozen=True, slots=True)
class Workers:
    """Threads that each bring one layer here; ``stop`` ends them and what they wait for."""

    report: Report
    stop: Stop = field(default_factory=Stop)

    def run(self, work: Callable[[Job], object], jobs: Iterable[Job]) -> None:
        """Do ``work`` for every job; raises the first failure, or what interrupts us, after the
        others have tidied up. One that waits even then (for a name server, a connection, the disk)
        is left to itself: its own time-out ends it, or the process. It must not rely on a lock that
        our caller holds."""
        todo, mail = SimpleQueue[Job](), SimpleQueue[BaseException | None]()
        for job in jobs:
            todo.put(job)
        words = (work, todo, mail)
        threads = [
            threading.Thread(target=self._work, args=words, name="layer", daemon=True)
            for _ in range(min(_SIDE_BY_SIDE, todo.qsize()))
        ]
        for thread in threads:
            thread.start()
        try:
            for _ in threads:
                if failure := mail.get():
                    raise failure
        except BaseException:
            self.stop.end()
            end = time.monotonic() + _LAST_WORK
            for thread in threads:
                thread.join(max(0.0, end - time.monotonic()))
            raise

    def _work(
        self,
        work: Callable[[Job], object],
        todo: "SimpleQueue[Job]",
        mail: "SimpleQueue[BaseException | None]",
    ) -> None:
        failure: BaseException | None = None
        try:
            for job in _taken(todo):
                self.stop.still()
                work(job)
        except BaseException as error:  # noqa: BLE001 - raised again by who runs us
            failure = error
        mail.put(failure)

    def told(
        self, pieces: Iterator[bytes], what: str, doing: str, total: int | None, *, done: int = 0
    ) -> Iterator[bytes]:
        """Pass pieces through and tell how far it is, at most ten times a second, ``done`` bytes
        having been done before; ends with ``Stopped`` at the stop."""
        last = 0.0
        with owned(pieces):
            for piece in pieces:
                self.stop.still()
                yield piece
                done += len(piece)
                now = time.monotonic()
                if now - last >= _REPORT_EVERY or done == total:
                    last = now
                    self.report(Progress(what=what, doing=doing, done=done, total=total))


def _taken(todo: "SimpleQueue[Job]") -> Iterator[Job]:
    """Until nothing is left."""
    with suppress(Empty):
        while True:
            yield todo.get_nowait()
