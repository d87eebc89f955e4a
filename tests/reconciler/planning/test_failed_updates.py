"""Updates that failed or were interrupted: what the loop leaves, what an apply tries again."""

import random

import pytest

from reconciler.desired import Desired
from runtime.api import ObservedContainer, Phase, VolumeMount
from tests.fake_runtime import FakeRuntime
from tests.fake_world import FakeFault
from tests.reconciler.test_convergence import killed
from tests.reconciler.world import applied, carry_out, plan_for, shop, show, spec, the

NEWER = "docker.io/library/nginx:1.28"
OLD = shop({"web": spec()}, {"web": ("8080:80",)})
NEW = shop({"web": spec(NEWER)}, {"web": ("8080:80",)})
DATA = (VolumeMount(volume="data", target="/data"),)
BEFORE = shop({"web": spec(mounts=DATA)})
AFTER = shop({"web": spec(mounts=DATA, command=("httpx",))})


def test_what_trueup_itself_stopped_is_started_whatever_its_exit_code() -> None:
    for code in (0, 137):
        runtime = applied(OLD)
        runtime.stop(the(runtime, "web"))
        runtime.change(the(runtime, "web"), exit_code=code)
        assert (
            show(OLD, runtime, explicit=False)
            == """\
1 start container web @1: trueup stopped it
"""
        )


def _failed(*, together: bool) -> FakeRuntime:
    """An update that did not start, of generations that may or may not run side by side."""
    old, new = (OLD, NEW) if together else (BEFORE, AFTER)
    runtime = applied(old)
    plan = plan_for(new, runtime)
    runtime.faults["start", "web"] = FakeFault("web does not start")
    carry_out(plan, runtime)
    runtime.faults.clear()
    (first, _) = runtime.containers() if together else _back(runtime)
    assert (first.generation, first.phase) == (1, Phase.RUNNING)
    return runtime


def _back(runtime: FakeRuntime) -> tuple[ObservedContainer, ...]:
    """The fault hit the old generation, too; here it came back."""
    first, second = sorted(runtime.containers(), key=lambda each: each.generation)
    runtime.start(first.id)
    return runtime.generations[first.id], second


def changes(desired: Desired, runtime: FakeRuntime, *, explicit: bool = True) -> str:
    """What people see of the plan."""
    return "".join(
        f"{change.kind} {change.object}: {'; '.join(change.reasons)} !{change.impact}\n"
        for change in plan_for(desired, runtime, explicit=explicit).changes
    )


@pytest.mark.parametrize("together", [True, False])
def test_the_loop_leaves_the_old_one_after_a_failed_update(together: bool) -> None:
    runtime = _failed(together=together)
    assert (
        show(NEW if together else AFTER, runtime, explicit=False)
        == """\
note: the update of web failed: it did not start; `trueup apply` tries again
"""
    )


def test_the_loop_tries_another_spec_after_a_failed_update() -> None:
    again = shop({"web": spec(mounts=DATA, command=("httpd",))})
    assert (
        show(again, _failed(together=False), explicit=False)
        == """\
1 create container web@3: command unset → httpd (shop.yaml:10)
2 stop container web @1 !downtime after 1: both would use volume data
3 start container web @3 after 2
4 serve service web by @3 after 3: it leads elsewhere
5 await container web after 4: it must outlive its start before the old one is removed
6 remove container web @1 after 5: an older generation
7 remove container web @2 after 5: an older generation
"""
    )


def test_an_apply_tries_again_and_says_what_for() -> None:
    runtime = _failed(together=False)
    assert (
        changes(AFTER, runtime) == "replace container web: command unset → httpx (shop.yaml:10); "
        "the last attempt failed; the old one stops first: both would use volume data !downtime\n"
    )
    assert (
        show(AFTER, runtime)
        == """\
1 stop container web @1 !downtime: both would use volume data
2 start container web @2 after 1: the last attempt failed
3 serve service web by @2 after 2: it leads elsewhere
4 await container web after 3: it must outlive its start before the old one is removed
5 remove container web @1 after 4: an older generation
"""
    )
    assert carry_out(plan_for(AFTER, runtime), runtime).succeeded
    assert plan_for(AFTER, runtime).converged


def test_an_apply_says_so_while_the_new_one_does_not_answer() -> None:
    runtime = applied(OLD)
    killed(plan_for(NEW, runtime), runtime, 4, random.Random(0))
    assert (
        changes(NEW, runtime)
        == "replace container web: image nginx:1.27 → nginx:1.28 (shop.yaml:11); "
        "the new one runs and does not answer yet !restart\n"
    )


def test_a_failed_update_that_is_taken_back_only_goes() -> None:
    assert (
        show(BEFORE, _failed(together=False), explicit=False)
        == """\
1 remove container web @2: its update was taken back
"""
    )


def test_a_stopped_generation_whose_update_is_taken_back_is_no_failure() -> None:
    runtime = applied(BEFORE)
    old = the(runtime, "web")
    runtime.create(runtime.containers()[0].key, 2, spec(mounts=DATA, command=("httpx",)))
    runtime.stop(old)
    runtime.change(old, exit_code=137)
    assert changes(BEFORE, runtime) == "change container web: its update was taken back !none\n"
