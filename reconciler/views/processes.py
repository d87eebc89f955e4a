"""The processes of a container, in the columns of ``ps -ef``, which are ``docker top``'s."""

from collections.abc import Collection, Sequence
from datetime import datetime

from reconciler.views.quantities import DAY, HOUR, MINUTE
from reconciler.views.tables import table
from reconciler.views.terminal import escape
from runtime.api import ProcessRow
from runtime.errors import Fault

TITLES = ("UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD")


class NoPidColumn(Fault):
    """What ps(1) was told to print does not say which process is whose."""

    def __init__(self) -> None:
        super().__init__(
            "the container's processes cannot be told from others",
            why="what `ps` prints with these options has no column PID",
            hint="add pid to the columns: `-o pid,comm`",
        )


def processes(rows: Sequence[ProcessRow], now: float) -> str:
    """The table; ``now`` in seconds since the epoch, times of day are those of the machine."""
    return table(TITLES, [_cells(row, now) for row in rows])


def chosen(printed: str, pids: Collection[int]) -> str:
    """Of what ps(1) printed the header and the lines of these pids. Raises ``NoPidColumn``."""
    header, *lines = printed.splitlines() or [""]
    if "PID" not in header.split():
        raise NoPidColumn
    column = header.split().index("PID")
    wanted = {str(pid) for pid in pids}
    kept = [line for line in lines if wanted.intersection(line.split()[column : column + 1])]
    return "".join(f"{escape(line)}\n" for line in (header, *kept))


def _cells(row: ProcessRow, now: float) -> list[str]:
    age = max(now - row.started_at, 1.0)
    used = int(row.cpu_seconds)
    return [
        row.user,
        str(row.pid),
        str(row.ppid),
        str(int(100 * row.cpu_seconds / age)),
        _started(row.started_at, now),
        row.tty,
        f"{used // HOUR:02d}:{used % HOUR // MINUTE:02d}:{used % MINUTE:02d}",
        row.command,
    ]


def _started(then: float, now: float) -> str:
    """The time of day, or the day once that is longer ago."""
    moment = datetime.fromtimestamp(then).astimezone()
    if now - then < DAY:
        return f"{moment:%H:%M}"
    return f"{moment:%b%d}" if now - then < 365 * DAY else f"{moment:%Y}"
