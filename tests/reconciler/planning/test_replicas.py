"""Replicas: more of them, fewer of them, replaced in waves, and who of them answers."""

import pytest

from reconciler.views.plan import render
from runtime.api import (
    Health,
    Healthcheck,
    HealthStatus,
    Phase,
    RestartKind,
    RestartPolicy,
    UpdatePolicy,
)
from tests.fake_runtime import FakeRuntime
from tests.fake_world import FakeFault
from tests.reconciler.world import (
    applied,
    carry_out,
    events,
    newest,
    plan_for,
    shop,
    show,
    spec,
)

PORTS = {"web": ("8080:80",)}
CHECK = Healthcheck(test=("CMD", "true"))


ONE = shop({"web": spec()}, PORTS)
THREE = shop({"web": spec()}, PORTS, replicas={"web": 3})


def targets(runtime: FakeRuntime) -> set[str]:
    """The generations that answer, as ``2@1``: the second replica's first."""
    served = runtime.services_made["shop", "web"].targets
    there = (runtime.generations[id] for id in served)
    return {f"{each.key.replica}@{each.generation}" for each in there}


def test_further_ones_join_without_touching_the_first() -> None:
    runtime = applied(ONE)
    assert (
        show(THREE, runtime)
        == """\
1 create container web.2@1
2 create container web.3@1
3 start container web.2 @1 after 1: replicas 1 → 3 (shop.yaml:10)
4 start container web.3 @1 after 2: replicas 1 → 3 (shop.yaml:10)
5 await container web.2 on 80 after 3: port 80 must listen before clients are led to it, too
6 await container web.3 on 80 after 4: port 80 must listen before clients are led to it, too
7 serve service web by @1, @1, @1 after 5 6: it leads elsewhere
"""
    )
    assert (
        render(plan_for(THREE, runtime))
        == """\
  + container web.2  replicas 1 → 3 (shop.yaml:10)
  + container web.3  replicas 1 → 3 (shop.yaml:10)

2 to create, 0 to change, 0 to replace, 0 to remove
"""
    )
    carry_out(plan_for(THREE, runtime), runtime)
    assert targets(runtime) == {"1@1", "2@1", "3@1"}
    assert plan_for(THREE, runtime).converged


def test_clients_are_led_away_before_the_surplus_stops() -> None:
    runtime = applied(THREE)
    assert events(plan_for(ONE, runtime), runtime)[:3] == ["serve web", "stop web@1", "stop web@1"]
    assert targets(runtime) == {"1@1"}
    assert plan_for(ONE, runtime).converged


def test_they_are_replaced_one_after_the_other() -> None:
    runtime = applied(shop({"web": spec()}, PORTS, replicas={"web": 2}))
    after = shop({"web": spec(user="app")}, PORTS, replicas={"web": 2})
    assert (
        show(after, runtime)
        == """\
1 create container web@2: user unset → app (shop.yaml:10)
2 create container web.2@2: user unset → app (shop.yaml:10)
3 start container web @2 after 1
4 await container web on 80 after 3: port 80 must listen before the old one stops
5 serve service web by @2, @1 after 4: it leads elsewhere
6 stop container web @1 !restart after 5
7 start container web.2 @2 after 2 6
8 await container web.2 on 80 after 7: port 80 must listen before the old one stops
9 serve service web by @2, @2 after 8: it leads elsewhere
10 stop container web.2 @1 !restart after 9
11 remove container web @1 after 6: an older generation
12 remove container web.2 @1 after 10: an older generation
"""
    )


@pytest.mark.parametrize(("at_a_time", "waves"), [(1, 3), (2, 2), (0, 1), (5, 1)])
def test_so_many_at_a_time(at_a_time: int, waves: int) -> None:
    runtime = applied(THREE)
    policy = UpdatePolicy(parallelism=at_a_time)
    after = shop({"web": spec(user="app", update=policy)}, PORTS, replicas={"web": 3})
    assert events(plan_for(after, runtime), runtime).count("serve web") == waves
    assert targets(runtime) == {"1@2", "2@2", "3@2"}
    assert plan_for(after, runtime).converged


def test_a_wave_that_fails_is_the_last_and_the_loop_leaves_the_rest_alone() -> None:
    runtime = applied(THREE)
    after = shop({"web": spec(user="app")}, PORTS, replicas={"web": 3})
    runtime.ready = lambda made: made.user != "app"
    outcome = carry_out(plan_for(after, runtime), runtime)
    (told,) = (str(fault) for _, fault in outcome.failed)
    assert told == "web does not listen: after 10 s; the old one goes on answering"
    assert targets(runtime) == {"1@1", "2@1", "3@1"}
    assert newest(runtime, "web", 1).phase is Phase.EXITED
    assert (
        show(after, runtime, explicit=False)
        == "note: the update of web failed: it did not show that it works;"
        " `trueup apply` tries again\n"
    )
    runtime.ready = lambda _made: True
    assert carry_out(plan_for(after, runtime), runtime).succeeded
    assert targets(runtime) == {"1@2", "2@2", "3@2"}


