"""After a reboot the next `apply` starts everything once, in the order of its dependencies, from
whatever files the last boot left; numbers of processes that now mean strangers harm nobody.
"""

import json
import re
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.conftest import Images
from tests.eventually import eventually
from tests.images.recipes import PAGE
from tests.scenarios.reboot import mounts, rebooted
from tests.scenarios.scene import FRONT_PAGE, ending, killed, monitors, owned, processes, residue
from tests.scenarios.stage import Stage, kill, lives

pytestmark = [pytest.mark.root, pytest.mark.slow]


def chain(names: str) -> str:
    """Containers that each depend on the one before; every start leaves a letter in the volume."""
    lines = ["project: chain", "volumes: {starts: {}}", "containers:"]
    for number, name in enumerate(names):
        lines += [
            f"  {name}:",
            "    image: $busybox",
            '    command: [sh, -c, "echo $$NAME >> /starts/log; exec httpd -f -p 80 -h /www"]',
            f"    environment: {{NAME: {name}}}",
            '    volumes: ["starts:/starts"]',
            f'    ports: ["{18080 + number}:80"]',
            "    restart: always",
            "    stop_signal: SIGKILL",
            f"    depends_on: [{names[number - 1] if number else ''}]",
        ]
    return "\n".join([*lines, ""])


def starts(stage: Stage) -> str:
    log = owned(stage).volume("chain", "starts")
    (found,) = log.rglob("log")
    return "".join(found.read_text().split())


def is_whole(stage: Stage, names: str) -> None:
    """All run once, answer, and nothing is pending."""
    assert stage.pending() == ""
    assert "".join(sorted(stage.pids())) == "".join(sorted(names))
    assert len(processes(stage)) == len(monitors(stage)) == len(names)
    ports = range(18080, 18080 + len(names))
    eventually(lambda: all(stage.answer(port) == PAGE for port in ports))


def is_gone(stage: Stage) -> None:
    """`down` in this boot leaves nothing, the mounts of its own namespace included."""
    stage.down()
    assert residue(stage) == ""
    assert mounts(stage) == []


@pytest.mark.parametrize("stale", [False, True], ids=["empty", "stale"])
def test_everything_starts_once_in_order(stage: Stage, stale: bool) -> None:
    stage.make(chain("dacb"))
    is_whole(stage, "dacb")
    assert starts(stage) == "dacb"
    with rebooted(stage, stale=stale) as after:
        assert "the machine was started anew" in after.pending()
        assert len(after.trueup("ps", "-q").stdout.split()) == 0
        after.apply()
        is_whole(after, "dacb")
        assert starts(after) == "dacbdacb"
        is_gone(after)


def test_without_a_registry(stage: Stage, images: Images) -> None:
    stage.make(chain("ab"))
    port = images.registry.port
    chain_of_wall = f"type filter hook output priority 0; tcp dport {port} reject"
    wall = f"table inet wall {{ chain out {{ {chain_of_wall}; }}; }}"
    with rebooted(stage, stale=True) as after:
        after.host.run("nft", "-f", "-", stdin=wall)
        try:
            after.apply()
            is_whole(after, "ab")
        finally:
            after.host.run("nft", "delete", "table", "inet", "wall")
        is_gone(after)


def test_two_boots_later(stage: Stage) -> None:
    stage.make(chain("ab"))
    with rebooted(stage, stale=True) as second:
        second.apply()
        with rebooted(second, stale=True) as third:
            third.apply()
            is_whole(third, "ab")
            assert starts(third) == "ab" * 3
            is_gone(third)


@pytest.mark.parametrize("part", [0.15, 0.4, 0.7])
def test_killed_while_it_recovers(stage: Stage, part: float) -> None:
    stage.make(chain("abc"))
    with rebooted(stage, stale=True) as after:
        killed(after.trueup.start("apply", after.spec), 1.0 * part)
        after.apply()
        is_whole(after, "abc")
        is_gone(after)


@pytest.fixture
def strangers() -> Iterator[list["subprocess.Popen[bytes]"]]:
    """Processes that have nothing to do with us."""
    with ExitStack() as stack:
        command = ["sleep", "600"]
        yield [stack.enter_context(ending(subprocess.Popen(command))) for _ in range(4)]


