"""Who runs, and what conmon and the exit command left behind: the files of a bundle, read only.

``run`` names the processes of the last start, ``restarter`` the exit command that waits to
start again, ``restarts`` what it counted; the exit file is conmon's. All are replaced as a
whole, so each reading is one moment's truth.
"""

import time
from pathlib import Path

import msgspec

from runtime import durable
from runtime.embedded.process.identity import Identity, boot_id


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """A start that succeeded. ``began`` is in seconds since the epoch."""

    boot: str
    pid: int
    start: int
    monitor: int
    monitor_start: int
    began: float

    @property
    def init(self) -> Identity:
        return Identity(boot=self.boot, pid=self.pid, start=self.start)

    @property
    def conmon(self) -> Identity:
        return Identity(boot=self.boot, pid=self.monitor, start=self.monitor_start)


class Restarts(msgspec.Struct, frozen=True, kw_only=True):
    """What the exit command knows since the last launch: how often it brought the container
    back, the last delay in seconds, and code, oom kill and time of the last exit it saw."""

    count: int = 0
    delay: float = 0.0
    code: int = 0
    oom: int = 0
    finished: float = 0.0


class Exit(msgspec.Struct, frozen=True, kw_only=True):
    """How a run ended. ``code`` is 128 + signal for a killed process and None when nobody saw
    it; ``finished`` is in seconds since the epoch."""

    code: int | None = None
    oom: bool = False
    finished: float | None = None

    @property
    def signal(self) -> int | None:
        return self.code - 128 if self.code is not None and 128 < self.code < 193 else None


def write_run(bundle: Path, init: Identity, monitor: Identity | None, began: float) -> None:
    """Record a start; ``monitor`` None is one that died at once."""
    facts = {
        "boot": init.boot,
        "pid": init.pid,
        "start": init.start,
        "monitor": monitor.pid if monitor else 0,
        "monitor_start": monitor.start if monitor else 0,
        "began": began,
    }
    text = "".join(f"{name}={value}\n" for name, value in facts.items())
    durable.write(bundle / "run", text.encode(), sync=False)


def read_run(bundle: Path) -> Run | None:
    """The last start, None before the first."""
    facts = _facts(bundle / "run")
    return msgspec.convert(facts, Run, strict=False) if facts else None


def read_restarts(bundle: Path) -> Restarts:
    return msgspec.convert(_facts(bundle / "restarts"), Restarts, strict=False)


def read_restarter(bundle: Path) -> Identity | None:
    """The exit command that waits, or last waited, to start the container again."""
    facts = _facts(bundle / "restarter")
    if not facts:
        return None
    return Identity(boot=boot_id(), pid=int(facts["pid"]), start=int(facts["start"]))


def read_exit(bundle: Path, exits: Path, id: str) -> Exit | None:
    """conmon's exit file: the one on tmpfs, else the one in the bundle (a full file system gets
    none). None while there is none."""
    for path in (exits / id, bundle / "exit"):
        try:
            code, finished = int(path.read_text()), path.stat().st_mtime
        except (FileNotFoundError, ValueError):
            continue
        return Exit(code=code, oom=(bundle / "oom").exists(), finished=finished)
    return None


def await_exit(bundle: Path, exits: Path, id: str, timeout: float) -> Exit | None:
    """The exit file, waited for at most ``timeout`` seconds: while conmon lives it may be about
    to be written."""
    until = time.monotonic() + timeout
    while (found := read_exit(bundle, exits, id)) is None and time.monotonic() < until:
        time.sleep(0.0005)
    return found


def forget(bundle: Path, exits: Path, id: str) -> None:
    """Remove all of it, so that nothing of an earlier run is taken for the next one's."""
    names = ("run", "restarter", "restarts", "exit", "oom", "pidfile", "conmon.pid")
    for path in (exits / id, *(bundle / name for name in names)):
        path.unlink(missing_ok=True)


def _facts(path: Path) -> dict[str, str]:
    try:
        text = path.read_text()
    except FileNotFoundError:
        return {}
    return dict(line.split("=", 1) for line in text.split("\n") if line)
