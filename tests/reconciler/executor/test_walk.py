"""Walking a plan: order, failures, interruption, and what is told of it."""

import os
import signal
import threading
import time
from collections.abc import Callable

import pytest

from reconciler.executor.events import Ended, Outcome, State, StepDefect, StepEvent
from reconciler.executor.walk import execute
from reconciler.plan import (
    AwaitCompleted,
    AwaitHealthy,
    Mend,
    Plan,
    PullImage,
    RemoveContainer,
    Step,
    StopContainer,
)
from runtime.api import Condition, Dependency, Healthcheck, VolumeMount
from runtime.errors import Stopped
from tests.fake_runtime import FakeRuntime
from tests.fake_world import FakeFault, Killed
from tests.reconciler.world import NGINX, NoJournal, applied, carry_out, plan_for, shop, spec, the

CHECK = Healthcheck(test=("CMD", "true"))
PAIR = shop({"db": spec(), "web": spec(needs=("db",)), "other": spec()})


class Notes(NoJournal):
    """A journal that remembers what it was told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def begin(self, plan: Plan) -> int:
        self.told.append("begin")
        return 7

    def finished(self, run: int, number: int, error: str) -> None:
        self.told.append(f"{run} {number} {error}".strip())

    def end(self, run: int, outcome: str) -> None:
        self.told.append(f"{run} {outcome}")


def run(
    plan: Plan,
    runtime: FakeRuntime,
    *,
    journal: NoJournal | None = None,
    progress: Callable[[StepEvent], None] = lambda _event: None,
    workers: int = 8,
    timeout: float | None = None,
) -> Outcome:
    return execute(
        plan,
        runtime,
        journal or NoJournal(),
        (),
        progress=progress,
        workers=workers,
        timeout=timeout,
    )


def words(steps: tuple[Step, ...]) -> list[str]:
    return [f"{type(step.action).__name__} {step.object}" for step in steps]


def test_every_step_follows_its_predecessors() -> None:
    plan = plan_for(PAIR, FakeRuntime())
    seen: list[int] = []

    def progress(event: StepEvent) -> None:
        if event.state is State.STARTED:
            assert set(event.step.after) <= set(seen)
        if event.state is State.DONE:
            seen.append(event.step.number)

    assert run(plan, FakeRuntime(), progress=progress).succeeded
    assert sorted(seen) == [step.number for step in plan.steps]


def test_an_empty_plan_touches_nothing() -> None:
    journal = Notes()
    assert run(Plan(project="shop"), FakeRuntime(), journal=journal) == Outcome()
    assert journal.told == []


def test_a_failed_step_stops_what_depends_on_it_and_not_the_rest() -> None:
    runtime, journal = FakeRuntime(), Notes()
    runtime.faults["start", "db"] = FakeFault("db does not start", why="no such file")
    plan = plan_for(PAIR, runtime)
    outcome = run(plan, runtime, journal=journal)
    assert [(step.object, str(fault)) for step, fault in outcome.failed] == [
        ("container db", "db does not start: no such file")
    ]
    assert words(outcome.skipped) == [
        "Serve service db",
        "StartContainer container web",
        "Serve service web",
    ]
    assert "Serve service other" in words(outcome.done)
    assert not outcome.succeeded
    failed = outcome.failed[0][0].number
    assert f"7 {failed} db does not start: no such file" in journal.told
    assert (journal.told[0], journal.told[-1]) == ("begin", "7 complete")


def test_after_a_failure_the_next_plan_goes_on() -> None:
    runtime = FakeRuntime()
    runtime.faults["start", "db"] = FakeFault("db does not start")
    carry_out(plan_for(PAIR, runtime), runtime)
    runtime.faults.clear()
    assert carry_out(plan_for(PAIR, runtime), runtime).succeeded
    assert plan_for(PAIR, runtime).converged


def test_a_new_generation_that_does_not_listen_leaves_the_old_one_serving() -> None:
    old = shop({"web": spec()}, {"web": ("8080:80",)})
    runtime = applied(old)
    runtime.ready = lambda each: each.user is None
    outcome = carry_out(
        plan_for(shop({"web": spec(user="app")}, {"web": ("8080:80",)}), runtime), runtime
    )
    assert [step.object for step, _ in outcome.failed] == ["container web"]
    service = runtime.services_made["shop", "web"]
    assert [runtime.generations[id].generation for id in service.targets] == [1]
    assert carry_out(plan_for(old, runtime), runtime).succeeded
    assert [each.generation for each in runtime.containers()] == [1]


def test_what_a_step_must_not_raise_is_a_defect_and_is_not_lost() -> None:
    class Broken(FakeRuntime):
        def start(self, id: str) -> None:
            raise ZeroDivisionError("seven by nought")

    runtime = Broken()
    outcome = carry_out(plan_for(shop({"web": spec()}), runtime), runtime)
    ((_, fault),) = outcome.failed
    assert isinstance(fault, StepDefect)
    assert "ZeroDivisionError: seven by nought" in str(fault)
    assert "defect of trueup" in fault.hint
    assert "in start" in fault.trace


def test_a_killed_caller_stays_dead() -> None:
    runtime, journal = FakeRuntime(), Notes()
    runtime.kill_at = 3
    with pytest.raises(Killed):
        run(plan_for(PAIR, runtime), runtime, journal=journal)
    assert len(runtime.effects) == 3
    assert "7 complete" not in journal.told


# --- in parallel ----------------------------------------------------------------------------------


class Slow(FakeRuntime):
    """Stops and removals take a while; counts how many at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.now, self.most = {"stop": 0, "remove": 0}, {"stop": 0, "remove": 0}
        self._count = threading.Lock()

    def _slowly(self, verb: str) -> None:
        with self._count:
            self.now[verb] += 1
            self.most[verb] = max(self.most[verb], self.now[verb])
        time.sleep(0.05)
        with self._count:
            self.now[verb] -= 1

    def stop(self, id: str, *, by_hand: bool = False) -> None:
        self._slowly("stop")

    def remove(self, id: str) -> None:
        self._slowly("remove")


