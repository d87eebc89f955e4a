"""Restart policies: the rule, and conmon's exit command at work without us."""

import os
import signal
import subprocess
import sys
import time

import pytest

from runtime.api import Phase, RestartKind, RestartPolicy
from runtime.embedded.process import on_exit
from runtime.embedded.process.identity import kill
from runtime.embedded.process.intent import Want, Wish
from runtime.embedded.process.restart import Leave, Restart, decide
from runtime.embedded.process.run import read_restarter, read_restarts, read_run
from tests.eventually import eventually
from tests.runtime.embedded.boxes import Box, Boxes, always

NEVER = RestartPolicy()
ALWAYS = always()
UNLESS_STOPPED = RestartPolicy(kind=RestartKind.UNLESS_STOPPED)
ON_FAILURE = RestartPolicy(kind=RestartKind.ON_FAILURE)
TWICE = RestartPolicy(kind=RestartKind.ON_FAILURE, max_retries=2)


# --- the rule -------------------------------------------------------------------------------

CASES = {
    "no policy": (NEVER, 1, 0, 99.0, 0.0, None),
    "after a healthy run at once": (ALWAYS, 1, 5, 10.0, 60.0, 0.0),
    "after a short run with delay": (ALWAYS, 0, 0, 1.0, 0.0, 0.1),
    "twice the delay": (UNLESS_STOPPED, 0, 3, 9.9, 0.4, 0.8),
    "a minute at most": (ALWAYS, 1, 50, 1.0, 51.2, 60.0),
    "a failure": (ON_FAILURE, 1, 0, 1.0, 0.0, 0.1),
    "no failure": (ON_FAILURE, 0, 0, 1.0, 0.0, None),
    "as often as allowed": (TWICE, 1, 1, 1.0, 0.1, 0.2),
    "often enough": (TWICE, 1, 2, 1.0, 0.2, None),
}


@pytest.mark.parametrize(
    ("policy", "code", "restarts", "ran", "last", "expected"), CASES.values(), ids=CASES
)
def test_rule(
    policy: RestartPolicy,
    code: int,
    restarts: int,
    ran: float,
    last: float,
    expected: float | None,
) -> None:
    decision = decide(Wish(restart=policy), code, restarts=restarts, ran_for=ran, last_delay=last)
    assert decision == (Leave() if expected is None else Restart(after=expected))


@pytest.mark.parametrize("want", [Want.STOP, Want.HELD])
def test_what_was_stopped_stays_so(want: Want) -> None:
    decision = decide(Wish(want=want, restart=ALWAYS), 1, restarts=0, ran_for=1.0)
    assert decision == Leave()


# --- the exit command -----------------------------------------------------------------------


def runs(box: Box) -> int:
    return box.text.count("up\n")


def until_runs(box: Box, count: int) -> float:
    return eventually(lambda: runs(box) >= count, step=0.002)


@pytest.mark.root
def test_a_killed_container_comes_back(boxes: Boxes) -> None:
    box = boxes.box("sh", "-c", "echo up; exec sleep 100")
    first = box.launch(ALWAYS)
    eventually(lambda: runs(box) == 1)
    kill(first)
    eventually(lambda: box.state().phase is Phase.RESTARTING, step=0.0005)
    eventually(lambda: box.state().phase is Phase.RUNNING)
    state = box.state()
    assert state.restarts == 1
    assert state.pid not in (None, first.pid)
    assert state.monitor
    eventually(lambda: runs(box) == 2)
    assert read_restarter(box.bundle) is None
    os.kill(state.pid or 0, signal.SIGKILL)
    eventually(lambda: box.state().restarts == 2)


@pytest.mark.root
def test_the_delay_doubles(boxes: Boxes) -> None:
    box = boxes.box("sh", "-c", "echo up")
    box.launch(ALWAYS)
    took = [until_runs(box, count) for count in range(2, 6)]
    for measured, expected in zip(took, (0.1, 0.2, 0.4, 0.8), strict=True):
        assert expected * 0.8 < measured < expected + 0.4
    box.stop()
    assert box.state().phase is Phase.EXITED


