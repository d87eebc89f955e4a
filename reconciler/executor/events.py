"""What is told of a plan while it is walked, and what became of it."""

import traceback
from dataclasses import dataclass
from enum import StrEnum

from reconciler.plan import Step
from runtime.api import Progress
from runtime.errors import Fault


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
