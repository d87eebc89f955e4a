"""Logs while ``watch`` runs: a thread that lends the runtime its time; nobody else has any."""

import sys
import threading
from collections.abc import Callable, Collection
from typing import Protocol

# Seconds that a thread waits for one that computes, after each of its system calls (Python's are
# 5 ms): a file may be full in 20 ms, and a look has a dozen calls.
SWITCH = 0.0005
LOOK = 0.5  # seconds from one look at all logs to the next; between them the runtime hears of news


class LogRuntime(Protocol):
    def keep_logs(self, projects: Collection[str], timeout: float) -> None: ...


class LogKeeping:
    """Has the logs of ``projects`` kept until ``close``. ``report`` hears of a failure once, and
    again when it is another one."""

    def __init__(
        self,
        runtime: LogRuntime,
        projects: Callable[[], Collection[str]],
        report: Callable[[Exception], None],
    ) -> None:
        self._runtime, self._projects, self._report = runtime, projects, report
        self._ended = threading.Event()
        self._failed = ""
        self._switch = sys.getswitchinterval()
        sys.setswitchinterval(SWITCH)
        self._thread = threading.Thread(target=self._run, name="log-keeping", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Ends within half a second or so."""
        self._ended.set()
        self._thread.join(timeout=2 * LOOK)
        sys.setswitchinterval(self._switch)

    def _run(self) -> None:
        while not self._ended.is_set():
            try:
                self._runtime.keep_logs(self._projects(), LOOK)
                self._failed = ""
            except Exception as error:  # noqa: BLE001  # containers run on; say it, go on
                self._tell(error)
                self._ended.wait(LOOK)

    def _tell(self, error: Exception) -> None:
        if str(error) != self._failed:
            self._report(error)
        self._failed = str(error)
