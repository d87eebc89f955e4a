"""Nothing is left of containers that came and went: not in the kernel, not on disk, not in the
records. What leaks a little with each container ends a busy machine in weeks.
"""

import json
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path

import pytest

from tests.eventually import eventually
from tests.scenarios.scene import owned, residue
from tests.scenarios.stage import Stage

pytestmark = pytest.mark.root

PROGRAM = Path(__file__).with_name("cycles.py")
STAYS = """\
project: cycles
containers:
  stays: {image: $busybox, ports: ["18080:80"], stop_signal: SIGKILL}
"""


def cycles(stage: Stage, count: int) -> dict[str, int]:
    """Let a container come and go; the descriptors of whoever did it."""
    words = (str(stage.trueup.root), stage.images.busybox, str(count))
    done = stage.host.run(sys.executable, PROGRAM, *words, timeout=170)
    found: dict[str, int] = json.loads(done.stdout)
    return found


def census(stage: Stage) -> Mapping[str, object]:
    """All that the instance has, in numbers and names that may not grow."""
    seen = stage.inventory()
    inside = [f"--net={owned(stage).router}"]
    return {
        # Not their numbers: who holds the ports is another one after each change of them.
        "processes": sorted(seen.processes.values()),
        "descriptors": sorted(
            (line, _descriptors(pid)) for (pid, _), line in seen.processes.items()
        ),
        "mounts": seen.mounts,
        "links": [line.split()[1] for line in seen.links],
        "rules": seen.rules,
        "links in the router": _run("nsenter", *inside, "ip", "-brief", "-4", "address"),
        "rules in the router": _run("nsenter", *inside, "nft", "-s", "list", "ruleset"),
        "cgroups": seen.cgroups,
        "rows": dict(_rows(owned(stage).ledger)),
        "files": sorted(seen.files),
    }


def _run(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def _descriptors(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def _rows(ledger: Path) -> Iterator[tuple[str, int]]:
    with closing(sqlite3.connect(f"file:{ledger}?immutable=1", uri=True)) as connection:
        tables = "SELECT name FROM sqlite_master WHERE type = 'table'"
        for (name,) in connection.execute(tables).fetchall():
            yield name, connection.execute(f"SELECT count(*) FROM {name}").fetchone()[0]


def flows(stage: Stage, *ports: int) -> list[str]:
    """Tracked connections to the ports that are not over, on the host and in the router."""
    there = ["nsenter", f"--net={owned(stage).router}", "cat", "/proc/net/nf_conntrack"]
    lines = stage.host.run("cat", "/proc/net/nf_conntrack").stdout + _run(*there)
    over = ("TIME_WAIT", "CLOSE")
    named = tuple(f" dport={port} " for port in ports)
    return [
        line
        for line in lines.splitlines()
        if any(port in line for port in named) and not any(word in line for word in over)
    ]


@pytest.mark.parametrize(
    "count", [pytest.param(30, marks=pytest.mark.slow), pytest.param(300, marks=pytest.mark.sweep)]
)
def test_nothing_is_left_of_them(stage: Stage, count: int) -> None:
    stage.make(STAYS)
    cycles(stage, 2)
    before = census(stage)
    descriptors = cycles(stage, count)
    assert descriptors["last"] <= descriptors["first"]
    after = census(stage)
    for what, was in before.items():
        assert after[what] == was, what
    eventually(lambda: flows(stage, 18081, 18053) == [])
    assert stage.answer(18080) == "It works.\n"
    stage.down()
    assert residue(stage) == ""
