"""`${VAR:-x}`: Compose's forms, filled in after YAML is read, in values only.

| form | X set | X empty | X unset |
| --- | --- | --- | --- |
| `$X` `${X}` | value | empty | empty, with a warning |
| `${X:-d}` / `${X-d}` | value | d / empty | d |
| `${X:?e}` / `${X?e}` | value | error e / empty | error e |
| `${X:+r}` / `${X+r}` | r | empty / r | empty |

`$$` is a dollar; a lone `$` stays as it is. Words after an operator are filled in themselves.
Source: the Compose specification, "Interpolation".
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from specs.nodes import Map, Node, Text, text_at
from specs.problems import Problem, quoted
from specs.source import Span

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OPERATOR: Final = re.compile(r":?[-?+]")
_DEEPEST: Final = 16
_LONGEST: Final = 1 << 20

Lookup = Callable[[str], str | None]


class BadInterpolation(ValueError):
    """A value whose variables cannot be filled in; `offset` is where in it, from 0."""

    def __init__(self, reason: str, offset: int, hint: str = "") -> None:
        self.reason = reason
        self.offset = offset
        self.hint = hint
        super().__init__(reason)


@dataclass(slots=True)
class Expansion:
    """A value filled in: `unset` are plain variables without a value, `used` had one."""

    value: str = ""
    unset: list[str] = field(default_factory=list)
    used: list[str] = field(default_factory=list)


def expand(text: str, variables: Mapping[str, str]) -> Expansion:
    """Fill in every variable of a text; raises `BadInterpolation`."""
    expansion = Expansion()
    expansion.value = _fill(text, variables, expansion, 0, 0)
    if len(expansion.value) > _LONGEST:
        raise BadInterpolation("the value is longer than 1 MiB with its variables filled in", 0)
    return expansion


def _fill(text: str, variables: Mapping[str, str], out: Expansion, base: int, depth: int) -> str:
    """`base` is the text's offset in the whole value, for messages."""
    if depth > _DEEPEST:
        raise BadInterpolation(f"variables nested more than {_DEEPEST} levels deep", base)
    parts: list[str] = []
    at = 0
    while (dollar := text.find("$", at)) >= 0:
        parts.append(text[at:dollar])
        filled, at = _variable(text, dollar, variables, out, base, depth)
        parts.append(filled)
    return "".join(parts) + text[at:]


def _variable(
    text: str, dollar: int, variables: Mapping[str, str], out: Expansion, base: int, depth: int
) -> tuple[str, int]:
    """What the `$` at this offset stands for, and where the text goes on."""
    following = text[dollar + 1 : dollar + 2]
    if following == "$":
        return "$", dollar + 2
    if following == "{":
        end = _closing(text, dollar, base)
        return _braced(text[dollar + 2 : end], variables, out, base + dollar + 2, depth), end + 1
    name = _NAME.match(text, dollar + 1)
    if name is None:
        return "$", dollar + 1  # `$(date)`, `^a$`: real files hold them, and mean them
    return _plain(name.group(), variables, out), name.end()


def _plain(name: str, variables: Mapping[str, str], out: Expansion) -> str:
    value = variables.get(name)
    (out.unset if value is None else out.used).append(name)
    return value or ""


def _closing(text: str, dollar: int, base: int) -> int:
    """The offset of the `}` that closes the `${` at `dollar`; only `${` opens another level."""
    open_braces, at = 1, dollar + 2
    while at < len(text):
        if text.startswith("${", at):
            open_braces, at = open_braces + 1, at + 1
        elif text[at] == "}":
            open_braces -= 1
            if not open_braces:
                return at
        at += 1
    raise BadInterpolation(
        "`${` is not closed", base + dollar, "add the missing `}`; a plain dollar is `$$`"
    )


def _braced(body: str, variables: Mapping[str, str], out: Expansion, base: int, depth: int) -> str:
    """What stands between the braces."""
    match = _NAME.match(body)
    if match is None:
        raise BadInterpolation("`${` must be followed by a variable's name", base, _FORMS)
    name, rest = match.group(), body[match.end() :]
    if not rest:
        return _plain(name, variables, out)
    operator = _OPERATOR.match(rest)
    if operator is None:
        raise BadInterpolation(
            f"after the name {quoted(name)} this is no form of a variable", base, _FORMS
        )
    word, word_at = rest[operator.end() :], base + match.end() + operator.end()

    def filled() -> str:
        return _fill(word, variables, out, word_at, depth + 1)

    return _operated(name, operator.group(), filled, variables, out, base)


_FORMS: Final = (
    "the forms are ${X}, ${X:-default}, ${X:?message}, ${X:+replacement}; a plain dollar is `$$`"
)


def _operated(
    name: str,
    operator: str,
    word: Callable[[], str],
    variables: Mapping[str, str],
    out: Expansion,
    base: int,
) -> str:
    value = variables.get(name)
    present = bool(value) if operator.startswith(":") else value is not None
    if operator.endswith("+"):
        return word() if present else ""
    if present:
        out.used.append(name)
        return value or ""
    if operator.endswith("-"):
        return word()
    state = "not set" if value is None else "empty"
    raise BadInterpolation(f"{quoted(name)} must be set: {word() or f'it is {state}'}", base)


@dataclass(slots=True)
class Interpolation:
    """Fills in whole trees; keeps what it finds wrong and which variables were missing."""

    variables: Mapping[str, str]
    problems: list[Problem] = field(default_factory=list)
    failed: set[Span] = field(default_factory=set)
    unset: dict[str, Text] = field(default_factory=dict)
    _done: dict[int, tuple[Node, Node]] = field(default_factory=dict)

    def fill(self, node: Node) -> Node:
        """The node with every value filled in, in place where it can be; aliases once."""
        if isinstance(node, Text):
            return self._text(node) if "$" in node else node
        if id(node) in self._done:
            return node
        self._done[id(node)] = (node, node)
        if isinstance(node, Map):
            for key in node:
                node[key] = self.fill(node[key])
        else:
            node[:] = [self.fill(item) for item in node]
        return node

    def _text(self, node: Text) -> Text:
        if id(node) not in self._done:
            filled = self._filled(node)
            self._done[id(node)] = (node, filled)
            self._done[id(filled)] = (filled, filled)
        return self._done[id(node)][1]  # type: ignore[return-value]  # a text's result is a text

    def _filled(self, node: Text) -> Text:
        try:
            expansion = expand(node, self.variables)
        except BadInterpolation as error:
            self.failed.add(node.span)
            span, width = _inside(node, error.offset)
            problem = Problem(text=error.reason, span=span, width=width, hint=error.hint)
            self.problems.append(problem)
            return node
        filled = text_at(expansion.value, node.span, node.width, plain=node.plain)
        filled.written, filled.unset = str(node), tuple(expansion.unset)
        filled.last_line, filled.secret = node.last_line, node.secret
        filled.foreign = bool(expansion.used)
        for name in expansion.unset:
            self.unset.setdefault(name, node)
        return filled


def _inside(node: Text, offset: int) -> tuple[Span, int]:
    """The place in a value, where its text stands in the file as it is; else the whole value."""
    quotes = node.width - len(node)
    if quotes not in (0, 2):
        return node.span, node.width
    column = node.span.column + quotes // 2 + offset
    return Span(node.span.file, node.span.line, column), len(node) - offset
