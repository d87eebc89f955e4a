"""Who does not outlive its start has failed, though its step went well."""

from collections.abc import Callable

import pytest

from reconciler.executor.aftermath import settle
from reconciler.executor.events import Ended, Outcome, State, StepEvent
from runtime.api import Phase, RestartKind, RestartPolicy
from tests.fake_runtime import FakeRuntime
from tests.reconciler.world import carry_out, plan_for, shop, spec, the

ALWAYS, NO = RestartKind.ALWAYS, RestartKind.NO
FAILURE = RestartKind.ON_FAILURE
HINT = "\n  `trueup logs shop/web` shows what it wrote"
NOW = 1_800_000_000.0

Happening = Callable[[FakeRuntime, str], None]


def _again(phase: Phase, code: int | None) -> Happening:
    return lambda runtime, id: runtime.change(
        id, phase=phase, exit_code=code, restarts=2, started_at=NOW + 1
    )


# What happens after the start under which policy, and what is told of it.
TABLE: dict[str, tuple[Happening, RestartKind, str]] = {
    "it runs": (lambda _runtime, _id: None, NO, ""),
    "its work is done": (lambda runtime, id: runtime.exit(id, 0), NO, ""),
    "its work is done at the first try": (lambda runtime, id: runtime.exit(id, 0), FAILURE, ""),
    "somebody stopped it": (lambda runtime, id: runtime.stop(id, by_hand=True), NO, ""),
    "it ran before": (lambda runtime, id: runtime.change(id, restarts=2), ALWAYS, ""),
    "it fails": (
        lambda runtime, id: runtime.exit(id, 3),
        NO,
        f"web ended with exit code 3 right after its start{HINT}",
    ),
    "a server ends": (
        lambda runtime, id: runtime.exit(id, 0),
        ALWAYS,
        f"web ended with exit code 0 right after its start{HINT}",
    ),
    "it waits for its next start": (
        _again(Phase.RESTARTING, 1),
        ALWAYS,
        f"web does not stay up: it ended with exit code 1; restarts so far: 2{HINT}",
    ),
    "it was started again": (
        _again(Phase.RUNNING, None),
        ALWAYS,
        f"web does not stay up: restarts so far: 2{HINT}",
    ),
}


def settled(
    happening: Happening, kind: RestartKind = NO, ended: Ended = Ended.COMPLETE
) -> tuple[Outcome, list[StepEvent]]:
    desired = shop({"web": spec(restart=RestartPolicy(kind=kind)), "db": spec()})
    runtime, told = FakeRuntime(), list[StepEvent]()
    walked = carry_out(plan_for(desired, runtime), runtime)
    happening(runtime, the(runtime, "web"))
    outcome = Outcome(done=walked.done, failed=walked.failed, ended=ended)
    return settle(outcome, runtime, told.append, since=NOW), told


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reconciler.executor.aftermath.MOMENT", 0.0)


@pytest.mark.parametrize("case", TABLE)
def test_the_table(case: str) -> None:
    happening, kind, expected = TABLE[case]
    outcome, told = settled(happening, kind)
    assert "\n".join(str(fault) for _, fault in outcome.failed) == expected
    assert [event.state for event in told] == [State.FAILED] * bool(expected)
    assert not {step.number for step in outcome.done} & {s.number for s, _ in outcome.failed}


def test_whoever_interrupts_does_not_wait_for_it() -> None:
    outcome, told = settled(lambda runtime, id: runtime.exit(id, 3), ended=Ended.INTERRUPTED)
    assert (outcome.failed, told) == ((), [])


def test_without_a_start_nobody_looks() -> None:
    assert settle(Outcome(), FakeRuntime(), lambda _event: None, since=NOW) == Outcome()
