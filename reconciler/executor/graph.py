"""Which steps of a plan may begin: predecessors done, and room in the lane of their kind."""

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from reconciler.executor.events import Ended, Outcome, State, StepEvent
from reconciler.plan import (
    AwaitCompleted,
    AwaitHealthy,
    AwaitReady,
    PullImage,
    PushImage,
    Step,
    StopContainer,
)
from runtime.errors import Fault

_WAITING = AwaitReady | AwaitHealthy | AwaitCompleted | PullImage | PushImage | StopContainer
_TRANSFERS = PullImage | PushImage
WAITERS = 64  # steps that mostly wait (for a network, a port, a grace period) at a time


@dataclass(slots=True, kw_only=True)
class _Lane:
    """Steps of one kind that are free to begin, and how many may run at a time."""

    limit: int
    free: list[int] = field(default_factory=list)
    running: int = 0


class Graph:
    """Which steps are free, run, are done, have failed."""

    def __init__(self, steps: Sequence[Step], workers: int) -> None:
        self.steps = {step.number: step for step in steps}
        self.waits = {step.number: {*step.after, *step.ended} for step in steps}
        self.followers: dict[int, list[int]] = {number: [] for number in self.steps}
        self.tolerant: dict[int, list[int]] = {number: [] for number in self.steps}
        for step in steps:
            for before in step.after:
                self.followers[before].append(step.number)
            for before in step.ended:
                self.tolerant[before].append(step.number)
        self.working, self.waiting = _Lane(limit=workers), _Lane(limit=WAITERS)
        self.running = 0
        self.at_work: set[int] = set()
        self.succeeded: list[Step] = []
        self.failed: list[tuple[Step, Fault]] = []
        self.skipped: dict[int, Step] = {}
        for step in steps:
            if not self.waits[step.number]:
                self._free(step.number)

    def _lane(self, step: Step) -> _Lane:
        waits = isinstance(step.action, _WAITING)
        return self.waiting if waits else self.working

    def _free(self, number: int) -> None:
        heapq.heappush(self._lane(self.steps[number]).free, number)

    def has_free(self) -> bool:
        return bool(self.working.free or self.waiting.free)

    def take(self) -> Step | None:
        """The first free step for which there is room; it counts as running."""
        lanes = [lane for lane in (self.working, self.waiting) if lane.free]
        open_lanes = [lane for lane in lanes if lane.running < lane.limit]
        if not open_lanes:
            return None
        lane = min(open_lanes, key=lambda each: each.free[0])
        lane.running += 1
        self.running += 1
        step = self.steps[heapq.heappop(lane.free)]
        self.at_work.add(step.number)
        return step

    def only_waits(self, *, late: bool) -> bool:
        """Whether all that runs could end at any moment and leave nothing half done; where it is
        ``late``, transfers do, too: the store clears what a killed one leaves."""
        at_work = [self.steps[number] for number in self.at_work]
        return all(
            _only_waits(step) or (late and isinstance(step.action, _TRANSFERS)) for step in at_work
        )

    def ended(self, step: Step) -> None:
        """It runs no more; by itself this says that it was left undone."""
        self._lane(step).running -= 1
        self.running -= 1
        self.at_work.discard(step.number)

    def done(self, step: Step) -> None:
        self.ended(step)
        self.succeeded.append(step)
        self._over(step.number, (*self.followers[step.number], *self.tolerant[step.number]))

    def _over(self, number: int, heirs: Sequence[int]) -> None:
        """Nobody among ``heirs`` waits for it any more."""
        for each in heirs:
            self.waits[each].discard(number)
            if not self.waits[each]:
                self._free(each)

    def fail(self, step: Step, fault: Fault) -> list[Step]:
        """Note the failure; the steps that can no longer be reached, newly so."""
        self.ended(step)
        self.failed.append((step, fault))
        hindered: list[Step] = []
        todo = [*self.followers[step.number]]
        while todo:
            number = todo.pop()
            if number not in self.skipped:
                self.skipped[number] = self.steps[number]
                hindered.append(self.steps[number])
                todo.extend(self.followers[number])
        for each in (step, *hindered):
            self._over(each.number, self.tolerant[each.number])
        return sorted(hindered, key=lambda each: each.number)

    def outcome(self, ended: Ended, tell: Callable[[StepEvent], None]) -> Outcome:
        """What became of everything; what was never begun is told of as skipped."""
        touched = {step.number for step in self.succeeded}
        touched |= {step.number for step, _ in self.failed}
        for number, step in self.steps.items():
            if number not in touched and number not in self.skipped:
                self.skipped[number] = step
                tell(StepEvent(step=step, state=State.SKIPPED))
        return Outcome(
            done=tuple(self.succeeded),
            failed=tuple(self.failed),
            skipped=tuple(self.skipped[number] for number in sorted(self.skipped)),
            ended=ended,
        )


def _only_waits(step: Step) -> bool:
    """A gate with a way back may be about to take it."""
    match step.action:
        case AwaitCompleted() | AwaitHealthy(rollback=None):
            return True
        case _:
            return False
