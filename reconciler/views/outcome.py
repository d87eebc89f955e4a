"""What came of a plan: for people, and as data."""

from collections.abc import Sequence

import msgspec

from reconciler.executor.events import Ended, Outcome
from reconciler.plan import (
    AwaitCompleted,
    AwaitHealthy,
    CreateNetwork,
    CreateVolume,
    Plan,
    PushImage,
    RemoveContainer,
    Step,
    TagImage,
    redacted,
    verb,
)
from reconciler.views.faults import describe
from reconciler.views.terminal import escape
from runtime.api import NetworkSpec, VolumeSpec
from runtime.errors import Fault
from runtime.reference import parse


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    step: int
    object: str
    what: str
    why: str
    hint: str


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """``done`` and ``skipped`` hold numbers of steps; ``ended`` says why no more were begun,
    "declined" when somebody did not want the plan, "refused" when its problems forbid it."""

    plan: Plan
    done: tuple[int, ...] = ()
    failed: tuple[Failure, ...] = ()
    skipped: tuple[int, ...] = ()
    ended: str = Ended.COMPLETE


def report(plan: Plan, outcome: Outcome | None) -> Report:
    """The outcome as data, without secret values."""
    if outcome is None:
        return Report(plan=redacted(plan), ended=_not_begun(plan))
    return Report(
        plan=redacted(plan),
        done=tuple(step.number for step in outcome.done),
        failed=tuple(_failure(step, fault) for step, fault in outcome.failed),
        skipped=tuple(step.number for step in outcome.skipped),
        ended=outcome.ended,
    )


def _not_begun(plan: Plan) -> str:
    if plan.problems:
        return "refused"
    return Ended.COMPLETE if plan.converged else "declined"


def _failure(step: Step, fault: Fault) -> Failure:
    return Failure(
        step=step.number, object=step.object, what=fault.what, why=fault.why, hint=fault.hint
    )


# Verbs that the tag of the action does not tell well.
_VERBS = {
    "adopt": "take charge of",
    "await": "wait for",
    "register": "publish",
    "unregister": "withdraw",
    "serve": "lead clients to",
}


def words(step: Step) -> str:
    """What a step does: ``create container web``, ``wait for container db to be healthy``."""
    word = verb(step.action)
    match step.action:
        case CreateNetwork(network=NetworkSpec(external=True)):
            return f"use {step.object}"
        case CreateVolume(volume=VolumeSpec(external=True)):
            return f"use {step.object}"
        case CreateNetwork() | CreateVolume() if step.reasons:  # what changed of one that is there
            return f"update {step.object}"
        case RemoveContainer() if step.reasons:  # which of them goes, lest it seem to be the last
            end = f", {step.reasons[0]}"
        case AwaitHealthy():
            end = " to be healthy"
        case AwaitCompleted():
            end = " to be done"
        case TagImage() | PushImage():
            end = f" as {parse(step.action.reference).familiar}"
        case _:
            end = ""
    return f"{_VERBS.get(word, word)} {step.object}{end}"


def failure(step: Step, fault: Fault, log: Sequence[str]) -> str:
    """A failed step: the object, the cause, what to do, and what the container said last."""
    lines = [f"{words(step)} failed", *_indented(describe(fault).splitlines())]
    if log:
        lines += ["  its last words:", *(f"    | {line}" for line in log)]
    return "\n".join(escape(line) for line in lines)


def _indented(lines: Sequence[str]) -> list[str]:
    return [f"  {line}" for line in lines]
