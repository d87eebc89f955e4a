"""``watch`` on the runtime in memory: real files, real signals, real lock."""

import io
import re
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from reconciler.loop.log import logger
from reconciler.records.writer_lock import watch_lock
from reconciler.spec import SpecBroken
from runtime.errors import Fault
from tests.eventually import eventually
from tests.reconciler.loop.watching import SPEC, Stage


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


@contextmanager
def _same_handlers() -> Iterator[None]:
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    yield
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


def test_it_applies_at_once_and_leaves_containers_running_at_its_end(stage: Stage) -> None:
    with _same_handlers():
        log = stage.play(lambda: eventually(stage.running))
    assert stage.running() == ["web"]
    assert 'event=change project=shop object="container web" kind=create' in log
    assert log.splitlines()[-1].endswith("event=ended project=shop")


def test_a_saved_spec_is_applied(stage: Stage) -> None:
    def script() -> None:
        eventually(stage.running)
        time.sleep(0.5)
        stage.spec.write_text(SPEC.replace("}}", "}, api: {image: 'nginx:1.27'}}"))
        eventually(lambda: sorted(stage.running()) == ["api", "web"])

    stage.play(script)


def test_what_the_machine_says_of_registries_is_heard_without_a_restart(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "etc/registries.yaml"
    monkeypatch.setenv("TRUEUP_CONFIG_DIR", str(file.parent))

    def script() -> None:
        eventually(stage.running)
        file.parent.mkdir()
        file.write_text("search: []")
        eventually(lambda: "short names are off" in stage.log.getvalue())
        file.unlink()
        eventually(lambda: "spec ok" in stage.log.getvalue())

    log = stage.play(script, interval=600)
    assert f"short names are off ({file}:1)" in log
    assert stage.running() == ["web"]


def test_warnings_of_the_spec_are_told_once_and_nothing_is_told_empty(stage: Stage) -> None:
    spec = SPEC.replace("}}", ", volumes: ['./conf:/etc/conf']}}")

    def script() -> None:
        eventually(stage.running)
        stage.spec.write_text(spec)
        eventually(lambda: "conf" in stage.log.getvalue())
        time.sleep(1)

    log = stage.play(script, interval=0.2)
    assert [line for line in log.splitlines() if "event=note" in line and "conf" in line][1:] == []
    assert log.count("event=note ") == 1
    assert not re.search(r'=(""|)( |$)', log, re.MULTILINE)


def test_what_forbids_a_pass_is_told_with_its_reason(stage: Stage) -> None:
    stage.spec.write_text(SPEC.replace("}}", ", ports: ['8080:80']}}"))
    stage.machine.foreign_ports[None, 8080, "tcp"] = "nginx[812]"
    log = stage.play(lambda: eventually(lambda: "pass failed" in stage.log.getvalue()))
    assert "is held by nginx[812]; stop it" in log
    assert "causes=start" in log


def test_a_second_watch_of_a_project_says_so_and_goes_on(stage: Stage) -> None:
    with watch_lock(stage.records.locks, "shop") as other:
        assert other == ""
        log = stage.play(lambda: eventually(stage.running))
    assert re.search(r'event="second watch" project=shop holder="process \d+ ', log)
    stage.log.seek(0)
    stage.log.truncate()
    assert "second watch" not in stage.play(lambda: eventually(stage.running))


def test_a_container_that_ended_is_started_again(stage: Stage) -> None:
    def script() -> None:
        eventually(stage.running)
        (web,) = stage.machine.containers()
        stage.machine.exit(web.id, 1)
        stage.machine.changed.release()
        eventually(stage.running)

    stage.play(script)


def test_time_alone_makes_a_pass(stage: Stage) -> None:
    def script() -> None:
        eventually(stage.running)
        (web,) = stage.machine.containers()
        stage.machine.exit(web.id, 1)
        eventually(stage.running)

    stage.play(script, interval=0.3)


@pytest.mark.parametrize("damage", ["containers: [", "", None])
def test_while_the_spec_is_broken_the_last_good_one_stays_in_force(
    stage: Stage, damage: str | None
) -> None:
    def script() -> None:
        eventually(stage.running)
        time.sleep(0.5)
        if damage is None:
            stage.spec.unlink()
        else:
            stage.spec.write_text(damage)
        eventually(lambda: 'event="spec broken"' in stage.log.getvalue())
        (web,) = stage.machine.containers()
        stage.machine.exit(web.id, 1)
        stage.machine.changed.release()
        eventually(stage.running)
        stage.spec.write_text(SPEC)
        eventually(lambda: 'event="spec ok"' in stage.log.getvalue())

    log = stage.play(script)
    assert log.count("spec broken") == 1
    assert "Traceback" not in log


def test_a_failing_step_is_tried_again_and_ends_nothing(stage: Stage) -> None:
    stage.machine.faults["start", "web"] = Fault("no", why="not yet", hint="wait")

    def script() -> None:
        eventually(lambda: "event=retry project=shop after=1" in stage.log.getvalue())
        stage.machine.faults.clear()
        eventually(stage.running)

    assert 'event=failed project=shop step="start container web"' in stage.play(script)


def test_a_defect_of_ours_ends_nothing(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    observe = stage.machine.observe
    monkeypatch.setattr(stage.machine, "observe", lambda _query: 1 / 0)

    def script() -> None:
        eventually(lambda: "event=defect" in stage.log.getvalue())
        monkeypatch.setattr(stage.machine, "observe", observe)
        eventually(stage.running)

    stage.play(script)


def test_a_signal_within_a_pass_waits_for_the_steps_that_run(stage: Stage) -> None:
    hold = threading.Event()
    stage.machine.pause["create", "web"] = hold

    def script() -> None:
        eventually(lambda: stage.machine.networks_made)
        threading.Timer(0.5, hold.set).start()

    log = stage.play(script)
    assert [each.phase for each in stage.machine.containers()] in ([], ["created"])
    assert log.splitlines()[-1].endswith("event=ended project=shop")


def test_data_is_never_deleted_by_itself_and_another_project_name_is_refused(
    stage: Stage,
) -> None:
    def script() -> None:
        eventually(stage.running)
        time.sleep(0.5)
        stage.spec.write_text(SPEC.replace("shop", "blog"))
        eventually(lambda: "but shop is being watched" in stage.log.getvalue())

    stage.play(script)
    assert list(stage.machine.projects()) == ["shop"]


def test_a_spec_that_is_broken_from_the_first_is_an_error(stage: Stage) -> None:
    stage.spec.write_text("[")
    with pytest.raises(SpecBroken):
        stage.play(lambda: None)


def test_the_log_shows_foreign_characters_and_can_be_json() -> None:
    out = io.StringIO()
    logger(out, "logfmt").info("x", name="a\x1b[2J\nb")
    logger(out, "json").info("x", name="a\x1b[2J")
    assert "\x1b" not in out.getvalue()
    assert "name=a\\x1b[2J\\nb" in out.getvalue()
    assert len(out.getvalue().splitlines()) == 2
