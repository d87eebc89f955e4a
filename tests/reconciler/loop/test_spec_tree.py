"""``watch -r`` on the runtime in memory: projects come, go and fail each for itself."""

import shutil
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.cli.onlooker import Onlooker
from reconciler.passes import Absence, make_true
from reconciler.records.writer_lock import project_lock
from reconciler.trees import NoSpecs
from runtime.errors import Fault
from tests.eventually import eventually
from tests.reconciler.loop.watching import Stage

BOX = "containers: {box: {image: 'busybox:1', restart: always}}\n"


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    """The tree `a`, `b`."""
    made = Stage(tmp_path)
    made.folder = tmp_path / "tree"
    for name in ("a", "b"):
        put(made, name)
    return made


def put(stage: Stage, name: str, spec: str = BOX) -> None:
    (stage.folder / name).mkdir(parents=True, exist_ok=True)
    (stage.folder / name / "trueup.yaml").write_text(spec)


def projects(stage: Stage) -> list[str]:
    """Those that run, a name for each container."""
    found = stage.machine.containers()
    return sorted(each.key.project for each in found if each.phase == "running")


def told(stage: Stage, *texts: str) -> bool:
    return any(all(text in line for text in texts) for line in stage.log.getvalue().splitlines())


def test_all_projects_are_made_true_and_one_signal_ends_all(stage: Stage) -> None:
    log = stage.play_tree(lambda: eventually(lambda: projects(stage) == ["a", "b"]))
    assert log.splitlines()[-1].endswith("event=ended project=a,b")
    assert log.count("event=change") == 5, "they share an image"
    assert log.count('event=change project=a object="container box"') == 1


def test_a_new_spec_is_taken_up_when_it_appears(stage: Stage) -> None:
    def script() -> None:
        eventually(lambda: projects(stage) == ["a", "b"])
        time.sleep(0.5)
        put(stage, "c")
        eventually(lambda: projects(stage) == ["a", "b", "c"])
        (stage.folder / "d").mkdir()
        time.sleep(2.5)
        put(stage, "d")
        eventually(lambda: projects(stage) == ["a", "b", "c", "d"])
        put(stage, "c", BOX.replace("}}", "}, more: {image: 'busybox:1'}}"))
        eventually(lambda: projects(stage) == ["a", "b", "c", "c", "d"])

    stage.play_tree(script)


def test_what_lies_below_a_project_is_found_by_time_alone(stage: Stage) -> None:
    def script() -> None:
        eventually(lambda: projects(stage) == ["a", "b"])
        put(stage, "a/data/inner")
        eventually(lambda: projects(stage) == ["a", "b", "inner"])

    stage.play_tree(script, interval=0.5)


def test_a_saved_spec_concerns_its_own_project_only(stage: Stage) -> None:
    def script() -> None:
        eventually(lambda: projects(stage) == ["a", "b"])
        time.sleep(1)
        stage.log.truncate(0)
        put(stage, "a", BOX.replace("}}", "}, more: {image: 'busybox:1'}}"))
        eventually(lambda: projects(stage) == ["a", "a", "b"])

    assert "project=b object" not in stage.play_tree(script)


def test_what_a_container_has_written_is_never_taken_up(stage: Stage) -> None:
    put(stage, "a", BOX.replace("}}", ", volumes: ['./data:/data']}}"))
    (stage.folder / "a" / "data").mkdir()

    def script() -> None:
        eventually(lambda: projects(stage) == ["a", "b"])
        put(stage, "a/data", BOX)
        eventually(lambda: told(stage, "a/data/trueup.yaml is not used: a container could"))
        time.sleep(0.5)
        assert projects(stage) == ["a", "b"]

    stage.play_tree(script, interval=0.3)


def test_a_project_whose_spec_vanished_is_broken_and_stays(stage: Stage) -> None:
    def script() -> None:
        eventually(lambda: projects(stage) == ["a", "b"])
        time.sleep(0.5)
        shutil.rmtree(stage.folder / "a")
        eventually(lambda: told(stage, 'event="spec broken"', "project=a", "does not exist"))
        (box,) = (each for each in stage.machine.containers() if each.key.project == "a")
        stage.machine.exit(box.id, 1)
        stage.machine.changed.release()
        eventually(lambda: projects(stage) == ["a", "b"])
        put(stage, "a")
        eventually(lambda: told(stage, 'event="spec ok"', "project=a"))

    log = stage.play_tree(script, interval=0.5)
    assert log.count("spec broken") == 1


