"""The one place that starts a process.

Programs get an explicit environment, no inherited file descriptors but those named, and a
line to paste in the error when they fail. A program that shall live in another network
namespace is started from a thread that has entered it (see ``linux.namespaces.inside``).
"""

import os
import shlex
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from functools import cache

from runtime.errors import ProgramFailed, ProgramMissing

# The caller's environment never reaches a program: only what a program needs to find others.
ENVIRONMENT: Mapping[str, str] = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LC_ALL": "C.UTF-8",
}

DEVNULL, PIPE = subprocess.DEVNULL, subprocess.PIPE
Process = subprocess.Popen[bytes]

# Nor does the caller's umask: the OCI runtime makes mount points that containers' users pass.
UMASK = 0o022

_PACKAGES = {
    "nft": "nftables",
    "aardvark-dns": "aardvark-dns",
    "iptables": "iptables",
}


@cache
def find(program: str) -> str:
    """Return the absolute path of ``program``; raises ``ProgramMissing``.

    Debian keeps podman's companions outside PATH, in /usr/lib/podman.
    """
    path = shutil.which(program, path=f"{ENVIRONMENT['PATH']}:/usr/lib/podman:/usr/libexec/podman")
    if path is None:
        raise ProgramMissing(program, _PACKAGES.get(program))
    return path


def run(
    argv: Sequence[str],
    *,
    input: bytes = b"",
    timeout: float = 60.0,
    environment: Mapping[str, str] | None = None,
    cwd: str = "/",
    accept: Sequence[int] = (0,),
) -> str:
    """Run ``argv`` to its end and return what it wrote to stdout.

    ``timeout`` is in seconds. Raises ``ProgramMissing``, or ``ProgramFailed`` for a status
    that is not in ``accept`` and for a program that does not end in time.
    """
    command = [find(argv[0]), *argv[1:]]
    try:
        done = subprocess.run(
            command,
            input=input,
            capture_output=True,
            timeout=timeout,
            env=dict(ENVIRONMENT if environment is None else environment),
            cwd=cwd,
            umask=UMASK,
            check=False,
        )
    except subprocess.TimeoutExpired as late:
        raise ProgramFailed(
            shlex.join(argv), status=None, stderr=_text(late.stderr or b"")
        ) from late
    if done.returncode not in accept:
        raise ProgramFailed(shlex.join(argv), status=done.returncode, stderr=_text(done.stderr))
    return _text(done.stdout)


def spawn(
    argv: Sequence[str],
    *,
    pass_fds: Sequence[int] = (),
    environment: Mapping[str, str] | None = None,
    cwd: str = "/",
    stdin: int = DEVNULL,
    stdout: int = DEVNULL,
    stderr: int = DEVNULL,
    new_session: bool = True,
) -> subprocess.Popen[bytes]:
    """Start ``argv`` and return at once; the caller owns the process. Raises ``ProgramMissing``."""
    return subprocess.Popen(
        [find(argv[0]), *argv[1:]],
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        pass_fds=tuple(pass_fds),
        env=dict(ENVIRONMENT if environment is None else environment),
        cwd=cwd,
        umask=UMASK,
        start_new_session=new_session,
    )


def _text(raw: bytes) -> str:
    return os.fsdecode(raw)