@pytest.mark.root
def test_on_failure_gives_up(boxes: Boxes) -> None:
    box = boxes.box("sh", "-c", "echo up; exit 3")
    box.launch(TWICE)
    eventually(lambda: box.state().phase is Phase.EXITED)
    time.sleep(0.3)
    state = box.state()
    assert (state.phase, state.exit_code, state.restarts) == (Phase.EXITED, 3, 2)
    assert runs(box) == 3


@pytest.mark.root
@pytest.mark.parametrize("policy", [NEVER, ON_FAILURE], ids=str)
def test_a_success_stays(boxes: Boxes, policy: RestartPolicy) -> None:
    box = boxes.box("sh", "-c", "echo up")
    box.launch(policy)
    time.sleep(0.4)
    state = box.state()
    assert (state.phase, state.exit_code, runs(box)) == (Phase.EXITED, 0, 1)


@pytest.mark.root
def test_a_stop_ends_the_waiting(boxes: Boxes) -> None:
    box = boxes.box("sh", "-c", "echo up; exit 1")
    box.launch(ALWAYS)
    eventually(lambda: box.state().restarts >= 3)
    eventually(lambda: box.state().phase is Phase.RESTARTING)
    started = time.monotonic()
    box.stop()
    assert time.monotonic() - started < 0.3
    before = runs(box)
    assert (box.state().phase, box.state().exit_code) == (Phase.EXITED, 1)
    time.sleep(1.0)
    assert runs(box) == before


@pytest.mark.root
def test_a_launch_ends_the_waiting(boxes: Boxes) -> None:
    box = boxes.box("sh", "-c", "echo up; [ -e /go ] || exit 1; exec sleep 100")
    box.launch(ALWAYS)
    eventually(lambda: box.state().restarts >= 3)
    eventually(lambda: box.state().phase is Phase.RESTARTING)
    (box.bundle / "rootfs/go").touch()
    init = box.launch(ALWAYS)
    time.sleep(1.2)
    state = box.state()
    assert (state.phase, state.pid, state.restarts) == (Phase.RUNNING, init.pid, 0)


@pytest.mark.root
def test_another_policy_counts_at_once(boxes: Boxes) -> None:
    box = boxes.box("sh", "-c", "echo up; exit 1")
    box.launch(ALWAYS)
    eventually(lambda: box.state().restarts >= 2)
    boxes.supervisor.change(box.id, NEVER)
    eventually(lambda: box.state().phase is Phase.EXITED)
    before = runs(box)
    time.sleep(1.0)
    assert runs(box) == before


@pytest.mark.root
def test_a_policy_given_later(boxes: Boxes) -> None:
    box = boxes.box("sh", "-c", "echo up; exec sleep 100")
    init = box.launch(NEVER)
    boxes.supervisor.change(box.id, ALWAYS)
    assert box.state().pid == init.pid
    kill(init)
    eventually(lambda: box.state().restarts == 1)


def exit_command(box: Box, incarnation: int) -> None:
    """As conmon calls it, at a moment of our choice."""
    argv = [sys.executable, "-I", "-S", on_exit.__file__, str(box.bundle), str(incarnation)]
    stale = {"_OCI_SYNCPIPE": "77", "_OCI_STARTPIPE": "78"}
    subprocess.run(argv, check=True, env=stale, timeout=10, cwd=box.bundle)


@pytest.mark.root
def test_beside_a_running_container_the_exit_command_does_nothing(boxes: Boxes) -> None:
    box = boxes.box("sh", "-c", "echo up; exec sleep 100")
    init = box.launch(ALWAYS)
    exit_command(box, 1)
    (boxes.paths.exits / box.id).write_text("1")  # even if there were an exit file
    exit_command(box, 1)
    (boxes.paths.exits / box.id).unlink()
    assert (box.state().pid, box.state().restarts) == (init.pid, 0)


