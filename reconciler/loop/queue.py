"""What is to be looked at, and when: pure bookkeeping, the time is an argument.

A key (a project) is in the queue once, at the earliest moment that somebody asked for. A key
whose last pass failed is not looked at again before its back-off has passed, whatever the
runtime reports: the failing pass itself makes such events. A changed spec ends the back-off.
"""

from dataclasses import dataclass, field, replace

FIRST_RETRY = 1.0
LONGEST_RETRY = 60.0
# Two passes that the runtime's events ask for stand at least this far apart, in seconds.
GAP = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """When a key is due, why, and from when on its back-off allows it; times in seconds on the
    caller's clock."""

    due: float | None = None
    causes: tuple[str, ...] = ()
    failures: int = 0
    not_before: float = 0.0


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
        at = max(at, entry.not_before)
        earliest = at if entry.due is None else min(at, entry.due)
        causes = tuple(dict.fromkeys((*entry.causes, cause)))
        self.entries[key] = replace(entry, due=earliest, causes=causes)

    def next_due(self) -> float | None:
        """When the next key is due; None when nothing is asked for."""
        return min((e.due for e in self.entries.values() if e.due is not None), default=None)

    def take(self, now: float) -> tuple[str, tuple[str, ...]] | None:
        """The key that is due for longest and the causes; it is no longer in the queue."""
        due = [(e.due, key) for key, e in self.entries.items() if e.due is not None]
        if not due or min(due)[0] > now:
            return None
        key = min(due)[1]
        causes = self.entries[key].causes
        self.entries[key] = replace(self.entries[key], due=None, causes=())
        return key, causes

    def succeeded(self, key: str, now: float) -> None:
        """Its pass did what there was to do."""
        entry = self.entries.get(key, Entry())
        self.entries[key] = _held(replace(entry, failures=0), now + GAP)

    def failed(self, key: str, now: float, chance: float) -> float:
        """Its pass failed: ask again after the back-off, whose length in seconds is returned.
        ``chance`` in [0, 1) spreads retries of many."""
        entry = self.entries.get(key, Entry())
        delay = back_off(entry.failures, chance)
        self.entries[key] = _held(replace(entry, failures=entry.failures + 1), now + delay)
        self.ask(key, now + delay, "retry")
        return delay


def _held(entry: Entry, until: float) -> Entry:
    """Nothing before ``until``, also not what was asked for while the pass ran."""
    due = None if entry.due is None else max(entry.due, until)
    return replace(entry, not_before=until, due=due)


def back_off(failures: int, chance: float) -> float:
    """Seconds to wait after this many failures before the one just seen: doubling, with up to a
    fifth more by chance."""
    return min(LONGEST_RETRY, FIRST_RETRY * 2.0 ** min(failures, 16)) * (1 + chance / 5)
