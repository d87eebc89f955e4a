"""`watch` keeps a project as its spec says: it follows the file, mends the machine, leaves alone
what it should, and its end ends nothing else.
"""

import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import COMMAND
from tests.eventually import eventually
from tests.images.recipes import PAGE
from tests.scenarios.scene import ending, monitors, owned
from tests.scenarios.stage import Stage, kill

pytestmark = pytest.mark.root

INTERVAL = 2  # seconds
SPEC = """\
project: watched
containers:
  web:
    image: $busybox
    ports: ["18080:80"]
    restart: always
    stop_signal: SIGKILL
  job:
    image: $busybox
    command: [sleep, "1000"]
    restart: "no"
    stop_signal: SIGKILL
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """A running `trueup watch` and what it has logged."""

    process: "subprocess.Popen[bytes]"
    file: Path

    @property
    def log(self) -> str:
        return self.file.read_text()

    def end(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(20)

    def follows_files(self) -> bool:
        """Whether a folder is being watched, inotify(7)."""
        infos = Path(f"/proc/{self.process.pid}/fdinfo").iterdir()
        try:
            return any("inotify wd:" in info.read_text() for info in infos)
        except FileNotFoundError:  # it was closed meanwhile
            return False


@contextmanager
def watching(stage: Stage) -> Iterator[Watch]:
    """`watch` for the block, its first pass done."""
    file = stage.folder.parent / f"{stage.folder.name}.log"
    command = [*stage.host.within, COMMAND, "--root", stage.trueup.root, "watch", stage.spec]
    with file.open("wb") as log:
        words = [*map(str, command), "--interval", str(INTERVAL)]
        process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stderr=log)
    with ending(process):
        watch = Watch(process=process, file=file)
        eventually(lambda: answers(stage, 18080) and watch.follows_files(), 20)
        yield watch
        assert "Traceback" not in watch.log, watch.log
        assert "defect" not in watch.log, watch.log


def answers(stage: Stage, port: int) -> bool:
    return stage.answer(port) == PAGE


@pytest.fixture
def watched(stage: Stage) -> Stage:
    stage.write(SPEC)
    return stage


def save_by_rename(file: Path, text: str) -> None:
    """As most editors do."""
    beside = file.with_name(f".{file.name}.new")
    beside.write_text(text)
    beside.rename(file)


def save_in_place(file: Path, text: str) -> None:
    file.write_text(text)


def test_a_saved_spec_is_applied_within_two_seconds(watched: Stage) -> None:
    with watching(watched):
        pids = watched.pids()
        port = 18080
        for save in (save_by_rename, save_in_place, save_by_rename):
            text = watched.spec.read_text()
            save(watched.spec, text.replace(f"{port}:80", f"{port + 1}:80"))
            port += 1
            eventually(lambda: answers(watched, port), 2)  # noqa: B023  # called at once
            assert watched.answer(port - 1) == "refused"
        assert watched.pids() == pids


@pytest.mark.parametrize("damage", ["containers: [", "", None], ids=["torn", "empty", "gone"])
def test_the_last_good_spec_stays_in_force(watched: Stage, damage: str | None) -> None:
    with watching(watched) as watch:
        pids = watched.pids()
        if damage is None:
            watched.spec.unlink()
        else:
            watched.spec.write_text(damage)
        eventually(lambda: "spec broken" in watch.log, 5)
        watched.host.run("nft", "delete", "table", "inet", owned(watched).table)
        eventually(lambda: answers(watched, 18080), INTERVAL + 2)
        assert watch.log.count("spec broken") == 1, "told once, not at every pass"
        assert watch.process.poll() is None
        text = SPEC.replace("18080", "18081")
        watched.write(text)
        eventually(lambda: answers(watched, 18081), 5)
        assert watched.pids() == pids


@pytest.mark.slow
def test_what_failed_is_reported_and_left_to_an_apply(watched: Stage) -> None:
    with watching(watched) as watch:
        web = watched.pid("web")
        kill(watched.pid("job"))
        eventually(lambda: "job" in watch.log.partition("note")[2], 5)
        time.sleep(INTERVAL + 0.5)  # a whole pass more
        assert watched.pids() == {"web": web}
        assert watched.containers()["job"]["exit_code"] == 137
        watched.apply()
        assert set(watched.pids()) == {"job", "web"}
        assert watched.pid("web") == web


def test_always_holds_without_watch(watched: Stage) -> None:
    watched.apply()
    before = watched.pid("web")
    kill(before)
    eventually(lambda: watched.pids().get("web", before) != before)
    eventually(lambda: answers(watched, 18080))


def test_always_holds_when_the_monitor_died_first(watched: Stage) -> None:
    """Nobody is left to run conmon's exit command: the loop starts the container."""
    with watching(watched):
        before = watched.pids()
        for monitor in monitors(watched):
            kill(monitor)
        kill(before["web"])
        eventually(lambda: watched.pids().get("web", before["web"]) != before["web"])
        eventually(lambda: answers(watched, 18080))
        assert watched.pid("job") == before["job"]


@pytest.mark.slow
def test_a_damaged_host_is_mended_and_no_container_touched(watched: Stage) -> None:
    with watching(watched):
        pids = watched.pids()
        for damage in (
            ["nft", "delete", "table", "inet", owned(watched).table],
            ["nft", "flush", "ruleset"],
            ["ip", "link", "delete", owned(watched).uplink],
        ):
            watched.host.run(*damage)
            eventually(lambda: answers(watched, 18080), INTERVAL + 3)
        assert watched.pids() == pids


def test_its_end_is_not_the_end_of_containers(watched: Stage) -> None:
    with watching(watched) as watch:
        pids = watched.pids()
        assert watch.end() == 0
        assert "ended" in watch.log.splitlines()[-1]
    assert watched.pids() == pids
    assert answers(watched, 18080)
    assert watched.pending() == ""


def test_an_end_in_the_midst_of_a_pass(watched: Stage) -> None:
    """What runs is finished, nothing new is begun; the next run goes on from there."""
    with watching(watched) as watch:
        watched.edit('command: [sleep, "1000"]', 'command: [sleep, "2000"]')
        eventually(lambda: "plan" in watch.log.partition("sleep")[2] or "2000" in watch.log, 5)
        assert watch.end() == 0
    watched.apply()
    assert watched.pending() == ""
    assert set(watched.pids()) == {"job", "web"}
