"""Many trueups at once: one works on a project, the others wait for it or work on others; whoever
only looks waits for nobody.
"""

import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.conftest import COMMAND
from tests.eventually import eventually
from tests.images.recipes import PAGE
from tests.scenarios.scene import FRONT_PAGE, ending, monitors, owned, processes, residue
from tests.scenarios.stage import NOTHING, Stage

pytestmark = pytest.mark.root

HELLO = """\
project: {project}
containers:
  web: {{image: $busybox, ports: ["{port}:80"], stop_signal: SIGKILL}}
  too: {{image: $busybox, stop_signal: SIGKILL}}
"""
LOOP = """\
project: loop
containers:
  broken:
    image: $busybox
    command: [sh, -c, "exit 1"]
    restart: always
    stop_signal: SIGKILL
  web: {image: $busybox, ports: ["18080:80"], stop_signal: SIGKILL}
"""


def answers(stage: Stage, port: int) -> None:
    eventually(lambda: stage.answer(port) == PAGE)


@contextmanager
def at_work(stage: Stage, *words: str | Path) -> Iterator["subprocess.Popen[str]"]:
    """A trueup that works while the block goes on; what it says is kept."""
    command = [*stage.host.within, str(COMMAND), "--root", str(stage.trueup.root)]
    command += map(str, words)
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, text=True, stdout=pipe, stderr=pipe)
    with process, ending(process):
        yield process


def all_of(stages: list[Stage], *words: str) -> list[tuple[int, str]]:
    """`trueup words SPEC` for every stage at the same time: exit codes and words."""
    with ExitStack() as stack:
        started = [stack.enter_context(at_work(each, *words, each.spec)) for each in stages]
        said = ["".join(process.communicate(timeout=100)) for process in started]
        return [(process.returncode, text) for process, text in zip(started, said, strict=True)]


def test_six_applies_of_one_project(four: Stage) -> None:
    came = all_of([four] * 6, "apply")
    assert [code for code, _ in came] == [0] * 6, came
    worked = [text for _, text in came if re.search(r"four: \d+ changes made", text)]
    assert len(worked) == 1, came
    assert all(NOTHING in text for _, text in came if text not in worked), came
    assert len(processes(four)) == len(monitors(four)) == 4
    eventually(lambda: "visit" in four.answer(18080, path=FRONT_PAGE))


@pytest.mark.slow
def test_four_projects_come_and_go_at_the_same_time(stage: Stage) -> None:
    stages = []
    for number in range(4):
        folder = stage.folder / str(number)
        folder.mkdir()
        one = Stage(trueup=stage.trueup, images=stage.images, folder=folder)
        one.write(HELLO.format(project=f"p{number}", port=18080 + number))
        stages.append(one)
    for _ in range(2):
        came = all_of(stages, "apply")
        assert [code for code, _ in came] == [0] * 4, came
        assert [each.pending() for each in stages] == [""] * 4
        eventually(lambda: all(stage.answer(18080 + number) == PAGE for number in range(4)))
        came = all_of(stages, "down")
        assert [code for code, _ in came] == [0] * 4, came
        assert residue(stage) == ""


@contextmanager
def stopped_apply(stage: Stage) -> Iterator["subprocess.Popen[str]"]:
    """An apply of an edited spec that holds the lock of its project and sleeps (SIGSTOP)."""
    stage.apply()
    stage.edit("mem_limit: 64m", "mem_limit: 48m")
    lock = owned(stage).locks / "project-four.lock"
    with at_work(stage, "apply", stage.spec) as process:
        eventually(lambda: lock.exists() and lock.read_text())
        process.send_signal(signal.SIGSTOP)
        try:
            yield process
        finally:
            process.send_signal(signal.SIGCONT)


def test_who_gives_up_names_the_holder(four: Stage) -> None:
    with stopped_apply(four) as holder:
        began = time.monotonic()
        refused = four.trueup("--lock-timeout", "0.3", "apply", four.spec, code=1)
        assert time.monotonic() - began < 5
        assert "project four is busy" in refused.stderr
        assert f"process {holder.pid} (" in refused.stderr
        assert "apply" in refused.stderr.partition(f"process {holder.pid}")[2]
        holder.send_signal(signal.SIGCONT)
        assert holder.wait(60) == 0
    assert four.pending() == ""


def test_who_only_looks_waits_for_nobody(four: Stage) -> None:
    looks: tuple[tuple[str | Path, ...], ...] = (("status", four.spec), ("ps", "-a"), ("images",))
    with stopped_apply(four) as holder:
        for words in looks:
            four.trueup(*words, timeout=5)
        assert four.trueup("plan", four.spec, code=None, timeout=5).returncode == 2
        holder.send_signal(signal.SIGCONT)
        assert holder.wait(60) == 0


def test_a_lock_dies_with_its_holder_and_no_monitor_inherits_it(four: Stage) -> None:
    with stopped_apply(four) as holder:
        holder.kill()
        holder.wait(10)
    four.trueup("--lock-timeout", "1", "apply", four.spec)
    held = [
        os.readlink(file)
        for pid in (*monitors(four), *(pid for pids in processes(four).values() for pid in pids))
        for file in Path(f"/proc/{pid}/fd").iterdir()
    ]
    assert [name for name in held if "/lock" in name] == []


@pytest.mark.slow
def test_applies_while_a_container_crashes_again_and_again(stage: Stage) -> None:
    stage.write(LOOP)
    assert "it ended with exit code 1" in stage.apply(code=1).stderr
    eventually(lambda: stage.containers()["broken"]["restarts"] >= 3)
    pid = stage.pid("web")
    stage.trueup("plan", stage.spec, code=0)
    for number in range(1, 4):
        stage.edit(f"1808{number - 1}:80", f"1808{number}:80")
        stage.apply()
        answers(stage, 18080 + number)
    stage.edit("    restart: always\n", "    restart: always\n    mem_limit: 32m\n")
    stage.apply()
    assert stage.pid("web") == pid
    restarts = stage.containers()["broken"]["restarts"]
    eventually(lambda: stage.containers()["broken"]["restarts"] > restarts, 20)
    stage.edit('"exit 1"', '"exec sleep 1000"')
    stage.apply()
    assert set(stage.pids()) == {"broken", "web"}
    assert stage.pending() == ""
