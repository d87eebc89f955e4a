"""When to look again: a container ended, a link or a table of ours changed.

conmon renames an exit file into ``run/exits`` when a container ends; the network is heard by
``router.events``. An event only says "look": what happened is found by looking, and lost events
are covered by the slow look that the caller takes anyway.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING

from runtime.embedded.paths import Paths
from runtime.embedded.router.table import NAME

if TYPE_CHECKING:
    from runtime.embedded.router.events import Listener

_STEP = 20  # milliseconds between looks at the queue, once something came


class Changes:
    """Waits for something of an instance to change. One user at a time; what it holds open is
    opened anew when the last project has gone and another one came."""

    def __init__(self, paths: Paths) -> None:
        self._paths = paths
        self._stop = Event()
        self._watched: tuple[int, float] | None = None
        self._exits: Iterator[object] = iter(())
        self._listener: Listener | None = None

    def wait(self, timeout: float) -> bool:
        """Whether something changed within ``timeout`` seconds; a change of the network is told
        at their end."""
        ended = self._ended(timeout)
        return self._network_changed() or ended

    def close(self) -> None:
        self._stop.set()
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    def _ended(self, timeout: float) -> bool:
        folder = _inode(self._paths.exits)
        if folder is None:
            self._stop.wait(timeout)
            return False
        if self._watched != (folder, timeout):
            self._exits, self._watched = self._watch(timeout), (folder, timeout)
        try:
            return bool(next(self._exits))
        except StopIteration:
            self._watched = None
            return False

    def _network_changed(self) -> bool:
        if self._listener is not None and not self._listener.current:
            self._listener.close()
            self._listener = None
            return True
        if self._listener is None:
            if not self._paths.router.exists():
                return False
            from runtime.embedded.router import events

            self._listener = events.Listener(
                self._paths.router,
                uplink=self._paths.uplink,
                host_table=self._paths.table,
                router_table=NAME,
            )
        return self._listener.wait(0)

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


def _inode(path: Path) -> int | None:
    try:
        return os.stat(path).st_ino
    except FileNotFoundError:
        return None
