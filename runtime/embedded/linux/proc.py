"""A process as the host's /proc has it, proc_pid_stat(5)."""

import os
import pwd
from contextlib import suppress
from functools import cache
from pathlib import Path

from runtime.api import ProcessRow

_PTS = range(136, 144)  # major numbers of Unix98 terminals, admin-guide/devices.txt


def read(pid: int) -> ProcessRow | None:
    """What ``ps`` would tell of it; None when it has gone."""
    place = Path("/proc", str(pid))
    try:
        name, fields = _fields((place / "stat").read_bytes())
        owner = place.stat().st_uid
        arguments = (place / "cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return None
    command = arguments.rstrip(b"\0").replace(b"\0", b" ") or b"[%s]" % name
    ticks = os.sysconf("SC_CLK_TCK")
    return ProcessRow(
        pid=pid,
        ppid=int(fields[1]),
        user=_user(owner),
        tty=_terminal(int(fields[4])),
        started_at=_booted() + int(fields[19]) / ticks,
        cpu_seconds=(int(fields[11]) + int(fields[12])) / ticks,
        command=os.fsdecode(command),
    )


def stat(pid: int) -> tuple[str, int] | None:
    """State letter, and the start in clock ticks since boot; None when it has gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            _, fields = _fields(file.read())
    except (FileNotFoundError, ProcessLookupError):
        return None
    return fields[0].decode(), int(fields[19])


def _fields(text: bytes) -> tuple[bytes, list[bytes]]:
    """The command's name, and the fields after it, the state first. The name may hold anything, so
    they are counted from its last parenthesis."""
    head, _, tail = text.rpartition(b")")
    return head.partition(b"(")[2], tail.split()


def _user(uid: int) -> str:
    with suppress(KeyError):
        return pwd.getpwuid(uid).pw_name
    return str(uid)


def _terminal(device: int) -> str:
    """``pts/3``, "?" for none and for others."""
    major, minor = os.major(device), os.minor(device)
    return f"pts/{(major - _PTS.start) * 256 + minor}" if major in _PTS else "?"


@cache
def _booted() -> int:
    """When the machine was started, in seconds since the epoch."""
    for line in Path("/proc/stat").read_text().splitlines():
        if line.startswith("btime "):
            return int(line.split()[1])
    return 0
