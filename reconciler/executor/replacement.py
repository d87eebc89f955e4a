"""Starting a generation for which another one was stopped: one of the two runs in the end."""

from collections.abc import Sequence

from reconciler.plan import Serve, StartContainer, Step, StopContainer
from runtime.api import Runtime
from runtime.errors import Fault


class ReplacementFailed(Fault):
    """A new generation did not start; ``then`` says in words how the one before it stands."""

    def __init__(self, cause: Fault, *, then: str) -> None:
        self.cause, self.then = cause, then
        why = f"{cause.why}; {then}" if cause.why else then
        super().__init__(cause.what, why=why, hint=cause.hint)


def start(action: StartContainer, runtime: Runtime) -> None:
    """Start it, or else its fallback again, to which the service still leads.

    Raises what starting it raises, as `ReplacementFailed` where there is a fallback.
    """
    try:
        runtime.start(action.id)
    except Exception as error:
        if not action.fallback:
            raise
        then = _return(action, runtime)
        if isinstance(error, Fault):
            raise ReplacementFailed(error, then=then) from error
        raise


def _return(action: StartContainer, runtime: Runtime) -> str:
    """Run the fallback; says what came of it."""
    try:
        runtime.stop(action.id)  # the two may not meet; and the stop records that it was tried
        runtime.start(action.fallback)
    except Fault as fault:
        cause = fault.brief
        return f"the old one stays stopped: {cause}"
    return "the old one runs again"


def close(
    done: Sequence[Step], skipped: Sequence[Step], project: str, runtime: Runtime
) -> list[tuple[Step, Fault]]:
    """Let nobody be stopped when a walk ended between a stop and what it was for.

    Who was stopped for a start that never came runs again; what was started in place of another
    is led to. Returns what failed of that, by the step that did not come.
    """
    failed: list[tuple[Step, Fault]] = []
    stopped = {s.action.id for s in done if isinstance(s.action, StopContainer)}
    followers = {
        step.action.id
        for step in done
        if isinstance(step.action, StartContainer) and step.action.fallback in stopped
    }
    missing = {step.action.id for step in skipped if isinstance(step.action, StartContainer)}
    for step in skipped:
        try:
            match step.action:
                case StartContainer(fallback=fallback) if fallback in stopped:
                    runtime.start(fallback)
                case Serve(service=service, ids=ids) if followers & {*ids} and not missing & {*ids}:
                    runtime.serve(project, service, ids)
        except Fault as fault:
            failed.append((step, fault))
    return failed
