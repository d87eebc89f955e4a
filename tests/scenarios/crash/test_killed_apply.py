"""trueup killed by SIGKILL at any moment: the next `apply` comes to the same end.

The whole command is killed, not what it has started: a conmon or crun on the way goes on, as
after a real death. Every round starts from nothing and must end with nothing.
"""

import os
import random
import shutil
import time

import pytest

from tests.conftest import Images
from tests.eventually import eventually
from tests.images import layers
from tests.images.layers import file
from tests.images.recipes import PAGE
from tests.images.registry import Registry
from tests.scenarios.scene import FRONT_PAGE, ending, killed, monitors, owned, processes, residue
from tests.scenarios.stage import Stage

pytestmark = pytest.mark.root

NAMES = {"app", "base", "side", "web"}
EDITS = (
    ('command: [sleep, "1000"]', 'command: [sleep, "2000"]'),
    ("18080:80", "18082:80"),
    ("mem_limit: 64m", "mem_limit: 48m"),
    ("  side:\n", "  other:\n"),
)


def moments(count: int) -> list[float]:
    """Parts of a command's duration, spread evenly."""
    return [(number + 0.5) / count for number in range(count)]


def duration(stage: Stage, *command: str) -> float:
    began = time.monotonic()
    stage.trueup(*command)
    return time.monotonic() - began


def converges(stage: Stage, port: int, names: set[str]) -> None:
    """`apply` brings what the spec says: pages answer, one generation of each runs, no more."""
    stage.apply()
    assert stage.pending() == ""
    eventually(lambda: "visit" in stage.answer(port, path=FRONT_PAGE))
    assert set(stage.pids()) == names
    assert len(processes(stage)) == len(names), "a second generation runs"
    assert len(monitors(stage)) == len(names)


def fresh(stage: Stage) -> None:
    """Take everything down; nothing may be left. Then images and ledger go, too."""
    stage.down()
    assert residue(stage) == ""
    shutil.rmtree(owned(stage).lib)


FULL = pytest.mark.sweep
SHORT = pytest.mark.slow


@pytest.mark.timeout(600)
@pytest.mark.parametrize("count", [pytest.param(4, marks=SHORT), pytest.param(20, marks=FULL)])
def test_killed_while_everything_is_new(four: Stage, count: int) -> None:
    whole = duration(four, "apply", str(four.spec))
    fresh(four)
    for part in moments(count):
        killed(four.trueup.start("apply", four.spec), whole * part)
        converges(four, 18080, NAMES)
        fresh(four)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("count", [pytest.param(5, marks=SHORT), pytest.param(20, marks=FULL)])
def test_killed_and_then_given_up(four: Stage, count: int) -> None:
    """`down` alone takes away what a killed apply has begun."""
    whole = duration(four, "apply", str(four.spec))
    fresh(four)
    for part in moments(count):
        killed(four.trueup.start("apply", four.spec), whole * part)
        four.trueup("down", "--project", "four")
        assert residue(four) == "", f"killed after {whole * part} s"


@pytest.mark.timeout(600)
@pytest.mark.parametrize("count", [pytest.param(3, marks=SHORT), pytest.param(10, marks=FULL)])
def test_killed_during_an_update(four: Stage, pages: str, other_pages: str, count: int) -> None:
    """Image, command, published port and limit are edited, a container gets another name."""
    old = new = four.spec.read_text()
    for before, after in (
        *EDITS,
        (f"counter: {{from: {pages}}}", f"counter: {{from: {other_pages}}}"),
    ):
        assert before in new
        new = new.replace(before, after)
    four.apply()
    four.spec.write_text(new)
    whole = duration(four, "apply", str(four.spec))
    for number, part in enumerate(moments(count)):
        back = number % 2 == 0
        four.spec.write_text(old if back else new)
        killed(four.trueup.start("apply", four.spec), whole * part)
        converges(four, *((18080, NAMES) if back else (18082, NAMES - {"side"} | {"other"})))
        assert four.answer(18082 if back else 18080) == "refused"
    fresh(four)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("count", [pytest.param(3, marks=SHORT), pytest.param(10, marks=FULL)])
def test_killed_during_down(four: Stage, count: int) -> None:
    """Half of the rounds go on with `apply`, half with `down`."""
    four.apply()
    whole = duration(four, "down", str(four.spec))
    for number, part in enumerate(moments(count)):
        four.apply()
        killed(four.trueup.start("down", four.spec), whole * part)
        if number % 2:
            converges(four, 18080, NAMES)
        four.trueup("down", "--project", "four")
        assert residue(four) == ""


@pytest.mark.parametrize("gone", ["uplink", "router", "table", "all"])
def test_down_of_a_network_that_is_half_there(four: Stage, gone: str) -> None:
    """As a killed apply leaves it, or somebody's hand."""
    four.apply()
    paths = owned(four)
    for name, command in {
        "table": ["nft", "delete", "table", "inet", paths.table],
        "uplink": ["ip", "link", "delete", paths.uplink],
        "router": ["umount", str(paths.router)],
    }.items():
        if gone in (name, "all"):
            four.host.run(*command, check=False)
    four.down()
    assert residue(four) == ""


@pytest.mark.slow
def test_killed_in_the_middle_of_a_pull(stage: Stage, images: Images) -> None:
    """Nothing half is listed as an image, and nothing temporary stays."""
    heavy = images.publish("heavy", {"heavy": file(random.Random(1).randbytes(40 << 20))}, {})
    stage.write(
        f"containers:\n  one: {{image: '{heavy}', stop_signal: SIGKILL, ports: ['18080:80']}}\n"
    )
    temporary = owned(stage).store / "tmp"
    for _ in range(3):
        with ending(stage.trueup.start("apply", stage.spec)) as process:
            eventually(lambda: temporary.is_dir() and os.listdir(temporary))
            process.kill()
        assert stage.trueup("images", "-q").stdout == ""
    stage.apply()
    assert stage.pending() == ""
    eventually(lambda: stage.answer(18080) == PAGE)
    assert os.listdir(temporary) == []
    fresh(stage)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("count", [pytest.param(4, marks=SHORT), pytest.param(10, marks=FULL)])
def test_killed_while_an_image_is_made_tagged_and_pushed(
    stage: Stage, registry: Registry, count: int
) -> None:
    """The registry has under every tag what is here, and never a tag of something else."""
    there, noise = f"{registry.address}/killed", random.Random(2)

    def renew(number: int) -> None:
        content = {"site": file(noise.randbytes(10 << 20))}
        (stage.folder / "site.tar").write_bytes(layers.pack(content))
        tags = f'["{there}:{number}", "{there}:latest"]'
        stage.write(
            f"project: push\nimages:\n  site: {{rootfs: site.tar, push: true, tags: {tags}}}\n"
        )

    renew(0)
    whole = duration(stage, "apply", str(stage.spec))
    for number, part in enumerate(moments(count), 1):
        before = registry.digest("killed", "latest")
        renew(number)
        killed(stage.trueup.start("apply", stage.spec), whole * part)
        died_with = registry.digest("killed", "latest")
        stage.apply()
        assert stage.pending() == ""
        after = registry.digest("killed", "latest")
        assert before != after
        assert died_with in (before, after)
        assert registry.digest("killed", str(number)) == after
        known = stage.trueup("image", "inspect", "-f", "{{.RepoDigests}}", f"{there}:{number}")
        assert after in known.stdout
    temporary = owned(stage).store / "tmp"
    assert os.listdir(temporary) == []
    fresh(stage)
