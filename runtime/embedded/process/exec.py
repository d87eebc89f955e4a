"""A further process in a running container, by the OCI runtime's ``exec``.

It inherits the caller's descriptors, so nothing of ours stands in its way. The OCI runtime waits
for it, passes signals on and ends with its exit code. What the OCI runtime has to say itself goes
into a log of its own: it has only stderr and 255 otherwise, and both may be the command's. What it
is told lies in memory files, so whoever is killed leaves nothing behind.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from signal import SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, signal

import msgspec

from runtime import programs
from runtime.api import Stdio
from runtime.embedded.linux import pidfd
from runtime.embedded.process import conmon
from runtime.embedded.process.ociruntime import OciRuntime
from runtime.errors import Fault

_FORWARDED = (SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2)


class ExecFailed(Fault):
    """The command could not be started; ``exit_code`` is a shell's and Docker's code for that."""

    def __init__(self, command: str, message: str) -> None:
        self.command, self.message = command, message
        missing = conmon.NOT_FOUND.search(message) or message.startswith("exec: No such file")
        self.exit_code = 127 if missing else 126
        super().__init__(f"{command} cannot be run in the container", why=message)


class Further(msgspec.Struct, frozen=True, kw_only=True):
    """What to run where: ``process`` is the text of an OCI process (runtime-spec, config.md),
    ``command`` its name for people."""

    oci: OciRuntime
    id: str
    command: str
    process: bytes


class _Complaint(msgspec.Struct, frozen=True):
    msg: str
    level: str = "error"


class Runner:
    """The OCI runtime at work on a further process; to be closed."""

    def __init__(
        self,
        further: Further,
        *,
        stdin: int | None = None,
        stdout: int = programs.DEVNULL,
        stderr: int = programs.DEVNULL,
        words: Sequence[str] = (),
    ) -> None:
        self._further, oci = further, further.oci
        with ExitStack() as stack:
            self._log = _memory(stack, b"")
            text = _memory(stack, further.process)
            self._process = programs.spawn(
                [
                    *(oci.program, "--root", str(oci.root)),
                    *("--log", f"/proc/self/fd/{self._log}", "--log-format", "json"),
                    *("exec", *words, "--process", f"/proc/self/fd/{text}", further.id),
                ],
                pass_fds=[self._log, text],
                stdin=programs.DEVNULL if stdin is None else stdin,
                stdout=stdout,
                stderr=stderr,
            )
            self.pidfd = os.pidfd_open(self._process.pid)
            stack.callback(os.close, self.pidfd)
            self._stack = stack.pop_all()

    @property
    def pid(self) -> int:
        return self._process.pid

    def send(self, number: int) -> None:
        """Send a signal; all but SIGKILL reach the command."""
        pidfd.send(self.pidfd, number)

    def wait(self) -> int:
        """The command's exit code, 128 + signal for one that was killed. Raises ``ExecFailed``."""
        code = self._process.wait()
        if code and (complaint := self._complaint()):
            raise ExecFailed(self._further.command, complaint)
        return code if code >= 0 else 128 - code

    def close(self) -> None:
        self._stack.close()

    def _complaint(self) -> str:
        """What the OCI runtime itself had to say, "" for nothing."""
        lines = os.pread(self._log, 1 << 16, 0).splitlines()
        said = [msgspec.json.decode(line, type=_Complaint) for line in lines]
        return "; ".join(each.msg for each in said if each.level == "error")


def run(further: Further, stdio: Stdio) -> int:
    """Run it to its end on the caller's descriptors; signals that reach us meanwhile reach it.
    For the main thread. Raises ``ExecFailed``."""
    runner = Runner(further, stdin=stdio.stdin, stdout=stdio.stdout, stderr=stdio.stderr)
    with closing(runner), forwarding(runner.send):
        return runner.wait()


def start(further: Further) -> None:
    """Start it and leave it alone. Raises ``ExecFailed``."""
    with closing(Runner(further, words=("--detach",))) as runner:
        runner.wait()


@contextmanager
def forwarding(send: Callable[[int], object]) -> Iterator[None]:
    """Meanwhile give signals that reach us to ``send``, and do nothing else with them."""
    before = {each: signal(each, lambda number, _: send(number)) for each in _FORWARDED}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal(each, handler)


def _memory(stack: ExitStack, content: bytes) -> int:
    """A file without a name that a child can be given."""
    fd = os.memfd_create("trueup")
    stack.callback(os.close, fd)
    os.write(fd, content)
    return fd
