"""A plan as text: for people by object with the reasons, for tests and the curious by step."""

from collections import Counter
from collections.abc import Mapping

from reconciler.plan import (
    Action,
    AwaitCompleted,
    AwaitHealthy,
    AwaitReady,
    Change,
    ChangeKind,
    CreateContainer,
    Impact,
    Plan,
    PushImage,
    RemoveContainer,
    Serve,
    StartContainer,
    Step,
    StopContainer,
    TagImage,
    UpdateContainer,
    verb,
)
from reconciler.views.terminal import escape
from runtime.api import container_id
from runtime.reference import parse

SIGNS = {
    ChangeKind.CREATE: "  +",
    ChangeKind.CHANGE: "  ~",
    ChangeKind.REPLACE: "-/+",
    ChangeKind.REMOVE: "  -",
}


def render(plan: Plan) -> str:
    """The whole plan for people, with a newline at its end."""
    blocks = [
        "".join(f"{_change(change)}\n" for change in plan.changes),
        "".join(f"  ! {escape(problem)}\n" for problem in plan.problems),
        "".join(f"  note: {escape(note)}\n" for note in plan.notes),
        f"{summary(plan)}\n",
    ]
    return "\n".join(block for block in blocks if block)


def summary(plan: Plan) -> str:
    """``3 to create, 1 to change, 1 to replace, 0 to remove``, or why there is nothing."""
    if not plan.steps:
        return "nothing can be changed before that" if plan.problems else "nothing to change"
    counts = Counter(change.kind for change in plan.changes)
    return ", ".join(f"{counts[kind]} to {kind}" for kind in ChangeKind)


def _change(change: Change) -> str:
    reasons = [*change.reasons]
    if change.kind is ChangeKind.REPLACE and change.impact is Impact.DOWNTIME:
        reasons.append("down for a moment")
    place = ", in place" if change.in_place else ""
    lead = f"{SIGNS[change.kind]} {escape(change.object)}{place}"
    if len(reasons) <= 1:
        return "  ".join([lead, *map(escape, reasons)])
    return "\n".join([lead, *(f"      {escape(reason)}" for reason in reasons)])


# --- by step ------------------------------------------------------------------------------------


def steps(plan: Plan) -> str:
    """One line per step: ``4 start web after 2 3``; empty for an empty plan."""
    names = _generations(plan)
    lines = [f"{step.number} {_words(step, names)}{_reasons(step)}\n" for step in plan.steps]
    lines += [f"problem: {problem}\n" for problem in plan.problems]
    lines += [f"note: {note}\n" for note in plan.notes]
    return escape("".join(lines), keep="\n")


def _words(step: Step, names: Mapping[str, str]) -> str:
    """``create container web@2 after 1``"""
    impact = "" if step.impact is Impact.NONE else f" !{step.impact}"
    after = f" after {' '.join(map(str, step.after))}" if step.after else ""
    tried = f" once tried {' '.join(map(str, step.ended))}" if step.ended else ""
    return f"{verb(step.action)} {step.object}{_detail(step.action, names)}{impact}{after}{tried}"


def _reasons(step: Step) -> str:
    """At the end of the line, or each on a line of its own."""
    if len(step.reasons) < 2:
        return f": {step.reasons[0]}" if step.reasons else ""
    return "".join(f"\n    {reason}" for reason in step.reasons)


def _detail(action: Action, names: Mapping[str, str]) -> str:
    """What tells the step from others of its object."""
    match action:
        case CreateContainer():
            return f"@{action.generation}"
        case Serve():
            return f" by {', '.join(names.get(id, id[:12]) for id in action.ids) or 'nobody'}"
        case AwaitReady():
            listed = ", ".join(str(port.container_port) for port in action.ports)
            return f" on {listed}" if listed else ""
        case AwaitHealthy():
            return f" healthy within {action.timeout:g}s"
        case AwaitCompleted():
            return " done"
        case TagImage() | PushImage():
            return f" as {parse(action.reference).familiar}"
        case StartContainer() | UpdateContainer() | StopContainer() | RemoveContainer():
            return f" {names.get(action.id, action.id[:12])}"
        case _:
            return ""


def _generations(plan: Plan) -> dict[str, str]:
    """``@2`` by id, of the generations that the plan makes."""
    made = (step.action for step in plan.steps if isinstance(step.action, CreateContainer))
    return {container_id(each.key, each.generation): f"@{each.generation}" for each in made}
