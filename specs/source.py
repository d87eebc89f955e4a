"""Where a thing stands in the text of a spec, and how that line is shown.

A `Span` is kept with every node that is read, so that each later message can name its place. A
`Source` is one file's text; its excerpts never show what looks like a password.
"""

import re
import unicodedata
from dataclasses import dataclass, field
from functools import cached_property

_BREAKS = re.compile("\r\n|[\n\r\x85\u2028\u2029]")
_SECRET = re.compile(
    r"""(?ix) (?:pass?w|pwd|secret|token|credential|api_?key|private_?key) [\w.-]{0,64}
        (?: ["']? \s* : (?=\s) \s* | ["'] \s* : | = | :?[-?] (?=[^\s/.]) )
        (?P<value> "[^"]*" | '[^']*' | \{[^}]*\}? | [^\s,}\]\[][^,}\]]* )"""
)
_MASK = "***"
_WINDOW = 100


@dataclass(frozen=True, slots=True)
class Span:
    """A place in a file: line and column count from 1; line 0 means the file as a whole."""

    file: str
    line: int
    column: int

    @property
    def brief(self) -> str:
        """`shop.yaml:31`, as plans name it; the path is as the user gave it."""
        return f"{self.file}:{self.line}" if self.line else self.file

    @property
    def full(self) -> str:
        """`shop.yaml:31:5`, as messages begin and editors jump to."""
        return f"{self.brief}:{self.column}" if self.line else self.file

    def __str__(self) -> str:
        return self.brief


@dataclass(frozen=True, slots=True)
class Region:
    """Columns of one line whose text must not be shown; `end` is exclusive, None: to the end."""

    start: int
    end: int | None


Cells = list[tuple[int, str]]


@dataclass
class Source:
    """One file's text under the name that the user knows it by."""

    name: str
    text: str
    hidden: dict[int, list[Region]] = field(default_factory=dict)

    @cached_property
    def lines(self) -> list[str]:
        """The text cut where YAML cuts it, so that its line numbers are ours."""
        return _BREAKS.split(self.text)

    def hide(self, line: int, region: Region) -> None:
        """Keep this region of a line (from 1) out of every excerpt."""
        self.hidden.setdefault(line, []).append(region)

    def excerpt(self, span: Span, width: int) -> str:
        """The line with its number, and a caret line below; empty when there is no such line."""
        if not 0 < span.line <= len(self.lines):
            return ""
        number = str(span.line)
        shown, caret = self._marked(span, width)
        return f"  {number} | {shown}\n  {' ' * len(number)} | {caret}".rstrip()

    def _marked(self, span: Span, width: int) -> tuple[str, str]:
        """The line as it may be shown, and the carets below the place."""
        start, end = span.column - 1, span.column - 1 + max(1, width)
        cells = _window(self._cells(span), start)
        before = sum(_columns(text) for at, text in cells if at < start)
        under = sum(_columns(text) for at, text in cells if start <= at < end)
        return "".join(text for _, text in cells).rstrip(), " " * before + "^" * max(1, under)

    def _cells(self, span: Span) -> Cells:
        """(column from 0, what is shown there) around a place, masked and escaped."""
        line = self.lines[span.line - 1]
        column = max(0, span.column - 1 - 2 * _WINDOW)
        last = min(len(line), span.column - 1 + 2 * _WINDOW)
        cells: Cells = []
        for start, end in self._masked(span.line):
            if end > column and start < last:
                cells += [(at, escaped(line[at])) for at in range(column, start)]
                cells.append((max(start, column), _MASK))
                column = end
        return cells + [(at, escaped(line[at])) for at in range(column, last)]

    def _masked(self, number: int) -> list[tuple[int, int]]:
        """Columns of a line that hold secrets, in order; searched for once."""
        if number not in self._found:
            line = self.lines[number - 1]
            ranges = [match.span("value") for match in _SECRET.finditer(line)]
            hidden = self.hidden.get(number, [])
            ranges += [(each.start, len(line) if each.end is None else each.end) for each in hidden]
            self._found[number] = sorted(ranges)
        return self._found[number]

    @cached_property
    def _found(self) -> dict[int, list[tuple[int, int]]]:
        return {}


def without_secrets(text: str) -> str:
    """Foreign text as a message may repeat it: what looks like a password is left out."""
    parts, at = [], 0
    for match in _SECRET.finditer(text):
        start, end = match.span("value")
        parts += [text[at:start], _MASK]
        at = end
    return "".join(parts) + text[at:]


def _window(cells: Cells, start: int) -> Cells:
    """The part of a long line around the place."""
    if len(cells) <= _WINDOW:
        return cells
    place = sum(1 for at, _ in cells if at < start)
    first = max(0, min(place - _WINDOW // 2, len(cells) - _WINDOW))
    part = cells[first : first + _WINDOW]
    head = [(part[0][0], "…"), *part[1:]] if part[0][0] > 0 else part
    return [*head[:-1], (head[-1][0], "…")] if part[-1] != cells[-1] else head


def _columns(text: str) -> int:
    """How many terminal columns the text takes."""
    wide = sum(1 for char in text if unicodedata.east_asian_width(char) in "WF")
    return len(text) + wide - sum(1 for char in text if unicodedata.combining(char))


def escaped(text: str) -> str:
    """Foreign text with everything that could move a cursor or hide a letter written out."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else _written_out(ord(char)) for char in text)


def _written_out(code: int) -> str:
    if code == 9:
        return "\\t"
    if code < 256:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 1 << 16 else f"\\U{code:08x}"
