"""The end of what several threads do, whatever network they wait for."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol
from weakref import WeakSet

from runtime.errors import Stopped


class Waiting(Protocol):
    """Something that may wait for a network for long."""

    def end(self) -> None:
        """Let that wait fail; called from any thread."""
        ...


class Stop:
    """Asked by all who work on one thing; what is ``above`` ends it, too, and not the other way
    round. It is for good. Raises ``Stopped`` where what is above has ended already."""

    def __init__(self, above: "Stop | None" = None) -> None:
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._waiting = WeakSet[Waiting]()
        if above is not None:
            above.add(self)

    def end(self) -> None:
        """Nothing new begins, and what waits for a network waits no longer."""
        self._ended.set()
        with self._lock:
            waiting = tuple(self._waiting)
        for each in waiting:
            each.end()

    def add(self, waiting: Waiting) -> None:
        """It shall end with us, unless nobody else holds it any more. Raises ``Stopped``."""
        with self._lock:
            self._waiting.add(waiting)
        self.still()  # only now: who ends us between the two must find one or the other

    def still(self) -> None:
        """Raises ``Stopped`` after the end."""
        if self._ended.is_set():
            raise Stopped

    def sleep(self, seconds: float) -> None:
        """As ``time.sleep``. Raises ``Stopped`` at the end."""
        self._ended.wait(seconds)
        self.still()

    @contextmanager
    def heeded(self) -> Iterator[None]:
        """What fails after the end, fails because of it: raises ``Stopped`` in its place."""
        try:
            yield
        except Exception:
            self.still()
            raise
