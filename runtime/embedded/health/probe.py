"""One check: a further process in the container whose time is bounded.

A probe leads neither a process group nor a session, and its children may leave both. So it has a
variable of its own in its environment, which they inherit: by that what is left of a late one is
found among the processes of the container. What has put its environment away is found by its
parents, as long as those live.
"""

import os
import select
import signal
import time
from contextlib import closing
from pathlib import Path

import msgspec

from runtime.embedded import cgroups
from runtime.embedded.health.verdict import MOST_OUTPUT, NO_ANSWER, Result
from runtime.embedded.linux import pidfd, proc
from runtime.embedded.process.exec import ExecFailed, Further, Runner

MARK = "TRUEUP_CHECK"
_BLOCK = 1 << 16  # bytes
_DIE = 5.0  # seconds for what is killed


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """Where the container's processes are."""

    layout: cgroups.Layout
    path: str


def ask(further: Further, mark: str, group: Group, timeout: float) -> Result:
    """Run the check; ``mark`` is the value of ``MARK`` in its environment, ``timeout`` in
    seconds. One that cannot be run has failed."""
    began = time.time()
    code, said = _asked(further, mark, group, timeout)
    output = said.decode(errors="replace")
    return Result(code=code, output=output, began=began, ended=time.time())


def _asked(further: Further, mark: str, group: Group, timeout: float) -> tuple[int, bytes]:
    ours, theirs = os.pipe()
    with open(ours, "rb", buffering=0) as answers:
        try:
            runner = Runner(further, stdout=theirs, stderr=theirs)
        finally:
            os.close(theirs)
        with closing(runner):
            ended, said = _listen(answers.fileno(), runner.pidfd, timeout)
            if not ended:
                born = _born(group, runner.pid)
                runner.send(signal.SIGKILL)
                for pid in born:
                    cgroups.kill_member(group.layout, group.path, pid)
                _end(group, f"{MARK}={mark}")
            try:
                code = runner.wait()
            except ExecFailed as failed:
                return failed.exit_code, failed.message.encode()
    if not ended:
        late = f"Health check exceeded timeout ({timeout:g}s)".encode()
        return NO_ANSWER, b": ".join(filter(None, (late, said)))[:MOST_OUTPUT]
    return code, said


def _listen(answers: int, over: int, timeout: float) -> tuple[bool, bytes]:
    """Whether it ended in time, and the end of what it said. A child that it left behind may hold
    the pipe: that is not waited for."""
    until, said = time.monotonic() + timeout, b""
    os.set_blocking(answers, False)
    poll = select.poll()
    for fd in (answers, over):
        poll.register(fd, select.POLLIN)
    while ready := poll.poll(pidfd.milliseconds(until - time.monotonic())):
        ended = any(fd == over for fd, _ in ready)
        said, closed = _read(answers, said)
        if ended:
            return True, said
        if closed:
            poll.unregister(answers)
        if time.monotonic() > until:
            break
    return False, said


def _read(answers: int, said: bytes) -> tuple[bytes, bool]:
    """``said`` and what is there now, and whether more can come. A probe that writes faster than
    we read is left again after a block."""
    for _ in range(16):
        try:
            piece = os.read(answers, _BLOCK)
        except BlockingIOError:
            return said, False
        if not piece:
            return said, True
        said = (said + piece)[-MOST_OUTPUT:]
    return said, False


def _born(group: Group, ancestor: int) -> set[int]:
    """The processes of the container that descend from ``ancestor``."""
    rows = map(proc.read, cgroups.processes(group.layout, group.path))
    parents = {row.pid: row.ppid for row in rows if row is not None}
    found: set[int] = set()
    last = {ancestor}
    while last := {pid for pid, parent in parents.items() if parent in last} - found:
        found |= last
    return found


def _end(group: Group, variable: str) -> None:
    """Kill what has the variable, until there is nothing."""
    until = time.monotonic() + _DIE
    while left := _marked(group, variable):
        for pid in left:
            _kill(pid, variable)
        if time.monotonic() > until:
            return  # asleep in the kernel: the check has failed all the same
        time.sleep(0.001)


def _marked(group: Group, variable: str) -> list[int]:
    return [
        pid for pid in cgroups.processes(group.layout, group.path) if _has(pid, variable.encode())
    ]


def _has(pid: int, variable: bytes) -> bool:
    try:
        return variable in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return False


def _kill(pid: int, variable: str) -> None:
    fd = pidfd.of(pid)
    if fd is None:
        return
    try:
        # Looked at again with the descriptor in hand: the pid may have changed its owner.
        if _has(pid, variable.encode()):
            pidfd.send(fd, signal.SIGKILL)
    finally:
        os.close(fd)
