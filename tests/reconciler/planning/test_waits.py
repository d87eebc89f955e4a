"""Conditions of depends_on: who waits for whose start, health or end."""

from typing import Any

import msgspec
import pytest

from reconciler.desired import Desired
from reconciler.planning import plan
from runtime.api import (
    Condition,
    ContainerSpec,
    Dependency,
    Health,
    Healthcheck,
    HealthStatus,
    Phase,
    RestartKind,
    RestartPolicy,
    VolumeMount,
)
from tests.fake_runtime import FakeRuntime
from tests.fake_world import FakeFault
from tests.reconciler.world import (
    applied,
    carry_out,
    events,
    named,
    newest,
    plan_for,
    shop,
    show,
    spec,
    the,
)

CHECK = Healthcheck(test=("CMD", "true"), interval=5, timeout=1, retries=2)
HEALTHY = Dependency(name="db", condition=Condition.HEALTHY)
DONE = Dependency(name="db", condition=Condition.COMPLETED)
DATA = (VolumeMount(volume="data", target="/data"),)


def pair(dependency: Dependency, db: ContainerSpec | None = None, **web: Any) -> Desired:
    """``web``, which needs ``db`` as the dependency says."""
    needing = msgspec.structs.replace(spec(**web), depends_on=(dependency,))
    return shop({"db": db or spec(healthcheck=CHECK), "web": needing})


def well(runtime: FakeRuntime, status: HealthStatus) -> None:
    runtime.change(the(runtime, "db"), health=Health(status=status))


def steps_of(desired: Desired, runtime: FakeRuntime, **how: Any) -> list[str]:
    """The waits and starts of a plan."""
    found = named(plan_for(desired, runtime, **how), runtime)
    kept = ("await", "start", "note", "problem")
    lines = (line.partition(" ")[2] if line[0].isdigit() else line for line in found.splitlines())
    return [line for line in lines if line.startswith(kept)]


def test_health_is_waited_for_before_whoever_needs_it_starts() -> None:
    runtime = FakeRuntime()
    desired = pair(HEALTHY)
    assert steps_of(desired, runtime) == [
        "start container db @1 after 4 5",
        "await container db healthy within 60s after 7: web needs it healthy",
        "start container web @1 after 6 8 9",
    ]
    assert carry_out(plan_for(desired, runtime), runtime).succeeded
    assert plan_for(desired, runtime).converged


def test_the_wait_is_as_long_as_the_checks_may_take() -> None:
    slow = msgspec.structs.replace(CHECK, interval=60, timeout=10, start_period=30)
    (wait,) = (
        s for s in steps_of(pair(HEALTHY, spec(healthcheck=slow)), FakeRuntime()) if "await" in s
    )
    assert "within 240s" in wait


def test_who_is_healthy_is_not_waited_for() -> None:
    runtime = applied(pair(HEALTHY))
    well(runtime, HealthStatus.HEALTHY)
    changed = pair(HEALTHY, user="app")
    assert not any("container db" in line for line in steps_of(changed, runtime))


def test_two_wait_once() -> None:
    one = msgspec.structs.replace(spec(), depends_on=(HEALTHY,))
    desired = shop({"a": one, "b": one, "db": spec(healthcheck=CHECK)})
    waits = [line for line in steps_of(desired, FakeRuntime()) if line.startswith("await")]
    assert [line.partition(": ")[2] for line in waits] == ["a and b needs it healthy"]


def test_one_that_the_plan_leaves_out_is_waited_for_as_well() -> None:
    runtime = applied(pair(HEALTHY))
    well(runtime, HealthStatus.STARTING)
    changed = pair(HEALTHY, user="app")
    found = plan(changed, runtime.observe(changed.query()), explicit=True, only=frozenset({"web"}))
    (wait,) = (line for line in named(found, runtime).splitlines() if "needs it healthy" in line)
    assert "await container db healthy within" in wait


def test_nobody_starts_before_an_unhealthy_one() -> None:
    runtime = FakeRuntime()
    runtime.well = lambda _spec: False
    outcome = carry_out(plan_for(pair(HEALTHY), runtime), runtime)
    assert [str(fault) for _, fault in outcome.failed] == ["db is unhealthy: after 60 s"]
    assert newest(runtime, "web", 1).phase is Phase.CREATED


def test_unhealthy_alone_is_a_note() -> None:
    runtime = applied(pair(HEALTHY))
    well(runtime, HealthStatus.UNHEALTHY)
    assert show(pair(HEALTHY), runtime) == "note: db is unhealthy\n"


NO_CHECK = (
    "web (shop.yaml:10) waits for db to be healthy, and db has no health check; give it a"
    " `healthcheck:`, or write `condition: service_started`"
)


@pytest.mark.parametrize("check", [Healthcheck(test=("NONE",)), None])
def test_one_without_a_health_check_is_never_healthy(check: Healthcheck | None) -> None:
    db = spec(healthcheck=check)
    runtime = applied(shop({"db": db}))
    assert plan_for(pair(HEALTHY, db), runtime).problems == (NO_CHECK,)
    optional = msgspec.structs.replace(HEALTHY, required=False)
    assert plan_for(pair(optional, db), runtime).problems == ()
    assert carry_out(plan_for(pair(optional, db), runtime), runtime).succeeded


