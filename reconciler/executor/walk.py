"""Walking a plan: each step as soon as its predecessors are done, in threads.

One loop hands out steps and hears of their ends, and it alone writes the journal and tells of
progress; threads only call the runtime. A failed step stops what depends on it, not the rest.
"""

import heapq
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import partial
from queue import Empty, SimpleQueue
from typing import Protocol

from reconciler.executor.replacement import close
from reconciler.executor.steps import perform
from reconciler.plan import (
    AwaitCompleted,
    AwaitHealthy,
    AwaitReady,
    Plan,
    PullImage,
    PushImage,
    Step,
    StopContainer,
)
from runtime.api import Progress, RegistryAccess, Runtime
from runtime.errors import Fault, Stopped

_WAITING = AwaitReady | AwaitHealthy | AwaitCompleted | PullImage | PushImage | StopContainer
_TRANSFERS = PullImage | PushImage
_LAST_WORK = 1.3  # seconds that these have to end in after an interrupt
WAITERS = 64  # steps that mostly wait (for a network, a port, a grace period) at a time


class State(StrEnum):
    STARTED = "started"
    PROGRESS = "progress"
    DONE = "done"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True, kw_only=True)
class StepEvent:
    """Something happened to a step. ``seconds`` is how long it took; ``fault`` says why it
    failed, ``progress`` how far it is."""

    step: Step
    state: State
    seconds: float = 0.0
    fault: Fault | None = None
    progress: Progress | None = None


class Ended(StrEnum):
    """Why no more steps were handed out."""

    COMPLETE = "complete"
    INTERRUPTED = "interrupted"
    TIMED_OUT = "timed out"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of every step. ``skipped`` waited for one that failed or was never begun."""

    done: tuple[Step, ...] = ()
    failed: tuple[tuple[Step, Fault], ...] = ()
    skipped: tuple[Step, ...] = ()
    ended: Ended = Ended.COMPLETE

    @property
    def succeeded(self) -> bool:
        return not self.failed and not self.skipped


class StepDefect(Fault):
    """A step raised what it must not raise; ``trace`` is for the developers."""

    def __init__(self, step: Step, error: Exception) -> None:
        self.step, self.trace = step, "".join(traceback.format_exception(error))
        super().__init__(
            f"step {step.number} of {step.object} broke",
            why=f"{type(error).__name__}: {error}",
            hint="this is a defect of trueup; please report it with the text above",
        )


class RunJournal(Protocol):
    """What the walk needs of the journal."""

    def begin(self, plan: Plan) -> int: ...
    def finished(self, run: int, number: int, error: str) -> None: ...
    def end(self, run: int, outcome: str) -> None: ...


def execute(
    plan: Plan,
    runtime: Runtime,
    journal: RunJournal,
    registries: Sequence[RegistryAccess],
    *,
    progress: Callable[[StepEvent], None],
    workers: int = 8,
    timeout: float | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Outcome:
    """Carry out the plan; ``progress`` is called in the caller's thread.

    After ``timeout`` seconds or a KeyboardInterrupt nothing new is begun; what runs is waited
    for, unless it only waits itself or talks to a registry: an interrupt leaves that undone. A
    plan without steps touches nothing.
    """
    if not plan.steps:
        return Outcome()
    run = journal.begin(plan)
    deadline = None if timeout is None else clock() + timeout
    walk = _Walk(plan.project, runtime, registries, clock)

    def tell(event: StepEvent) -> None:
        if event.state in (State.DONE, State.FAILED):
            journal.finished(run, event.step.number, str(event.fault or ""))
        progress(event)

    with walk.interruptible():
        outcome = walk.through(plan.steps, tell, workers=workers, deadline=deadline)
        left = close(outcome.done, outcome.skipped, plan.project, runtime)
        outcome = replace(outcome, failed=(*outcome.failed, *left))
        journal.end(run, outcome.ended)
    return outcome


# --- the loop -----------------------------------------------------------------------------------


@dataclass(slots=True, kw_only=True)
class _Lane:
    """Steps of one kind that are free to begin, and how many may run at a time."""

    limit: int
    free: list[int] = field(default_factory=list)
    running: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Return:
    """A thread's last word."""

    step: Step
    error: BaseException | None
    seconds: float


