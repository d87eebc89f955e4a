"""A further process on a terminal of its own, in the container's /dev/pts.

Only a *detached* ``exec`` hands out the terminal's master, with crun and runc alike: through a
socket, as one descriptor. The OCI runtime is gone then, and the command becomes a child of the
nearest subreaper, prctl(2): of us, which is how its exit code is known.
"""

import os
import select
import socket
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import msgspec

from runtime.embedded.linux import pidfd
from runtime.embedded.linux.libc import check, libc
from runtime.embedded.process.exec import ExecFailed, Further, Runner

_ANSWERS = 30.0  # seconds for the OCI runtime to make the terminal
_PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h


class OnTerminal(msgspec.Struct, frozen=True, kw_only=True):
    """A command that runs: ``console`` is the master of its terminal, ``pidfd`` itself."""

    console: int
    pid: int
    pidfd: int

    def send(self, number: int) -> None:
        pidfd.send(self.pidfd, number)

    def wait(self) -> int:
        """Its exit code, 128 + signal for one that was killed."""
        code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return code if code >= 0 else 128 - code


@contextmanager
def started(further: Further, bundle: Path) -> Iterator[OnTerminal]:
    """The command, running; whoever leaves hangs its terminal up. Raises ``ExecFailed``."""
    with ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="exec", dir=bundle)))
        stack.enter_context(_adopting())
        console = _start(further, place, stack)
        pid = int((place / "pid").read_text())
        own = os.pidfd_open(pid)
        stack.callback(os.close, own)
        yield OnTerminal(console=console, pid=pid, pidfd=own)


def _start(further: Further, place: Path, stack: ExitStack) -> int:
    """Start it and return its terminal's master, which ``stack`` closes."""
    folder = os.open(place, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        # The name of a socket has 107 bytes at most, a bundle's is longer: through /proc. By our
        # descriptor, not by one that is inherited: the command's working directory may be a link
        # of the container's to /proc/self/fd (CVE-2024-21626), and this folder is the host's.
        door = f"/proc/{os.getpid()}/fd/{folder}/console"
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
            listener.bind(door)
            listener.listen(1)
            words = ("--tty", "--detach", "--console-socket", door, "--pid-file", f"{place}/pid")
            with closing(Runner(further, words=words)) as runner:
                console = _received(listener, runner, further)
                stack.callback(os.close, console)
                runner.wait()
                return console
    finally:
        os.close(folder)


def _received(listener: socket.socket, runner: Runner, further: Further) -> int:
    poll = select.poll()
    for fd in (listener.fileno(), runner.pidfd):
        poll.register(fd, select.POLLIN)
    ready = {fd for fd, _ in poll.poll(int(_ANSWERS * 1000))}
    if listener.fileno() not in ready:
        if ready:
            runner.wait()
        raise ExecFailed(further.command, "the OCI runtime made no terminal")
    with listener.accept()[0] as connection:
        _, fds, _, _ = socket.recv_fds(connection, 64, 1)
    if not fds:
        runner.wait()
        raise ExecFailed(further.command, "the OCI runtime gave no terminal")
    os.set_inheritable(fds[0], False)  # noqa: FBT003  # its only argument
    return fds[0]


@contextmanager
def _adopting() -> Iterator[None]:
    """Meanwhile what our children leave behind becomes ours."""
    check(libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), "prctl(PR_SET_CHILD_SUBREAPER)")
    try:
        yield
    finally:
        check(libc.prctl(_PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0), "prctl(PR_SET_CHILD_SUBREAPER)")
