"""The gate of a new generation: it takes the place of the old one for good once it has shown that
it works. Where it does not, the old one answers again."""

import time

from reconciler.executor.replacement import ReplacementFailed
from reconciler.executor.survival import MOMENT, failure
from reconciler.plan import AwaitHealthy, AwaitReady, Rollback
from runtime.api import ObservedContainer, Report, Runtime
from runtime.errors import Fault


def await_passed(
    action: AwaitReady | AwaitHealthy, project: str, runtime: Runtime, report: Report
) -> None:
    """Wait until it is passed. Raises what waiting raises, as `ReplacementFailed` where there is
    a way back, which is then gone."""
    try:
        _wait(action, runtime, report)
    except Exception as error:
        if action.rollback is None:
            raise
        then = _go_back(action.id, action.rollback, project, runtime)
        if isinstance(error, Fault):
            raise ReplacementFailed(error, then=then) from error
        raise


def _wait(action: AwaitReady | AwaitHealthy, runtime: Runtime, report: Report) -> None:
    if isinstance(action, AwaitHealthy):
        runtime.await_healthy(action.id, action.timeout, report)
        return
    there = _look(action.id, runtime)
    if there is not None and there.healthcheck is not None:
        runtime.await_healthy(action.id, action.healthy_within, report)
    elif action.alone:
        _outlive(action.id, runtime)
    else:
        runtime.await_ready(action.id, action.ports, action.timeout)


def _outlive(id: str, runtime: Runtime) -> None:
    """Nothing tells that it works but that it goes on, or did its work."""
    time.sleep(MOMENT)
    there = _look(id, runtime)
    if there is not None and (fault := failure(there, 0.0)) is not None:
        raise fault


def _look(id: str, runtime: Runtime) -> ObservedContainer | None:
    return next((each for each in runtime.containers() if each.id == id), None)


def _go_back(id: str, back: Rollback, project: str, runtime: Runtime) -> str:
    """Let the old generation answer again; says what came of it."""
    try:
        runtime.stop(id)  # the two may not meet; and the stop records that it was tried
        if back.start:
            runtime.start(back.start)
        if back.service:
            runtime.serve(project, back.service, back.ids)
    except Fault as fault:
        cause = fault.brief
        return f"the old one does not answer again: {cause}"
    return "the old one runs again" if back.start else "the old one goes on answering"
