"""The exit command under bad conditions: an OCI runtime that hangs or fails, trueup moved away."""

import os
import subprocess
import time
from pathlib import Path

import pytest

from runtime.api import Phase, RestartKind, RestartPolicy
from runtime.embedded import boot, cgroups
from runtime.embedded.process import on_exit, strays, supervise
from runtime.embedded.process.identity import Identity, identify, kill
from runtime.embedded.process.ociruntime import OciRuntime
from runtime.embedded.process.run import read_restarter, read_restarts
from runtime.embedded.process.supervise import Supervisor
from tests.eventually import eventually
from tests.runtime.embedded.boxes import Box, Boxes, always, pids_with

pytestmark = pytest.mark.root

TWICE = RestartPolicy(kind=RestartKind.ON_FAILURE, max_retries=2)
REPOSITORY = str(Path(__file__).parents[4])


def launched(boxes: Boxes, create: str, policy: RestartPolicy) -> Box:
    """A container whose OCI runtime runs ``create`` from the second create on, when FLAG is there;
    every create leaves a line in the file ``creates``."""
    script, flag = boxes.paths.run / "faulty", boxes.paths.run / "flag"
    script.write_text(
        '#!/bin/sh\ncase " $* " in *" create "*)\n'
        f"echo create >> {boxes.paths.run}/creates\n"
        f'[ -e {flag} ] && {{ {create}; }};; esac\nexec /usr/bin/crun "$@"\n'
    )
    script.chmod(0o755)
    oci = OciRuntime(program=str(script), root=boxes.paths.oci)
    box = boxes.box("sleep", "100")
    supervisor = Supervisor(paths=boxes.paths, oci=oci, layout=boxes.supervisor.layout)
    init = supervisor.launch(box.id, box.cgroup, policy)
    flag.touch()
    kill(init)
    return box


def creates(boxes: Boxes) -> int:
    return (boxes.paths.run / "creates").read_text().count("create\n")


HANGS = "while :; do sleep 0.05; done"


@pytest.mark.parametrize("verb", ["stop", "discard", "launch"])
def test_a_runtime_that_hangs_in_the_exit_command_blocks_nobody(
    boxes: Boxes, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    monkeypatch.setattr(supervise, "_PATIENCE", 0.3)
    box = launched(boxes, HANGS, always())
    eventually(lambda: creates(boxes) == 2)
    (boxes.paths.run / "flag").unlink()
    started = time.monotonic()
    getattr(box, verb)()
    assert time.monotonic() - started < 3
    if verb == "launch":
        assert box.state().phase is Phase.RUNNING
        box.discard()
    assert [p for p in boxes.leftovers() if p.startswith("process")] == []


def test_while_the_host_goes_down_nothing_comes_back(boxes: Boxes, tmp_path: Path) -> None:
    (copy,) = copies(boxes, box := boxes.box("true"))
    box.discard()
    comm = tmp_path / "comm"
    text = copy.read_text()
    assert 'INIT = "/proc/1/comm"' in text
    copy.write_text(text.replace('"/proc/1/comm"', f'"{comm}"'))
    comm.write_text("systemd-shutdow\n")
    box = launched(boxes, "true", always())
    eventually(lambda: read_restarts(box.bundle).code == 137)
    eventually(lambda: not pids_with(f"{copy}\0{box.bundle}"))
    assert creates(boxes) == 1
    eventually(lambda: box.state().phase is Phase.EXITED)  # once its monitor has ended, too


def test_the_exit_command_itself_gives_up_on_a_runtime_that_hangs(boxes: Boxes) -> None:
    (copy,) = copies(boxes, box := boxes.box("true"))
    box.discard()
    text = copy.read_text()
    assert "CREATE_TIMEOUT, CALL_TIMEOUT = 60.0," in text
    copy.write_text(text.replace("CALL_TIMEOUT = 60.0,", "CALL_TIMEOUT = 0.3,"))
    box = launched(boxes, HANGS, always())
    eventually(lambda: read_restarts(box.bundle).code == on_exit.NOT_STARTED)
    (boxes.paths.run / "flag").unlink()
    eventually(lambda: box.state().phase is Phase.RUNNING)
    eventually(lambda: not pids_with(f"/bin/sh\0{boxes.paths.run}/faulty"))


def test_starts_that_fail_count_as_retries(boxes: Boxes) -> None:
    box = launched(boxes, "exit 1", TWICE)
    eventually(lambda: box.state().phase is Phase.EXITED and read_restarter(box.bundle) is None)
    time.sleep(0.5)
    assert creates(boxes) == 3
    state = box.state()
    assert (state.phase, state.restarts) == (Phase.EXITED, 2)
    assert state.exit_code == on_exit.NOT_STARTED


def copies(boxes: Boxes, box: Box) -> list[Path]:
    box.launch()
    return list(boxes.paths.run.glob("on_exit-*.py"))


def test_nothing_of_ours_is_needed_to_come_back(boxes: Boxes) -> None:
    """So an upgrade, or another place for trueup, takes no restart policy away."""
    box = boxes.box("sleep", "100")
    init = box.launch(always())
    argv = (box.bundle / "argv").read_text().split("\0")
    assert [word for word in argv if word.startswith(REPOSITORY)] == []
    assert "/usr/bin/python3" in argv
    kill(init)
    eventually(lambda: box.state().restarts == 1 and box.state().phase is Phase.RUNNING)


def test_one_copy_serves_all_and_comes_back_after_the_folder_was_emptied(boxes: Boxes) -> None:
    assert len(copies(boxes, boxes.box("true"))) == len(copies(boxes, boxes.box("true"))) == 1
    for copy in copies(boxes, boxes.made[0]):
        copy.unlink()
    assert len(copies(boxes, boxes.box("true"))) == 1


def test_an_exit_command_of_another_version_is_a_stray_of_its_bundle(boxes: Boxes) -> None:
    box = boxes.box("true")
    other = boxes.paths.run / "on_exit-0ld.py"
    other.write_text("import time; time.sleep(100)")
    with subprocess.Popen(["/usr/bin/python3", "-I", "-S", other, box.bundle, "1"]) as process:
        eventually(lambda: [s.pid for s in strays.find(box.bundle)] == [process.pid])
        strays.end(box.bundle, spared=[])
        assert process.wait(5) == -9


# --- looking for strays ---------------------------------------------------------------------


def test_strays_that_do_not_end_are_named(boxes: Boxes, monkeypatch: pytest.MonkeyPatch) -> None:
    me = identify(os.getpid())
    assert me is not None
    monkeypatch.setattr(strays, "LONGEST", 0.05)
    monkeypatch.setattr(strays, "find", lambda _bundle: [me])
    monkeypatch.setattr(strays, "kill", lambda _stray: True)
    monkeypatch.setattr(strays, "wait", lambda _stray, _seconds: time.sleep(0.01))
    with pytest.raises(cgroups.Stuck) as caught:
        strays.end(boxes.paths.run, spared=[])
    assert caught.value.pids == (os.getpid(),)


def test_all_processes_are_looked_through_only_where_something_ran(
    boxes: Boxes, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[Path] = []

    def find(bundle: Path) -> list[Identity]:
        looks.append(bundle)
        return []

    monkeypatch.setattr(strays, "find", find)
    box = boxes.box("sleep", "100")
    box.launch()
    assert looks == []
    box.discard()
    box.discard()
    assert looks != []
    fresh = boxes.box("sleep", "100")
    looks.clear()
    fresh.discard()
    assert looks == []
    boot.note_bundle(boxes.paths, fresh.id)
    (fresh.bundle / "config.json").unlink()
    fresh.discard()
    assert looks != []
