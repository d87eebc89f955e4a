"""Keeps what conmon replaces of containers' logs, while somebody watches.

conmon begins a full log anew by itself, at the byte; it never waits, and what was in the file
loses its name. The names that keep it (see ``on_exit.Log``) are renewed here as soon as the
kernel tells of conmon's rename, so nothing is lost unless a program fills two more files in the
meantime. conmon is told to begin anew only where it does not by itself: it knows the limit of
its start, which is no small one, and counts from 0 though it appends. Such a request resets
nothing of its count, so it may well begin anew twice in a row; that is what ``next-log`` is for.
"""

import os
import time
from collections.abc import Sequence
from contextlib import suppress

from runtime.embedded.linux.inotify import Arrivals
from runtime.embedded.process import conmon, on_exit
from runtime.embedded.process.kept_log import KeptLog


class LogKeeper:
    """One user at a time."""

    def __init__(self) -> None:
        self._arrivals = Arrivals()

    def close(self) -> None:
        self._arrivals.close()

    def keep(self, logs: Sequence[KeptLog], timeout: float) -> None:
        """Look at each log once, then for ``timeout`` seconds whenever one is begun anew. One
        whose names cannot be renewed holds up no other; the last such ``OSError`` is raised in
        the end."""
        until = time.monotonic() + timeout
        failed: OSError | None = None
        for log in logs:
            with suppress(FileNotFoundError):  # the container has been removed
                self._arrivals.watch(log.path.parent)
        due, first = list(logs), True
        while True:
            for log in due:
                try:
                    too_long = _tend(log)
                    # Not again at each rename: requests that pile up outrun the names.
                    if too_long and first:
                        conmon.reopen_log(log.bundle)
                except OSError as error:
                    failed = error
            first = False
            if time.monotonic() >= until:
                break
            arrived = set(self._arrivals.wait(until))
            due = [log for log in logs if arrived & {log.path, log.path.parent}]
        if failed is not None:
            raise failed


def _tend(kept: KeptLog) -> bool:
    """Renew its names; says whether it is longer than it should be."""
    log = on_exit.Log(str(kept.path), kept.files)
    try:
        now = os.stat(log.path)
        too_long = now.st_size > kept.most
        if too_long or (kept.files > 1 and not log.is_held(now.st_ino)):
            with log:
                log.settle()
                log.hold()
                log.prepare()
    except FileNotFoundError:  # nothing is written yet, or the container has been removed
        return False
    return too_long
