"""What is going on, while it goes on: one live area at the foot of a terminal, plain lines
elsewhere.

Finished lines scroll away above the area; what is under way stands in it and is drawn anew at
most ten times a second. Elsewhere (a file, CI) only the finished lines are written.
"""

import shutil
import threading
import time
from collections.abc import Callable
from typing import Self, TextIO

from reconciler.views.quantities import decimal_size
from reconciler.views.terminal import cut, escape, is_terminal
from runtime.api import Progress

_REDRAW_SECONDS = 0.1
_CLEAR_BELOW = "\x1b[J"


class Area:
    """A place for lines; its methods may be called from any thread. Use it in a ``with``."""

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self.stream, self.clock = stream, clock
        self.live = is_terminal(stream)
        self._lock = threading.Lock()
        self._doing: dict[str, str] = {}
        self._drawn, self._drawn_at = 0, -_REDRAW_SECONDS

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_failure: object) -> None:
        self.close()

    def close(self) -> None:
        """Nothing is under way any more; a second call is harmless."""
        with self._lock:
            self._doing.clear()
            self._draw("")

    def doing(self, key: str, text: str) -> None:
        """``key`` is under way, and this far."""
        with self._lock:
            self._doing[key] = escape(text)
            if self.live and self.clock() - self._drawn_at >= _REDRAW_SECONDS:
                self._draw("")

    def done(self, key: str, line: str | None) -> None:
        """``key`` and its parts (``key part``) are no longer under way; ``line`` (None for
        nothing to say) stays to be read."""
        with self._lock:
            for each in [each for each in self._doing if each.partition(" ")[0] == key]:
                del self._doing[each]
            text = "" if line is None else f"{escape(line, keep=chr(10))}\n"
            if text or self.live:
                self._draw(text)

    def _draw(self, finished: str) -> None:
        if not self.live:
            self.stream.write(finished)
            self.stream.flush()
            return
        size = shutil.get_terminal_size()
        room = max(1, size.lines - 2)
        lines = [cut(text, size.columns - 1) for text in list(self._doing.values())[:room]]
        up = f"\x1b[{self._drawn}A" if self._drawn else ""
        below = "".join(f"{line}\n" for line in lines)
        if finished or below or self._drawn:
            self.stream.write(f"{up}\r{_CLEAR_BELOW}{finished}{below}")
            self.stream.flush()
        self._drawn, self._drawn_at = len(lines), self.clock()


def amount(progress: Progress) -> str:
    """``3f2a: downloading  12.4MB of 31.8MB``"""
    text = f"{progress.what}: {progress.doing}"
    if progress.total:
        return f"{text}  {decimal_size(progress.done)} of {decimal_size(progress.total)}"
    return f"{text}  {decimal_size(progress.done)}" if progress.done else text
