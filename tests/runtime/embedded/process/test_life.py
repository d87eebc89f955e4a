"""A container's process from launch to removal, on the real kernel."""

import os
import signal
import threading
import time
from pathlib import Path

import pytest

from runtime.api import Phase
from runtime.embedded.bundle import config
from runtime.embedded.process.conmon import CommandNotFound, CommandNotRunnable
from runtime.embedded.process.identity import Identity, alive, boot_id, identify, kill, wait
from runtime.embedded.process.intent import Want
from runtime.errors import Fault
from tests.eventually import eventually
from tests.runtime.embedded.boxes import Box, Boxes, always, make_boxes

pytestmark = pytest.mark.root


@pytest.mark.parametrize("program", ["crun", "runc"])
def test_basic_life(program: str) -> None:
    with make_boxes(program) as boxes:
        box = boxes.box("sh", "-c", "echo hello; exec sleep 100")
        assert box.state().phase is Phase.CREATED
        init = box.launch()
        state = box.state()
        assert (state.phase, state.pid, state.monitor) == (Phase.RUNNING, init.pid, True)
        assert state.started_at is not None
        assert abs(state.started_at - time.time()) < 5
        eventually(lambda: box.text == "hello\n")
        box.stop(signal.SIGTERM, 0.2)
        state = box.state()
        assert (state.phase, state.exit_code, state.want) == (Phase.EXITED, 137, Want.STOP)
        assert (state.pid, state.monitor, state.oom_killed) == (None, False, False)
        box.launch()
        assert box.state().phase is Phase.RUNNING
        box.discard()
        assert boxes.leftovers() == [
            str(f) for f in boxes.supervisor.layout.folders(boxes.paths.cgroup) if f.exists()
        ]


def test_all_verbs_may_be_repeated(boxes: Boxes) -> None:
    box = boxes.box("sleep", "100")
    box.stop()
    box.discard()
    init = box.launch()
    assert box.launch() == init
    box.stop(signal.SIGKILL)
    box.stop(signal.SIGKILL)
    assert box.state().exit_code == 137
    box.discard()
    box.discard()
    assert box.state().phase is Phase.CREATED


@pytest.mark.parametrize("code", [0, 7])
def test_exit_codes(boxes: Boxes, code: int) -> None:
    box = boxes.box("sh", "-c", f"exit {code}")
    box.launch()
    eventually(lambda: box.state().phase is Phase.EXITED)
    state = box.state()
    assert (state.exit_code, state.restarts, state.want) == (code, 0, Want.RUN)
    assert state.finished_at is not None
    assert state.started_at is not None
    assert state.finished_at >= state.started_at


def test_a_program_that_hears_its_signal_ends_by_itself(boxes: Boxes) -> None:
    box = boxes.box("sh", "-c", "trap 'echo bye; exit 3' USR1; while :; do usleep 1000; done")
    box.launch()
    time.sleep(0.1)
    started = time.monotonic()
    box.stop(signal.SIGUSR1, 10.0)
    assert time.monotonic() - started < 2
    assert (box.state().exit_code, box.text) == (3, "bye\n")


def test_a_grace_may_be_longer_than_poll_can_wait(boxes: Boxes) -> None:
    box = boxes.box("sh", "-c", "trap 'exit 5' TERM; echo up; sleep 1000 & wait $!")
    box.launch()
    eventually(lambda: box.text == "up\n")
    box.stop(grace=1e9)
    assert box.state().exit_code == 5


def test_one_that_does_not_is_killed_after_the_grace(boxes: Boxes) -> None:
    box = boxes.box("sh", "-c", "trap '' TERM; while :; do usleep 1000; done")
    box.launch()
    time.sleep(0.1)
    started = time.monotonic()
    box.stop(signal.SIGTERM, 0.3)
    assert 0.3 <= time.monotonic() - started < 2
    assert box.state().exit_code == 137


def test_a_frozen_container_can_be_stopped(boxes: Boxes) -> None:
    box = boxes.box("sleep", "100")
    box.launch()
    freezer = boxes.supervisor.layout.folder("freezer", box.cgroup)
    (freezer / "freezer.state").write_text("FROZEN")
    box.stop(signal.SIGKILL, 5.0)
    assert box.state().exit_code == 137


