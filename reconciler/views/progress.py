"""What is going on, while it goes on: one live area at the foot of a terminal, plain lines
elsewhere.

Finished lines scroll away above the area; what is under way stands in it and is drawn anew at
most ten times a second. Elsewhere (a file, CI) only the finished lines are written.
"""

import os
import threading
import time
from collections.abc import Callable
from typing import Self, TextIO

from reconciler.views.terminal import cut, escape, is_terminal, width

_REDRAW_SECONDS = 0.1
_CLEAR_BELOW = "\x1b[J"
_SIZE = (80, 24)  # of a terminal that does not say


class Area:
    """A place for lines; its methods may be called from any thread. Use it in a ``with``."""

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self.stream, self.clock = stream, clock
        self.live = is_terminal(stream)
        self._lock = threading.Lock()
        self._doing: dict[str, tuple[str, ...]] = {}
        self._drawn: list[int] = []  # the columns of each line that stands there
        self._drawn_at = -_REDRAW_SECONDS

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_failure: object) -> None:
        self.close()

    def close(self) -> None:
        """Nothing is under way any more; a second call is harmless."""
        with self._lock:
            self._doing.clear()
            self._draw("")

    def columns(self) -> int:
        """How wide a line may be."""
        return self._size()[0] - 1

    def doing(self, key: str, *lines: str) -> None:
        """``key`` is under way, and this far."""
        with self._lock:
            self._doing[key] = tuple(map(escape, lines))
            if self.live and self.clock() - self._drawn_at >= _REDRAW_SECONDS:
                self._draw("")

    def say(self, line: str) -> None:
        """A line that stays to be read; what is under way goes on."""
        with self._lock:
            self._draw(f"{escape(line, keep=chr(10))}\n")

    def done(self, key: str, line: str | None) -> None:
        """``key`` is no longer under way; ``line`` (None for nothing to say) stays to be read."""
        with self._lock:
            self._doing.pop(key, None)
            text = "" if line is None else f"{escape(line, keep=chr(10))}\n"
            if text or self.live:
                self._draw(text)

    def _draw(self, finished: str) -> None:
        if not self.live:
            self.stream.write(finished)
            self.stream.flush()
            return
        columns, rows = self._size()
        room = max(1, rows - 2)
        lines = [cut(text, columns - 1) for each in self._doing.values() for text in each][:room]
        # A terminal that became narrower meanwhile has broken what stands there into more rows.
        standing = sum(max(1, -(-wide // columns)) for wide in self._drawn)
        up = f"\x1b[{standing}A" if standing else ""
        below = "".join(f"{line}\n" for line in lines)
        if finished or below or standing:
            self.stream.write(f"{up}\r{_CLEAR_BELOW}{finished}{below}")
            self.stream.flush()
        self._drawn, self._drawn_at = list(map(width, lines)), self.clock()

    def _size(self) -> tuple[int, int]:
        """Columns and rows now."""
        try:
            size = os.get_terminal_size(self.stream.fileno())
        except (OSError, ValueError):
            return _SIZE
        return size.columns or _SIZE[0], size.lines or _SIZE[1]
