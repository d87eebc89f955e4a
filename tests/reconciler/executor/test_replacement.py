"""A replacement that does not come off leaves somebody running, whenever it fails."""

from reconciler.executor.events import Outcome
from reconciler.executor.replacement import close
from reconciler.executor.steps import perform
from reconciler.plan import CreateContainer, Serve, StartContainer, StopContainer
from runtime.api import Phase, VolumeMount
from tests.fake_runtime import FakeRuntime
from tests.fake_world import FakeFault
from tests.reconciler.world import applied, carry_out, plan_for, shop, spec

DATA = (VolumeMount(volume="data", target="/data"),)
OLD = shop({"web": spec(mounts=DATA)})
NEW = shop({"web": spec(mounts=DATA, command=("httpx",))})


def failing(runtime: FakeRuntime, *, generation: int = 2) -> None:
    """Generations from this one on do not start."""

    def start(id: str) -> None:
        if runtime.generations[id].generation >= generation:
            runtime.change(id, stopped=True)
            raise FakeFault("web does not start", why="no such file: httpx", hint="look for it")
        began(id)

    began = runtime.start
    runtime.start = start  # type: ignore[method-assign]  # a fault of one generation only


def told(outcome: Outcome) -> list[str]:
    return [str(fault) for _, fault in outcome.failed]


def living(runtime: FakeRuntime) -> list[int]:
    return [each.generation for each in runtime.containers() if each.phase is Phase.RUNNING]


def test_the_old_one_runs_and_answers_again_when_the_new_one_does_not_start() -> None:
    runtime = applied(OLD)
    (old,) = runtime.containers()
    failing(runtime)
    outcome = carry_out(plan_for(NEW, runtime), runtime)
    assert told(outcome) == [
        "web does not start: no such file: httpx; the old one runs again\n  look for it"
    ]
    assert living(runtime) == [1]
    assert runtime.services_made["shop", "web"].targets == (old.id,)


def test_it_says_so_when_the_old_one_does_not_come_back_either() -> None:
    runtime = applied(OLD)
    failing(runtime, generation=1)
    outcome = carry_out(plan_for(NEW, runtime), runtime)
    assert told(outcome) == [
        "web does not start: no such file: httpx; the old one stays stopped: "
        "web does not start: no such file: httpx\n  look for it"
    ]
    assert living(runtime) == []


def test_a_run_that_finds_the_old_one_stopped_by_an_earlier_one_brings_it_back_too() -> None:
    runtime = applied(OLD)
    failing(runtime, generation=1)
    carry_out(plan_for(NEW, runtime), runtime)
    del runtime.start
    failing(runtime)
    assert "the old one runs again" in told(carry_out(plan_for(NEW, runtime), runtime))[0]
    assert living(runtime) == [1]


def test_what_was_stopped_by_hand_or_ended_by_itself_is_no_fallback() -> None:
    for by_hand in (True, False):
        runtime = applied(OLD)
        (old,) = runtime.containers()
        if by_hand:
            runtime.stop(old.id, by_hand=True)
        else:
            runtime.exit(old.id, 1)
        plan = plan_for(NEW, runtime)
        starts = [s.action for s in plan.steps if isinstance(s.action, StartContainer)]
        assert [each.fallback for each in starts] == [""]


def test_a_defect_in_starting_brings_the_old_one_back_and_is_told_as_it_is() -> None:
    runtime = applied(OLD)
    began = runtime.start

    def start(id: str) -> None:
        if runtime.generations[id].generation == 2:
            raise ZeroDivisionError("oops")
        began(id)

    runtime.start = start  # type: ignore[method-assign]  # a defect of one generation only
    outcome = carry_out(plan_for(NEW, runtime), runtime)
    assert "ZeroDivisionError: oops" in told(outcome)[0]
    assert living(runtime) == [1]


def test_nothing_stops_for_a_new_one_whose_dependency_does_not_start() -> None:
    runtime = applied(shop({"db": spec(), "web": spec(mounts=DATA)}))
    runtime.faults["start", "db"] = FakeFault("db does not start")
    changed = shop({"db": spec(user="1"), "web": spec(mounts=DATA, user="1", needs=("db",))})
    outcome = carry_out(plan_for(changed, runtime), runtime)
    assert told(outcome) == ["db does not start"]
    running = {each.key.name for each in runtime.containers() if each.phase is Phase.RUNNING}
    assert running == {"db", "web"}


def interrupted(runtime: FakeRuntime, after: type[object]) -> Outcome:
    """The replacement, ended after its step of this kind and closed."""
    plan = plan_for(NEW, runtime)
    last = next(s.number for s in plan.steps if isinstance(s.action, after))
    done = tuple(step for step in plan.steps if step.number <= last)
    for step in done:
        perform(step.action, "shop", runtime, (), lambda _progress: None)
    skipped = plan.steps[last:]
    return Outcome(skipped=skipped, failed=tuple(close(done, skipped, "shop", runtime)))


def test_who_was_stopped_for_a_start_that_never_came_runs_again() -> None:
    runtime = applied(OLD)
    assert interrupted(runtime, StopContainer).failed == ()
    assert living(runtime) == [1]
    assert carry_out(plan_for(NEW, runtime, explicit=False), runtime).succeeded
    assert living(runtime) == [2]


def test_what_was_started_in_place_of_another_answers() -> None:
    runtime = applied(OLD)
    interrupted(runtime, StartContainer)
    assert living(runtime) == [2]
    (new,) = (each for each in runtime.containers() if each.phase is Phase.RUNNING)
    assert runtime.services_made["shop", "web"].targets == (new.id,)


def test_a_whole_replacement_is_left_as_it_is() -> None:
    for after in (CreateContainer, Serve):
        runtime = applied(OLD)
        plan = plan_for(NEW, runtime)
        interrupted(runtime, after)
        assert len(living(runtime)) == 1
        assert carry_out(plan_for(NEW, runtime), runtime).succeeded, plan


def test_who_cannot_run_again_is_told() -> None:
    runtime = applied(OLD)
    failing(runtime, generation=1)
    outcome = interrupted(runtime, StopContainer)
    assert told(outcome) == ["web does not start: no such file: httpx\n  look for it"]
