"""What is to be looked at, and when: pure bookkeeping, the time is an argument.

A key (a project) is in the queue once, at the earliest moment that somebody asked for. A key
whose last pass failed is not looked at again before its back-off has passed, whatever the
runtime reports: the failing pass itself makes such events. A changed spec ends the back-off.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

FIRST_RETRY = 1.0
LONGEST_RETRY = 60.0
# Two passes that the runtime's events ask for stand at least this far apart, in seconds.
GAP = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """When a key is due for what cause, and from when on its back-off allows it; times in
    seconds on the caller's clock."""

    asked: Mapping[str, float] = field(default_factory=dict)
    failures: int = 0
    not_before: float = 0.0

    @property
    def due(self) -> float | None:
        earliest = min(self.asked.values(), default=None)
        return None if earliest is None else max(earliest, self.not_before)


@dataclass(slots=True)
class Queue:
    """Keys and when to look at them."""

    entries: dict[str, Entry] = field(default_factory=dict)

    def ask(self, key: str, at: float, cause: str, *, urgent: bool = False) -> None:
        """Look at ``key`` at ``at``, or earlier if somebody else asked for that. ``urgent`` ends
        its back-off: what made it fail may have been changed."""
        entry = self.entries.get(key, Entry())
        if urgent:
            entry = replace(entry, failures=0, not_before=0.0)
        at = min(at, entry.asked.get(cause, at))
        self.entries[key] = replace(entry, asked={**entry.asked, cause: at})

    def next_due(self) -> float | None:
        """When the next key is due; None when nothing is asked for."""
        return min((e.due for e in self.entries.values() if e.due is not None), default=None)

    def take(self, now: float) -> tuple[str, tuple[str, ...]] | None:
        """The key that is due for longest and the causes so far; it is no longer in the queue."""
        due = [(e.due, key) for key, e in self.entries.items() if e.due is not None]
        if not due or min(due)[0] > now:
            return None
        key = min(due)[1]
        asked = self.entries[key].asked
        self.entries[key] = replace(self.entries[key], asked={})
        return key, tuple(cause for cause, at in asked.items() if at <= now)

    def succeeded(self, key: str, now: float) -> None:
        """Its pass did what there was to do."""
        entry = self.entries.get(key, Entry())
        self.entries[key] = replace(entry, failures=0, not_before=now + GAP)

    def failed(self, key: str, now: float, chance: float) -> float:
        """Its pass failed: ask again after the back-off, whose length in seconds is returned.
        ``chance`` in [0, 1) spreads retries of many."""
        entry = self.entries.get(key, Entry())
        delay = back_off(entry.failures, chance)
        failures = entry.failures + 1
        self.entries[key] = replace(entry, failures=failures, not_before=now + delay)
        self.ask(key, now + delay, "retry")
        return delay


def back_off(failures: int, chance: float) -> float:
    """Seconds to wait after this many failures before the one just seen: doubling, with up to a
    fifth more by chance."""
    return min(LONGEST_RETRY, FIRST_RETRY * 2.0 ** min(failures, 16)) * (1 + chance / 5)