def point_at(run: Path, strangers: list["subprocess.Popen[bytes]"]) -> None:
    """Make every file that names a process name a stranger, with the time of its start."""
    one, two, three, four = (str(each.pid) for each in strangers)
    born = {pid: Path(f"/proc/{pid}/stat").read_text().split()[21] for pid in (one, two, four)}
    for bundle in (run / "bundles").iterdir():
        text = (bundle / "run").read_text()
        for name, value in {
            "pid": one,
            "start": born[one],
            "monitor": two,
            "monitor_start": born[two],
        }.items():
            text = re.sub(rf"^{name}=.*$", f"{name}={value}", text, flags=re.MULTILINE)
        (bundle / "run").write_text(text)
        (bundle / "restarter").write_text(f"pid={one}\nstart={born[one]}\n")
        (bundle / "pidfile").write_text(one)
        (bundle / "conmon.pid").write_text(two)
    for file in run.rglob("aardvark.pid"):
        file.write_text(three)
    holder = run / "holder.json"
    record = json.loads(holder.read_text())
    holder.write_text(json.dumps({**record, "pid": int(four), "start": int(born[four])}))


@pytest.mark.parametrize("command", ["apply", "down"])
def test_stale_numbers_of_processes_harm_no_stranger(
    stage: Stage, strangers: list["subprocess.Popen[bytes]"], command: str
) -> None:
    stage.make(chain("ab"))
    with rebooted(stage, stale=True) as after:
        point_at(owned(after).run, strangers)
        after.trueup(command, after.spec)
        assert all(stranger.poll() is None for stranger in strangers)
        if command == "apply":
            is_whole(after, "ab")
        is_gone(after)
        assert all(stranger.poll() is None for stranger in strangers)


def test_a_number_that_was_given_to_a_stranger_within_this_boot(
    stage: Stage, strangers: list["subprocess.Popen[bytes]"]
) -> None:
    """Container and monitor are killed, and their pids now mean others, who started later."""
    stage.make(chain("a"))
    (monitor,) = monitors(stage)
    pid = stage.pid("a")
    kill(monitor)
    kill(pid)
    record = stage.bundle("a") / "run"
    text = re.sub(rf"^pid={pid}$", f"pid={strangers[0].pid}", record.read_text(), flags=re.M)
    record.write_text(re.sub(r"^monitor=.*$", f"monitor={strangers[1].pid}", text, flags=re.M))
    assert "a" not in stage.pids()
    assert "exit code unknown" in stage.pending()
    stage.apply()
    is_whole(stage, "a")
    stage.down()
    assert all(lives(stranger.pid) for stranger in strangers)


def test_data_survives(four: Stage) -> None:
    four.apply()
    eventually(lambda: four.answer(18080, path=FRONT_PAGE) == "visit 1\n")
    with rebooted(four, stale=False) as after:
        after.apply()
        eventually(lambda: after.answer(18080, path=FRONT_PAGE) == "visit 2\n")
        is_gone(after)


JOBS = """\
project: chain
volumes: {starts: {}}
containers:
  a:
    image: $busybox
    command: [sh, -c, "echo a >> /starts/log; exec sleep 600"]
    volumes: ["starts:/starts"]
    restart: always
    stop_signal: SIGKILL
  b:
    image: $busybox
    command: [sh, -c, "echo b >> /starts/log"]
    volumes: ["starts:/starts"]
    restart: on-failure
  c:
    image: $busybox
    command: [sh, -c, "echo c >> /starts/log; exit 3"]
    volumes: ["starts:/starts"]
"""


def test_what_had_done_its_work_does_not_run_again(stage: Stage) -> None:
    """Neither before the new boot's files are made nor after, when the bundles are gone."""
    stage.write(JOBS)
    stage.trueup("apply", stage.spec, code=None)  # whether c ends before it does or after
    eventually(lambda: sorted(starts(stage)) == ["a", "b", "c"])
    eventually(lambda: stage.containers()["c"]["exit_code"] == 3)
    with rebooted(stage, stale=False) as after:
        after.apply("--only", "a")
        shown = {name: c["exit_code"] for name, c in after.containers().items()}
        assert (shown["b"], shown["c"]) == (0, 3)
        after.trueup("apply", after.spec, code=None)
        eventually(lambda: sorted(starts(after)) == ["a", "a", "b", "c", "c"])
        is_gone(after)
