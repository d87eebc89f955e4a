"""trueup killed by SIGKILL at any moment: the next `apply` comes to the same end.

The whole command is killed, not what it has started: a conmon or crun on the way goes on, as
after a real death. Every round starts from nothing and must end with nothing.
"""

import os
import random
import shutil
import subprocess
import time
from collections.abc import Sequence

import pytest

from tests.conftest import Images
from tests.images.layers import file
from tests.scenarios.scene import SERVER, Scene, eventually, running

pytestmark = pytest.mark.root

NAMES = {"four/app", "four/base", "four/side", "four/web"}
EDITS = (
    ("base: {image: pages, command: [", "base: {image: pages, command: [busybox, "),
    ("counter: {from: ", "counter: {from: "),
    ("18080:80", "18082:80"),
    ("mem_limit: 64m", "mem_limit: 48m"),
    ("  side:\n", "  other:\n"),
)


def moments(count: int) -> list[float]:
    """Parts of a command's duration, spread evenly."""
    return [(number + 0.5) / count for number in range(count)]


def killed(scene: Scene, command: Sequence[str], after: float) -> bool:
    """Start a command and kill it ``after`` seconds; whether it was still at work then."""
    with running(scene.trueup.start(*command)) as process:
        try:
            process.wait(after)
        except subprocess.TimeoutExpired:
            process.kill()
            return True
        return False


def duration(scene: Scene, *command: str) -> float:
    began = time.monotonic()
    scene.trueup(*command)
    return time.monotonic() - began


def converges(scene: Scene, port: int, names: set[str]) -> None:
    """`apply` brings what the spec says: pages answer, one generation of each runs, no more."""
    scene.apply()
    assert scene.plan() == ""
    eventually(lambda: "visit" in scene.page(port, "cgi-bin/front"), what="the page")
    assert set(scene.pids()) == names
    assert len(scene.processes()) == len(names), "a second generation runs"
    assert len(scene.monitors()) == len(names)


def fresh(scene: Scene) -> None:
    """Take everything down; nothing may be left, and then images go, too."""
    scene.down()
    assert scene.residue() == ""
    shutil.rmtree(scene.paths.lib)


FULL = pytest.mark.sweep
SHORT = pytest.mark.slow


@pytest.mark.timeout(600)
@pytest.mark.parametrize("count", [pytest.param(4, marks=SHORT), pytest.param(20, marks=FULL)])
def test_killed_while_everything_is_new(four: Scene, count: int) -> None:
    whole = duration(four, "apply", str(four.spec))
    fresh(four)
    for part in moments(count):
        killed(four, ["apply", str(four.spec)], whole * part)
        converges(four, 18080, NAMES)
        fresh(four)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("count", [pytest.param(3, marks=SHORT), pytest.param(10, marks=FULL)])
def test_killed_during_an_update(four: Scene, count: int) -> None:
    """Command, published port and limit are edited, a container gets another name."""
    old, new = four.spec.read_text(), four.spec.read_text()
    for before, after in EDITS:
        assert before in new
        new = new.replace(before, after)
    four.apply()
    four.write(new)
    whole = duration(four, "apply", str(four.spec))
    for number, part in enumerate(moments(count)):
        to, port = (old, 18080) if number % 2 == 0 else (new, 18082)
        four.write(to)
        killed(four, ["apply", str(four.spec)], whole * part)
        converges(four, port, NAMES if to is old else NAMES - {"four/side"} | {"four/other"})
        assert four.page(18082 if to is old else 18080) == "", "the old port answers"
    fresh(four)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("count", [pytest.param(3, marks=SHORT), pytest.param(10, marks=FULL)])
def test_killed_during_down(four: Scene, count: int) -> None:
    """Half of the rounds go on with `down`, half with `apply`."""
    four.apply()
    whole = duration(four, "down", str(four.spec))
    for number, part in enumerate(moments(count)):
        four.apply()
        killed(four, ["down", str(four.spec)], whole * part)
        if number % 2:
            converges(four, 18080, NAMES)
        four.trueup("down", "--project", "four", code=None)
        assert four.residue() == ""


@pytest.mark.slow
def test_killed_in_the_middle_of_a_pull(scene: Scene, images: Images) -> None:
    """Nothing half is listed as an image, and nothing temporary stays."""
    heavy = images.publish("heavy", {"heavy": file(random.Random(1).randbytes(40 << 20))}, {})
    scene.write(
        "project: heavy\ncontainers:\n"
        f"  one: {{image: '{heavy}', command: {SERVER}, stop_signal: SIGKILL}}\n"
    )
    temporary = scene.paths.store / "tmp"
    for _ in range(3):
        with running(scene.trueup.start("apply", scene.spec)) as process:
            eventually(lambda: temporary.is_dir() and os.listdir(temporary), what="a half blob")
            process.kill()
        assert scene.trueup("images", "-q").stdout == ""
    scene.apply()
    assert scene.plan() == ""
    assert set(scene.pids()) == {"heavy/one"}
    assert os.listdir(temporary) == []
    fresh(scene)
