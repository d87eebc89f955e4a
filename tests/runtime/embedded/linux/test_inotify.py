"""Renames into folders, as the kernel tells of them."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime.embedded.linux.inotify import Arrivals


@pytest.fixture
def arrivals() -> Iterator[Arrivals]:
    made = Arrivals()
    yield made
    made.close()


def heard(arrivals: Arrivals, seconds: float = 0.0) -> list[Path]:
    return arrivals.wait(time.monotonic() + seconds)


def test_a_rename_into_a_folder_is_heard_and_nothing_else(
    arrivals: Arrivals, tmp_path: Path
) -> None:
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder in (*folders, *folders):
        folder.mkdir(exist_ok=True)
        arrivals.watch(folder)
    for folder in folders:
        (folder / "x").write_text("new")
        (folder / "x").rename(folder / "a name")
    assert heard(arrivals, 1) == [folders[0] / "a name", folders[1] / "a name"]
    assert heard(arrivals) == []


def test_it_waits_no_longer_than_said(arrivals: Arrivals, tmp_path: Path) -> None:
    arrivals.watch(tmp_path)
    started = time.monotonic()
    assert heard(arrivals, 0.1) == []
    assert 0.09 < time.monotonic() - started < 1


def test_a_folder_that_goes_is_no_error_and_one_that_comes_again_is_heard(
    arrivals: Arrivals, tmp_path: Path
) -> None:
    folder = tmp_path / "a"
    folder.mkdir()
    arrivals.watch(folder)
    folder.rmdir()
    assert heard(arrivals, 1) == []
    folder.mkdir()
    arrivals.watch(folder)
    (tmp_path / "x").touch()
    (tmp_path / "x").rename(folder / "y")
    assert heard(arrivals, 1) == [folder / "y"]
    with pytest.raises(FileNotFoundError):
        arrivals.watch(tmp_path / "never")


def test_when_some_were_lost_every_folder_is_named(arrivals: Arrivals, tmp_path: Path) -> None:
    most = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    arrivals.watch(tmp_path)
    names = [tmp_path / "x", tmp_path / "y"]
    names[0].touch()
    for number in range(most + 2):
        names[number % 2].rename(names[1 - number % 2])
    found: list[Path] = []
    while more := heard(arrivals):
        found += more
    assert tmp_path in found
