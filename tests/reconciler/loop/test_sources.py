"""Saved files and vanished folders are noticed, whatever way an editor saves."""

import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.loop.sources.runtime_changes import RuntimeChanges
from reconciler.loop.sources.spec_files import SpecFiles


@pytest.fixture
def woken() -> threading.Semaphore:
    return threading.Semaphore(0)


def _raise(error: Exception) -> None:
    raise error


@pytest.fixture
def folder(tmp_path: Path, woken: threading.Semaphore) -> Iterator[Path]:
    folder = tmp_path / "spec"
    folder.mkdir()
    (folder / "trueup.yaml").write_text("a: 1\n")
    files = SpecFiles(lambda _: woken.release(), _raise)
    files.watch([folder])
    assert woken.acquire(timeout=5), "the watch stands"
    yield folder
    files.close()


def test_each_way_to_save_a_file_wakes(folder: Path, woken: threading.Semaphore) -> None:
    file = folder / "trueup.yaml"
    for number, save in enumerate((_in_place, _by_rename, _by_link)):
        save(file, f"a: {number}\n")
        assert woken.acquire(timeout=5), save.__name__
        while woken.acquire(timeout=0.6):
            pass


def _in_place(file: Path, text: str) -> None:
    file.write_text(text)


def _by_rename(file: Path, text: str) -> None:
    temporary = file.with_suffix(".new")
    temporary.write_text(text)
    temporary.rename(file)


def _by_link(file: Path, text: str) -> None:
    (file.parent / "real").write_text(text)
    file.unlink()
    file.symlink_to("real")


def test_a_folder_that_was_made_again_is_watched_again(
    folder: Path, woken: threading.Semaphore
) -> None:
    shutil.rmtree(folder)
    folder.mkdir()
    assert woken.acquire(timeout=8)
    while woken.acquire(timeout=3.5):
        pass
    (folder / "trueup.yaml").write_text("a: 2\n")
    assert woken.acquire(timeout=8)


class Changes:
    """A runtime that changes once, then fails, then is quiet."""

    def __init__(self) -> None:
        self.answers: list[bool | Exception] = [True, OSError("gone")]

    def wait_for_change(self, timeout: float) -> bool:
        answer = self.answers.pop(0) if self.answers else False
        if isinstance(answer, Exception):
            raise answer
        time.sleep(0.01)
        return answer


def test_a_change_of_the_runtime_wakes_and_an_error_is_told(woken: threading.Semaphore) -> None:
    told: list[Exception] = []
    source = RuntimeChanges(Changes(), woken.release, told.append)
    assert woken.acquire(timeout=5)
    for _ in range(100):
        if told:
            break
        time.sleep(0.01)
    source.close()
    assert [str(error) for error in told] == ["gone"]
