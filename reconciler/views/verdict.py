"""The last words of a pass: how much of the plan was done, what failed, and what was not done.

Counted are the objects that the plan showed, not steps: nobody has seen those.
"""

from collections.abc import Iterable, Mapping

from reconciler.executor.events import Ended, Outcome
from reconciler.plan import Plan, Register, Serve, Step, Unregister
from reconciler.views.quantities import elapsed
from reconciler.views.terminal import escape


def verdict(plan: Plan, outcome: Outcome, seconds: float) -> str:
    """What was done of the plan, in how long; on further lines what failed and what was not
    done, with what it waits for. No newline at the end."""
    lines = [f"{plan.project}: {_made(plan, outcome)} in {elapsed(seconds)}"]
    if failed := _objects(step for step, _ in outcome.failed):
        lines.append(f"  failed: {', '.join(failed)}")
    if undone := list(_undone(plan, outcome)):
        lines.append(f"  not done: {', '.join(undone)}")
    return "\n".join(map(escape, lines))


def _made(plan: Plan, outcome: Outcome) -> str:
    """``6 changes made``, ``timed out: 2 of 6 changes made``"""
    count = len(plan.changes)
    changes = "1 change" if count == 1 else f"{count} changes"
    if outcome.succeeded:
        return f"{changes} made"
    behind = {*_objects(step for step, _ in outcome.failed), *_objects(outcome.skipped)}
    made = sum(change.object not in behind for change in plan.changes)
    why = "" if outcome.ended is Ended.COMPLETE else f"{outcome.ended}: "
    return f"{why}{made} of {changes} made"


def _undone(plan: Plan, outcome: Outcome) -> Iterable[str]:
    """``container web (waits for container back)``; an object that failed is not told again."""
    failed = _objects(step for step, _ in outcome.failed)
    shown = {change.object for change in plan.changes}
    causes = _causes(plan, outcome)
    undone: dict[str, dict[str, None]] = {}
    for step in outcome.skipped:
        for name in _objects([step]):
            if name in shown and name not in failed:
                undone.setdefault(name, {}).update(causes[step.number])
    for name, waits in undone.items():
        yield f"{name} (waits for {', '.join(waits)})" if waits else name


def _causes(plan: Plan, outcome: Outcome) -> Mapping[int, dict[str, None]]:
    """By number of a step, the objects whose failure it waits for, in order."""
    failed = {step.number: step for step, _ in outcome.failed}
    causes: dict[int, dict[str, None]] = {}
    for step in plan.steps:  # predecessors come first
        found = causes.setdefault(step.number, {})
        for number in step.after:
            found.update(causes[number])
            found.update(dict.fromkeys(_objects([failed[number]]) if number in failed else ()))
    return causes


def _objects(steps: Iterable[Step]) -> list[str]:
    """What the steps act on as the plan names it: a service is a part of its containers."""
    return list(dict.fromkeys(name for step in steps for name in _named(step)))


def _named(step: Step) -> Iterable[str]:
    match step.action:
        case Register(services=services):
            return [f"container {each.name}" for each in services]
        case Unregister(names=names):
            return [f"container {name}" for name in names]
        case Serve(service=service):
            return [f"container {service}"]
        case _:
            return [step.object]
