"""Files that are whole or absent, whoever dies on the way."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from runtime import durable
from runtime.errors import DiskFull
from tests.eventually import eventually

# Writes for ever; told to die, it dies with a write begun.
WRITER = """
import os, signal, sys
from pathlib import Path
from runtime import durable
def die(fd, content):
    os.write(fd, content[:1])
    print("begun", flush=True)
    signal.pause()
durable.write_all = die
durable.write(Path(sys.argv[1]), b"secret")
"""


def begun(path: Path) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, path],
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"begun\n"
    return process


def killed(path: Path) -> None:
    with begun(path) as process:
        process.kill()
    assert [each.stat().st_size for each in path.parent.iterdir() if each != path] == [1]


@pytest.mark.parametrize("old", ["there", "not there"])
def test_what_a_killed_writer_left_goes_with_the_next(tmp_path: Path, old: str) -> None:
    path = tmp_path / "file"
    if old == "there":
        durable.write(path, b"old")
    killed(path)
    assert path.exists() == (old == "there")
    durable.write(path, b"new", mode=0o640)
    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (b"new", 0o640)
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_killed_writer_left_goes_with_the_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    killed(path)
    durable.remove(path)
    assert list(tmp_path.iterdir()) == []
    durable.remove(path)


def test_a_living_writer_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with begun(path) as process:
        writing = threading.Thread(target=durable.write, args=(path, b"new"))
        writing.start()
        eventually(lambda: str(os.getpid()) in _waiting())
        assert not path.exists()
        process.kill()
        writing.join(10)
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


def _waiting() -> str:
    """Who waits for a lock, proc_locks(5)."""
    return " ".join(
        line.split()[5] for line in Path("/proc/locks").read_text().splitlines() if "->" in line
    )


def test_many_writers_of_one_file_do_not_harm_it(tmp_path: Path) -> None:
    path = tmp_path / "file"

    def work(letter: bytes) -> None:
        for size in range(200):
            durable.write(path, letter * size, sync=False)

    threads = [threading.Thread(target=work, args=(each,)) for each in (b"a", b"b", b"c")]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        if path.exists():
            assert len(set(path.read_bytes())) <= 1
    assert len(path.read_bytes()) == 199
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_in_the_way_is_not_followed(tmp_path: Path) -> None:
    path, target = tmp_path / "file", tmp_path / "target"
    target.write_text("theirs")
    (tmp_path / ".file.new").symlink_to(target)
    with pytest.raises(OSError, match="symbolic links"):
        durable.write(path, b"ours")
    assert target.read_text() == "theirs"


def test_a_full_disk_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    durable.write(path, b"old")

    def full(fd: int, content: bytes) -> None:
        raise OSError(28, "no space left")

    monkeypatch.setattr(durable, "write_all", full)
    with pytest.raises(DiskFull):
        durable.write(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
