"""What to say of text that is not YAML: the parser's words turned into what to do."""

from collections.abc import Mapping
from typing import Final

import yaml

from specs.problems import Problem
from specs.source import Source, Span

_SYNTAX: Final[Mapping[str, tuple[str, str]]] = {
    "found character '\\t' that cannot start any token": (
        "a tab is used for indentation",
        "YAML is indented with spaces",
    ),
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
    "found unexpected end of stream": (
        "the text ends inside a quoted value",
        "add the missing quote",
    ),
}


def syntax_problem(source: Source, error: yaml.MarkedYAMLError) -> Problem:
    """PyYAML's words turned into what to do; its own words where we know no better."""
    mark = error.problem_mark or error.context_mark
    reason = str(error.problem or error)
    found = next((words for start, words in _SYNTAX.items() if reason.startswith(start)), None)
    text, hint = found or (f"this is not YAML: {reason}", "")
    other = _opened_at(source, error)
    return Problem(
        text=text,
        span=Span(source.name, mark.line + 1, mark.column + 1) if mark else None,
        hint=hint,
        other=other,
        other_text="what is not finished begins at" if other else "",
    )


def _opened_at(source: Source, error: yaml.MarkedYAMLError) -> Span | None:
    """Where the construct began that the error is in, when that is another line."""
    start, end = error.context_mark, error.problem_mark
    if start is None or end is None or start.line == end.line:
        return None
    return Span(source.name, start.line + 1, start.column + 1)
