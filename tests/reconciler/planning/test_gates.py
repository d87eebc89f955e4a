"""What a new generation must show, and what becomes of it and of the old one when it does not."""

from typing import Any

import pytest

from reconciler.desired import Desired
from reconciler.plan import AwaitReady
from runtime.api import (
    Attachment,
    Device,
    Healthcheck,
    OnFailure,
    Phase,
    UpdateOrder,
    UpdatePolicy,
    VolumeMount,
)
from tests.fake_runtime import FakeRuntime
from tests.reconciler.world import applied, carry_out, newest, plan_for, shop, show, spec, the

PORTS = {"web": ("8080:80",)}
CHECK = Healthcheck(test=("CMD", "true"))
DATA = (VolumeMount(volume="data", target="/data"),)


def web(**fields: Any) -> Desired:
    return shop({"web": spec(**fields)}, PORTS)


def standing(runtime: FakeRuntime) -> tuple[list[tuple[int, str]], list[int]]:
    """The generations with their phases, and those that answer."""
    there = sorted(runtime.containers(), key=lambda each: each.generation)
    served = runtime.services_made["shop", "web"].targets
    return (
        [(each.generation, each.phase) for each in there],
        [each.generation for each in there if each.id in served],
    )


def test_health_counts_instead_of_ports() -> None:
    runtime = applied(web(healthcheck=CHECK))
    after = web(healthcheck=CHECK, user="app", update=UpdatePolicy(healthy_within=5))
    assert (
        "await container web healthy within 5s after 2: it must be healthy before the old one stops"
        in show(after, runtime)
    )


def test_ports_may_be_those_of_who_lives_in_its_network() -> None:
    """Who starts only afterwards: to insist on them would be to wait in vain."""
    side = spec(network_mode="service:web", networks=())
    runtime = applied(shop({"web": spec(), "side": side}, PORTS))
    told = show(shop({"web": spec(user="app"), "side": side}, PORTS), runtime)
    assert "await container web after 3: it must listen where the old one does" in told


def test_the_health_check_of_an_image_counts_too() -> None:
    runtime = applied(web())
    runtime.checks[spec().image] = CHECK
    runtime.well = lambda made: made.user != "app"
    outcome = carry_out(plan_for(web(user="app"), runtime), runtime)
    assert [str(fault) for _, fault in outcome.failed] == [
        "web is unhealthy: after 60 s; the old one goes on answering"
    ]
    assert standing(runtime) == ([(1, Phase.RUNNING), (2, Phase.EXITED)], [1])


@pytest.mark.parametrize("failing", [OnFailure.ROLLBACK, OnFailure.PAUSE])
@pytest.mark.parametrize("mounts", [(), DATA])
def test_an_update_that_is_not_healthy(failing: OnFailure, mounts: tuple[VolumeMount, ...]) -> None:
    """Beside the old one or after it: a rollback leaves the old one answering."""
    before: dict[str, Any] = {
        "healthcheck": CHECK,
        "mounts": mounts,
        "update": UpdatePolicy(on_failure=failing),
    }
    runtime = applied(web(**before))
    after = web(user="app", **before)
    runtime.well = lambda made: made.user != "app"
    outcome = carry_out(plan_for(after, runtime), runtime)
    (told,) = (str(fault) for _, fault in outcome.failed)
    old = Phase.EXITED if mounts and failing is OnFailure.PAUSE else Phase.RUNNING
    new = Phase.RUNNING if failing is OnFailure.PAUSE else Phase.EXITED
    served = 2 if mounts and failing is OnFailure.PAUSE else 1
    assert standing(runtime) == ([(1, old), (2, new)], [served])
    ending = {
        (OnFailure.ROLLBACK, False): "; the old one goes on answering",
        (OnFailure.ROLLBACK, True): "; the old one runs again",
    }.get((failing, bool(mounts)), "")
    assert told == f"web is unhealthy: after 60 s{ending}"


@pytest.mark.parametrize("mounts", [(), DATA])
def test_the_loop_leaves_a_rollback_and_an_apply_tries_again(
    mounts: tuple[VolumeMount, ...],
) -> None:
    runtime = applied(web(healthcheck=CHECK, mounts=mounts))
    after = web(healthcheck=CHECK, mounts=mounts, user="app")
    runtime.well = lambda made: made.user != "app"
    carry_out(plan_for(after, runtime), runtime)
    assert plan_for(after, runtime, explicit=False).notes == (
        "the update of web failed: it did not show that it works; `trueup apply` tries again",
    )
    assert plan_for(after, runtime, explicit=False).converged
    runtime.well = lambda _made: True
    assert carry_out(plan_for(after, runtime), runtime).succeeded
    assert standing(runtime) == ([(2, Phase.RUNNING)], [2])
    assert plan_for(after, runtime).converged


def test_one_that_dies_at_once_after_the_old_one_stopped_leads_back() -> None:
    runtime = applied(web(mounts=DATA))
    began = runtime.start

    def start(id: str) -> None:
        began(id)
        if runtime.generations[id].generation == 2:
            runtime.exit(id, 3)

    runtime.start = start  # type: ignore[method-assign]  # a program that does not stay
    outcome = carry_out(plan_for(web(mounts=DATA, user="app"), runtime), runtime)
    (told,) = (fault for _, fault in outcome.failed)
    assert (told.what, told.why) == (
        "web ended with exit code 3 right after its start",
        "the old one runs again",
    )
    assert standing(runtime) == ([(1, Phase.RUNNING), (2, Phase.EXITED)], [1])


