"""What shall become of a container's process, in its bundle, where conmon's exit command reads it.

Two small files, because they change apart: ``intent`` stays as it is from one launch to the
next, ``wish`` is rewritten by a stop or by a new restart policy. They are plain lines and not
JSON: the exit command runs per exit and importing ``json`` would cost it 6 of its 8 ms.

A ``launch`` has an ``incarnation``; an exit command that was started by an earlier one finds
another number here and leaves.
"""

from enum import StrEnum
from pathlib import Path

import msgspec

from runtime import durable
from runtime.api import RestartKind, RestartPolicy
from runtime.errors import Fault


class Want(StrEnum):
    """``held`` is stopped by hand: nothing but an explicit start ends it."""

    RUN = "run"
    STOP = "stop"
    HELD = "held"


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    want: Want = Want.RUN
    restart: RestartPolicy = RestartPolicy()


class Intent(msgspec.Struct, frozen=True, kw_only=True):
    """How to run a container again.

    ``oci`` is the OCI runtime's program and ``oci_root`` its state directory, ``exits`` the
    directory of exit files, ``log`` the log file, ``log_max`` its size limit in bytes, 0 for no
    log, and ``log_files`` how many files of it are kept; ``python`` runs the exit command
    ``script``. ``terminal`` and ``stdin`` (kept open) are 1 or 0. ``joins`` are namespaces of
    others' processes, as in ``pid:/bundle/of/that;ipc:/bundle/of/that``.
    """

    id: str
    incarnation: int
    oci: str
    oci_root: str
    exits: str
    log: str
    log_max: int
    cgroup: str
    python: str
    script: str = ""  # read by nobody once it runs
    log_files: int = 2
    terminal: int = 0
    stdin: int = 0
    joins: str = ""


class AwkwardPath(Fault):
    """A path that the exit command's files or conmon cannot carry."""

    def __init__(self, path: str) -> None:
        self.path = path
        super().__init__(
            f"the path {path!r} cannot be used",
            why="it has a line break, or a colon where conmon allows none",
            hint="choose another --root",
        )


def read_wish(bundle: Path) -> Wish | None:
    """The wish, or None for a bundle that was never launched."""
    text = _read(bundle / "wish")
    if not text:
        return None
    want, kind, retries = text.split()
    policy = RestartPolicy(
        kind=RestartKind(kind), max_retries=None if retries == "-" else int(retries)
    )
    return Wish(want=Want(want), restart=policy)


def write_wish(bundle: Path, wish: Wish) -> None:
    retries = "-" if wish.restart.max_retries is None else wish.restart.max_retries
    line = f"{wish.want} {wish.restart.kind} {retries}\n"
    durable.write(bundle / "wish", line.encode(), sync=False)


def read(bundle: Path) -> Intent | None:
    """The intent, or None for a bundle that was never launched."""
    text = _read(bundle / "intent")
    if not text:
        return None
    return msgspec.convert(_facts(text), Intent, strict=False)


def write(bundle: Path, intent: Intent) -> None:
    """Raises ``AwkwardPath``."""
    facts = msgspec.to_builtins(intent)
    for value in map(str, facts.values()):
        if "\n" in value:
            raise AwkwardPath(value)
    text = "".join(f"{name}={value}\n" for name, value in facts.items())
    durable.write(bundle / "intent", text.encode(), sync=False)


def _facts(text: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in text.split("\n") if line)


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except FileNotFoundError:
        return ""
