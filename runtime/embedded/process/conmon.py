"""conmon: the monitor that stays with a container, holds its log and writes its exit code.

A create takes 13 ms: conmon forks itself away, runs the OCI runtime and reports one line. What
it does in which case was tried out: research notes "Engine field guide", sections 1 to 3.
"""

import os
import re
import select
import time
from pathlib import Path

import msgspec

from runtime import programs
from runtime.embedded.process import outcome
from runtime.embedded.process.identity import Identity, identify
from runtime.embedded.process.intent import AwkwardPath, Intent
from runtime.errors import Fault

CREATE_TIMEOUT = 60.0  # seconds

# Bytes; conmon does not begin a log anew before that where older files are kept. A program fills
# 1 MiB in 10 ms, and who keeps the old files must be told and be there twice in that time.
_KEPT_LOG = 2 << 20

# conmon stamps log lines in its own time zone.
ENVIRONMENT = {**programs.ENVIRONMENT, "TZ": "UTC"}

# The shell looks first: where nothing shall come back it saves python's start (8 ms of 9).
# Then it writes the outcome ($0) itself; $5 is the bundle, whose exit file ends without a newline.
_GUARD = """read -r want kind rest <"$5/wish" && [ "$want" = run ] && [ "$kind" != no ] && exec "$@"
[ -e "$5/exit" ] && read -r code <"$5/exit"
[ -e "$5/oom" ] && oom=1
if [ -n "$want" ] && [ -n "$code" ]
then printf 'want=%s\\ncode=%s\\noom=%s\\n' "$want" "$code" "${oom:-0}" >"$0"
fi"""


class CommandNotFound(Fault):
    """The image has no such program; ``status`` is the shell's and Docker's code for it."""

    status = 127

    def __init__(self, program: str) -> None:
        self.program = program
        super().__init__(
            f"{program} is not in the image",
            why="the OCI runtime found no such file, there or in PATH",
            hint="correct `command` or `entrypoint`",
        )


class CommandNotRunnable(Fault):
    """The program is there and cannot be executed."""

    status = 126

    def __init__(self, message: str) -> None:
        self.message = message
        super().__init__(
            "the container's program cannot be executed",
            why=message,
            hint="check its permissions in the image, and that it is a file",
        )


class CreateFailed(Fault):
    """The OCI runtime, or conmon itself, refused or did not answer."""

    status = 125

    def __init__(self, id: str, message: str) -> None:
        self.id, self.message = id, message
        super().__init__(f"container {id[:12]} cannot be created", why=message)


class _Reply(msgspec.Struct, frozen=True):
    """What conmon says of a create: ``data`` is a pid, or -1 with the runtime's message."""

    data: int
    message: str = ""


def command_line(bundle: Path, intent: Intent) -> list[str]:
    """conmon's arguments for this container; the exit command uses them again.

    Raises ``AwkwardPath``.
    """
    if ":" in intent.log:
        raise AwkwardPath(intent.log)
    place = str(bundle)
    exit_command = _exit_command(place, intent)
    return [
        programs.find("conmon"),
        *("--api-version", "1", "-c", intent.id, "-u", intent.id, "-n", intent.id),
        *("-r", intent.oci, "-b", place, "-p", f"{place}/pidfile", "-P", f"{place}/conmon.pid"),
        *("--exit-dir", intent.exits, "--persist-dir", place, "--full-attach"),
        *_log(intent),
        *(["-t"] if intent.terminal else ()),
        # Left open, as the first client that goes would end it for good.
        *(["-i", "--leave-stdin-open"] if intent.stdin else ()),
        *("--exit-command", exit_command[0]),
        *(word for argument in exit_command[1:] for word in ("--exit-command-arg", argument)),
        *("--runtime-arg", "--root", "--runtime-arg", intent.oci_root),
    ]


