"""Which process is meant: boot id, pid and start time together never name another one.

A pid alone is reused. A signal goes through a pidfd that was opened first and compared after,
so it cannot reach a stranger (`reliability.md`, nomad#17960: the wrong process was killed).
"""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import msgspec

from runtime.embedded import boot
from runtime.embedded.linux import pidfd, proc


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """One process. ``start`` is in clock ticks since boot, field 22 of proc_pid_stat(5)."""

    boot: str
    pid: int
    start: int


@cache
def boot_id() -> str:
    """This boot's id, read once: it does not change while we run."""
    return boot.current()


def identify(pid: int) -> Identity | None:
    """Who has ``pid`` now; None for nobody and for a zombie."""
    found = proc.stat(pid)
    if found is None or found[0] in "ZX":
        return None
    return Identity(boot=boot_id(), pid=pid, start=found[1])


def alive(process: Identity) -> bool:
    """Whether it still runs. A zombie is dead: its parent may reap it late."""
    return identify(process.pid) == process


@contextmanager
def pinned(process: Identity) -> Iterator[int | None]:
    """Hold a pidfd of the process; None when it is dead."""
    fd = pidfd.of(process.pid) if process.boot == boot_id() else None
    if fd is None:
        yield None
        return
    try:
        # Compared after the opening: from here on the descriptor cannot change its meaning.
        yield fd if alive(process) else None
    finally:
        os.close(fd)


def kill(process: Identity, number: int = signal.SIGKILL) -> bool:
    """Send a signal to this process and no other; False when it is dead."""
    with pinned(process) as fd:
        return fd is not None and pidfd.send(fd, number)


def wait(process: Identity, timeout: float) -> bool:
    """Wait until it is dead, at most ``timeout`` seconds; whether it is."""
    with pinned(process) as fd:
        return fd is None or pidfd.ended(fd, timeout)


def ran_for(process: Identity, now: float | None = None) -> float:
    """Seconds since the process was made; ``now`` is CLOCK_BOOTTIME, which clock changes and
    suspends leave alone."""
    now = time.clock_gettime(time.CLOCK_BOOTTIME) if now is None else now
    return now - process.start / _ticks()


@cache
def _ticks() -> int:
    return os.sysconf("SC_CLK_TCK")
