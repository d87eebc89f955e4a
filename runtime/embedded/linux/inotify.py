"""Hearing of renames into folders, inotify(7), and of nothing else."""

import os
import select
import struct
import time
from pathlib import Path

from runtime.embedded.linux.libc import check, libc

_IN_MOVED_TO, _IN_IGNORED, _IN_Q_OVERFLOW = 0x80, 0x8000, 0x4000
_IN_ONLYDIR = 0x1000000
_HEAD = struct.Struct("iIII")  # watch, mask, cookie, length of the name
_BLOCK = 1 << 16  # bytes; some 1,000 events


class Arrivals:
    """The names that files get by a rename in the folders watched."""

    def __init__(self) -> None:
        self._fd = check(libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC), "inotify_init1")
        self._poll = select.poll()
        self._poll.register(self._fd, select.POLLIN)
        self._folders: dict[int, Path] = {}

    def watch(self, folder: Path) -> None:
        """From now on; a second call changes nothing. Raises ``OSError``."""
        flags = _IN_MOVED_TO | _IN_ONLYDIR
        number = libc.inotify_add_watch(self._fd, os.fsencode(folder), flags)
        self._folders[check(number, f"inotify_add_watch {folder}")] = folder

    def wait(self, until: float) -> list[Path]:
        """The files that came, waited for until ``until`` of the monotonic clock. When the kernel
        lost some, the folders themselves."""
        left = max(0.0, until - time.monotonic())
        if not self._poll.poll(left * 1000):
            return []
        return self._decoded(os.read(self._fd, _BLOCK))

    def close(self) -> None:
        os.close(self._fd)

    def _decoded(self, events: bytes) -> list[Path]:
        found, offset = [], 0
        while offset < len(events):
            number, mask, _, length = _HEAD.unpack_from(events, offset)
            offset += _HEAD.size + length
            if mask & _IN_Q_OVERFLOW:
                return list(self._folders.values())
            if mask & _IN_IGNORED:  # the folder is gone
                self._folders.pop(number, None)
            elif number in self._folders:
                name = events[offset - length : offset].rstrip(b"\0")
                found.append(self._folders[number] / os.fsdecode(name))
        return found
