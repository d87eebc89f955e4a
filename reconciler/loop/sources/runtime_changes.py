"""A container ended, a link or a table changed: the runtime says that something did."""

import threading
from collections.abc import Callable
from typing import Protocol

_POLL_SECONDS = 1.0
_AFTER_ERROR_SECONDS = 5.0


class Watched(Protocol):
    def wait_for_change(self, timeout: float) -> bool: ...


class RuntimeChanges:
    """Calls ``wake`` after each change, from a thread of its own, until ``close``."""

    def __init__(
        self, runtime: Watched, wake: Callable[[], None], report: Callable[[Exception], None]
    ) -> None:
        self._runtime, self._wake, self._report = runtime, wake, report
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="runtime-changes", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Ends within a second or so."""
        self._ended.set()
        self._thread.join(timeout=2 * _POLL_SECONDS)

    def _run(self) -> None:
        while not self._ended.is_set():
            try:
                changed = self._runtime.wait_for_change(_POLL_SECONDS)
            except Exception as error:  # noqa: BLE001  # the resync still looks; say it, go on
                self._report(error)
                self._ended.wait(_AFTER_ERROR_SECONDS)
                continue
            if changed and not self._ended.is_set():
                self._wake()