def test_held(boxes: Boxes) -> None:
    box = boxes.box("sleep", "100")
    box.launch(always())
    box.stop(signal.SIGKILL, by_hand=True)
    assert box.state().held
    assert box.state().phase is Phase.EXITED
    box.launch(always())
    assert not box.state().held


# --- programs that cannot run ---------------------------------------------------------------


@pytest.mark.parametrize("program", ["crun", "runc"])
@pytest.mark.parametrize(
    ("args", "fault", "status", "words"),
    [
        (("nosuch",), CommandNotFound, 127, "nosuch is not in the image"),
        (("/bin/nosuch",), CommandNotFound, 127, "/bin/nosuch is not in the image"),
        (("/etc/plain",), CommandNotRunnable, 126, "ermission denied"),
        (("/etc",), CommandNotRunnable, 126, ""),
    ],
)
def test_programs_that_cannot_run(
    program: str, args: tuple[str, ...], fault: type[Fault], status: int, words: str
) -> None:
    with make_boxes(program) as boxes:
        box = boxes.box(*args)
        (box.bundle / "rootfs/etc/plain").write_text("no program")
        with pytest.raises(fault) as caught:
            box.launch(always())
        assert getattr(caught.value, "status", None) == status
        assert words in str(caught.value)
        assert box.state().phase is Phase.CREATED
        assert [p for p in boxes.leftovers() if p.startswith("process")] == []


def test_a_missing_interpreter_is_no_success(boxes: Boxes) -> None:
    box = boxes.box("/bin/script")
    script = box.bundle / "rootfs/bin/script"
    script.write_text("#!/nosuch\n")
    script.chmod(0o755)
    with pytest.raises(CommandNotRunnable, match="/bin/script"):
        box.launch(always())
    assert box.state().phase is Phase.CREATED
    script.write_text("#!/bin/sh\nexec sleep 100\n")
    box.launch()
    assert box.state().phase is Phase.RUNNING


# --- what dies beside it --------------------------------------------------------------------


def test_conmon_killed_the_container_lives_on(boxes: Boxes) -> None:
    box = boxes.box("sleep", "100")
    init = box.launch(always())
    monitor = int((box.bundle / "conmon.pid").read_text())
    os.kill(monitor, signal.SIGKILL)
    eventually(lambda: not box.state().monitor)
    assert (box.state().phase, box.state().pid) == (Phase.RUNNING, init.pid)
    kill(init)
    eventually(lambda: box.state().phase is Phase.LOST)
    assert box.state().exit_code is None
    box.launch(always())
    assert box.state().phase is Phase.RUNNING


def test_without_a_monitor_it_can_still_be_stopped(boxes: Boxes) -> None:
    box = boxes.box("sleep", "100")
    box.launch()
    os.kill(int((box.bundle / "conmon.pid").read_text()), signal.SIGKILL)
    box.stop(signal.SIGTERM, 0.1)
    state = box.state()
    assert (state.phase, state.exit_code) == (Phase.EXITED, None)


def test_a_stopped_conmon_blocks_nobody(boxes: Boxes) -> None:
    box = boxes.box("sleep", "100")
    init = box.launch()
    os.kill(int((box.bundle / "conmon.pid").read_text()), signal.SIGSTOP)
    kill(init)
    eventually(lambda: not alive(init))
    assert box.state().phase is Phase.LOST
    box.discard()


def test_a_removed_bundle_is_seen_and_discarded(boxes: Boxes) -> None:
    import shutil

    box = boxes.box("sleep", "100")
    init = box.launch()
    shutil.rmtree(box.bundle)
    assert (box.state().phase, box.state().pid) == (Phase.RUNNING, init.pid)
    box.discard()
    eventually(lambda: not alive(init))
    assert not [p for p in boxes.leftovers() if p.startswith("process")]


