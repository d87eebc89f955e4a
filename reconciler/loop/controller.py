"""The loop: waits for a reason to look, makes a pass, and never ends because a pass failed."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from reconciler.loop.queue import Queue

Clock = Callable[[], float]

# Seconds. A signal that arrives in the last microseconds before a wait does not end it, so that
# its handler, and with it our end, would come only when something else does.
LONGEST_WAIT = 1.0


@dataclass(slots=True)
class Wakes:
    """What the sources asked for, seen by the loop; any thread may call ``ask``."""

    queue: Queue = field(default_factory=Queue)
    clock: Clock = time.monotonic
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _ended: bool = False

    def ask(self, key: str, cause: str, *, urgent: bool = False, delay: float = 0.0) -> None:
        """Have ``key`` looked at, ``delay`` seconds from now at the latest."""
        with self._changed:
            self.queue.ask(key, self.clock() + delay, cause, urgent=urgent)
            self._changed.notify()

    def end(self) -> None:
        """No further pass; ``take`` returns None from now on."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def take(self) -> tuple[str, tuple[str, ...]] | None:
        """Wait for a key that is due; returns it with the causes, or None at the end."""
        with self._changed:
            while not self._ended:
                taken = self.queue.take(self.clock())
                if taken is not None:
                    return taken
                due = self.queue.next_due()
                left = LONGEST_WAIT if due is None else max(0.0, due - self.clock())
                self._changed.wait(min(left, LONGEST_WAIT))
            return None

    def succeeded(self, key: str) -> None:
        with self._changed:
            self.queue.succeeded(key, self.clock())

    def failed(self, key: str, chance: float) -> float:
        """Returns the seconds until the next try."""
        with self._changed:
            return self.queue.failed(key, self.clock(), chance)


def run(
    wakes: Wakes,
    look: Callable[[str, tuple[str, ...]], bool],
    *,
    failed: Callable[[str, float], None],
    interval: float,
    chance: Callable[[], float],
) -> None:
    """Make passes until ``wakes.end``: ``look(key, causes)`` makes one, catches what it can and
    says whether it succeeded; ``failed(key, seconds)`` hears of the next try. Every key is
    looked at again after ``interval`` seconds at the latest."""
    while (taken := wakes.take()) is not None:
        key, causes = taken
        if look(key, causes):
            wakes.succeeded(key)
        else:
            failed(key, wakes.failed(key, chance()))
        wakes.ask(key, "resync", delay=interval)
