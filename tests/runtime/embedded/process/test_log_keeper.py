"""Logs that rotate: real containers that write faster than a file holds, and somebody who looks."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from runtime.api import Logging, Phase, RestartPolicy
from runtime.embedded.process import conmon, on_exit
from runtime.embedded.process import intent as intents
from runtime.embedded.process.log_keeper import LogKeeper
from runtime.embedded.process.supervise import Manner
from runtime.embedded.streams import logs
from tests.eventually import eventually
from tests.runtime.embedded.boxes import Box, Boxes

pytestmark = pytest.mark.root

MIB = 1 << 20
LINES = 400_000  # of 7 bytes; 20 MiB in conmon's form
PACED = """i=0; while [ $i -lt 40 ]
do seq $((i * 5000 + 1)) $((i * 5000 + 5000)); usleep 50000; i=$((i + 1)); done"""
SLOW = "i=0; while [ $i -lt 4000 ]; do i=$((i+1)); echo $i; done"


def launch(box: Box, logging: Logging) -> None:
    manner = Manner(logging=logging)
    box.boxes.supervisor.launch(box.id, box.cgroup, RestartPolicy(), manner)


@contextmanager
def keeping(box: Box, logging: Logging) -> Iterator[None]:
    """What ``watch`` does, in a process of its own as there, for the block."""
    child = os.fork()
    if child == 0:
        try:
            keeper, kept = LogKeeper(), box.boxes.supervisor.kept_log(box.id, logging)
            while True:
                keeper.keep([kept], 0.2)
        finally:
            os._exit(1)
    try:
        yield
    finally:
        os.kill(child, signal.SIGKILL)
        status = os.waitpid(child, 0)[1]
    assert os.WIFSIGNALED(status), "it failed"


def ended(box: Box) -> bool:
    return box.state().phase is Phase.EXITED


def numbers(text: str) -> list[int]:
    return [int(line) for line in text.split()]


def copied(box: Box) -> str:
    pieces: list[bytes] = []
    logs.copy(box.log, pieces.append)
    return b"".join(pieces).decode()


def files(box: Box) -> dict[str, int]:
    """The log's files and their sizes, a file with several names once."""
    return {path.name: path.stat().st_size for path in sorted(box.log.parent.glob("log*"))}


def test_a_fast_writer_loses_nothing_and_is_read_in_order(boxes: Boxes) -> None:
    logging = Logging(max_size=4 * MIB, max_file=9)
    box = boxes.box("seq", str(LINES))
    launch(box, logging)
    with keeping(box, logging):
        eventually(lambda: ended(box), 30)
    sizes = {name: size for name, size in files(box).items() if name != "log.tmp"}
    assert len(sizes) >= 5
    assert max(sizes.values()) <= 4 * MIB
    whole = list(range(1, LINES + 1))
    assert numbers(copied(box)) == whole
    assert numbers(box.text) == whole
    for wanted in (1, 100_000, 250_000):
        tail = b"".join(line.text for line in logs.lines(box.log, tail=wanted))
        assert numbers(tail.decode()) == whole[-wanted:]


def test_a_limit_that_conmon_does_not_know_is_kept_without_loss(boxes: Boxes) -> None:
    """Asked to begin anew, conmon counts on, so that its own limit comes at any moment."""
    logging = Logging(max_size=64 << 10, max_file=400)
    box = boxes.box("sh", "-c", PACED)
    launch(box, logging)
    with keeping(box, logging):
        eventually(lambda: ended(box), 30)
    assert len(files(box)) > 10
    assert numbers(box.text) == list(range(1, 200_001))


def test_no_more_files_than_asked_are_kept(boxes: Boxes) -> None:
    logging = Logging(max_size=4 * MIB, max_file=3)
    box = boxes.box("seq", str(LINES))
    launch(box, logging)
    with keeping(box, logging):
        eventually(lambda: ended(box), 30)
        time.sleep(0.3)  # a look more
    assert sorted(files(box)) == ["log", "log.1", "log.2", "log.tmp"]
    assert (files(box)["log.tmp"], box.log.with_name("last-log").samefile(box.log)) == (0, True)
    kept = numbers(box.text)
    assert kept == list(range(kept[0], LINES + 1))
    assert len(kept) * 52 > 8 * MIB


def test_following_goes_over_rotations(boxes: Boxes) -> None:
    logging = Logging(max_size=4 * MIB, max_file=12)
    box = boxes.box("seq", str(LINES))
    launch(box, logging)
    with keeping(box, logging):
        lines = logs.lines(box.log, follow=True, ended=lambda: ended(box))
        text = b"".join(line.text for line in lines).decode()
    assert (box.log.with_name("log.3")).exists()
    assert numbers(text) == list(range(1, LINES + 1))


def test_other_limits_hold_at_once(boxes: Boxes) -> None:
    box = boxes.box("sh", "-c", f"{SLOW}; sleep 1000")
    launch(box, Logging(max_size=8 * MIB, max_file=2))
    eventually(lambda: box.text.endswith("4000\n"))
    assert list(files(box)) == ["log"]
    less = Logging(max_size=50_000, max_file=3)
    box.boxes.supervisor.change(box.id, RestartPolicy(), less)
    assert box.log.with_name("log.1").stat().st_size > 50_000
    assert box.log.stat().st_size == 0
    assert box.text.endswith("3999\n4000\n")
    assert len(numbers(box.text)) == 4000


