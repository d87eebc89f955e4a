"""Hosts on which crun cannot work, or somebody wants another OCI runtime: the same with runc.

What runs belongs to the runtime that started it, whatever the default has become.
"""

import shutil
from pathlib import Path

import pytest

from tests.eventually import eventually
from tests.scenarios.scene import FRONT_PAGE, monitors, residue
from tests.scenarios.stage import Stage, kill, limit

pytestmark = pytest.mark.root

NAMES = {"app", "base", "side", "web"}


@pytest.fixture
def runc(monkeypatch: pytest.MonkeyPatch) -> str:
    """runc is the default of every trueup that the test starts."""
    return use(monkeypatch, "runc")


def use(monkeypatch: pytest.MonkeyPatch, runtime: str) -> str:
    path = shutil.which(runtime)
    assert path, f"{runtime} is not installed"
    monkeypatch.setenv("TRUEUP_OCI_RUNTIME", path)
    return path


def runtimes(stage: Stage) -> set[str]:
    """The OCI runtimes that the running monitors (conmon) were given."""
    lines = (Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0") for pid in monitors(stage))
    return {Path(words[words.index(b"-r") + 1].decode()).name for words in lines}


def answers(stage: Stage) -> None:
    eventually(lambda: "visit" in stage.answer(18080, path=FRONT_PAGE))


def test_from_nothing_to_nothing(four: Stage, runc: str) -> None:
    four.apply()
    answers(four)
    assert runtimes(four) == {"runc"}
    assert four.pending() == ""
    four.edit("mem_limit: 64m", "mem_limit: 48m")
    before = four.pids()
    four.apply()
    assert four.pids() == before
    assert limit(before["side"], "memory.limit_in_bytes", "memory.max") == str(48 << 20)
    four.down()
    assert residue(four) == ""


def test_it_comes_back_and_is_mended(four: Stage, runc: str) -> None:
    four.apply()
    before = four.pids()
    kill(before["web"])
    eventually(lambda: four.pids().get("web", before["web"]) != before["web"])
    answers(four)
    shutil.rmtree(four.bundle("app"), ignore_errors=True)
    assert "the bundle of app is gone" in four.pending()
    four.apply()
    answers(four)
    assert four.pending() == ""
    assert {name for name, pid in four.pids().items() if pid == before[name]} == {"base", "side"}


def test_a_program_that_does_not_exist_leaves_nothing(four: Stage, runc: str) -> None:
    four.edit('command: [sleep, "1000"]', "command: [nosuch]")
    failed = four.apply(code=1)
    assert "nosuch" in failed.stderr
    assert "base" not in four.pids()
    four.down()
    assert residue(four) == ""


@pytest.mark.parametrize("first", ["crun", "runc"])
def test_the_default_changes_under_running_containers(
    four: Stage, monkeypatch: pytest.MonkeyPatch, first: str
) -> None:
    second = {"crun": "runc", "runc": "crun"}[first]
    use(monkeypatch, first)
    four.apply()
    answers(four)
    before = four.pids()
    use(monkeypatch, second)
    assert four.pending() == ""
    four.edit("mem_limit: 64m", "mem_limit: 48m")
    four.apply()
    assert four.pids() == before
    assert runtimes(four) == {first}
    # Its monitor brings it back with what started it; what is replaced gets the new default.
    kill(before["web"])
    eventually(lambda: four.pids().get("web", before["web"]) != before["web"])
    assert runtimes(four) == {first}
    four.edit('command: [sleep, "1000"]', 'command: [sleep, "2000"]')
    four.apply()
    assert runtimes(four) == {first, second}
    # Not even the bundle is left to say who started it.
    shutil.rmtree(four.bundle("side"), ignore_errors=True)
    four.apply()
    answers(four)
    assert set(four.pids()) == NAMES
    four.down()
    assert residue(four) == ""


def test_a_runtime_that_is_not_there_is_named(four: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRUEUP_OCI_RUNTIME", "/opt/nosuch")
    failed = four.apply(code=1)
    assert "/opt/nosuch" in failed.stderr