class _Walk:
    def __init__(
        self,
        project: str,
        runtime: Runtime,
        registries: Sequence[RegistryAccess],
        clock: Callable[[], float],
    ) -> None:
        self.project, self.runtime, self.registries = project, runtime, registries
        self.clock = clock
        self.mail: SimpleQueue[_Return | StepEvent | None] = SimpleQueue()
        self.ended = Ended.COMPLETE
        self.heard: signal.Signals | None = None
        self.transfers_end: float | None = None  # by the clock: later nobody waits for them
        self.killed: BaseException | None = None

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """The first Ctrl-C, or SIGTERM where somebody handles it, only ends the handing out; a
        second one does not wait. Whose handlers they are hears of it when the walk has ended.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        handlers = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)}
        before = {each: handler for each, handler in handlers.items() if callable(handler)}
        for each in before:
            signal.signal(each, self._interrupted)
        try:
            yield
        finally:
            for each, handler in before.items():
                signal.signal(each, handler)
        if self.heard and before[self.heard] is not signal.default_int_handler:
            before[self.heard](self.heard, None)

    def _interrupted(self, number: int, _frame: object) -> None:
        if self.heard:
            raise KeyboardInterrupt
        self.heard = signal.Signals(number)
        self.ended = Ended.INTERRUPTED
        self.mail.put(None)  # wakes the loop

    def through(
        self,
        steps: Sequence[Step],
        tell: Callable[[StepEvent], None],
        *,
        workers: int,
        deadline: float | None,
    ) -> Outcome:
        graph = _Graph(steps, workers)
        try:
            while True:
                self._hand_out(graph, tell, deadline)
                if not graph.running or (self.heard and self._leave(graph)):
                    break
                self._hear(graph, tell, self._next(deadline))
        except KeyboardInterrupt:
            raise  # the second one: whoever comes next finds what runs half done, and finishes it
        except BaseException:
            while graph.running:  # leave no thread behind that still works
                graph.running -= isinstance(self.mail.get(), _Return)
            raise
        if self.killed is not None:
            raise self.killed
        return graph.outcome(self.ended, tell)

    def _leave(self, graph: "_Graph") -> bool:
        """End the transfers; whether nothing that runs is worth waiting for."""
        if self.transfers_end is None:
            self.transfers_end = self.clock() + _LAST_WORK
            self.runtime.images.leave_off()
        return graph.only_waits(late=self.clock() >= self.transfers_end)

    def _next(self, deadline: float | None) -> "_Return | StepEvent | None":
        now = self.clock()
        left = [at - now for at in (deadline, self.transfers_end) if at is not None and at > now]
        try:
            return self.mail.get(timeout=min(left, default=None))
        except Empty:
            return None

    def _hand_out(
        self, graph: "_Graph", tell: Callable[[StepEvent], None], deadline: float | None
    ) -> None:
        late = deadline is not None and self.clock() >= deadline
        if late and self.ended is Ended.COMPLETE and graph.has_free():
            self.ended = Ended.TIMED_OUT
        while self.ended is Ended.COMPLETE and self.killed is None and (step := graph.take()):
            threading.Thread(target=self._run, args=(step,), daemon=True).start()
            tell(StepEvent(step=step, state=State.STARTED))

    def _run(self, step: Step) -> None:
        """In a thread of its own: do the step and say how it ended."""
        began, error = self.clock(), None
        try:
            report = partial(self._report, step)
            perform(step.action, self.project, self.runtime, self.registries, report)
        except BaseException as raised:  # noqa: BLE001  # the loop decides what it means
            error = raised
        self.mail.put(_Return(step=step, error=error, seconds=self.clock() - began))

    def _report(self, step: Step, progress: Progress) -> None:
        self.mail.put(StepEvent(step=step, state=State.PROGRESS, progress=progress))

    def _hear(
        self,
        graph: "_Graph",
        tell: Callable[[StepEvent], None],
        message: "_Return | StepEvent | None",
    ) -> None:
        if message is None:
            return
        if isinstance(message, StepEvent):
            tell(message)
            return
        step, error = message.step, message.error
        if error is None:
            graph.done(step)
            tell(StepEvent(step=step, state=State.DONE, seconds=message.seconds))
        elif isinstance(error, Stopped):
            graph.ended(step)
        elif isinstance(error, Exception):
            fault = error if isinstance(error, Fault) else StepDefect(step, error)
            hindered = graph.fail(step, fault)
            seconds = message.seconds
            tell(StepEvent(step=step, state=State.FAILED, seconds=seconds, fault=fault))
            for each in hindered:
                tell(StepEvent(step=each, state=State.SKIPPED))
        else:
            graph.running -= 1
            self.killed = error


# --- what may begin -----------------------------------------------------------------------------


class _Graph:
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