def test_what_waits_does_not_take_the_room_of_what_works() -> None:
    stops = [
        Step(number=n, action=StopContainer(id=str(n)), object=f"container {n}")
        for n in range(1, 21)
    ]
    removals = [
        Step(number=n, action=RemoveContainer(id=str(n)), object=f"container {n}")
        for n in range(21, 41)
    ]
    runtime = Slow()
    assert run(Plan(project="shop", steps=(*stops, *removals)), runtime, workers=4).succeeded
    assert (runtime.most["stop"] > 10, runtime.most["remove"] <= 4) == (True, True)


def test_progress_is_told_in_the_callers_thread() -> None:
    events: list[tuple[State, bool]] = []

    def progress(event: StepEvent) -> None:
        events.append((event.state, threading.current_thread() is threading.main_thread()))

    run(plan_for(shop({"web": spec()}), FakeRuntime()), FakeRuntime(), progress=progress)
    assert {state for state, _ in events} == {State.STARTED, State.PROGRESS, State.DONE}
    assert all(ours for _, ours in events)


# --- an early end ---------------------------------------------------------------------------------


def test_after_ctrl_c_what_runs_is_waited_for_and_nothing_new_begins() -> None:
    runtime = FakeRuntime()
    runtime.pause["create network", "default"] = released = threading.Event()

    def progress(event: StepEvent) -> None:
        if (event.step.object, event.state) == ("network default", State.STARTED):
            os.kill(os.getpid(), signal.SIGINT)
            threading.Timer(0.1, released.set).start()

    outcome = run(plan_for(PAIR, runtime), runtime, progress=progress)
    assert outcome.ended is Ended.INTERRUPTED
    assert "CreateNetwork network default" in words(outcome.done)
    assert "Register services db, other, web" in words(outcome.skipped)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert carry_out(plan_for(PAIR, runtime), runtime).succeeded


@pytest.mark.parametrize(
    ("verb", "condition"),
    [("healthy", Condition.HEALTHY), ("completed", Condition.COMPLETED)],
)
def test_after_ctrl_c_nobody_waits_for_what_only_waits(verb: str, condition: Condition) -> None:
    runtime = FakeRuntime()
    runtime.pause[verb, "db"] = released = threading.Event()

    def progress(event: StepEvent) -> None:
        waits = isinstance(event.step.action, AwaitHealthy | AwaitCompleted)
        if waits and event.state is State.STARTED:
            os.kill(os.getpid(), signal.SIGINT)

    needs = (Dependency(name="db", condition=condition),)
    pair = shop({"db": spec(healthcheck=CHECK), "web": spec(depends_on=needs)})
    began = time.monotonic()
    outcome = run(plan_for(pair, runtime), runtime, progress=progress)
    assert time.monotonic() - began < 5
    assert outcome.ended is Ended.INTERRUPTED
    assert "StartContainer container db" in words(outcome.done)
    assert {each.partition(" ")[0] for each in words(outcome.skipped)} >= {
        f"Await{verb.title()}",
        "StartContainer",
    }
    released.set()
    assert carry_out(plan_for(pair, runtime), runtime).succeeded


