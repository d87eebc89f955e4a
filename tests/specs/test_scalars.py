"""The small notations: tables of what they read, and `parse(render(x)) == x`."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from specs import scalars
from specs.scalars import Unreadable

READ: list[tuple[Callable[[str], Any], str, Any]] = [
    (scalars.parse_bytes, "1048576", 1 << 20),
    (scalars.parse_bytes, "0512", 512),
    (scalars.parse_bytes, "512b", 512),
    (scalars.parse_bytes, "512k", 512 << 10),
    (scalars.parse_bytes, "512KB", 512 << 10),
    (scalars.parse_bytes, "64MiB", 64 << 20),
    (scalars.parse_bytes, "1.5g", 3 << 29),
    (scalars.parse_bytes, "1 g", 1 << 30),
    (scalars.parse_duration, "0", 0.0),
    (scalars.parse_duration, "10s", 10.0),
    (scalars.parse_duration, "1m30s", 90.0),
    (scalars.parse_duration, "1.5h", 5400.0),
    (scalars.parse_duration, "250ms", 0.25),
    (scalars.parse_duration, "3us", 3e-6),
    (scalars.parse_mode, "0750", 0o750),
    (scalars.parse_mode, "750", 0o750),
    (scalars.parse_mode, "0o1777", 0o1777),
    (scalars.parse_owner, "27:27", (27, 27)),
    (scalars.parse_owner, "1000", (1000, 1000)),
    (scalars.parse_user, "app", "app"),
    (scalars.parse_user, "1000:1000", "1000:1000"),
    (scalars.parse_signal, "SIGTERM", "SIGTERM"),
    (scalars.parse_signal, "quit", "SIGQUIT"),
    (scalars.parse_signal, "9", "SIGKILL"),
    (scalars.parse_signal, "SIGRTMIN+3", "SIGRTMIN+3"),
    (scalars.parse_signal, "37", "SIGRTMIN+3"),
    (scalars.parse_signal, "SIGRTMAX-1", "SIGRTMIN+29"),
    (scalars.parse_signal, "RTMIN+0", "SIGRTMIN"),
    (scalars.parse_flag, "true", True),
    (scalars.parse_flag, "No", False),
    (scalars.parse_integer, "0100", 100),
    (scalars.parse_integer, "-1", -1),
    (scalars.parse_decimal, "0.5", 0.5),
    (scalars.parse_decimal, ".25", 0.25),
    (scalars.parse_port_range, "80", (80, 80)),
    (scalars.parse_port_range, "9000-9010", (9000, 9010)),
    (scalars.parse_command, "sh -c 'a  b' \"c d\" e\\ f", ("sh", "-c", "a  b", "c d", "e f")),
    (scalars.parse_command, "", ()),
]


@pytest.mark.parametrize(("parse", "text", "value"), READ)
def test_reads(parse: Callable[[str], Any], text: str, value: Any) -> None:
    assert parse(text) == value


REFUSED: list[tuple[Callable[[str], Any], str]] = [
    *(
        (scalars.parse_bytes, t)
        for t in ("", "m", "-1m", "1x", "1mm", "1e3", "٣", "9999999999t", " 1m")
    ),
    *((scalars.parse_duration, t) for t in ("", "10", "-1s", "1s2", "s", "1 s", "1m1x", "1e3s")),
    *((scalars.parse_mode, t) for t in ("", "888", "rwx", "-1", "17777", "0x1f")),
    *(
        (scalars.parse_owner, t)
        for t in ("", "root", "1:", ":1", "-1:0", "2147483648", "1:2:3", "٣")
    ),
    *(
        (scalars.parse_user, t)
        for t in ("", ":", "a b", "1:2:3", "4294967296", "2147483648", "-1", "a/b")
    ),
    *(
        (scalars.parse_signal, t)
        for t in ("", "0", "32", "65", "SIGNONE", "SIGRTMIN+31", "-9", "99999999")
    ),
    *((scalars.parse_flag, t) for t in ("", "1", "maybe", "truee")),
    *((scalars.parse_integer, t) for t in ("", "1.0", "0x1", "1_000", "9" * 30)),
    *((scalars.parse_decimal, t) for t in ("", ".", "-1", "nan", "inf", "1e3", "1,5")),
    *(
        (scalars.parse_port_range, t)
        for t in ("", "0", "65536", "1-", "-1", "9-8", "80a", "٣", "1-2-3")
    ),
    *((scalars.parse_command, t) for t in ("'a", "a\\", '"')),
]


@pytest.mark.parametrize(("parse", "text"), REFUSED)
def test_refuses(parse: Callable[[str], Any], text: str) -> None:
    with pytest.raises(Unreadable):
        parse(text)


@given(st.integers(min_value=0, max_value=scalars.MAX_BYTES))
def test_bytes_read_back(size: int) -> None:
    assert scalars.parse_bytes(scalars.render_bytes(size)) == size


@given(st.integers(min_value=0, max_value=10**15))
def test_durations_read_back(nanoseconds: int) -> None:
    seconds = nanoseconds / 10**9
    assert scalars.parse_duration(scalars.render_duration(seconds)) == seconds


@given(st.integers(min_value=0, max_value=0o7777))
def test_modes_read_back(mode: int) -> None:
    assert scalars.parse_mode(scalars.render_mode(mode)) == mode


@given(st.tuples(*[st.integers(min_value=0, max_value=scalars.MAX_ID)] * 2))
def test_owners_read_back(owner: tuple[int, int]) -> None:
    assert scalars.parse_owner(scalars.render_owner(owner)) == owner


@given(st.lists(st.text(alphabet=st.characters(exclude_characters="\0"))).map(tuple))
def test_commands_read_back(words: tuple[str, ...]) -> None:
    assert scalars.parse_command(scalars.render_command(words)) == words


@given(st.integers(min_value=1, max_value=64).filter(lambda n: n not in (32, 33)))
def test_a_signals_name_reads_as_itself(number: int) -> None:
    name = scalars.parse_signal(str(number))
    assert scalars.parse_signal(name) == name


ALL = [getattr(scalars, name) for name in dir(scalars) if name.startswith("parse_")]


@given(st.sampled_from(ALL), st.text(max_size=20))
def test_any_text_is_read_or_refused(parse: Callable[[str], Any], text: str) -> None:
    try:
        parse(text)
    except Unreadable:
        return
