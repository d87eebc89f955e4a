"""What is seen of a step that moves bytes: bars on a terminal, plain lines elsewhere."""

import fcntl
import io
import os
import pty
import struct
import termios
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TextIO

import pytest

from reconciler.views.progress import Area
from reconciler.views.transfer import Transfer
from runtime.api import Progress

MB = 1_000_000


def layer(name: str, doing: str, done: int = 0, total: int | None = 10 * MB) -> Progress:
    return Progress(what=name, doing=doing, done=done, total=total)


HERE = Progress(what="base", doing="here already", over=True)


class Screen:
    """A terminal of some size, and a clock that goes on a second with each look at it."""

    def __init__(self, columns: int) -> None:
        self.parent, child = pty.openpty()
        self.stream: TextIO = os.fdopen(child, "w")
        self.resize(columns)
        self.now = 0.0

    def resize(self, columns: int) -> None:
        size = struct.pack("HHHH", 24, columns, 0, 0)
        fcntl.ioctl(self.stream.fileno(), termios.TIOCSWINSZ, size)

    def clock(self) -> float:
        self.now += 1.0
        return self.now

    def text(self) -> str:
        """All that was written since the last look."""
        os.set_blocking(self.parent, False)
        pieces = []
        with suppress(OSError):
            while piece := os.read(self.parent, 4096):
                pieces.append(piece)
        return b"".join(pieces).decode()


@contextmanager
def screen(columns: int) -> Iterator[tuple[Screen, Callable[[Progress], None]]]:
    seen = Screen(columns)
    try:
        with seen.stream, Area(seen.stream, clock=seen.clock) as area:
            yield seen, Transfer(area, key="1", head="nginx", lines=True).report
    finally:
        os.close(seen.parent)


def plain(*reports: Progress) -> list[str]:
    """What stands in a file at the end."""
    out = io.StringIO()
    with Area(out, clock=iter(range(99)).__next__) as area:
        report = Transfer(area, key="1", head="nginx", lines=True).report
        for each in reports:
            report(each)
    return out.getvalue().splitlines()


def test_elsewhere_a_line_for_the_start_and_one_for_the_end_of_each_layer() -> None:
    assert plain(
        layer("nginx", "resolving", total=None),
        HERE,
        layer("aa", "waiting"),
        layer("bb", "waiting"),
        layer("aa", "pulling", 1 * MB),
        layer("aa", "pulling", 5 * MB),
        layer("bb", "pulling", 2 * MB),
        layer("aa", "pulling", 10 * MB),
        layer("aa", "pulling", 10 * MB),
    ) == [
        "base: here already",
        "aa: pulling 10MB",
        "bb: pulling 10MB",
        "aa: pulled 10MB in 3.00s",
    ]


def test_on_a_terminal_the_total_stands_above_a_bar_for_each_layer_at_work() -> None:
    with screen(100) as (seen, report):
        for each in (HERE, layer("aa", "waiting"), layer("bb", "waiting")):
            report(each)
        report(layer("aa", "pulling", 0))
        report(layer("bb", "pulling", 5 * MB))
        report(layer("aa", "pulling", 10 * MB))
        shown = seen.text().rpartition("\x1b[J")[2].splitlines()
        assert shown == [
            "aa: pulled 10MB in 6.00s",
            f"nginx  2 of 3 done  [{'=' * 28}>         ]  15MB of 20MB  3.33MB/s",
            f"  bb  pulling  [{'=' * 19}>{' ' * 18}]  5MB of 10MB",
        ]


def test_a_step_that_is_one_part_has_one_line() -> None:
    with screen(100) as (seen, report):
        report(layer("nginx", "importing", 5 * MB))
        shown = seen.text().rpartition("\x1b[J")[2].splitlines()
        assert shown == [f"nginx  importing  [{'=' * 19}>{' ' * 18}]  5MB of 10MB"]


def test_before_sizes_are_known_the_phase_stands_there() -> None:
    with screen(80) as (seen, report):
        report(layer("nginx", "resolving", total=None))
        assert seen.text().endswith("nginx  resolving\r\n")
        report(layer("lib", "looking", total=None))
        assert seen.text().endswith("nginx  lib: looking\r\n")


def test_layers_that_are_done_scroll_away_above() -> None:
    with screen(80) as (seen, report):
        report(layer("aa", "pulling", 1 * MB))
        report(layer("aa", "pulling", 10 * MB))
        assert "aa: pulled 10MB in" in seen.text()


def test_a_layer_that_is_done_stands_there_only_once() -> None:
    with screen(80) as (seen, report):
        report(layer("bb", "pulling", 1 * MB))
        report(layer("aa", "pulling", 1 * MB))
        report(layer("aa", "pulling", 10 * MB))
        told, total, *others = seen.text().rpartition("\x1b[J")[2].splitlines()
    assert told.startswith("aa: pulled 10MB in")
    assert total == f"nginx  1 of 2 done  [{'=' * 13}>{' ' * 11}]  11MB of 20MB  3MB/s"
    assert [line.split()[0] for line in others] == ["bb"]


@pytest.mark.parametrize(
    ("verb", "end"), [("", "tion/application:1.27.3"), ("pull image ", "ation:1.27.3")]
)
def test_of_a_long_name_the_end_is_seen_and_all_numbers(verb: str, end: str) -> None:
    seen = Screen(60)
    head = f"{verb}registry.example:5000/some/organization/application:1.27.3"
    with seen.stream, Area(seen.stream, clock=seen.clock) as area:
        report = Transfer(area, key="1", head=head, lines=True).report
        report(layer("aa", "pulling", 1 * MB))
        report(layer("aa", "pulling", 2 * MB))
        total = seen.text().splitlines()[-2].rpartition("\x1b[J")[2]
    os.close(seen.parent)
    assert total == f"{verb}…{end}  0 of 1 done  2MB of 10MB  333kB/s"


def test_no_line_is_wider_than_a_narrow_terminal() -> None:
    with screen(24) as (seen, report):
        report(layer("aaaaaaaaaaaa", "pulling", 1 * MB))
        report(layer("bbbbbbbbbbbb", "pulling", 1 * MB))
        rows = seen.text().replace("\x1b[J", "\r\n").splitlines()
    assert "[" not in "".join(row for row in rows if not row.startswith("\x1b"))
    assert max(len(row) for row in rows if "\x1b" not in row) <= 23


def test_a_terminal_that_became_narrower_is_cleared_of_all_its_rows() -> None:
    with screen(80) as (seen, report):
        report(layer("aa", "pulling", 1 * MB))
        before = seen.text().rpartition("\x1b[J")[2].splitlines()
        seen.resize(40)
        report(layer("aa", "pulling", 2 * MB))
        broken = sum(-(-len(line) // 40) for line in before)
        assert broken > len(before)
        assert seen.text().startswith(f"\x1b[{broken}A\r\x1b[J")


def test_it_is_drawn_ten_times_a_second_at_most() -> None:
    out = Screen(80)
    times = iter(n / 1000 for n in range(10_000))
    with out.stream, Area(out.stream, clock=times.__next__) as area:
        report = Transfer(area, key="1", head="nginx", lines=True).report
        for done in range(1000):
            report(layer("aa", "pulling", done))
    assert 5 <= out.text().count("\x1b[J") <= 45
    os.close(out.parent)