def pulling(runtime: FakeRuntime, *, stuck: bool) -> Outcome:
    """Of a pair, one image does not come, and Ctrl-C is pressed."""
    runtime.pause["pull", NGINX] = released = threading.Event()
    if not stuck:
        runtime.images.left_off = released
        runtime.faults["pull", NGINX] = Stopped()  # type: ignore[assignment]

    def progress(event: StepEvent) -> None:
        if isinstance(event.step.action, PullImage) and event.state is State.STARTED:
            os.kill(os.getpid(), signal.SIGINT)

    outcome = run(plan_for(PAIR, runtime), runtime, progress=progress)
    assert runtime.images.left_off.is_set()
    released.set()
    return outcome


@pytest.mark.parametrize("stuck", [False, True], ids=["ends", "stuck"])
def test_ctrl_c_ends_pulls_and_leaves_them_undone(stuck: bool) -> None:
    runtime = FakeRuntime()
    outcome = pulling(runtime, stuck=stuck)
    assert (outcome.ended, outcome.failed) == (Ended.INTERRUPTED, ())
    assert "PullImage image nginx:1.27" in words(outcome.skipped)
    runtime.faults.clear()
    assert carry_out(plan_for(PAIR, runtime), runtime).succeeded


def test_a_second_ctrl_c_does_not_wait() -> None:
    def progress(event: StepEvent) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)

    runtime = FakeRuntime()
    with pytest.raises(KeyboardInterrupt):
        run(plan_for(PAIR, runtime), runtime, progress=progress)


def test_after_the_time_is_up_nothing_new_begins() -> None:
    runtime = FakeRuntime()
    runtime.pause["create network", "default"] = released = threading.Event()
    threading.Timer(0.15, released.set).start()
    outcome = run(plan_for(PAIR, runtime), runtime, timeout=0.05)
    assert outcome.ended is Ended.TIMED_OUT
    assert "Register services db, other, web" in words(outcome.skipped)


def test_in_time_is_complete() -> None:
    assert run(plan_for(PAIR, FakeRuntime()), FakeRuntime(), timeout=10.0).ended is Ended.COMPLETE


def test_when_telling_fails_no_thread_is_left() -> None:
    def progress(event: StepEvent) -> None:
        if event.state is State.DONE:
            raise BrokenPipeError

    runtime = Slow()
    steps = tuple(
        Step(number=n, action=StopContainer(id=str(n)), object="container x") for n in range(1, 9)
    )
    with pytest.raises(BrokenPipeError):
        run(Plan(project="shop", steps=steps), runtime, progress=progress)
    assert runtime.now["stop"] == 0


def test_the_host_is_mended_through_the_same_door() -> None:
    runtime = applied(PAIR)
    runtime.break_host("the table is gone")
    step = Step(number=1, action=Mend(), object="the host's network")
    assert run(Plan(project="shop", steps=(step,)), runtime).succeeded
    assert runtime.broken == []


def test_whoever_handles_the_end_hears_of_it_after_the_walk_and_nobody_stays_stopped() -> None:
    data = (VolumeMount(volume="data", target="/data"),)
    runtime = applied(shop({"web": spec(mounts=data)}))
    plan = plan_for(shop({"web": spec(mounts=data, user="app")}), runtime)
    heard: list[list[str]] = []

    def progress(event: StepEvent) -> None:
        if isinstance(event.step.action, StopContainer) and event.state is State.DONE:
            os.kill(os.getpid(), signal.SIGTERM)

    def handler(_signal: int, _frame: object) -> None:
        heard.append([each.phase for each in runtime.containers()])

    before = signal.signal(signal.SIGTERM, handler)
    try:
        outcome = run(plan, runtime, progress=progress)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert (outcome.ended, heard) == (Ended.INTERRUPTED, [["running", "created"]])


def test_a_step_that_may_fail_is_waited_for_and_hinders_nobody() -> None:
    runtime = applied(PAIR)
    runtime.faults["stop", "db"] = FakeFault("db does not stop")
    stop = Step(number=1, action=StopContainer(id=the(runtime, "db")), object="db")
    follower = Step(number=2, action=Mend(), object="follower", after=(1,))
    tolerant = Step(number=3, action=Mend(), object="tolerant", ended=(1, 2))
    plan = Plan(project="shop", steps=(stop, follower, tolerant))
    outcome = carry_out(plan, runtime)
    assert [step.object for step, _ in outcome.failed] == ["db"]
    assert [step.object for step in outcome.skipped] == ["follower"]
    assert [step.object for step in outcome.done] == ["tolerant"]