def test_an_image_may_bring_the_health_check() -> None:
    runtime = FakeRuntime()
    runtime.checks[spec().image] = CHECK
    assert carry_out(plan_for(pair(HEALTHY, spec()), runtime), runtime).succeeded
    runtime = FakeRuntime()
    outcome = carry_out(plan_for(pair(HEALTHY, spec()), runtime), runtime)
    assert [str(fault) for _, fault in outcome.failed] == ["db has no health check"]


# --- jobs -------------------------------------------------------------------------------------


def test_a_job_is_done_once_and_its_dependants_follow() -> None:
    desired, runtime = pair(DONE, spec()), FakeRuntime()
    assert steps_of(desired, runtime) == [
        "start container db @1 after 4 5",
        "await container db done after 7: web needs it done",
        "start container web @1 after 6 8 9",
    ]
    assert carry_out(plan_for(desired, runtime), runtime).succeeded
    assert plan_for(desired, runtime).converged
    runtime.reboot()
    carry_out(plan_for(desired, runtime, explicit=False), runtime)
    assert newest(runtime, "db", 1).exit_code == 0


def test_a_job_whose_inputs_changed_is_done_anew_and_waited_for() -> None:
    runtime = applied(pair(DONE, spec()))
    changed = pair(DONE, spec(command=("migrate", "2")))
    assert "await container db done after 2: web needs it done" in steps_of(changed, runtime)
    assert carry_out(plan_for(changed, runtime), runtime).succeeded
    assert (newest(runtime, "db", 1).generation, newest(runtime, "db", 1).exit_code) == (2, 0)
    assert plan_for(changed, runtime).converged


def test_a_job_that_still_runs_is_no_change() -> None:
    runtime = applied(pair(DONE, spec()))
    runtime.change(the(runtime, "db"), phase=Phase.RUNNING, exit_code=None)
    assert plan_for(pair(DONE, spec()), runtime).converged


def test_a_job_that_fails_holds_back_who_needs_it_until_somebody_applies() -> None:
    desired, runtime = pair(DONE, spec()), FakeRuntime()
    runtime.ends = lambda _spec: 3
    outcome = carry_out(plan_for(desired, runtime), runtime)
    assert [str(fault) for _, fault in outcome.failed] == ["db ended with exit code 3"]
    assert (
        show(desired, runtime, explicit=False)
        == """\
note: db failed: it ended with exit code 3; `trueup apply` starts it again
note: web is not started: db does not run: it ended with exit code 3; `trueup apply` tries again
"""
    )
    runtime.ends = lambda _spec: 0
    assert carry_out(plan_for(desired, runtime), runtime).succeeded
    assert plan_for(desired, runtime, explicit=False).converged


# --- what need not be, and what restarts together -------------------------------------------------


@pytest.mark.parametrize("verb", ["start", "healthy"])
def test_what_is_not_required_is_tried_first_and_does_not_hinder(verb: str) -> None:
    runtime = FakeRuntime()
    desired = pair(msgspec.structs.replace(HEALTHY, required=False))
    assert steps_of(desired, runtime)[-1] == "start container web @1 after 4 6 once tried 8 9"
    runtime.faults[verb, "db"] = FakeFault("db is not well")
    outcome = carry_out(plan_for(desired, runtime), runtime)
    assert [str(fault) for _, fault in outcome.failed] == ["db is not well"]
    assert newest(runtime, "web", 1).phase is Phase.RUNNING


def test_who_restarts_with_another_gets_a_new_generation_with_it() -> None:
    together = Dependency(name="db", restart=True)
    runtime = applied(pair(together, spec(mounts=DATA)))
    changed = pair(together, spec(mounts=DATA, user="1"))
    (_, change) = plan_for(changed, runtime).changes
    assert (change.object, change.reasons) == (
        "container web",
        ("it restarts with db, which is new",),
    )
    assert carry_out(plan_for(changed, runtime), runtime).succeeded
    assert newest(runtime, "web", 1).generation == 2
    assert plan_for(changed, runtime).converged


def test_who_does_not_restart_with_it_is_left() -> None:
    runtime = applied(pair(Dependency(name="db"), spec()))
    done = events(plan_for(pair(Dependency(name="db"), spec(user="1")), runtime), runtime)
    assert not any("web" in each for each in done)


def test_a_container_held_by_hand_holds_back_who_needs_it_healthy() -> None:
    policy = RestartPolicy(kind=RestartKind.ALWAYS)
    desired = pair(HEALTHY, spec(healthcheck=CHECK, restart=policy), restart=policy)
    runtime = applied(desired)
    runtime.stop(the(runtime, "db"), by_hand=True)
    runtime.exit(the(runtime, "web"), 1)
    assert (
        show(desired, runtime, explicit=False)
        == """\
note: db is held: it was stopped by hand; `trueup apply` starts it again
note: web is not started: db does not run: it was stopped by hand; `trueup apply` tries again
"""
    )
