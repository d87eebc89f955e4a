"""A step that moves bytes: what of it is done, in total and for each layer.

On a terminal the step has a line with the total, and beneath it one for each part at work; parts
that are done scroll away above, or are only counted. Elsewhere a line tells that a part begins
and another one that it is done.
"""

import threading
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from reconciler.views.progress import Area
from reconciler.views.quantities import decimal_size, elapsed
from runtime.api import Progress

_RATE_SECONDS = 5.0
_WIDEST_BAR, _NARROWEST_BAR = 40, 8
_NARROWEST_HEAD = 8
_NUMBERS = 34  # columns that sizes and a rate take beside a bar
_WAITING = "waiting"
_PAST = {
    "pulling": "pulled",
    "extracting": "extracted",
    "pushing": "pushed",
    "loading": "loaded",
    "saving": "saved",
    "verifying": "verified",
    "importing": "imported",
    "exporting": "exported",
    "unpacking": "unpacked",
}


@dataclass(slots=True)
class _Rate:
    """Bytes per second of late: of each of the last seconds what had come by then."""

    seen: deque[tuple[float, int]] = field(default_factory=deque)

    def add(self, now: float, done: int) -> None:
        if self.seen and done < self.seen[-1][1]:  # another phase, from the start
            self.seen.clear()
        self.seen.append((now, done))
        while now - self.seen[0][0] > _RATE_SECONDS:
            self.seen.popleft()

    def per_second(self) -> float:
        (began, first), (ended, last) = self.seen[0], self.seen[-1]
        return (last - first) / (ended - began) if ended > began else 0.0


@dataclass(slots=True)
class _Part:
    """A layer, as it was last reported."""

    progress: Progress
    since: float
    rate: _Rate = field(default_factory=_Rate)

    @property
    def finished(self) -> bool:
        each = self.progress
        return each.over or (each.total is not None and each.done >= each.total > 0)

    @property
    def waits(self) -> bool:
        return self.progress.doing == _WAITING

    @property
    def at_work(self) -> bool:
        return not self.finished and not self.waits


class Transfer:
    """What is reported of one step. ``key`` and ``head`` are the step's in the area; ``lines``:
    parts that begin or are done are told in lines that stay."""

    def __init__(self, area: Area, *, key: str, head: str, lines: bool) -> None:
        self._area, self._key, self._head, self._lines = area, key, head, lines
        self._parts: dict[str, _Part] = {}
        self._phase = ""
        self._rate = _Rate()
        self._lock = threading.Lock()

    def report(self, progress: Progress) -> None:
        """To be given to whatever takes long; any thread may call it."""
        with self._lock:
            lines: list[str] = []
            if _says_nothing_of_size(progress):
                named = "" if progress.what in self._head else f"{progress.what}: "
                self._phase = f"{named}{progress.doing}"
            else:
                self._phase = ""
                lines = self._take(progress)
            if self._area.live:
                self._area.doing(self._key, *self._shown())
            for line in lines:  # last, since they are written above what is under way now
                self._area.say(line)

    def _take(self, progress: Progress) -> list[str]:
        """The lines that are to stay."""
        lines = []
        now = self._area.clock()
        part = self._parts.get(progress.what)
        was_finished = part is not None and part.finished
        if part is None or part.progress.doing != progress.doing:
            part = self._parts[progress.what] = _Part(progress, now)
            was_finished = False
            if self._lines and not self._area.live and not part.waits and not progress.over:
                lines.append(_begins(progress))
        part.progress = progress
        part.rate.add(now, progress.done)
        self._rate.add(now, sum(each.progress.done for each in self._parts.values()))
        if self._lines and part.finished and not was_finished:
            lines.append(_ended(progress, now - part.since))
        return lines

    def _shown(self) -> Iterator[str]:
        columns = self._area.columns()
        yield self._total(columns)
        shown = [] if self._is_one() else [each for each in self._parts.values() if each.at_work]
        names = max((len(each.progress.what) for each in shown), default=0)
        words = max((len(each.progress.doing) for each in shown), default=0)
        for part in shown:
            each = part.progress
            front = f"  {each.what:<{names}}  {each.doing:<{words}}"
            yield _measured(front, each.done, each.total, part.rate.per_second(), columns)

    def _is_one(self) -> bool:
        """The only part is what the step is about: a file, for instance."""
        return list(self._parts) == [self._head]

    def _total(self, columns: int) -> str:
        parts = list(self._parts.values())
        if self._phase or not parts:
            return f"{self._head}  {self._phase}".rstrip()
        finished = sum(each.finished for each in parts)
        count = parts[0].progress.doing if self._is_one() else f"{finished} of {len(parts)} done"
        total = _sum(each.progress.total for each in parts if not _here(each))
        done = sum(each.progress.done for each in parts)
        rate = self._rate.per_second()
        numbers = _measured(f"  {count}", done, total, rate, 0)
        front = f"{_ending(self._head, columns - len(numbers))}  {count}"
        return _measured(front, done, total, rate, columns)


def _ending(head: str, columns: int) -> str:
    """``head`` in no more columns, of a long one what is done and the end: there images differ.
    Where there is hardly any room it stays, and what is behind it is cut."""
    verb, space, _ = head.rpartition(" image ")
    room = columns - len(verb + space) - 1
    if len(head) <= columns or room < _NARROWEST_HEAD:
        return head
    return f"{verb}{space}…{head[-room:]}"


def _says_nothing_of_size(progress: Progress) -> bool:
    """It is no part to be counted, but says what the step is at."""
    known = progress.total is not None or progress.done or progress.over
    return not known and progress.doing != _WAITING


def _here(part: _Part) -> bool:
    """Nothing had to be moved for it."""
    return part.progress.over and not part.progress.done


def _sum(sizes: Iterable[int | None]) -> int | None:
    """None when one of them is unknown, or when there is none."""
    known = list(sizes)
    return sum(size or 0 for size in known) if known and None not in known else None


def _begins(progress: Progress) -> str:
    size = "" if progress.total is None else f" {decimal_size(progress.total)}"
    return f"{progress.what}: {progress.doing}{size}"


def _ended(progress: Progress, seconds: float) -> str:
    if progress.over and not progress.done:
        return f"{progress.what}: {progress.doing}"
    word = _PAST.get(progress.doing, f"{progress.doing}: done,")
    return f"{progress.what}: {word} {decimal_size(progress.done)} in {elapsed(seconds)}"


def _measured(front: str, done: int, total: int | None, rate: float, columns: int) -> str:
    """``front  [====>    ]  12.4MB of 31.8MB  3.1MB/s``, the bar as wide as there is room."""
    speed = f"  {decimal_size(rate)}/s" if rate else ""
    if total is None:
        return f"{front}  {decimal_size(done)}{speed}" if done else front
    room = min(_WIDEST_BAR, columns - len(front) - _NUMBERS)
    drawn = f"  {_bar(done, total, room)}" if room >= _NARROWEST_BAR else ""
    return f"{front}{drawn}  {decimal_size(done)} of {decimal_size(total)}{speed}"


def _bar(done: int, total: int, columns: int) -> str:
    inner = columns - 2
    filled = inner * min(done, total) // max(1, total)
    head = ">" if filled < inner else ""
    return f"[{'=' * filled}{head}".ljust(columns - 1) + "]"
