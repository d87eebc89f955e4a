"""A further process in a running container, and the processes that are there."""

import msgspec


class ExecSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What to run. ``environment`` comes on top of the container's; ``user`` and ``working_dir``
    None: the container's own; ``tty``: on a terminal of its own; ``privileged``: with every
    capability; ``detach``: nobody waits for it, it reads and writes /dev/null."""

    command: tuple[str, ...]
    environment: dict[str, str] = {}
    user: str | None = None
    working_dir: str | None = None
    tty: bool = False
    privileged: bool = False
    detach: bool = False


class Stdio(msgspec.Struct, frozen=True, kw_only=True):
    """Open file descriptors of the caller; ``stdin`` None is /dev/null."""

    stdin: int | None
    stdout: int
    stderr: int


class ProcessRow(msgspec.Struct, frozen=True, kw_only=True):
    """A process of a container as the host sees it; ``started_at`` in seconds since the epoch,
    ``cpu_seconds`` what it has used."""

    pid: int
    ppid: int
    user: str
    tty: str
    started_at: float
    cpu_seconds: float
    command: str
