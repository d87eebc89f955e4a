"""A tree of projects on a real machine: one command for all, one `watch` for all."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import COMMAND, Images, Trueup
from tests.eventually import eventually
from tests.images.recipes import PAGE
from tests.scenarios.scene import ending
from tests.scenarios.stage import answer

pytestmark = pytest.mark.root

# Uses the network of a project that comes after it by its path.
GUEST = """\
networks: {far: {external: true, name: owner_back}}
containers:
  web:
    image: BUSYBOX
    ports: ["18080:80"]
    stop_signal: SIGKILL
    networks: [far]
"""
OWNER = """\
project: owner
networks: {back: {}}
containers:
  db:
    image: BUSYBOX
    command: [sleep, "1000"]
    stop_signal: SIGKILL
    networks: [back]
"""
BROKEN = "containers: {web: {imge: x}}\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """The tree `guest`, `owner/site`, and `wrong`, which is broken."""

    trueup: Trueup
    folder: Path
    busybox: str

    def put(self, name: str, spec: str) -> None:
        (self.folder / name).mkdir(parents=True, exist_ok=True)
        (self.folder / name / "trueup.yaml").write_text(spec.replace("BUSYBOX", self.busybox))

    def run(self, command: str, *options: str, code: int) -> subprocess.CompletedProcess[str]:
        return self.trueup(command, "-r", self.folder, *options, code=code)

    def pids(self) -> dict[str, int]:
        """The first process of each container of the projects that can be read."""
        done = self.trueup("status", "-r", self.folder, "--offline", "--format", "json", code=None)
        found = [json.loads(line) for line in done.stdout.splitlines()]
        return {
            f"{project['project']}/{each['name']}": each["pid"]
            for project in found
            for each in project["containers"]
            if each["pid"]
        }

    def answers(self, port: int) -> bool:
        return answer(self.trueup.host, "127.0.0.1", port) == PAGE


@pytest.fixture
def tree(trueup: Trueup, images: Images, tmp_path: Path) -> Tree:
    made = Tree(trueup=trueup, folder=tmp_path / "tree", busybox=images.busybox)
    for name, spec in (("guest", GUEST), ("owner/site", OWNER), ("wrong", BROKEN)):
        made.put(name, spec)
    return made


@contextmanager
def watching(tree: Tree, log: Path) -> Iterator["subprocess.Popen[bytes]"]:
    root, host = tree.trueup.root, tree.trueup.host
    command = [*host.within, COMMAND, "--root", root, "watch", "-r", tree.folder, "--interval", "5"]
    with log.open("wb") as file:
        words = [*map(str, command)]
        process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stderr=file)
    with ending(process):
        yield process
    assert "Traceback" not in log.read_text()
    assert "defect" not in log.read_text()


def test_a_tree_is_applied_but_for_what_is_broken(tree: Tree) -> None:
    done = tree.run("apply", code=64)
    assert f"{tree.folder}/wrong/trueup.yaml:1:20: `imge` is not a key" in done.stderr
    heads = [line.split()[1] for line in done.stdout.splitlines() if line.startswith("== ")]
    assert heads == ["owner", "guest"]
    assert tree.answers(18080)
    pids = tree.pids()
    assert set(pids) == {"guest/web", "owner/db"}

    assert tree.run("plan", code=64).stdout.count("nothing to change\n") == 2
    tree.put("wrong", OWNER.replace("project: owner\n", ""))
    assert "== wrong" in tree.run("plan", code=2).stdout
    tree.run("apply", code=0)
    tree.run("plan", code=0)
    assert {name: tree.pids()[name] for name in pids} == pids
    assert set(tree.pids()) == {"guest/web", "owner/db", "wrong/db"}


def test_one_watch_keeps_a_tree(tree: Tree, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with watching(tree, log) as watch:
        eventually(lambda: tree.answers(18080), 20)
        eventually(lambda: 'event="spec broken"' in log.read_text(), 5)
        pids = tree.pids()
        assert set(pids) == {"guest/web", "owner/db"}

        tree.put("late", GUEST.replace("18080", "18090"))
        eventually(lambda: tree.answers(18090), 10)
        tree.put("guest", GUEST.replace("18080", "18081"))
        eventually(lambda: tree.answers(18081), 10)
        assert not tree.answers(18080)
        now = tree.pids()
        assert set(now) == {"guest/web", "late/web", "owner/db"}
        assert {name: now[name] for name in pids} == pids

        (tree.folder / "late" / "trueup.yaml").unlink()
        eventually(lambda: "late/trueup.yaml: the file does not exist" in log.read_text(), 10)
        assert tree.answers(18090)
        tree.trueup("down", "--project", "late")
        eventually(lambda: 'event="let go" project=late' in log.read_text(), 10)
        assert set(tree.pids()) == {"guest/web", "owner/db"}
        watch.terminate()
        assert watch.wait(20) == 0
    assert log.read_text().splitlines()[-1].endswith("event=ended project=owner,guest")
    assert tree.answers(18081)
