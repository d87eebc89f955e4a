"""What came of a plan: for people, and as data."""

from collections.abc import Sequence

import msgspec

from reconciler.executor.walk import Ended, Outcome
from reconciler.plan import Plan, Step, redacted
from reconciler.views.faults import describe
from reconciler.views.quantities import elapsed
from reconciler.views.terminal import escape
from runtime.errors import Fault


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    step: int
    object: str
    what: str
    why: str
    hint: str


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """``done`` and ``skipped`` hold numbers of steps; ``ended`` says why no more were begun,
    "declined" when somebody did not want the plan."""

    plan: Plan
    done: tuple[int, ...] = ()
    failed: tuple[Failure, ...] = ()
    skipped: tuple[int, ...] = ()
    ended: str = Ended.COMPLETE


def report(plan: Plan, outcome: Outcome | None) -> Report:
    """The outcome as data, without secret values."""
    if outcome is None:
        return Report(plan=redacted(plan), ended=Ended.COMPLETE if plan.converged else "declined")
    return Report(
        plan=redacted(plan),
        done=tuple(step.number for step in outcome.done),
        failed=tuple(_failure(step, fault) for step, fault in outcome.failed),
        skipped=tuple(step.number for step in outcome.skipped),
        ended=outcome.ended,
    )


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
    """What a step does: ``create container web``, ``lead clients to service web``."""
    tag = str(step.action.__struct_config__.tag).partition("-")[0]
    return f"{_VERBS.get(tag, tag)} {step.object}"


def verdict(plan: Plan, outcome: Outcome, seconds: float) -> str:
    """The last line: what was done of the plan, in how long."""
    if outcome.succeeded:
        count = len(plan.changes)
        made = "1 change" if count == 1 else f"{count} changes"
        return f"{plan.project}: {made} made in {elapsed(seconds)}"
    parts = [f"{len(outcome.failed)} failed"] if outcome.failed else []
    if outcome.skipped:
        parts.append(f"{len(outcome.skipped)} not begun")
    why = "" if outcome.ended is Ended.COMPLETE else f"{outcome.ended}: "
    return f"{plan.project}: {why}{_steps(len(outcome.done))} done, {', '.join(parts)}"


def _steps(count: int) -> str:
    return "1 step" if count == 1 else f"{count} steps"


def failure(step: Step, fault: Fault, log: Sequence[str]) -> str:
    """A failed step: the object, the cause, what to do, and what the container said last."""
    lines = [f"{words(step)} failed", *_indented(describe(fault).splitlines())]
    if log:
        lines += ["  its last words:", *(f"    | {line}" for line in log)]
    return "\n".join(escape(line) for line in lines)


def _indented(lines: Sequence[str]) -> list[str]:
    return [f"  {line}" for line in lines]