@pytest.mark.root
def test_an_earlier_incarnations_exit_command_does_nothing(boxes: Boxes) -> None:
    box = boxes.box("sh", "-c", "echo up; exec sleep 100")
    kill(box.launch(NEVER))
    eventually(lambda: box.state().phase is Phase.EXITED and not box.state().monitor)
    boxes.supervisor.change(box.id, ALWAYS)
    exit_command(box, 7)
    assert box.state().phase is Phase.EXITED
    exit_command(box, 1)  # the current one's would
    assert (box.state().phase, box.state().restarts) == (Phase.RUNNING, 1)


@pytest.mark.root
def test_without_an_exit_file_the_exit_command_does_nothing(boxes: Boxes) -> None:
    box = boxes.box("sleep", "100")
    init = box.launch(ALWAYS)
    os.kill(int((box.bundle / "conmon.pid").read_text()), signal.SIGKILL)
    kill(init)
    eventually(lambda: box.state().phase is Phase.LOST)
    exit_command(box, 1)
    assert box.state().phase is Phase.LOST


@pytest.mark.root
def test_a_start_that_fails_is_tried_again(boxes: Boxes) -> None:
    box = boxes.box("sh", "-c", "echo up; exec sleep 100")
    first = box.launch(ALWAYS)
    eventually(lambda: runs(box) == 1)
    shell = box.bundle / "rootfs/bin/busybox"
    shell.rename(box.bundle / "aside")
    kill(first)
    eventually(lambda: read_restarts(box.bundle).code == on_exit.NOT_STARTED)
    eventually(lambda: box.state().phase is Phase.RESTARTING)
    (box.bundle / "aside").rename(shell)
    eventually(lambda: box.state().phase is Phase.RUNNING)
    assert runs(box) == 2


@pytest.mark.root
def test_the_exit_command_leaves_no_oom_score(boxes: Boxes) -> None:
    box = boxes.box("sh", "-c", "echo up; cat /proc/self/oom_score_adj; exec sleep 100")
    first = box.launch(ALWAYS)
    eventually(lambda: box.text == "up\n0\n")
    kill(first)
    eventually(lambda: box.text == "up\n0\nup\n0\n")


@pytest.mark.root
def test_restarts_make_no_chain_of_monitors(boxes: Boxes) -> None:
    box = boxes.box("sh", "-c", "echo up")
    box.launch(ALWAYS)
    eventually(lambda: box.state().restarts >= 4)
    eventually(lambda: box.state().phase is Phase.RESTARTING)

    def monitors() -> list[str]:
        return [each for each in boxes.leftovers() if each.startswith("process")]

    # conmon, its exit command, perhaps a conmon that just ends; a chain would have four of each.
    eventually(lambda: len(monitors()) <= 3)


@pytest.mark.root
@pytest.mark.slow
def test_the_way_back_is_short(boxes: Boxes) -> None:
    """From the kill to the successor's first line, without the delay; as a rule 35 to 60 ms,
    half of them the kernel's for control groups of version 1."""
    box = boxes.box("sh", "-c", "echo up; exec sleep 100")
    box.launch(ALWAYS)
    eventually(lambda: runs(box) == 1)
    times = [restarted(box, turn) for turn in (2, 3, 4)]
    assert sorted(times)[1] < 0.15


def restarted(box: Box, expected: int) -> float:
    """Kill it, wait for its ``expected``-th run, return the seconds beyond the delay."""
    run = read_run(box.bundle)
    assert run is not None
    kill(run.init)
    took = eventually(lambda: runs(box) >= expected, step=0.0005)
    eventually(lambda: read_run(box.bundle) != run)
    return took - read_restarts(box.bundle).delay
