"""The project's lock names its holder."""

import os
import threading
from pathlib import Path

import pytest

from reconciler.records.writer_lock import project_lock
from runtime.durable import Locked


def test_it_leaves_nothing_behind(tmp_path: Path) -> None:
    with project_lock(tmp_path / "locks", "shop"):
        assert [each.name for each in (tmp_path / "locks").iterdir()] == ["project-shop.lock"]
    assert list((tmp_path / "locks").iterdir()) == []


def test_projects_do_not_wait_for_each_other(tmp_path: Path) -> None:
    with project_lock(tmp_path, "shop"), project_lock(tmp_path, "blog", timeout=0):
        pass


def test_who_waits_is_told_for_whom(tmp_path: Path) -> None:
    told: list[str] = []
    with (
        project_lock(tmp_path, "shop"),
        pytest.raises(Locked) as caught,
        project_lock(tmp_path, "shop", timeout=0.05, waiting=told.append),
    ):
        pass
    assert told
    assert f"process {os.getpid()} " in told[0]
    assert "project shop is busy" in str(caught.value)
    assert "--lock-timeout" in str(caught.value)


def test_who_waits_gets_it_in_the_end(tmp_path: Path) -> None:
    order: list[str] = []
    waiting = threading.Event()

    def second() -> None:
        with project_lock(tmp_path, "shop", waiting=lambda _holder: waiting.set()):
            order.append("second")

    thread = threading.Thread(target=second)
    with project_lock(tmp_path, "shop"):
        thread.start()
        assert waiting.wait(5)
        order.append("first")
    thread.join(5)
    assert order == ["first", "second"]
