"""The examples work as their READMEs say; `make demo` is run from beginning to end."""

import os
import re
import subprocess
import urllib.request
from pathlib import Path

import pytest

from tests.conftest import COMMAND, Images, Trueup
from tests.eventually import eventually
from tests.images import applications
from tests.images.__main__ import OFFICIAL
from tests.scenarios.stage import Stage, answer, kill, within
from tests.scenarios.test_small_examples import ask

TOP = Path(__file__).parent.parent
EXAMPLES = sorted(path.parent for path in (TOP / "examples").glob("*/trueup.yaml"))


@pytest.mark.parametrize("folder", EXAMPLES, ids=lambda folder: str(folder.name))
def test_an_example_is_valid(folder: Path) -> None:
    if (folder / "pack").exists():
        subprocess.run([folder / "pack"], check=True)
    done = subprocess.run([COMMAND, "validate", folder], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.root
@pytest.mark.slow
def test_the_demo_counts_visits_over_a_down_and_leaves_nothing(trueup: Trueup) -> None:
    environment = {**os.environ, "ROOT": str(trueup.root), "PORT": "18080"}
    done = subprocess.run(
        [*trueup.host.within, TOP / "examples/demo"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=150,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    visits = re.findall(r"visitor (\d+), from (.*)\.", done.stdout)
    assert [number for number, _ in visits] == ["1", "2", "3"]
    assert visits[1] == ("2", "198.51.100.2")
    assert "nothing to change" in done.stdout
    assert trueup.inventory().leftovers() == ""


@pytest.fixture
def example(trueup: Trueup, images: Images, monkeypatch: pytest.MonkeyPatch) -> Trueup:
    """trueup with the variables that the examples read: images of the tests, and a port."""
    registry, layouts = images.registry, {**applications.layouts()}
    for name in ("python", "nginx"):
        reference = getattr(images, name)
        words = ["--src-tls-verify=false", "--dest-tls-verify=false", "--quiet"]
        target = f"docker://{registry.address}/{name}:{OFFICIAL[name]}"
        command = ["skopeo", "copy", *words, f"docker://{reference}", target]
        subprocess.run(command, check=True)
    for name, layout in layouts.items():
        registry.push(layout, name, OFFICIAL[name])
    monkeypatch.setenv("REGISTRY", registry.address)
    monkeypatch.setenv("PORT", "18080")
    return trueup


@pytest.mark.root
@pytest.mark.slow
def test_the_shop_answers_heals_and_keeps_its_orders(example: Trueup, images: Images) -> None:
    shop = Stage(trueup=example, images=images, folder=TOP / "examples/shop")
    shop.apply()
    assert shop.answer(18080) == "Visits: 1. Orders: 0.\n"
    assert _order(example, "teapot") == "Thank you. Orders: 1.\n"
    assert shop.answer(18080, path="/orders") == "1 teapot\n"
    for name in ("proxy", "web", "redis", "postgres"):
        kill(shop.pid(name))
        eventually(lambda: shop.answer(18080, path="/orders") == "1 teapot\n", 30, step=0.1)
    assert _reaches(shop, "proxy", example.host.other.address)
    assert not any(
        _reaches(shop, name, example.host.other.address) for name in ("redis", "postgres")
    )
    assert _reaches(shop, "web", "postgres")
    assert not _reaches(shop, "proxy", "postgres")
    shop.down()
    shop.apply()
    assert shop.answer(18080, path="/orders") == "1 teapot\n"
    shop.down("--volumes", "all")
    assert answer(example.host, "127.0.0.1", 18080) == "refused"


def _reaches(shop: Stage, name: str, whom: str) -> bool:
    """Whether a container gets an answer to a ping."""
    return " 0% packet loss" in within(shop.pid(name), "busybox", "ping", "-c1", "-W2", whom)


def _order(trueup: Trueup, article: str) -> str:
    url = "http://127.0.0.1:18080/orders"
    with trueup.host.inside(), urllib.request.urlopen(url, article.encode(), timeout=5) as reply:
        text: bytes = reply.read()
    return text.decode()


@pytest.mark.root
@pytest.mark.slow
def test_the_game_answers_players_on_every_port(example: Trueup) -> None:
    example("apply", TOP / "examples/game")
    address, other = example.host.address, example.host.other
    eventually(lambda: ask(other, address, 27015).startswith("hello"))
    for port in range(27015, 27021):
        assert ask(other, address, port) == f"hello (port {port}, you are {other.address})"
