"""Killed at any moment: what is left is found, cleared, and the next launch works.

The OCI runtime is a script here that starts crun and lets it die where we want.
"""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest

from runtime.api import Phase
from runtime.embedded import cgroups
from runtime.embedded.process import conmon
from runtime.embedded.process.conmon import CreateFailed
from runtime.embedded.process.identity import kill, wait
from runtime.embedded.process.ociruntime import OciRuntime
from runtime.embedded.process.supervise import Supervisor
from runtime.errors import Fault
from tests.runtime.embedded.boxes import Box, Boxes, always, pids_with

pytestmark = pytest.mark.root

KILLED_AFTER = """/usr/bin/crun "$@" & sleep {seconds}; kill -9 $! && exit 1; wait $!"""
KILLED_AT_RENAME = (
    "strace -f -o /dev/null -e trace=rename,renameat,renameat2"
    ' -e inject=rename,renameat,renameat2:signal=SIGKILL:when=1 /usr/bin/crun "$@"'
)
KILLS_CONMON = 'kill -9 $PPID; exec /usr/bin/crun "$@"'
HANGS = "while :; do sleep 0.05; done"


def faulty(boxes: Boxes, create: str) -> Supervisor:
    """A supervisor whose OCI runtime runs ``create`` instead of a create."""
    script = boxes.paths.run / "faulty"
    script.write_text(
        f'#!/bin/sh\ncase " $* " in *" create "*) {create};; *) exec /usr/bin/crun "$@";; esac\n'
    )
    script.chmod(0o755)
    oci = OciRuntime(program=str(script), root=boxes.paths.oci)
    return Supervisor(paths=boxes.paths, oci=oci, layout=boxes.supervisor.layout)


def assert_nothing_runs(boxes: Boxes, box: Box) -> None:
    assert cgroups.processes(boxes.supervisor.layout, box.cgroup) == ()
    assert [p for p in boxes.leftovers() if p.startswith("process")] == []
    assert not (boxes.paths.oci / box.id).exists()


def assert_works(box: Box) -> None:
    init = box.launch(always())
    assert (box.state().phase, box.state().pid) == (Phase.RUNNING, init.pid)
    layout = box.boxes.supervisor.layout
    assert cgroups.processes(layout, box.cgroup) == (init.pid,)
    box.discard()
    assert_nothing_runs(box.boxes, box)


@pytest.mark.slow
@pytest.mark.parametrize("ms", [1, 2, 4, 5, 6, 7, 8, 10, 12, 15])
def test_crun_killed_during_create(boxes: Boxes, ms: int) -> None:
    box = boxes.box("sleep", "100")
    try:
        faulty(boxes, KILLED_AFTER.format(seconds=ms / 1000)).launch(box.id, box.cgroup, always())
    except Fault:
        assert box.state().phase is Phase.CREATED
        assert_nothing_runs(boxes, box)
    assert_works(box)


def test_crun_killed_where_its_own_delete_finds_nothing(
    boxes: Boxes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conmon, "CREATE_TIMEOUT", 1.0)  # strace stays with the orphan
    box = boxes.box("sleep", "100")
    with pytest.raises(CreateFailed):
        faulty(boxes, KILLED_AT_RENAME).launch(box.id, box.cgroup, always())
    assert_nothing_runs(boxes, box)
    assert_works(box)


def test_conmon_killed_during_create(boxes: Boxes) -> None:
    box = boxes.box("sleep", "100")
    with pytest.raises(CreateFailed):
        faulty(boxes, KILLS_CONMON).launch(box.id, box.cgroup, always())
    assert_nothing_runs(boxes, box)
    assert_works(box)


def test_a_runtime_that_hangs(boxes: Boxes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conmon, "CREATE_TIMEOUT", 0.3)
    box = boxes.box("sleep", "100")
    with pytest.raises(CreateFailed, match="no answer"):
        faulty(boxes, HANGS).launch(box.id, box.cgroup, always())
    assert_nothing_runs(boxes, box)
    assert_works(box)


def test_what_waits_to_be_started_does_not_run(
    boxes: Boxes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after our death between create and start: nothing clears up then."""
    box = boxes.box("sleep", "100")

    def died(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(OciRuntime, "start", died)
        patched.setattr(Supervisor, "_clear", lambda *_: None)
        with pytest.raises(KeyboardInterrupt):
            box.launch(always())
    assert boxes.supervisor.oci.init(box.id) is not None
    assert box.state().phase is Phase.CREATED
    assert_works(box)


LAUNCHER = """
import sys
from pathlib import Path
from runtime.api import RestartKind, RestartPolicy
from runtime.embedded import cgroups
from runtime.embedded.paths import Paths
from runtime.embedded.process.ociruntime import OciRuntime
from runtime.embedded.process.supervise import Supervisor
root, id, cgroup, verb = sys.argv[1:]
paths = Paths.below(Path(root))
supervisor = Supervisor(
    paths=paths,
    oci=OciRuntime(program="/usr/bin/crun", root=paths.oci),
    layout=cgroups.detect(),
)
print("go", flush=True)
if verb == "launch":
    supervisor.launch(id, cgroup, RestartPolicy(kind=RestartKind.ALWAYS))
elif verb == "stop":
    supervisor.stop(id, 9, 1.0)
else:
    supervisor.discard(id, cgroup)
"""


def killed(box: Box, verb: str, after: float) -> None:
    """Do ``verb`` in another process and kill that ``after`` seconds."""
    root = str(box.boxes.paths.run.parent)
    argv = [sys.executable, "-c", LAUNCHER, root, box.id, box.cgroup, verb]
    here = str(Path(__file__).parents[4])
    with subprocess.Popen(
        argv, stdout=subprocess.PIPE, cwd=here, env={"PYTHONPATH": here}
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        time.sleep(after)
        child.kill()


@pytest.mark.slow
@pytest.mark.parametrize("ms", range(0, 34, 3))
def test_we_are_killed_during_a_launch(boxes: Boxes, ms: int) -> None:
    box = boxes.box("sleep", "100")
    killed(box, "launch", ms / 1000)
    if ms % 2:
        box.discard()
        assert_nothing_runs(boxes, box)
    assert_works(box)


@pytest.mark.slow
@pytest.mark.parametrize("verb", ["stop", "discard"])
@pytest.mark.parametrize("ms", [0, 1, 2, 3, 5, 8])
def test_we_are_killed_during_an_end(boxes: Boxes, verb: str, ms: int) -> None:
    box = boxes.box("sleep", "100")
    box.launch(always())
    killed(box, verb, ms / 1000)
    box.stop(signal.SIGKILL)
    assert_nothing_runs(boxes, box)
    assert_works(box)


@pytest.mark.slow
@pytest.mark.parametrize("ms", [0, 3, 6, 10, 14, 18, 24, 30, 40])
def test_the_exit_command_is_killed(boxes: Boxes, ms: int) -> None:
    box = boxes.box("sleep", "100")
    init = box.launch(always())
    kill(init)
    wait(init, 5.0)
    time.sleep(ms / 1000)
    for pid in pids_with("on_exit", str(box.bundle)):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    state = msgspec.to_builtins(box.state())
    assert state["phase"] in ("running", "restarting", "exited", "lost"), state
    assert_works_again(box)


def assert_works_again(box: Box) -> None:
    """Like ``assert_works`` for one that may have come back by itself."""
    init = box.launch(always())
    layout = box.boxes.supervisor.layout
    assert cgroups.processes(layout, box.cgroup) == (init.pid,)
    box.discard()
    assert_nothing_runs(box.boxes, box)
