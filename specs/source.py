"""Where a thing stands in the text of a spec, and how that line is shown.

A `Span` is kept with every node that is read, so that each later message can name its place. A
`Source` is one file's text; its excerpts never show what looks like a password.
"""

import re
import unicodedata
from dataclasses import dataclass, field

_BREAKS = re.compile("\r\n|[\n\r\x85\u2028\u2029]")
_SECRET = re.compile(
    r"""(?ix) [\w.-]* (?:pass?w|pwd|secret|token|credential|api_?key|private_?key) [\w.-]*
        (?: ["']? \s* : (?=\s) \s* | ["'] \s* : | = | :?[-?] (?=[^\s/.]) )
        (?P<value> "[^"]*" | '[^']*' | \{[^}]*\}? | [^\s,}\]\[][^,}\]]* )"""
)
_INVISIBLE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]"
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


@dataclass(slots=True)
class Source:
    """One file's text under the name that the user knows it by."""

    name: str
    text: str
    hidden: dict[int, list[Region]] = field(default_factory=dict)

    def lines(self) -> list[str]:
        """The text cut where YAML cuts it, so that its line numbers are ours."""
        return _BREAKS.split(self.text)

    def hide(self, line: int, region: Region) -> None:
        """Keep this region of a line (from 1) out of every excerpt."""
        self.hidden.setdefault(line, []).append(region)

    def excerpt(self, span: Span, width: int) -> str:
        """The line with its number, and a caret line below; empty when there is no such line."""
        lines = self.lines()
        if not 0 < span.line <= len(lines):
            return ""
        number = str(span.line)
        shown, caret = self._marked(lines[span.line - 1], span, width)
        return f"  {number} | {shown}\n  {' ' * len(number)} | {caret}".rstrip()

    def _marked(self, line: str, span: Span, width: int) -> tuple[str, str]:
        """The line as it may be shown, and the carets below the place."""
        start, end = span.column - 1, span.column - 1 + max(1, width)
        cells = _window(self._cells(line, span.line), start)
        before = sum(_columns(text) for at, text in cells if at < start)
        under = sum(_columns(text) for at, text in cells if start <= at < end)
        return "".join(text for _, text in cells).rstrip(), " " * before + "^" * max(1, under)

    def _cells(self, line: str, number: int) -> list[tuple[int, str]]:
        """(column from 0, what is shown there) with secrets masked and controls escaped."""
        cells: list[tuple[int, str]] = []
        ranges = [(region.start, region.end) for region in self.hidden.get(number, [])]
        ranges += [match.span("value") for match in _SECRET.finditer(line)]
        column = 0
        for start, end in sorted((a, len(line) if b is None else b) for a, b in ranges):
            cells += [(at, escaped(line[at])) for at in range(column, min(start, len(line)))]
            if end > max(start, column):
                cells.append((max(start, column), _MASK))
            column = max(column, end)
        return cells + [(at, escaped(line[at])) for at in range(column, len(line))]


def _window(cells: list[tuple[int, str]], start: int) -> list[tuple[int, str]]:
    """The part of a long line around the place."""
    if len(cells) <= _WINDOW:
        return cells
    place = sum(1 for at, _ in cells if at < start)
    first = max(0, min(place - _WINDOW // 2, len(cells) - _WINDOW))
    part = cells[first : first + _WINDOW]
    head = [(part[0][0], "…"), *part[1:]] if first else part
    return [*head[:-1], (head[-1][0], "…")] if first + _WINDOW < len(cells) else head


def _columns(text: str) -> int:
    """How many terminal columns the text takes."""
    wide = sum(1 for char in text if unicodedata.east_asian_width(char) in "WF")
    return len(text) + wide - sum(1 for char in text if unicodedata.combining(char))


def escaped(text: str) -> str:
    """Foreign text with everything that could move a cursor or hide a letter written out."""
    return _INVISIBLE.sub(_written_out, text)


def _written_out(match: re.Match[str]) -> str:
    code = ord(match.group())
    if code == 9:
        return "\\t"
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"