def test_what_was_replaced_while_nobody_looked_is_still_there(boxes: Boxes) -> None:
    box = boxes.box("seq", "60000")
    launch(box, Logging(max_size=2 * MIB, max_file=2))
    eventually(lambda: ended(box))
    assert not box.log.with_name("last-log").samefile(box.log)
    assert numbers(box.text) == numbers(copied(box)) == list(range(1, 60_001))


def test_one_file_is_cut_as_asked_and_has_no_other_names(boxes: Boxes) -> None:
    logging = Logging(max_size=100_000, max_file=1)
    box = boxes.box("seq", "20000")
    launch(box, logging)
    with keeping(box, logging):
        eventually(lambda: ended(box))
    assert list(files(box)) == ["log"]
    assert files(box)["log"] <= 100_000
    assert not box.log.with_name("last-log").exists()
    assert numbers(box.text)[-1] == 20_000


def test_a_restart_goes_on_with_the_same_files(boxes: Boxes) -> None:
    logging = Logging(max_size=2 * MIB, max_file=9)
    box = boxes.box("seq", "60000")
    with keeping(box, logging):
        for _ in range(3):
            launch(box, logging)
            eventually(lambda: ended(box))
    assert numbers(box.text) == list(range(1, 60_001)) * 3


def test_one_log_that_cannot_be_kept_holds_up_no_other(boxes: Boxes) -> None:
    logging = Logging(max_size=2 * MIB, max_file=9)
    bad, good = boxes.box("seq", "60000"), boxes.box("seq", "60000")
    for box in (bad, good):
        launch(box, logging)
        eventually(lambda: ended(box))  # noqa: B023  # called at once
    bad.log.with_name("log.7").touch()
    bad.log.with_name("log.8").mkdir()
    keeper = LogKeeper()
    both = [boxes.supervisor.kept_log(box.id, logging) for box in (bad, good)]
    with pytest.raises(OSError, match=r"log\.8"):
        keeper.keep(both, 0.01)
    keeper.close()
    assert good.log.with_name("log.1").exists()


def test_without_a_monitor_nothing_is_renamed(boxes: Boxes) -> None:
    box = boxes.box("seq", "1000")
    launch(box, Logging())
    eventually(lambda: ended(box))
    eventually(lambda: conmon.monitor_of(box.bundle) is None)
    assert not conmon.reopen_log(box.bundle)
    box.boxes.supervisor.change(box.id, RestartPolicy(), Logging(max_size=1000, max_file=2))
    intent = intents.read(box.bundle)
    assert intent is not None
    assert intent.log_max == 1000
    assert not box.log.with_name("log.1").exists()
    assert len(numbers(box.text)) == 1000


# --- without conmon: its part is played, and whoever looks dies at every step -------------------


class Died(BaseException):
    pass


class Player:
    """Writes a log in conmon's form and begins it anew as conmon does."""

    def __init__(self, folder: Path) -> None:
        self.log, self.written = folder / "log", 0
        self.log.touch()

    def write(self) -> None:
        self.written += 1
        with self.log.open("a") as file:
            file.write(f"2026-11-24T04:31:07.900122830+00:00 stdout F {self.written}\n")

    def begin_anew(self) -> None:
        spare = self.log.with_name("log.tmp")
        os.close(os.open(spare, os.O_WRONLY | os.O_TRUNC | os.O_CREAT, 0o640))
        spare.rename(self.log)
        self.write()

    def read(self) -> list[int]:
        return [int(line.text) for line in logs.lines(self.log)]


def look(player: Player, files: int = 20) -> None:
    log = on_exit.Log(str(player.log), files)
    with log:
        log.settle()
        log.hold()
        log.prepare()


EFFECTS = ("rename", "link", "unlink", "open")


@pytest.mark.parametrize("replaced", [0, 1, 2])
@pytest.mark.parametrize("step", range(1, 13))
def test_a_look_that_dies_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int, replaced: int
) -> None:
    player = Player(tmp_path)
    player.write()
    for _ in range(2):
        look(player)
        player.begin_anew()
    look(player)
    for _ in range(replaced):
        player.begin_anew()
    left = [step]

    def deadly(name: str) -> None:
        real = getattr(os, name)

        def effect(*words: object, **more: object) -> object:
            left[0] -= 1
            if left[0] == 0:
                raise Died
            return real(*words, **more)

        monkeypatch.setattr(os, name, effect)

    for name in EFFECTS:
        deadly(name)
    try:
        look(player)
    except Died:
        pass
    monkeypatch.undo()
    assert player.read() == list(range(1, player.written + 1))
    look(player)
    player.begin_anew()
    look(player)
    assert player.read() == list(range(1, player.written + 1))


def test_the_files_have_their_numbers_by_age(tmp_path: Path) -> None:
    player = Player(tmp_path)
    player.write()
    for replaced in (1, 2, 0, 2, 1):
        look(player, files=4)
        for _ in range(replaced):
            player.begin_anew()
    look(player, files=4)
    read = {path.name: path.read_text().split()[-1] for path in tmp_path.glob("log.[0-9]")}
    assert read == {"log.1": "6", "log.2": "5", "log.3": "4"}
    assert player.read() == [4, 5, 6, 7]
