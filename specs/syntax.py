"""What to say of text that is not YAML: the parser's words turned into what to do."""

from collections.abc import Mapping
from typing import Final

import yaml

from specs.problems import Problem, quoted
from specs.source import Source, Span

_UNFINISHED: Final = "the text ends inside a quoted value"

_SYNTAX: Final[Mapping[str, tuple[str, str]]] = {
    "mapping values are not allowed": (
        "a `:` that YAML cannot place",
        "indent this line like its neighbours, or quote a value that holds `: `",
    ),
    "did not find expected key": (
        "YAML expected another key here",
        "check the indentation here and above, and that brackets and quotes are closed",
    ),
    "could not find expected ':'": (
        "a key without its `:`",
        "write `key: value`; a list's items begin with `- `",
    ),
    "did not find expected '-' indicator": (
        "YAML expected another `- ` item here",
        "indent this line like the items above",
    ),
    "did not find expected ',' or ']'": ("a list `[` is not closed", "add the missing `]` or `,`"),
    "did not find expected ',' or '}'": ("a map `{` is not closed", "add the missing `}` or `,`"),
    "found unexpected end of stream": (_UNFINISHED, "add the missing quote"),
}


def syntax_problem(source: Source, error: yaml.MarkedYAMLError) -> Problem:
    """The parser's complaint; its own words where we know no better."""
    text, hint = _words(source, error)
    place, other = (
        _span(source, error.problem_mark or error.context_mark),
        _opened_at(source, error),
    )
    if text == _UNFINISHED:
        place, other = other or place, None  # the end of the file is not where to look
    relation = "what is not finished begins at" if other else ""
    return Problem(text=text, span=place, hint=hint, other=other, other_text=relation)


def _words(source: Source, error: yaml.MarkedYAMLError) -> tuple[str, str]:
    reason = str(error.problem or error)
    if "that cannot start any token" in reason:
        return _wrong_start(source, error)
    known = (words for start, words in _SYNTAX.items() if reason.startswith(start))
    return next(known, (f"this is not YAML: {reason}", ""))


def _wrong_start(source: Source, error: yaml.MarkedYAMLError) -> tuple[str, str]:
    """A character that no plain value begins with; libyaml does not say which."""
    mark = error.problem_mark
    line = source.lines[mark.line] if mark else ""
    char = line[mark.column : mark.column + 1] if mark else ""
    if char == "\t":
        return "a tab is used for indentation", "YAML is indented with spaces"
    return f"a value cannot begin with {quoted(char)}", "put the value into quotes"


def _opened_at(source: Source, error: yaml.MarkedYAMLError) -> Span | None:
    """Where the construct began that the error is in, when that is another line."""
    start, end = error.context_mark, error.problem_mark
    if start is None or end is None or start.line == end.line:
        return None
    return _span(source, start)


def _span(source: Source, mark: yaml.Mark | None) -> Span | None:
    return None if mark is None else Span(source.name, mark.line + 1, mark.column + 1)