def test_a_spec_that_goes_back_removes_what_was_begun() -> None:
    runtime = applied(THREE)
    runtime.ready = lambda made: made.user != "app"
    carry_out(
        plan_for(shop({"web": spec(user="app")}, PORTS, replicas={"web": 3}), runtime), runtime
    )
    assert carry_out(plan_for(THREE, runtime, explicit=False), runtime).succeeded
    assert plan_for(THREE, runtime, explicit=False).converged
    assert len(runtime.containers()) == 3


# --- who answers ------------------------------------------------------------------------------


def unwell(runtime: FakeRuntime, replica: int, status: HealthStatus | None) -> None:
    health = None if status is None else Health(status=status, output="no\nconnection refused\n")
    runtime.change(newest(runtime, "web", replica).id, health=health)


WELL = shop({"web": spec(healthcheck=CHECK)}, PORTS, replicas={"web": 2})


def test_who_is_unhealthy_is_taken_out_and_comes_back() -> None:
    runtime = applied(WELL)
    unwell(runtime, 2, HealthStatus.UNHEALTHY)
    assert (
        show(WELL, runtime, explicit=False)
        == """\
1 serve service web by @1: web.2 is unhealthy
note: web.2 is unhealthy: connection refused
"""
    )
    assert "  ~ container web.2, in place  its service: web.2 is unhealthy\n" in render(
        plan_for(WELL, runtime, explicit=False)
    )
    carry_out(plan_for(WELL, runtime, explicit=False), runtime)
    assert plan_for(WELL, runtime, explicit=False).converged
    unwell(runtime, 2, HealthStatus.HEALTHY)
    carry_out(plan_for(WELL, runtime, explicit=False), runtime)
    assert targets(runtime) == {"1@1", "2@1"}


def test_when_nobody_is_well_all_answer() -> None:
    runtime = applied(WELL)
    for replica in (1, 2):
        unwell(runtime, replica, HealthStatus.UNHEALTHY)
    assert plan_for(WELL, runtime, explicit=False).converged


def test_the_loop_lets_one_join_once_it_is_well_and_an_apply_waits_for_that() -> None:
    runtime = applied(WELL)
    unwell(runtime, 2, HealthStatus.UNHEALTHY)
    carry_out(plan_for(WELL, runtime, explicit=False), runtime)
    unwell(runtime, 2, HealthStatus.STARTING)
    assert plan_for(WELL, runtime, explicit=False).converged
    assert (
        show(WELL, runtime)
        == """\
1 await container web.2 healthy within 60s: it must be healthy before clients are led to it, too
2 serve service web by @1, @1 after 1: it leads elsewhere
"""
    )


def test_who_died_is_taken_out_and_comes_back_with_its_restart() -> None:
    again = RestartPolicy(kind=RestartKind.ALWAYS)
    desired = shop({"web": spec(restart=again)}, PORTS, replicas={"web": 2})
    runtime = applied(desired)
    runtime.change(newest(runtime, "web", 2).id, phase=Phase.RESTARTING, exit_code=1)
    carry_out(plan_for(desired, runtime, explicit=False), runtime)
    assert targets(runtime) == {"1@1"}
    runtime.change(newest(runtime, "web", 2).id, phase=Phase.RUNNING)
    carry_out(plan_for(desired, runtime, explicit=False), runtime)
    assert targets(runtime) == {"1@1", "2@1"}


def test_who_failed_for_good_is_taken_out() -> None:
    desired = shop({"web": spec()}, PORTS, replicas={"web": 2})
    runtime = applied(desired)
    runtime.exit(newest(runtime, "web", 2).id, 3)
    assert (
        show(desired, runtime, explicit=False)
        == """\
1 serve service web by @1: web.2 does not run
note: web.2 failed: it ended with exit code 3; `trueup apply` starts it again
"""
    )


def test_a_start_that_fails_leaves_the_others_as_they_are() -> None:
    runtime = applied(ONE)
    runtime.faults["start", "web"] = FakeFault("web does not start")
    assert not carry_out(plan_for(THREE, runtime), runtime).succeeded
    assert targets(runtime) == {"1@1"}
