"""When to look again: conmon renames an exit file into ``run/exits`` when a container ends.

An event only says "look": what happened is found by looking. Removed and re-made folders, lost
events and the rest are covered by the slow look that the caller takes anyway.
"""

from collections.abc import Iterator
from threading import Event

from runtime.embedded.paths import Paths

_STEP = 20  # milliseconds between looks at the queue, once something came


class Exits:
    """Waits for containers to end. One user at a time."""

    def __init__(self, paths: Paths) -> None:
        self._paths = paths
        self._stop = Event()
        self._changes: Iterator[object] | None = None
        self._timeout = 0.0

    def wait(self, timeout: float) -> bool:
        """Whether something ended within ``timeout`` seconds."""
        if not self._paths.exits.is_dir():
            return self._stop.wait(timeout)
        if self._changes is None or timeout != self._timeout:
            self._changes, self._timeout = self._watch(timeout), timeout
        try:
            return bool(next(self._changes))
        except StopIteration:
            return False

    def _watch(self, timeout: float) -> Iterator[object]:
        from watchfiles import watch

        return watch(
            self._paths.exits,
            watch_filter=None,
            debounce=_STEP,
            step=_STEP,
            rust_timeout=round(timeout * 1000),
            yield_on_timeout=True,
            stop_event=self._stop,
            raise_interrupt=False,
        )

    def close(self) -> None:
        self._stop.set()
