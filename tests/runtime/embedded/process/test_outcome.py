"""How a container ended is known after a reboot, when its bundle is gone."""

import shutil
import signal
from contextlib import suppress

import pytest

from runtime.api import Phase, RestartKind, RestartPolicy
from runtime.embedded.linux import mounts
from runtime.embedded.process.conmon import CommandNotFound
from runtime.embedded.process.identity import kill
from runtime.embedded.process.intent import Want
from runtime.embedded.process.outcome import NAME, Outcome, read, write
from runtime.embedded.process.state import ProcessState, remembered
from runtime.errors import DiskFull
from tests.eventually import eventually
from tests.runtime.embedded.boxes import Box, Boxes, always

pytestmark = pytest.mark.root

ON_FAILURE = RestartPolicy(kind=RestartKind.ON_FAILURE)
ONCE = RestartPolicy(kind=RestartKind.ON_FAILURE, max_retries=1)


def after_reboot(box: Box) -> ProcessState:
    """What is known once the bundle is gone."""
    then = remembered(box.boxes.paths.container(box.id), bundled=True)
    box.discard()
    shutil.rmtree(box.bundle)
    return then


def ended(box: Box) -> None:
    eventually(lambda: box.state().phase is Phase.EXITED and not box.state().monitor)


@pytest.mark.parametrize(
    ("policy", "code", "restarts"),
    [
        (RestartPolicy(), 0, 0),
        (RestartPolicy(), 7, 0),
        (ON_FAILURE, 0, 0),
        (ONCE, 3, 1),
    ],
    ids=["job", "failed job", "job that retries", "retries used up"],
)
def test_an_end_is_remembered(
    boxes: Boxes, policy: RestartPolicy, code: int, restarts: int
) -> None:
    box = boxes.box("sh", "-c", f"exit {code}")
    box.launch(policy)
    ended(box)
    finished = box.state().finished_at or 0.0
    then = after_reboot(box)
    assert (then.phase, then.exit_code, then.restarts) == (Phase.EXITED, code, restarts)
    assert (then.want, then.oom_killed) == (Want.RUN, False)
    assert abs((then.finished_at or 0.0) - finished) < 1.0


def test_a_hand_is_remembered(boxes: Boxes) -> None:
    box = boxes.box("sleep", "100")
    box.launch(always())
    box.stop(signal.SIGKILL, by_hand=True)
    then = after_reboot(box)
    assert (then.phase, then.exit_code, then.held) == (Phase.EXITED, 137, True)


def test_a_hand_on_what_had_ended_before_and_on_what_ended_in_another_boot(boxes: Boxes) -> None:
    box = boxes.box("sh", "-c", "exit 4")
    box.launch()
    ended(box)
    box.stop(by_hand=True)
    assert after_reboot(box).held
    box.bundle.mkdir()
    box.stop()
    then = after_reboot(box)
    assert (then.exit_code, then.want) == (4, Want.STOP)


def test_an_oom_kill_is_remembered(boxes: Boxes) -> None:
    box = boxes.box("true")
    write(boxes.paths.container(box.id), Outcome(want=Want.RUN, code=137, oom=True, finished=5.5))
    then = after_reboot(box)
    assert (then.oom_killed, then.finished_at) == (True, 5.5)


@pytest.mark.parametrize("policy", [RestartPolicy(), always()], ids=str)
def test_what_ran_when_the_power_went_is_lost(boxes: Boxes, policy: RestartPolicy) -> None:
    box = boxes.box("sh", "-c", "[ -e /gone ] && exec sleep 100; touch /gone")
    box.launch(policy)
    if policy.kind is RestartKind.NO:
        ended(box)
        box.launch(policy)
    kept = boxes.paths.container(box.id)
    eventually(lambda: box.state().phase is Phase.RUNNING and read(kept) is None)
    assert after_reboot(box).phase is Phase.LOST


def test_without_a_bundle_in_any_boot_it_was_never_started(boxes: Boxes) -> None:
    box = boxes.box("true")
    kept = boxes.paths.container(box.id)
    assert remembered(kept, bundled=False).phase is Phase.CREATED
    box.stop(by_hand=True)
    then = remembered(kept, bundled=False)
    assert (then.phase, then.held) == (Phase.CREATED, True)


def test_a_launch_that_failed_is_remembered_as_stopped(boxes: Boxes) -> None:
    box = boxes.box("nosuch")
    with pytest.raises(CommandNotFound):
        box.launch(always())
    then = after_reboot(box)
    assert (then.phase, then.stopped, then.exit_code) == (Phase.EXITED, True, None)


def test_a_full_disk_keeps_nothing_from_coming_back_or_being_stopped(boxes: Boxes) -> None:
    box = boxes.box("sleep", "100")
    kept = boxes.paths.container(box.id)
    mounts.mount("tmpfs", str(kept), "tmpfs", 0, "size=64k,nr_inodes=3")
    try:
        init = box.launch(always())
        for number in range(2):
            with suppress(OSError):
                (kept / f"filler{number}").touch()
        kill(init)
        eventually(lambda: box.state().restarts == 1 and box.state().phase is Phase.RUNNING)
        box.stop(signal.SIGKILL)
        with pytest.raises(DiskFull):
            box.stop(by_hand=True)
        box.discard()
        assert read(kept) is None
    finally:
        mounts.unmount(str(kept))


def test_a_torn_file_is_none(boxes: Boxes) -> None:
    kept = boxes.paths.container(boxes.box("true").id)
    (kept / NAME).write_text("want=ru")
    assert read(kept) is None
    (kept / NAME).write_text("")
    assert read(kept) is None