def test_a_job_that_is_done_at_once_has_outlived_its_start() -> None:
    runtime = applied(web(mounts=DATA))
    began = runtime.start

    def start(id: str) -> None:
        began(id)
        runtime.exit(id, 0)

    runtime.start = start  # type: ignore[method-assign]  # a job
    assert carry_out(plan_for(web(mounts=DATA, user="app"), runtime), runtime).succeeded
    assert standing(runtime) == ([(2, Phase.EXITED)], [2])


def test_a_run_that_finds_the_old_one_stopped_goes_back_too() -> None:
    runtime = applied(web(mounts=DATA))
    runtime.create(newest(runtime, "web", 1).key, 2, spec(mounts=DATA, user="app"))
    runtime.stop(next(each.id for each in runtime.containers() if each.generation == 1))
    plan = plan_for(web(mounts=DATA, user="app"), runtime)
    (gate,) = (step.action for step in plan.steps if isinstance(step.action, AwaitReady))
    assert gate.rollback is not None
    assert gate.rollback.start == gate.rollback.ids[0] != ""


# --- order ------------------------------------------------------------------------------------

# What two generations have in common, and how it reads.
EXCLUSIVE: dict[str, tuple[dict[str, Any], str]] = {
    "a volume": ({"mounts": DATA}, "volume data"),
    "an address": (
        {"networks": (Attachment(network="default", ipv4_address="10.0.0.5"),)},
        "the address 10.0.0.5",
    ),
    "a device": ({"devices": (Device(source="/dev/a", target="/dev/a"),)}, "the device /dev/a"),
    "the host's network": (
        {"network_mode": "host", "networks": ()},
        "the network namespace of the host",
    ),
    "the host's processes": ({"pid": "host"}, "the pid namespace of the host"),
}


@pytest.mark.parametrize("case", EXCLUSIVE)
def test_what_only_one_can_have_is_handed_over(case: str) -> None:
    fields, what = EXCLUSIVE[case]
    runtime = applied(shop({"web": spec(**fields)}))
    after = shop({"web": spec(user="app", **fields)})
    assert f"!downtime after 1: both would use {what}\n" in show(after, runtime)
    forced = UpdatePolicy(order=UpdateOrder.START_FIRST)
    refused = shop({"web": spec(user="app", update=forced, **fields)})
    assert plan_for(refused, runtime).problems == (
        f"web (shop.yaml:10): `order: start-first` is not possible, old and new would use {what};"
        " leave the order out, or stop-first",
    )
    assert plan_for(refused, applied(refused)).converged


def test_stop_first_is_obeyed() -> None:
    runtime = applied(web())
    policy = UpdatePolicy(order=UpdateOrder.STOP_FIRST)
    assert "2 stop container web @1 !downtime after 1: update.order says so" in show(
        web(user="app", update=policy), runtime
    )


def test_start_first_is_obeyed() -> None:
    runtime = applied(web())
    policy = UpdatePolicy(order=UpdateOrder.START_FIRST)
    assert "stop container web @1 !restart" in show(web(user="app", update=policy), runtime)


# --- namespaces of others ---------------------------------------------------------------------

SIDE = spec(network_mode="service:web", networks=())


def lodging(**fields: Any) -> Desired:
    return shop({"side": SIDE, "web": spec(**fields)})


@pytest.mark.parametrize("mounts", [(), DATA])
def test_who_lives_in_namespaces_of_another_goes_and_comes_with_it(
    mounts: tuple[VolumeMount, ...],
) -> None:
    runtime = applied(lodging(mounts=mounts))
    after = lodging(mounts=mounts, user="app")
    before = len(runtime.effects)
    assert carry_out(plan_for(after, runtime), runtime).succeeded
    done = runtime.effects[before:]
    assert done.index("stop side@1") < done.index("stop web@1")
    assert done.index("create web@2") < done.index("create side@2")
    assert done.index("start web@2") < done.index("start side@2")
    assert newest(runtime, "side", 1).shares == {"web": the(runtime, "web")}
    assert plan_for(after, runtime).converged


def test_nobody_stops_before_it_is_known_that_successors_can_be_made() -> None:
    plan = plan_for(lodging(mounts=DATA, user="app"), applied(lodging(mounts=DATA)))
    numbers = {(step.action.__struct_config__.tag, step.object): step for step in plan.steps}
    stop = numbers["stop", "container side"]
    assert numbers["create", "container side"].number in stop.after


def test_a_change_of_the_lodger_does_not_touch_its_host() -> None:
    runtime = applied(lodging())
    changed = shop({"side": spec(user="1", network_mode="service:web", networks=()), "web": spec()})
    touched = {step.object for step in plan_for(changed, runtime).steps}
    assert touched == {"container side", "service side"}


def test_who_lives_with_one_that_is_left_alone_is_left_alone_too() -> None:
    """In the loop a running container whose record is gone is for people to decide about."""
    desired = shop({"side": SIDE, "web": spec()}, replicas={"web": 2})
    runtime = applied(desired)
    runtime.change(the(runtime, "web"), applied=None)
    touched = {step.object for step in plan_for(desired, runtime, explicit=False).steps}
    assert "container side" not in touched
