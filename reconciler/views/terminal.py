"""What may reach a terminal. Names, labels, logs and messages of others are foreign: a control
character in them could move the cursor, set the title or fake a line, so it is shown, not sent.
"""

import os
from typing import TextIO


def escape(text: str, *, keep: str = "") -> str:
    """Show control, bidirectional, private and lone surrogate characters as ``\\x1b`` or
    ``\\u202e``; everything printable and the characters in ``keep`` stay as they are."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in keep else _shown(c) for c in text)


def _shown(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # a byte that was not UTF-8 (PEP 383)
        return f"\\x{code - 0xDC00:02x}"
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def escape_bytes(line: bytes) -> bytes:
    """``escape`` for a line of a log: tabs and the newline at its end stay."""
    return escape(line.decode(errors="surrogateescape"), keep="\n\t").encode(errors="replace")


def width(text: str) -> int:
    """How many columns escaped ``text`` takes."""
    if text.isascii():
        return len(text)
    from unicodedata import combining, east_asian_width

    return sum(0 if combining(c) else 1 + (east_asian_width(c) in "WF") for c in text)


def cut(text: str, columns: int) -> str:
    """At most ``columns`` columns of ``text``, with an ellipsis where something was cut."""
    if width(text) <= columns:
        return text
    while width(text) > columns - 1 and text:
        text = text[:-1]
    return f"{text}…" if columns > 0 else ""


def is_terminal(stream: TextIO) -> bool:
    """Whether somebody may be looking at ``stream``."""
    try:
        return stream.isatty()
    except ValueError:  # closed
        return False


def columns(stream: TextIO) -> int:
    """The width of the terminal behind ``stream``; 80 where it does not say."""
    try:
        return os.get_terminal_size(stream.fileno()).columns or 80
    except (OSError, ValueError):
        return 80
