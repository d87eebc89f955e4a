"""What became of containers right after their start: see `survival`."""

import time
from collections.abc import Callable, Mapping
from dataclasses import replace

from reconciler.executor.events import Ended, Outcome, State, StepEvent
from reconciler.executor.survival import MOMENT, failure
from reconciler.plan import AwaitCompleted, AwaitHealthy, AwaitReady, StartContainer, Step
from runtime.api import ObservedContainer, Phase, Runtime


def settle(
    outcome: Outcome, runtime: Runtime, tell: Callable[[StepEvent], None], *, since: float
) -> Outcome:
    """The outcome with the containers among the failures that did not outlive their start, which
    was not before ``since``, in seconds since the epoch.

    It takes `MOMENT` seconds, and none where nothing was started or nothing runs any more. Whose
    failure was seen while it was waited for is not told again.
    """
    told = {
        step.action.id
        for step, _ in outcome.failed
        if isinstance(step.action, AwaitReady | AwaitHealthy | AwaitCompleted)
    }
    started = {
        step.action.id: step
        for step in outcome.done
        if isinstance(step.action, StartContainer) and step.action.id not in told
    }
    if not started or outcome.ended is Ended.INTERRUPTED:
        return outcome
    if any(each.phase is Phase.RUNNING for each in _look(runtime, started)):
        time.sleep(MOMENT)
    failed = tuple(
        (started[each.id], fault)
        for each in _look(runtime, started)
        if (fault := failure(each, since)) is not None
    )
    for step, fault in failed:
        tell(StepEvent(step=step, state=State.FAILED, fault=fault))
    lost = {step.number for step, _ in failed}
    done = tuple(step for step in outcome.done if step.number not in lost)
    return replace(outcome, done=done, failed=(*outcome.failed, *failed))


def _look(runtime: Runtime, started: Mapping[str, Step]) -> list[ObservedContainer]:
    return [each for each in runtime.containers() if each.id in started]
