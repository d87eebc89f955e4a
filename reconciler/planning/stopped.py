"""When a stopped container is a difference: the table of the design, section 3.

It decides from how a generation stopped and from the restart policy that it shall have now.
"""

from dataclasses import dataclass
from enum import StrEnum

from runtime.api import DefectKind, ObservedContainer, Phase, RestartKind, RestartPolicy


class Fortune(StrEnum):
    RUNS = "runs"  # or is between two runs, its restart policy at work
    START = "start"
    COMPLETED = "completed"  # it did its work: in sync until its inputs change
    FAILED = "failed"  # reported, until an explicit apply
    HELD = "held"  # stopped by hand: reported, until an explicit apply


RUNNING = (Phase.RUNNING, Phase.RESTARTING)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What to do with a generation that shall stay, and why, in words."""

    fortune: Fortune
    why: str = ""


def judge(container: ObservedContainer, policy: RestartPolicy, *, explicit: bool) -> Verdict:
    """Whether a whole generation shall be started. ``explicit``: somebody said `apply`."""
    if container.phase in RUNNING:
        # Whoever was killed while he stopped it left it running, but not to be restarted.
        wishes = (defect.cause for defect in container.defects if defect.kind is DefectKind.WISH)
        why = next(wishes, "")
        return Verdict(fortune=Fortune.START if why else Fortune.RUNS, why=why)
    if container.held:
        return _unless(explicit, Fortune.HELD, "it was stopped by hand")
    if container.phase is Phase.CREATED:
        why = "its last start failed" if container.stopped else "it was never started"
        return Verdict(fortune=Fortune.START, why=why)
    if container.stopped:
        return Verdict(fortune=Fortune.START, why="trueup stopped it")
    if container.exit_code == 0 and policy.kind in (RestartKind.NO, RestartKind.ON_FAILURE):
        return Verdict(fortune=Fortune.COMPLETED, why="it ended with exit code 0")
    if policy.kind is RestartKind.NO or _exhausted(container, policy):
        return _unless(explicit, Fortune.FAILED, ending(container))
    return Verdict(fortune=Fortune.START, why=ending(container))


def _unless(explicit: bool, fortune: Fortune, why: str) -> Verdict:
    return Verdict(fortune=Fortune.START if explicit else fortune, why=why)


def _exhausted(container: ObservedContainer, policy: RestartPolicy) -> bool:
    """Whether on-failure has used up its retries."""
    limited = policy.kind is RestartKind.ON_FAILURE and policy.max_retries is not None
    return limited and container.restarts >= (policy.max_retries or 0)


def ending(container: ObservedContainer) -> str:
    """How it ended, in words."""
    if container.oom_killed:
        return "it ran out of memory"
    if container.exit_code is None:
        return "it is gone, exit code unknown"
    return f"it ended with exit code {container.exit_code}"
