"""Whether a container outlives its start.

A step that starts one has succeeded once its program runs. That a program ends at once, as with a
broken configuration, shows a moment later; without that look it would count as a success.
"""

from reconciler.planning.stopped import RUNNING, Fortune, ending, judge
from runtime.api import ObservedContainer, Phase, RestartPolicy
from runtime.errors import Fault

MOMENT = 0.15  # seconds; who lives longer may still fail, but nobody would wait for that


class EndedAtOnce(Fault):
    """A container ended right after its start."""

    def __init__(self, container: ObservedContainer) -> None:
        self.name = str(container.key)
        super().__init__(
            f"{container.key.name} {_ending(container)} right after its start",
            hint=f"`trueup logs {container.key}` shows what it wrote",
        )


class KeepsEnding(Fault):
    """A container ended right after its start, and its restart policy starts it again."""

    def __init__(self, container: ObservedContainer) -> None:
        self.name, self.restarts = str(container.key), container.restarts
        ended = "" if container.phase is Phase.RUNNING else f"{ending(container)}; "
        super().__init__(
            f"{container.key.name} does not stay up",
            why=f"{ended}restarts so far: {container.restarts}",
            hint=f"`trueup logs {container.key}` shows what it wrote",
        )


def _ending(container: ObservedContainer) -> str:
    """How it ended, as what its name says of itself: ``ended with exit code 3``."""
    return ending(container).removeprefix("it ")


def failure(container: ObservedContainer, since: float) -> Fault | None:
    """Why its start, not before ``since`` (seconds since the epoch), counts as failed; None for
    what runs, has done its work, or was stopped by hand."""
    if container.phase in RUNNING:
        # One that ran already was only told to go on; its restarts are of another time.
        new = (container.started_at or 0.0) >= since
        again = container.phase is Phase.RESTARTING or (new and container.restarts)
        return KeepsEnding(container) if again else None
    policy = container.applied.restart if container.applied else RestartPolicy()
    fortune = judge(container, policy, explicit=False).fortune
    return EndedAtOnce(container) if fortune in (Fortune.FAILED, Fortune.START) else None
