"""Health checks while ``watch`` runs: one clock for all containers, a few threads that ask.

The runtime keeps what came of each check; here is only when the next one is due, and who hears
of a change. A container is never asked twice at a time.
"""

import heapq
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from queue import SimpleQueue

from runtime.api import Health, Healthcheck, HealthStatus, ObservedContainer, Runtime
from runtime.errors import Fault

WORKERS = 16


@dataclass(slots=True)
class Wheel:
    """Keys and when each is due: pure bookkeeping, the time is an argument."""

    _due: dict[str, float] = field(default_factory=dict)
    _heap: list[tuple[float, str]] = field(default_factory=list)

    def put(self, key: str, at: float) -> None:
        """``key`` is due at ``at``, and at no other time."""
        if self._due.get(key) != at:
            self._due[key] = at
            heapq.heappush(self._heap, (at, key))

    def drop(self, key: str) -> None:
        self._due.pop(key, None)

    def take(self, now: float) -> list[str]:
        """The keys that are due, the longest due one first; they are no longer on the wheel."""
        taken: list[str] = []
        while (at := self.next_due()) is not None and at <= now:
            taken.append(heapq.heappop(self._heap)[1])
            del self._due[taken[-1]]
        return taken

    def next_due(self) -> float | None:
        """When the next one is due; None when there is none."""
        while self._heap and self._due.get(self._heap[0][1]) != self._heap[0][0]:
            heapq.heappop(self._heap)  # put elsewhere, or dropped, since
        return self._heap[0][0] if self._heap else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Followed:
    """A run of a container whose health is asked, and how it was when last heard of."""

    container: ObservedContainer
    check: Healthcheck
    status: HealthStatus = HealthStatus.STARTING

    @property
    def started_at(self) -> float:
        return self.container.started_at or 0.0

    def goes_on_as(self, other: "Followed") -> bool:
        """Whether nothing that says when to ask has changed."""
        return (self.check, self.started_at) == (other.check, other.started_at)


Changed = Callable[[ObservedContainer, HealthStatus, Health], None]


class HealthChecks:
    """Asks containers until ``close``. ``changed`` hears, in any thread, of each change of a
    status with the status before; ``failed`` of checks that could not be asked."""

    def __init__(
        self,
        runtime: Runtime,
        changed: Changed,
        failed: Callable[[ObservedContainer, Exception], None],
    ) -> None:
        self._runtime, self._changed, self._failed = runtime, changed, failed
        self._wheel = Wheel()
        self._followed: dict[str, Followed] = {}
        self._asking: set[str] = set()
        self._wake = threading.Condition()
        self._ended = False
        self._asked: SimpleQueue[str | None] = SimpleQueue()
        self._workers = 0
        # Daemons: the end of a watch waits for no check.
        threading.Thread(target=self._keep_time, daemon=True).start()

    def follow(self, containers: Sequence[ObservedContainer]) -> None:
        """From now on ask these and no others; those without a check are left alone."""
        wanted = {each.id: _followed(each) for each in containers if each.healthcheck}
        with self._wake:
            for id in self._followed.keys() - wanted.keys():
                self._wheel.drop(id)
                del self._followed[id]
            for id, followed in wanted.items():
                self._take_up(id, followed)
            self._wake.notify()
        self._employ(len(wanted))

    def close(self) -> None:
        """Nothing more is asked."""
        with self._wake:
            self._ended = True
            self._wake.notify()
        for _ in range(self._workers):
            self._asked.put(None)

    def _take_up(self, id: str, followed: Followed) -> None:
        known = self._followed.get(id)
        if known is not None and known.goes_on_as(followed):
            return
        self._followed[id] = followed
        if id not in self._asking:
            self._schedule(id, followed, followed.container.health or Health())

    def _schedule(self, id: str, followed: Followed, health: Health) -> None:
        wait = followed.check.wait(health, followed.started_at, time.time())
        self._wheel.put(id, time.monotonic() + wait)

    def _employ(self, wanted: int) -> None:
        """Have as many threads as can be of use."""
        while self._workers < min(WORKERS, wanted):
            self._workers += 1
            threading.Thread(target=self._work, daemon=True).start()

    def _keep_time(self) -> None:
        with self._wake:
            while not self._ended:
                now = time.monotonic()
                for id in self._wheel.take(now):
                    self._asking.add(id)
                    self._asked.put(id)
                due = self._wheel.next_due()
                self._wake.wait(None if due is None else max(0.0, due - now))

    def _work(self) -> None:
        while (id := self._asked.get()) is not None:
            with self._wake:
                followed = self._followed.get(id)
            health = None if followed is None else self._ask(followed)
            self._asked_once(id, followed, health)

    def _ask(self, followed: Followed) -> Health | None:
        try:
            return self._runtime.probe(followed.container.id, due=True)
        except (Fault, OSError) as error:
            self._failed(followed.container, error)
            # Asked again in time: it may be the machine, and not the container.
            return Health(status=followed.status, checked_at=time.time())

    def _asked_once(self, id: str, asked: Followed | None, health: Health | None) -> None:
        with self._wake:
            self._asking.discard(id)
            now = self._followed.get(id)
            if now is None:
                return
            if asked is None or not now.goes_on_as(asked):  # another run since
                self._schedule(id, now, now.container.health or Health())
            elif health is None:  # it has ended: the next look finds what became of it
                del self._followed[id]
            else:
                self._schedule(id, now, health)
                self._followed[id] = replace(now, status=health.status)
            self._wake.notify()
        if asked is not None and health is not None and health.status is not asked.status:
            self._changed(asked.container, asked.status, health)


def _followed(container: ObservedContainer) -> Followed:
    assert container.healthcheck is not None
    health = container.health or Health()
    return Followed(container=container, check=container.healthcheck, status=health.status)
