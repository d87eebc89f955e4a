"""Nothing foreign reaches a terminal as a command to it."""

import io
import os
import pty
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.views.progress import Area
from reconciler.views.terminal import cut, escape, escape_bytes, width


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("grüße 名前 🚢", "grüße 名前 🚢"),
        ("\x1b]52;c;ZXZpbA==\x07", "\\x1b]52;c;ZXZpbA==\\x07"),
        ("over\rwritten", "over\\x0dwritten"),
        ("c1 \x9b2J", "c1 \\x9b2J"),
        ("bidi \u202e\u2066", "bidi \\u202e\\u2066"),
        ("line\u2028sep", "line\\u2028sep"),
        ("byte \udcff", "byte \\xff"),
    ],
)
def test_escape(text: str, shown: str) -> None:
    assert escape(text) == shown


@given(st.binary())
def test_an_escaped_log_line_has_no_control_byte_but_tab_and_newline(line: bytes) -> None:
    shown = escape_bytes(line)
    assert not [byte for byte in shown if byte < 0x20 and byte not in b"\t\n"]
    assert "\x7f" not in shown.decode()
    assert not any("\x80" <= c <= "\x9f" for c in shown.decode())


def test_width_and_cut_count_columns() -> None:
    assert width("名前") == 4
    assert cut("abcdef", 4) == "abc…"
    assert cut("名前です", 5) == "名前…"
    assert cut("abc", 3) == "abc"


def test_off_a_terminal_only_finished_lines_are_written() -> None:
    out = io.StringIO()
    with Area(out) as area:
        area.doing("a", "pulling")
        area.done("a", "pulled nginx")
        area.done("", "1 step")
    assert out.getvalue() == "pulled nginx\n1 step\n"


def _all_of(parent: int) -> str:
    """What was written to a terminal that is closed by now: a read may come short."""
    pieces = []
    with suppress(OSError):  # EIO: no more
        while piece := os.read(parent, 4096):
            pieces.append(piece)
    os.close(parent)
    return b"".join(pieces).decode()


def test_on_a_terminal_the_area_is_gone_at_the_end_and_foreign_text_is_shown() -> None:
    parent, child = pty.openpty()
    with os.fdopen(child, "w") as stream, Area(stream, clock=iter(range(9)).__next__) as area:
        area.doing("a", "pulling \x1b[2J")
        area.done("a", "pulled")
    written = _all_of(parent)
    assert "pulling \\x1b[2J" in written
    assert written.endswith("\x1b[1A\r\x1b[Jpulled\r\n")
