"""The table of stopped containers, and what an interrupted update leaves."""

import random

import pytest

from reconciler.plan import Impact
from reconciler.planning.stopped import Fortune, judge
from runtime.api import DefectKind, Phase, RestartKind, RestartPolicy
from tests.fake_runtime import FakeRuntime
from tests.reconciler.test_convergence import killed
from tests.reconciler.world import applied, carry_out, plan_for, shop, show, spec, the

NO, ALWAYS = RestartKind.NO, RestartKind.ALWAYS
FAILURE, UNLESS = RestartKind.ON_FAILURE, RestartKind.UNLESS_STOPPED
NEWER = "docker.io/library/nginx:1.28"

# How it ended (None: unknown), its policy, and what the loop and an explicit apply do.
TABLE = {
    "a finished job stays": (0, NO, Fortune.COMPLETED, Fortune.COMPLETED),
    "a job that retries and finished stays": (0, FAILURE, Fortune.COMPLETED, Fortune.COMPLETED),
    "a failed job waits for people": (1, NO, Fortune.FAILED, Fortune.START),
    "a job of unknown end waits for people": (None, NO, Fortune.FAILED, Fortune.START),
    "a server that ended is started": (0, ALWAYS, Fortune.START, Fortune.START),
    "a server that failed is started": (1, ALWAYS, Fortune.START, Fortune.START),
    "a server of unknown end is started": (None, UNLESS, Fortune.START, Fortune.START),
    "a job that retries and failed is started": (1, FAILURE, Fortune.START, Fortune.START),
    "a job that retries and was lost is started": (None, FAILURE, Fortune.START, Fortune.START),
}


@pytest.mark.parametrize("case", TABLE)
def test_the_table(case: str) -> None:
    code, kind, loop, explicit = TABLE[case]
    runtime = applied(shop({"web": spec(restart=RestartPolicy(kind=kind))}))
    runtime.exit(the(runtime, "web"), code)
    (container,) = runtime.containers()
    policy = RestartPolicy(kind=kind)
    assert judge(container, policy, explicit=False).fortune is loop
    assert judge(container, policy, explicit=True).fortune is explicit


def test_what_was_stopped_by_hand_is_held_until_an_apply() -> None:
    desired = shop({"web": spec(restart=RestartPolicy(kind=ALWAYS))})
    runtime = applied(desired)
    runtime.stop(the(runtime, "web"), by_hand=True)
    for kind in RestartKind:
        verdict = judge(runtime.containers()[0], RestartPolicy(kind=kind), explicit=False)
        assert verdict.fortune is Fortune.HELD
    assert (
        show(desired, runtime, explicit=False)
        == """\
note: web is held: it was stopped by hand; `trueup apply` starts it again
"""
    )
    assert (
        show(desired, runtime)
        == """\
1 start container web @1: it was stopped by hand
"""
    )


@pytest.mark.parametrize("explicit", [False, True])
def test_an_unfinished_stop_is_taken_back_and_the_process_runs_on(explicit: bool) -> None:
    desired = shop({"web": spec()})
    runtime = applied(desired)
    (before,) = runtime.containers()
    runtime.damage(before.id, DefectKind.WISH, "a stop of it was not finished")
    made = plan_for(desired, runtime, explicit=explicit)
    assert [step.impact for step in made.steps] == [Impact.NONE]
    assert (
        show(desired, runtime, explicit=explicit)
        == """\
1 start container web @1: a stop of it was not finished
"""
    )
    assert [change.reasons for change in made.changes] == [("a stop of it was not finished",)]
    carry_out(made, runtime)
    (after,) = runtime.containers()
    assert (after.pid, after.defects) == (before.pid, ())
    assert plan_for(desired, runtime, explicit=explicit).steps == ()


def test_used_up_retries_wait_for_people() -> None:
    policy = RestartPolicy(kind=FAILURE, max_retries=3)
    runtime = applied(shop({"web": spec(restart=policy)}))
    runtime.exit(the(runtime, "web"), 1)
    for restarts, fortune in ((2, Fortune.START), (3, Fortune.FAILED)):
        runtime.change(the(runtime, "web"), restarts=restarts)
        assert judge(runtime.containers()[0], policy, explicit=False).fortune is fortune


def test_a_failed_container_is_reported_and_started_by_apply() -> None:
    desired = shop({"web": spec()})
    runtime = applied(desired)
    runtime.change(the(runtime, "web"), oom_killed=True)
    runtime.exit(the(runtime, "web"), 137)
    assert (
        show(desired, runtime, explicit=False)
        == """\
note: web failed: it ran out of memory; `trueup apply` starts it again
"""
    )
    assert (
        show(desired, runtime)
        == """\
1 start container web @1: it ran out of memory
"""
    )


def test_a_finished_job_whose_spec_changed_runs_again() -> None:
    runtime = applied(shop({"job": spec()}))
    runtime.exit(the(runtime, "job"), 0)
    assert (
        show(shop({"job": spec(command=("again",))}), runtime, explicit=False)
        == """\
1 create container job@2: command unset → again
2 start container job @2 after 1
3 serve service job by @2 after 2: it leads elsewhere
4 remove container job @1 after 3: an older generation
"""
    )


