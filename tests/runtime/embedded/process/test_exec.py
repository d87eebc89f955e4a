"""Further processes in a container: exit codes, stdio, limits, signals."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from runtime import programs
from runtime.api import Limits, Stdio
from runtime.embedded import cgroups
from runtime.embedded.process import exec as execs
from runtime.embedded.process.exec import ExecFailed, Further
from runtime.embedded.process.ociruntime import OciRuntime
from tests.eventually import eventually
from tests.runtime.embedded.boxes import Box, Boxes, make_boxes

pytestmark = pytest.mark.root


@pytest.fixture
def box(boxes: Boxes) -> Box:
    """A container that runs and has 32 processes and 64 MiB at most."""
    box = boxes.box("sleep", "1000", limits=Limits(pids_limit=32, mem_limit=64 << 20))
    box.launch()
    return box


def further(box: Box, *args: str, **changes: Any) -> Further:
    process = json.loads((box.bundle / "config.json").read_text())["process"]
    text = json.dumps({**process, "args": args, **changes}).encode()
    return Further(oci=box.boxes.supervisor.oci, id=box.id, command=args[0], process=text)


def ran(wanted: Further, stdin: bytes | None = None) -> tuple[int, bytes, bytes]:
    """Exit code, stdout and stderr of a command."""
    out, err = os.memfd_create("out"), os.memfd_create("err")
    given = None
    if stdin is not None:
        given, ours = os.pipe()
        os.write(ours, stdin)
        os.close(ours)
    try:
        code = execs.run(wanted, Stdio(stdin=given, stdout=out, stderr=err))
        return code, os.pread(out, 1 << 20, 0), os.pread(err, 1 << 20, 0)
    finally:
        for fd in (out, err, given):
            if fd is not None:
                os.close(fd)


@pytest.mark.parametrize(
    ("args", "code"),
    [
        (["true"], 0),
        (["sh", "-c", "exit 255"], 255),
        (["sh", "-c", "exit 126"], 126),
        (["sh", "-c", "kill -9 $$"], 137),
        (["sh", "-c", "kill -15 $$"], 143),
    ],
)
def test_the_exit_code_is_the_commands(box: Box, args: Sequence[str], code: int) -> None:
    assert ran(further(box, *args))[0] == code


@pytest.mark.parametrize("program", ["crun", "runc"])
def test_what_cannot_be_started_has_a_shells_code(program: str) -> None:
    with make_boxes(program) as boxes:
        box = boxes.box("sleep", "1000")
        (box.bundle / "rootfs/bin/data").write_text("no program")
        box.launch()
        for args, code in ((["nothing"], 127), (["/tmp"], 126), (["/bin/data"], 126)):
            with pytest.raises(ExecFailed) as failed:
                ran(further(box, *args))
            assert (args, failed.value.exit_code) == (args, code)
        with pytest.raises(ExecFailed, match="/nowhere"):
            ran(further(box, "true", cwd="/nowhere"))


def test_streams_are_the_callers(box: Box) -> None:
    script = "cat; echo bad >&2; exit 3"
    assert ran(further(box, "sh", "-c", script), b"data\0\xff") == (3, b"data\0\xff", b"bad\n")
    assert ran(further(box, "cat")) == (0, b"", b"")


def test_it_is_held_by_the_containers_limits(box: Box) -> None:
    _, groups, _ = ran(further(box, "cat", "/proc/self/cgroup"))
    lines = groups.decode().splitlines()
    assert {line.rpartition(":")[2] for line in lines} == {f"/{box.cgroup}"}
    many = "for n in $(seq 40); do sleep 5 & done; wait"
    code, _, said = ran(further(box, "sh", "-c", f"{many}"))
    assert (code, b"can't fork" in said) == (2, True)
    eat = "head -c 200m /dev/zero | grep -c x"  # grep keeps the line, which has no end
    assert ran(further(box, "sh", "-c", eat))[0] != 0


def test_it_has_no_descriptor_but_three(box: Box) -> None:
    """Neither what it was told by nor what we have open."""
    extra = os.open("/", os.O_RDONLY)
    os.set_inheritable(extra, True)
    try:
        _, listed, _ = ran(further(box, "sh", "-c", "ls /proc/self/fd"))
    finally:
        os.close(extra)
    assert listed.split() == [b"0", b"1", b"2", b"3"], "3 is the folder that ls reads"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1])
def test_signals_reach_the_command(box: Box, number: signal.Signals) -> None:
    script = f"trap 'exit 42' {number.value}; echo ready; while :; do usleep 10000; done"

    def send() -> None:
        eventually(lambda: len(cgroups.processes(box.boxes.supervisor.layout, box.cgroup)) > 2)
        time.sleep(0.2)
        os.kill(os.getpid(), number)

    before = signal.getsignal(number)
    thread = threading.Thread(target=send)
    thread.start()
    assert ran(further(box, "sh", "-c", script)) == (42, b"ready\n", b"")
    thread.join()
    assert signal.getsignal(number) == before


def test_a_command_that_nobody_waits_for_goes_on(box: Box) -> None:
    began = time.monotonic()
    execs.start(further(box, "sh", "-c", "usleep 300000; echo done >/tmp/it; sleep 1000"))
    assert time.monotonic() - began < 0.3
    eventually((box.bundle / "rootfs/tmp/it").exists)
    with pytest.raises(ExecFailed):
        execs.start(further(box, "nothing"))


@contextmanager
def calling(box: Box, script: str) -> Iterator[subprocess.Popen[bytes]]:
    """Another process of ours that runs a command; nothing of it stays."""
    code = (
        "import sys; from pathlib import Path; from runtime.api import Stdio\n"
        "from runtime.embedded.process.exec import Further, run\n"
        "from runtime.embedded.process.ociruntime import OciRuntime\n"
        "program, root, id, process = sys.argv[1:]\n"
        "oci = OciRuntime(program=program, root=Path(root))\n"
        "what = Further(oci=oci, id=id, command='', process=process.encode())\n"
        "sys.exit(run(what, Stdio(stdin=None, stdout=1, stderr=2)))"
    )
    oci: OciRuntime = box.boxes.supervisor.oci
    process = further(box, "sh", "-c", script).process.decode()
    words = [sys.executable, "-c", code, programs.find(oci.program), str(oci.root), box.id, process]
    caller = subprocess.Popen(words, stdout=subprocess.PIPE)
    try:
        yield caller
    finally:
        caller.kill()
        caller.communicate()


def test_a_killed_caller_leaves_the_command_and_no_file(box: Box) -> None:
    before = sorted(os.listdir(box.bundle))
    with calling(box, "echo ready; usleep 500000; echo on >/tmp/it") as caller:
        assert caller.stdout is not None
        assert caller.stdout.readline() == b"ready\n"
        caller.kill()
        caller.wait()
        eventually((box.bundle / "rootfs/tmp/it").exists)
    assert sorted(os.listdir(box.bundle)) == before
