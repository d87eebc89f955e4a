"""Logs in conmon's form: read whole, from the end, and while they grow."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.api import LogLine
from runtime.embedded.streams import logs

T = "2026-11-24T04:31:07.900122830+00:00"
Z = "2026-11-24T04:31:07.900122830Z"


def written(path: Path, *records: str) -> Path:
    path.write_text("".join(f"{T} {record}\n" for record in records), newline="")
    return path


def shown(lines: Iterator[LogLine]) -> list[str]:
    return [f"{line.stream} {line.text.decode()}" for line in lines]


def copied(log: Path, *, stamps: bool = False) -> str:
    pieces: list[bytes] = []
    logs.copy(log, pieces.append, stamps=stamps)
    return b"".join(pieces).decode()


CASES = {
    "whole lines": (
        ("stdout F one", "stderr F two", "stdout F "),
        ["stdout one\n", "stderr two\n", "stdout \n"],
    ),
    "pieces are joined": (("stdout P on", "stdout P e ", "stdout F x"), ["stdout one x\n"]),
    "pieces of two streams do not mix": (
        ("stdout P a", "stderr F err", "stdout F b"),
        ["stderr err\n", "stdout ab\n"],
    ),
    "a last line without its end": (
        ("stdout F one", "stdout P two"),
        ["stdout one\n", "stdout two"],
    ),
    "carriage returns are kept": (("stdout F 10%\r20%\r",), ["stdout 10%\r20%\r\n"]),
    "text that looks like a record": (
        (f"stdout F {T} stdout P x",),
        [f"stdout {T} stdout P x\n"],
    ),
    "nothing": ((), []),
}


@pytest.mark.parametrize(("records", "expected"), CASES.values(), ids=CASES)
def test_lines(tmp_path: Path, records: tuple[str, ...], expected: list[str]) -> None:
    log = written(tmp_path / "log", *records)
    assert shown(logs.lines(log)) == expected


def test_time_is_utc(tmp_path: Path) -> None:
    log = written(tmp_path / "log", "stdout F one")
    assert [line.time for line in logs.lines(log)] == [Z]
    assert copied(log, stamps=True) == f"{Z} one\n"


def test_an_absent_log_is_empty(tmp_path: Path) -> None:
    assert list(logs.lines(tmp_path / "log")) == []
    assert copied(tmp_path / "log") == ""


@pytest.mark.parametrize("wanted", [0, 1, 2, 5, 1999, 2000, 2001, 5000])
def test_tail(tmp_path: Path, wanted: int) -> None:
    records = [f"stdout F line {n} {'x' * (n % 300)}" for n in range(2000)]
    log = written(tmp_path / "log", *records)
    found = shown(logs.lines(log, tail=wanted))
    assert found == [f"stdout {r[9:]}\n" for r in records[2000 - min(wanted, 2000) :]]


def test_a_tail_begins_with_a_whole_line(tmp_path: Path) -> None:
    log = written(tmp_path / "log", "stdout F a", "stdout P b", "stdout P c", "stdout F d")
    assert shown(logs.lines(log, tail=1)) == ["stdout bcd\n"]


def test_what_was_put_aside_comes_first(tmp_path: Path) -> None:
    written(tmp_path / "log.1", "stdout F old 1", "stdout F old 2")
    log = written(tmp_path / "log", "stdout F new")
    assert copied(log) == "old 1\nold 2\nnew\n"
    assert shown(logs.lines(log, tail=2)) == ["stdout old 2\n", "stdout new\n"]


def test_a_line_may_go_on_in_the_next_file(tmp_path: Path) -> None:
    written(tmp_path / "log.1", "stdout F one", "stdout P tw")
    written(tmp_path / "last-log", "stdout P o ", "stdout P and ")
    log = written(tmp_path / "log", "stdout F more", "stdout F three")
    assert copied(log) == "one\ntwo and more\nthree\n"
    assert copied(log, stamps=True) == f"{Z} one\n{Z} two and more\n{Z} three\n"
    expected = ["stdout one\n", "stdout two and more\n", "stdout three\n"]
    for wanted in (0, 1, 2, 3, 4):
        assert shown(logs.lines(log, tail=wanted)) == expected[3 - min(wanted, 3) :]


def test_a_file_with_several_names_is_read_once_and_the_next_one_not_at_all(
    tmp_path: Path,
) -> None:
    log = written(tmp_path / "log", "stdout F new")
    written(tmp_path / "log.1", "stdout F old")
    (tmp_path / "last-log").hardlink_to(log)
    spare = written(tmp_path / "log.tmp", "stdout F not yet")
    (tmp_path / "next-log").hardlink_to(spare)
    assert shown(logs.lines(log)) == ["stdout old\n", "stdout new\n"]
    spare.rename(log)
    assert copied(log) == "old\nnew\nnot yet\n"


def test_following_goes_through_all_files_that_came_meanwhile(tmp_path: Path) -> None:
    log = written(tmp_path / "log", "stdout F one")
    following = logs.lines(log, follow=True, ended=lambda: True)
    assert next(following).text == b"one\n"
    log.rename(tmp_path / "log.2")
    written(tmp_path / "log.3", "stdout F long ago")
    written(tmp_path / "log.1", "stdout F two")
    written(tmp_path / "last-log", "stdout F three")
    written(log, "stdout F four")
    assert shown(following) == ["stdout two\n", "stdout three\n", "stdout four\n"]


def test_copy_parts_the_streams(tmp_path: Path) -> None:
    log = written(tmp_path / "log", "stdout F a", "stderr F b", "stdout P c", "stdout F d")
    out: list[bytes] = []
    err: list[bytes] = []
    logs.copy(log, out.append, err.append)
    assert (b"".join(out), b"".join(err)) == (b"a\ncd\n", b"b\n")


@given(
    texts=st.lists(st.text(st.characters(exclude_characters="\n", codec="utf-8")), max_size=30),
    cut=st.integers(1, 7),
)
def test_copy_and_lines_give_back_what_was_written(
    texts: list[str], cut: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    records = []
    for text in texts:
        raw = text.encode()
        pieces = [raw[i : i + cut] for i in range(0, len(raw), cut)] or [b""]
        records += [f"{T} stdout P ".encode() + piece for piece in pieces[:-1]]
        records.append(f"{T} stdout F ".encode() + pieces[-1])
    log = tmp_path_factory.mktemp("log") / "log"
    log.write_bytes(b"".join(record + b"\n" for record in records))
    expected = "".join(f"{text}\n" for text in texts).encode()
    found: list[bytes] = []
    logs.copy(log, found.append)
    assert b"".join(found) == expected
    assert b"".join(line.text for line in logs.lines(log)) == expected


def test_following_sees_what_comes_and_ends_with_the_container(tmp_path: Path) -> None:
    log = written(tmp_path / "log", "stdout F one")
    over = threading.Event()
    found: list[str] = []

    def read() -> None:
        found.extend(shown(logs.lines(log, follow=True, ended=over.is_set)))

    reader = threading.Thread(target=read)
    reader.start()
    time.sleep(0.1)
    with open(log, "a") as file:
        file.write(f"{T} stdout F two\n{T} std")
        file.flush()
        time.sleep(0.1)
        file.write("out F three\n")
    over.set()
    reader.join(5)
    assert found == ["stdout one\n", "stdout two\n", "stdout three\n"]


def test_following_goes_on_in_the_file_that_conmon_begins(tmp_path: Path) -> None:
    log = written(tmp_path / "log", "stdout F one")
    over = threading.Event()
    following = logs.lines(log, follow=True, ended=over.is_set)
    assert next(following).text == b"one\n"
    with open(log, "a") as file:
        file.write(f"{T} stdout F two\n")
    written(tmp_path / "new", "stdout F three").rename(log)
    assert next(following).text == b"two\n"
    assert next(following).text == b"three\n"
    over.set()
    assert list(following) == []


@pytest.mark.slow
def test_speed(tmp_path: Path) -> None:
    """A tail does not depend on the size; a copy takes at least 100 MB/s."""
    log = tmp_path / "log"
    block = "".join(f"{T} stdout F {'x' * 64}\n" for _ in range(10_000)).encode()
    with open(log, "wb") as file:
        for _ in range(100):
            file.write(block)
    size = log.stat().st_size
    started = time.monotonic()
    assert len(list(logs.lines(log, tail=10))) == 10
    assert time.monotonic() - started < 0.05
    started = time.monotonic()
    logs.copy(log, lambda _: None)
    assert size / (time.monotonic() - started) > 100e6