def test_a_finished_job_whose_labels_changed_does_not() -> None:
    runtime = applied(shop({"job": spec()}))
    runtime.exit(the(runtime, "job"), 0)
    assert (
        show(shop({"job": spec(labels={"a": "b"})}), runtime)
        == """\
1 update container job @1: label a unset → b
"""
    )


def test_the_loop_does_not_replace_what_was_stopped_by_hand() -> None:
    runtime = applied(shop({"web": spec()}))
    runtime.stop(the(runtime, "web"), by_hand=True)
    changed = shop({"web": spec(NEWER)})
    assert (
        show(changed, runtime, explicit=False)
        == """\
note: web is left as it is: it was stopped by hand, and its spec has changed since
"""
    )
    assert "web@2" in show(changed, runtime)


def test_what_restarts_by_itself_is_left_to_it() -> None:
    desired = shop({"web": spec(restart=RestartPolicy(kind=ALWAYS))})
    runtime = applied(desired)
    runtime.change(the(runtime, "web"), phase=Phase.RESTARTING, exit_code=1, restarts=7)
    assert (
        show(desired, runtime)
        == """\
note: web does not stay up: it ended with exit code 1; restarts so far: 7
"""
    )


def test_after_a_reboot_everything_starts_in_order_once() -> None:
    always = RestartPolicy(kind=ALWAYS)
    desired = shop({"db": spec(restart=always), "web": spec(restart=always, needs=("db",))})
    runtime = applied(desired)
    runtime.reboot()
    assert (
        show(desired, runtime, explicit=False)
        == """\
1 mend the host's network: the router namespace is gone
2 start container db @1 after 1: it is gone, exit code unknown
3 start container web @1 after 2: it is gone, exit code unknown
"""
    )


# --- interrupted updates --------------------------------------------------------------------------

OLD = shop({"web": spec()}, {"web": ("8080:80",)})
NEW = shop({"web": spec(NEWER)}, {"web": ("8080:80",)})


def _interrupted(effects: int) -> FakeRuntime:
    """An update from OLD to NEW by somebody who died after this many effects."""
    runtime = applied(OLD)
    killed(plan_for(NEW, runtime), runtime, effects, random.Random(0))
    return runtime


def test_a_half_made_generation_goes_and_another_comes() -> None:
    assert (
        show(NEW, _interrupted(2))
        == """\
1 remove container web @2: it was only half made
2 create container web@3: image nginx:1.27 → nginx:1.28 (shop.yaml:11)
3 start container web @3 after 2
4 await container web on 80 after 3: port 80 must listen before the old one stops
5 serve service web by @3 after 4: it leads elsewhere
6 stop container web @1 !restart after 5
7 remove container web @1 after 6: an older generation
"""
    )


def test_a_generation_that_was_never_started_takes_over() -> None:
    assert (
        show(NEW, _interrupted(3))
        == """\
1 start container web @2: the last attempt was interrupted
2 await container web on 80 after 1: port 80 must listen before the old one stops
3 serve service web by @2 after 2: it leads elsewhere
4 stop container web @1 !restart after 3
5 remove container web @1 after 4: an older generation
"""
    )


def test_a_generation_that_runs_but_does_not_answer_yet_takes_over() -> None:
    assert (
        show(NEW, _interrupted(4))
        == """\
1 await container web on 80: port 80 must listen before the old one stops
2 serve service web by @2 after 1: it leads elsewhere
3 stop container web @1 !restart after 2
4 remove container web @1 after 3: an older generation
"""
    )


def test_an_old_generation_that_is_left_goes() -> None:
    assert (
        show(NEW, _interrupted(5))
        == """\
1 stop container web @1 !restart
2 remove container web @1 after 1: an older generation
"""
    )
    assert (
        show(NEW, _interrupted(6))
        == """\
1 remove container web @1: an older generation
"""
    )


def test_an_update_that_is_taken_back_leaves_the_old_generation() -> None:
    assert (
        show(OLD, _interrupted(4))
        == """\
1 stop container web @2 !restart
2 remove container web @2 after 1: its update was taken back
"""
    )


def test_an_old_generation_that_was_stopped_for_an_update_taken_back_starts_again() -> None:
    runtime = applied(OLD)
    old = the(runtime, "web")
    runtime.create(runtime.containers()[0].key, 2, spec(user="app"))
    runtime.stop(old)
    assert (
        show(OLD, runtime, explicit=False)
        == """\
1 start container web @1: its update was taken back
2 remove container web @2 after 1: its update was taken back
"""
    )


def test_a_new_generation_that_failed_does_not_take_the_old_one_away() -> None:
    runtime = _interrupted(4)
    runtime.exit(the(runtime, "web"), 1)
    assert (
        show(NEW, runtime, explicit=False)
        == """\
note: the update of web failed: it ended with exit code 1; `trueup apply` tries again
"""
    )
    assert (
        show(NEW, runtime)
        == """\
1 start container web @2: the last attempt failed
2 await container web on 80 after 1: port 80 must listen before the old one stops
3 serve service web by @2 after 2: it leads elsewhere
4 stop container web @1 !restart after 3
5 remove container web @1 after 4: an older generation
"""
    )