def _log(intent: Intent) -> list[str]:
    if not intent.log_max:
        return ["-l", "none"]
    driver, most = f"k8s-file:{intent.log}", intent.log_max
    if intent.log_files > 1:
        most = max(most, _KEPT_LOG)
    return ["-l", driver, "--log-size-max", str(most), "--no-sync-log"]


def _exit_command(bundle: str, intent: Intent) -> list[str]:
    script = [intent.python, "-I", "-S", intent.script, bundle, str(intent.incarnation)]
    return ["/bin/sh", "-c", _GUARD, str(Path(intent.log).with_name(outcome.NAME)), *script]


def create(bundle: Path, argv: list[str], id: str) -> int:
    """Start conmon and return the pid of the container's init, which waits to be started.

    What a failure leaves half done is the caller's to discard.
    Raises ``CommandNotFound``, ``CommandNotRunnable`` or ``CreateFailed``.
    """
    with open(bundle / "conmon.log", "ab") as errors:
        ours, theirs = os.pipe()
        try:
            process = programs.spawn(
                argv,
                pass_fds=[theirs],
                environment={**ENVIRONMENT, "_OCI_SYNCPIPE": str(theirs)},
                cwd=str(bundle),
                stderr=errors.fileno(),
            )
        finally:
            os.close(theirs)
        try:
            line = _line(ours, CREATE_TIMEOUT)
        finally:
            os.close(ours)
    if not line.endswith(b"\n"):
        process.kill()  # only the starter: the monitor has forked itself away or failed
        process.wait()
        raise CreateFailed(id, _last_words(bundle) or "conmon gave no answer")
    process.wait()
    return _pid(msgspec.json.decode(line, type=_Reply), id)


def monitor_of(bundle: Path) -> Identity | None:
    """The living conmon of this bundle, from its pid file; None when there is none."""
    try:
        pid = int((bundle / "conmon.pid").read_text())
        command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (FileNotFoundError, ProcessLookupError, ValueError):
        return None
    # The pid may be a stranger's by now: no one else has this bundle in its command line.
    return identify(pid) if os.fsencode(bundle) in command else None


def reopen_log(bundle: Path) -> bool:
    """Ask a living conmon to begin its log anew, as it does with a full one; False when there is
    none. Of two questions at a time it answers one."""
    try:
        # Not blocking: without a reader, ENXIO says so.
        fd = os.open(bundle / "ctl", os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        os.write(fd, b"2 0 0\n")
    except OSError:  # it ended meanwhile, or reads nothing
        return False
    finally:
        os.close(fd)
    return True


def _line(fd: int, timeout: float) -> bytes:
    """Read up to a line break, not to the end: conmon keeps its end of the pipe for life."""
    until, text = time.monotonic() + timeout, b""
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    while not text.endswith(b"\n"):
        if not poll.poll(max(0, int((until - time.monotonic()) * 1000))):
            return text
        piece = os.read(fd, 65536)
        if not piece:
            return text
        text += piece
    return text


def _pid(reply: _Reply, id: str) -> int:
    if reply.data > 0:
        return reply.data
    message = _plain(reply.message)
    if missing := NOT_FOUND.search(message):
        raise CommandNotFound(missing[1] or missing[2])
    if _NOT_RUNNABLE.search(message):
        raise CommandNotRunnable(message)
    raise CreateFailed(id, message or "the OCI runtime gave no reason")


# crun 1.8 and runc 1.1 in their own words.
NOT_FOUND = re.compile(
    r"executable file `([^`]*)` not found"
    r'|exec: "([^"]*)": (?:executable file not found|stat .*: no such file or directory)'
)
_NOT_RUNNABLE = re.compile(
    r"open executable: |exec: .*: (?:permission denied|is a directory)", re.IGNORECASE
)


def _plain(message: str) -> str:
    """The message without runc's frame, ``time="..." level=error msg="..."``."""
    found = re.search(r'msg="((?:[^"\\]|\\.)*)"', message)
    return (found[1].replace('\\"', '"') if found else message).strip()


def _last_words(bundle: Path) -> str:
    lines = (bundle / "conmon.log").read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else ""
