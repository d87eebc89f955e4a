"""Room to remove things in when there is none: SQLite writes a journal before it forgets."""

import os
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from runtime.embedded.store.layout import Layout
from runtime.errors import DiskFull

_SIZE = 1 << 20  # bytes

Result = TypeVar("Result")


def keep(layout: Layout) -> None:
    """Set room aside, unless it is set aside already or there is none."""
    path = layout.ballast
    with suppress(FileNotFoundError):
        if path.stat().st_size == _SIZE:
            return
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(fd, 0, _SIZE)
        finally:
            os.close(fd)
    except OSError:
        path.unlink(missing_ok=True)


def despite_full_disk(layout: Layout, work: Callable[[], Result]) -> Result:
    """Do ``work``, which frees room; if it finds the disk full, once more in what was set aside.

    Raises ``DiskFull`` when that is not enough.
    """
    try:
        return work()
    except (DiskFull, OSError):
        if not layout.ballast.exists():
            raise
        layout.ballast.unlink()
        return work()
    finally:
        with suppress(OSError):
            keep(layout)