def test_an_earlier_boots_run_is_no_run(boxes: Boxes) -> None:
    box = boxes.box("sleep", "100")
    box.launch()
    run = box.bundle / "run"
    run.write_text(run.read_text().replace(boot_id(), "0" * 36))
    assert box.state().phase is Phase.LOST


def test_the_exit_code_survives_a_full_exits_folder(boxes: Boxes) -> None:
    from runtime.embedded.linux import mounts

    mounts.mount("tmpfs", str(boxes.paths.exits), "tmpfs", 0, "size=4k,nr_inodes=2")
    (boxes.paths.exits / "filler").write_bytes(b"x" * 4096)
    box = boxes.box("sh", "-c", "exit 5")
    box.launch()
    eventually(lambda: box.state().phase is Phase.EXITED)
    assert box.state().exit_code == 5


# --- many -----------------------------------------------------------------------------------


@pytest.mark.slow
def test_thirty_cycles_leave_nothing(boxes: Boxes) -> None:
    box = boxes.box("sleep", "100")
    for turn in range(30):
        init = box.launch()
        if turn % 3 == 0:
            kill(init)
            wait(init, 5.0)
        box.stop(signal.SIGKILL)
        if turn % 2:
            box.discard()
    box.discard()
    assert not [p for p in boxes.leftovers() if p.startswith("process")]


@pytest.mark.slow
def test_many_at_a_time(boxes: Boxes) -> None:
    several = [boxes.box("sleep", "100") for _ in range(8)]
    failures: list[Exception] = []

    def live(box: Box) -> None:
        try:
            box.launch()
            box.stop(signal.SIGKILL)
            box.launch()
        except Exception as failure:  # noqa: BLE001  (shown below)
            failures.append(failure)

    threads = [threading.Thread(target=live, args=(box,)) for box in several]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert {box.state().phase for box in several} == {Phase.RUNNING}


# --- logs -----------------------------------------------------------------------------------


def test_a_full_log_is_put_aside_at_the_next_start(boxes: Boxes) -> None:
    box = boxes.box("sh", "-c", "echo again; exec sleep 100")
    box.log.write_text("x" * (1 << 20))
    box.launch()
    eventually(lambda: box.text == "again\n")
    assert Path(f"{box.log}.1").stat().st_size == 1 << 20


def test_log_times_are_utc(boxes: Boxes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    box = boxes.box("echo", "now")
    box.launch()
    eventually(lambda: bool(box.text))
    stamp = box.log.read_text().split()[0]
    assert stamp.endswith("+00:00")
    assert stamp[:13] in {
        time.strftime("%Y-%m-%dT%H", time.gmtime(time.time() - lag)) for lag in (0, 60)
    }


# --- identities -----------------------------------------------------------------------------


def test_a_reused_pid_is_nobody_of_ours() -> None:
    me = identify(os.getpid())
    assert me is not None
    assert alive(me)
    assert not alive(Identity(boot=me.boot, pid=me.pid, start=me.start + 1))
    assert not alive(Identity(boot="other", pid=me.pid, start=me.start))
    assert not kill(Identity(boot=me.boot, pid=me.pid, start=me.start + 1), 0)


def test_a_zombie_is_dead() -> None:
    pid = os.posix_spawn("/bin/true", ["true"], {})
    try:
        eventually(lambda: identify(pid) is None)
    finally:
        os.waitpid(pid, 0)


def test_state_is_read_quickly(boxes: Boxes) -> None:
    box = boxes.box("sleep", "100")
    box.launch()
    times = []
    for _ in range(50):
        started = time.perf_counter()
        _ = box.state()
        times.append(time.perf_counter() - started)
    assert sorted(times)[25] < 0.0005


def test_config_is_taken_as_it_is_at_each_launch(boxes: Boxes) -> None:
    box = boxes.box("echo", "one")
    box.launch()
    eventually(lambda: box.state().phase is Phase.EXITED)
    wanted = boxes.wanted(box, box.bundle / "rootfs", ("echo", "two"))
    (box.bundle / "config.json").write_bytes(config.build(wanted))
    box.launch()
    eventually(lambda: box.text == "one\ntwo\n")
