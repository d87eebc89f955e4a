"""examples/site, examples/job and examples/game do what their READMEs say."""

import re
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from tests.conftest import Images, Trueup
from tests.eventually import PATIENCE, eventually
from tests.hosts import Namespace
from tests.images import recipes
from tests.images.__main__ import OFFICIAL
from tests.scenarios.reboot import rebooted
from tests.scenarios.stage import Stage, answer, status, within

pytestmark = [pytest.mark.root, pytest.mark.slow]

EXAMPLES = Path(__file__).parents[2] / "examples"
PORT = 18080
FIRST, LAST = 27015, 27020


def example(name: str, trueup: Trueup, images: Images, place: Path) -> Stage:
    """A copy of an example, with images by their official names."""
    shutil.copytree(EXAMPLES / name, place, dirs_exist_ok=True)
    for image in ("busybox", "python"):
        images.registry.push(recipes.layouts()[image], image, OFFICIAL[image])
    (place / ".env").write_text(f"REGISTRY={images.registry.address}\nPORT={PORT}\n")
    return Stage(trueup=trueup, images=images, folder=place)


def test_the_site_shows_its_pages_and_a_changed_page_replaces_it(
    trueup: Trueup, images: Images, tmp_path: Path
) -> None:
    site = example("site", trueup, images, tmp_path)
    pack = [tmp_path / "pack"]
    subprocess.run(pack, check=True)
    archive = (tmp_path / "site.tar").read_bytes()
    subprocess.run(pack, check=True)
    assert (tmp_path / "site.tar").read_bytes() == archive, "the same pages, the same archive"
    site.apply()
    index = tmp_path / "pages/index.html"
    assert site.answer(PORT) == index.read_text()
    assert answer(site.host.other, site.host.address, PORT) == index.read_text()
    before = site.pid("web")
    assert "Read-only" in within(before, "busybox", "touch", "/www/more")
    assert int(status(before)["CapBnd"], 16) == 1 << 10  # CAP_NET_BIND_SERVICE
    index.write_text("<p>Changed.</p>\n")
    assert site.pending() == ""
    subprocess.run(pack, check=True)
    assert "image" in site.pending()
    site.apply()
    assert site.answer(PORT) == "<p>Changed.</p>\n"
    assert site.pid("web") != before
    assert site.pending() == ""


MADE = "This page was made by a migration.\nYou came after it had ended.\n"


def test_the_job_is_done_before_the_service_starts_and_only_once(
    trueup: Trueup, images: Images, tmp_path: Path
) -> None:
    job = example("job", trueup, images, tmp_path)
    job.apply()
    assert job.answer(PORT) == MADE
    said = job.log("migrate")
    assert re.search(r"^version 1.*\n^version 2.*\n", said, re.MULTILINE), said
    ended, began = job.containers()["migrate"], job.containers()["web"]
    assert ended["exit_code"] == 0
    assert ended["started_at"] < began["started_at"]
    assert job.apply().stdout == "nothing to change\n"
    job.edit("command: [sh, /migrate]", 'command: [sh, -c, "echo cannot; exit 9"]')
    failed = job.apply(code=1).stderr
    assert "job/migrate did not complete: it ended with exit code 9" in failed
    assert "| cannot" in failed
    assert job.pid("web") == began["pid"]
    assert job.answer(PORT) == MADE
    job.edit('command: [sh, -c, "echo cannot; exit 9"]', "command: [sh, -e, /migrate]")
    job.apply()
    assert job.log("migrate") == "the data has version 2\n"
    assert job.pid("web") == began["pid"]
    assert job.pending() == ""
    with rebooted(job, stale=False) as after:
        after.apply()
        eventually(lambda: after.answer(PORT) == MADE)
        assert after.log("migrate") == "the data has version 2\n", "run once more"
        assert set(after.pids()) == {"web"}
        after.down()


def ask(place: Namespace, address: str, port: int, words: str = "hello") -> str:
    """What the game answers a player at ``place``, or the name of the error."""
    with place.inside(), socket.socket(type=socket.SOCK_DGRAM) as player:
        player.settimeout(2.0 * PATIENCE)
        player.connect((address, port))
        try:
            player.send(words.encode())
            return player.recv(2000).decode()
        except OSError as error:
            return type(error).__name__


def test_the_game_answers_on_all_its_ports_and_sees_its_players(
    trueup: Trueup, images: Images, tmp_path: Path
) -> None:
    game = example("game", trueup, images, tmp_path)
    game.apply()
    host, other = game.host, game.host.other
    eventually(lambda: ask(other, host.address, FIRST).startswith("hello"))
    for port in range(FIRST, LAST + 1):
        said = ask(other, host.address, port)
        assert said == f"hello (port {port}, you are {other.address})"
    assert ask(host, "127.0.0.1", 27017).startswith("hello (port 27017, you are ")
    assert ask(other, host.address, LAST + 1) == "ConnectionRefusedError"
    shown = trueup("ps", "--format", "{{.Ports}}").stdout
    assert shown == "0.0.0.0:27015-27020->27015-27020/udp\n"
    before = game.pid("server")
    game.edit('"27015-27020:27015-27020/udp"', '"28015-28020:27015-27020/udp"')
    game.apply()
    assert game.pid("server") == before, "ports change in place"
    assert ask(other, host.address, 28017) == f"hello (port 27017, you are {other.address})"
    assert ask(other, host.address, 27017) == "ConnectionRefusedError"
    game.edit('"28015-28020:27015-27020/udp"', '"27015-27022:27015-27022/udp"')
    game.edit('"27015", "27020"]', '"27015", "27022"]')
    game.apply()
    assert game.pid("server") != before
    assert "(healthy)" in trueup("ps", "--format", "{{.Status}}").stdout
    eventually(lambda: ask(other, host.address, 27022).startswith("hello (port 27022"))
    assert game.pending() == ""
