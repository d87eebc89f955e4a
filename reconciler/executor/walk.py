"""Walking a plan: each step as soon as its predecessors are done, in threads.

One loop hands out steps and hears of their ends, and it alone writes the journal and tells of
progress; threads only call the runtime. A failed step stops what depends on it, not the rest.
"""

import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from queue import Empty, SimpleQueue
from typing import Protocol

from reconciler.executor.events import Ended, Outcome, State, StepDefect, StepEvent
from reconciler.executor.graph import Graph
from reconciler.executor.replacement import close
from reconciler.executor.steps import perform
from reconciler.plan import Plan, Step
from runtime.api import Progress, RegistryAccess, Runtime
from runtime.errors import Fault, Stopped

_LAST_WORK = 1.3  # seconds that transfers have to end in after an interrupt


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
        graph = Graph(steps, workers)
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

    def _leave(self, graph: Graph) -> bool:
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
        self, graph: Graph, tell: Callable[[StepEvent], None], deadline: float | None
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
        graph: Graph,
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
