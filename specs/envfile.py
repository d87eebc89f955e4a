"""`.env` and `env_file`: lines of `NAME=value`, as Compose reads them.

`export ` before a name and `# comments` are allowed; `'…'` is literal, `"…"` knows backslashes,
both may go over several lines; variables are filled in outside of single quotes. A name alone
stands for the caller's own variable. Values are secrets: no problem repeats one.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from specs.interpolate import BadInterpolation, expand
from specs.problems import Problem
from specs.source import Span

_BLANK: Final = re.compile(r"(?:[ \t\r]*(?:#[^\n]*)?\n)*[ \t\r]*(?:#[^\n]*)?")
_NAME: Final = re.compile(r"(?:export[ \t]+)?([A-Za-z_][A-Za-z0-9_.-]*)[ \t]*")
_VALUE: Final = re.compile(
    r"""[ \t]* (?: '(?P<literal>[^']*)' | "(?P<quoted>(?:[^"\\]|\\.)*)" )
        [ \t\r]* (?:\#[^\n]*)? (?=\n|\Z)""",
    re.DOTALL | re.VERBOSE,
)
_REST: Final = re.compile(r"[^\n]*")
_COMMENT: Final = re.compile(r"(?:^|[ \t]+)#.*")
_ESCAPE: Final = re.compile(r"\\(.)", re.DOTALL)
_ESCAPED: Final = {"n": "\n", "r": "\r", "t": "\t", "$": "$$"}


@dataclass(slots=True)
class EnvText:
    """What an environment file says; None: the caller's own value, if there is one."""

    values: dict[str, str | None] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    unset: dict[str, Span] = field(default_factory=dict)


def parse(text: str, file: str, variables: Mapping[str, str]) -> EnvText:
    """Read a whole file; `variables` win over earlier lines of the file, as in Compose."""
    found = EnvText()
    at = _after_blank(text, 0)
    while at < len(text):
        at = _after_blank(text, _line(text, at, file, variables, found))
    return found


def _after_blank(text: str, at: int) -> int:
    match = _BLANK.match(text, at)
    return match.end() if match else at


def _line(text: str, at: int, file: str, variables: Mapping[str, str], found: EnvText) -> int:
    """Read one `NAME=value`; returns where the text goes on."""
    span = _span(text, at, file)
    end = _end_of_line(text, at)
    name = _NAME.match(text, at)
    if name is None or (name.end() < end and text[name.end()] not in "=\r"):
        found.problems.append(
            Problem(
                text="this line is not `NAME=value`", span=span, expected="NAME=value, or # text"
            )
        )
        return end
    if name.end() == end or text[name.end()] == "\r":
        found.values[name.group(1)] = None
        return end
    raw, literal, after = _value(text, name.end() + 1)
    if not literal and raw[:1] in ("'", '"') and raw.count(raw[0]) == 1 and after == end:
        problem = Problem(
            text=f"the value of `{name.group(1)}` has a quote that is not closed", span=span
        )
        found.problems.append(problem)
        return end
    _take(name.group(1), raw, span, found, None if literal else variables)
    return after


def _value(text: str, at: int) -> tuple[str, bool, int]:
    """(value with its variables, whether it is literal, where it ends)."""
    match = _VALUE.match(text, at)
    if match is None:
        rest = _REST.match(text, at)
        raw = rest.group() if rest else ""
        return _COMMENT.sub("", raw).strip(), False, at + len(raw)
    if match.group("literal") is not None:
        return match.group("literal"), True, match.end()
    return _ESCAPE.sub(_unescaped, match.group("quoted")), False, match.end()


def _unescaped(match: re.Match[str]) -> str:
    char = match.group(1)
    return _ESCAPED.get(char, char if char in "\"'\\" else match.group())


def _take(
    name: str, raw: str, span: Span, found: EnvText, variables: Mapping[str, str] | None
) -> None:
    """Keep a value with its variables filled in."""
    if variables is None:
        found.values[name] = raw
        return
    earlier = {k: v for k, v in found.values.items() if v is not None}
    try:
        expansion = expand(raw, {**earlier, **variables}) if "$" in raw else None
    except BadInterpolation:
        found.problems.append(
            Problem(text=f"the variables in `{name}` cannot be filled in", span=span)
        )
        return
    found.values[name] = expansion.value if expansion else raw
    for unset in expansion.unset if expansion else []:
        found.unset.setdefault(unset, span)


def _span(text: str, at: int, file: str) -> Span:
    start = text.rfind("\n", 0, at) + 1
    return Span(file, text.count("\n", 0, at) + 1, at - start + 1)


def _end_of_line(text: str, at: int) -> int:
    end = text.find("\n", at)
    return len(text) if end < 0 else end
