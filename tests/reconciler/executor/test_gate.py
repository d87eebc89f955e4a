"""The way back from a gate, and what is told when it is barred."""

from collections.abc import Sequence

import pytest

from reconciler.executor.aftermath import settle
from reconciler.executor.gate import await_passed
from reconciler.executor.replacement import ReplacementFailed
from reconciler.plan import AwaitHealthy, AwaitReady, Rollback
from runtime.api import Healthcheck, PortSpec, VolumeMount
from tests.fake_runtime import FakeRuntime
from tests.fake_world import FakeFault
from tests.reconciler.world import applied, carry_out, plan_for, shop, spec, the

CHECK = Healthcheck(test=("CMD", "true"))
DATA = (VolumeMount(volume="data", target="/data"),)


def test_a_way_back_that_is_barred_is_told() -> None:
    runtime = applied(shop({"web": spec(healthcheck=CHECK)}))
    runtime.well = lambda _spec: False
    runtime.faults["serve", "web"] = FakeFault("no network", why="it is gone")
    gate = AwaitHealthy(id=the(runtime, "web"), timeout=5, rollback=Rollback(service="web", ids=()))
    with pytest.raises(ReplacementFailed) as told:
        await_passed(gate, "shop", runtime, lambda _progress: None)
    assert told.value.why == (
        "after 5 s; the old one does not answer again: no network: it is gone"
    )


def test_a_defect_leads_back_as_well() -> None:
    runtime = applied(shop({"web": spec()}))

    def broken(id: str, ports: Sequence[PortSpec], timeout: float) -> None:
        raise ZeroDivisionError

    runtime.await_ready = broken  # type: ignore[method-assign]  # a defect of ours
    gate = AwaitReady(
        id=the(runtime, "web"), ports=(), timeout=1, healthy_within=1, rollback=Rollback()
    )
    with pytest.raises(ZeroDivisionError):
        await_passed(gate, "shop", runtime, lambda _progress: None)
    assert runtime.generations[the(runtime, "web")].stopped


def test_what_a_gate_told_is_not_told_again_of_the_start() -> None:
    runtime = applied(shop({"web": spec(healthcheck=CHECK, mounts=DATA)}))
    runtime.well = lambda _spec: False
    after = shop({"web": spec(healthcheck=CHECK, mounts=DATA, user="app")})
    outcome = carry_out(plan_for(after, runtime), runtime)
    settled = settle(outcome, runtime, lambda _event: None, since=0.0)
    assert settled.failed == outcome.failed
    assert len(settled.failed) == 1


def test_no_health_check_and_nothing_to_listen_on_passes() -> None:
    runtime: FakeRuntime = applied(shop({"web": spec()}))
    gate = AwaitReady(id=the(runtime, "web"), ports=(), timeout=1, healthy_within=1, alone=True)
    await_passed(gate, "shop", runtime, lambda _progress: None)
