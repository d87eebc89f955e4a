"""The table of ``top``."""

from datetime import datetime

import pytest

from reconciler.views.processes import NoPidColumn, chosen, processes
from runtime.api import ProcessRow

NOW = datetime(2026, 11, 24, 9, 30).astimezone().timestamp()


def row(**changes: object) -> ProcessRow:
    facts: dict[str, object] = {
        "pid": 812,
        "ppid": 790,
        "user": "root",
        "tty": "?",
        "started_at": NOW - 3600,
        "cpu_seconds": 90.0,
        "command": "nginx: master process",
    }
    return ProcessRow(**{**facts, **changes})  # type: ignore[arg-type]


def test_the_columns_are_those_of_ps() -> None:
    rows = [
        row(),
        row(pid=813, ppid=812, user="www-data", tty="pts/0", started_at=NOW - 3 * 86400),
        row(pid=9, cpu_seconds=7384.0, started_at=NOW - 9000, command="a\x1b[2Jb"),
    ]
    assert [line.split(maxsplit=7) for line in processes(rows, NOW).splitlines()] == [
        ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"],
        ["root", "812", "790", "2", "08:30", "?", "00:01:30", "nginx: master process"],
        ["www-data", "813", "812", "0", "Nov21", "pts/0", "00:01:30", "nginx: master process"],
        ["root", "9", "790", "82", "07:00", "?", "02:03:04", "a\\x1b[2Jb"],
    ]


PS = """\
    PID   %CPU COMMAND
      1    0.0 init
    812    1.5 nginx 813
    813    0.1 nginx
"""


def test_of_what_ps_prints_only_the_containers_lines_are_shown() -> None:
    assert chosen(PS, {812}) == "    PID   %CPU COMMAND\n    812    1.5 nginx 813\n"
    assert chosen(PS, {4}) == "    PID   %CPU COMMAND\n"


@pytest.mark.parametrize("printed", ["", "COMMAND\ninit\n"])
def test_without_pids_nobody_knows_whose_a_line_is(printed: str) -> None:
    with pytest.raises(NoPidColumn):
        chosen(printed, {812})