def test_a_project_that_was_taken_out_and_down_is_let_go_and_may_come_back(stage: Stage) -> None:
    def script() -> None:
        eventually(lambda: projects(stage) == ["a", "b"])
        shutil.rmtree(stage.folder / "a")
        eventually(lambda: told(stage, 'event="spec broken"', "project=a"))
        aim = Absence(project="a")
        records = replace(stage.records, command="down")
        make_true(aim, stage.machine, records, Onlooker("json", asks=False, may_ask=False))
        eventually(lambda: told(stage, 'event="let go" project=a'))
        assert projects(stage) == ["b"]
        put(stage, "a")
        eventually(lambda: projects(stage) == ["a", "b"])

    log = stage.play_tree(script, interval=0.5)
    assert "second watch" not in log


def test_a_broken_spec_is_told_once_and_taken_up_when_it_is_mended(stage: Stage) -> None:
    put(stage, "c", "[")

    def script() -> None:
        eventually(lambda: projects(stage) == ["a", "b"])
        eventually(lambda: told(stage, 'event="spec broken"', "c/trueup.yaml:2"))
        time.sleep(1)
        put(stage, "c")
        eventually(lambda: projects(stage) == ["a", "b", "c"])

    log = stage.play_tree(script, interval=0.3)
    assert log.count("spec broken") == 1


def test_of_two_with_one_name_the_first_stays(stage: Stage) -> None:
    def script() -> None:
        eventually(lambda: projects(stage) == ["a", "b"])
        put(stage, "c", f"project: a\n{BOX.replace('box', 'other')}")
        told_so = "c/trueup.yaml:1 declares project a, which is watched from"
        eventually(lambda: told(stage, "spec broken", told_so))
        assert {each.key.name for each in stage.machine.containers()} == {"box"}
        put(stage, "c", BOX)
        eventually(lambda: projects(stage) == ["a", "b", "c"])

    stage.play_tree(script)


def test_two_that_have_one_name_from_the_first_are_both_left_alone(stage: Stage) -> None:
    put(stage, "c", f"project: a\n{BOX}")

    def script() -> None:
        eventually(lambda: told(stage, "project a is declared more than once"))
        eventually(lambda: projects(stage) == ["b"])

    stage.play_tree(script)
    assert list(stage.machine.projects()) == ["b"]


def test_a_project_that_fails_has_a_back_off_of_its_own(stage: Stage) -> None:
    put(stage, "a", BOX.replace("box:", "bad:"))
    stage.machine.faults["start", "bad"] = Fault("no", why="not yet")

    def script() -> None:
        eventually(lambda: told(stage, "event=retry project=a"))
        eventually(lambda: projects(stage) == ["b"])
        stage.machine.faults.clear()
        eventually(lambda: projects(stage) == ["a", "b"])

    assert "retry project=b" not in stage.play_tree(script)


def test_a_project_that_somebody_works_on_keeps_no_other_waiting(stage: Stage) -> None:
    def script() -> None:
        eventually(lambda: projects(stage) == ["b"])
        time.sleep(1.2)
        assert projects(stage) == ["b"]
        release.set()
        eventually(lambda: projects(stage) == ["a", "b"])

    held, release = threading.Event(), threading.Event()

    def hold() -> None:
        with project_lock(stage.records.locks, "a"):
            held.set()
            release.wait(20)

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait()
    log = stage.play_tree(script)
    holder.join()
    assert log.count("event=waiting project=a") == 1
    assert "event=retry" not in log


def test_health_of_all_projects_is_asked(stage: Stage) -> None:
    checked = BOX.replace("}}", ", healthcheck: {test: [CMD, ok], interval: 1s}}}")
    for name in ("a", "b"):
        put(stage, name, checked)

    def script() -> None:
        eventually(lambda: told(stage, "event=health", "a/box", "healthy"))
        eventually(lambda: told(stage, "event=health", "b/box", "healthy"))

    stage.play_tree(script)


def test_a_tree_without_specs_is_an_error(stage: Stage) -> None:
    shutil.rmtree(stage.folder)
    with pytest.raises(NoSpecs):
        stage.play_tree(lambda: None)
