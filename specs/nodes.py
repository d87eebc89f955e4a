"""What a YAML document is read into: values that know their place and stay as they were written.

They are a `str`, a `dict` and a `list`, so that every reader can use them as such.
"""

import re
from collections.abc import Iterable
from typing import Any, Final

from specs.source import Span


class Text(str):
    """A scalar as it is read.

    `last_line`: where it ends. `plain`: written without quotes. `null`: stands for nothing.
    `written`: before its variables were filled in. `unset`: variables without a value in it.
    `foreign`: holds a value from the caller's environment or `.env`, `secret`: is a password or the
    like; no message may show either.
    """

    __slots__ = (
        "foreign",
        "last_line",
        "null",
        "plain",
        "secret",
        "span",
        "unset",
        "width",
        "written",
    )
    span: Span
    width: int
    last_line: int
    plain: bool
    null: bool
    written: str
    unset: tuple[str, ...]
    foreign: bool
    secret: bool


class Map(dict[str, Any]):
    """A mapping; `keys_at` holds the keys with their places."""

    __slots__ = ("height", "keys_at", "size", "span", "width")
    span: Span
    width: int
    keys_at: dict[str, Text]
    size: int
    height: int


class List(list[Any]):
    """A sequence with its place."""

    __slots__ = ("height", "size", "span", "width")
    span: Span
    width: int
    size: int
    height: int


Node = Text | Map | List


def text_at(
    value: str, span: Span, width: int = 1, *, plain: bool = False, null: bool = False
) -> Text:
    """A scalar node."""
    node = Text(value)
    node.span, node.width, node.last_line = span, width, span.line
    node.plain, node.null = plain, null
    node.written, node.unset, node.foreign, node.secret = value, (), False, False
    return node


def map_at(span: Span, width: int = 1) -> Map:
    """An empty mapping node."""
    node = Map()
    node.span, node.width, node.keys_at, node.size, node.height = span, width, {}, 1, 1
    return node


def list_at(span: Span, width: int = 1) -> List:
    """An empty sequence node."""
    node = List()
    node.span, node.width, node.size, node.height = span, width, 1, 1
    return node


_VARIABLE: Final = re.compile(r"(?<!\$)(?:\$\$)*\$[{A-Za-z_]")


def has_variable(node: object) -> bool:
    """Whether a variable stands anywhere in it, whatever it was filled in with."""
    if isinstance(node, Text):
        return _VARIABLE.search(node.written) is not None
    inner = node.values() if isinstance(node, Map) else node if isinstance(node, List) else ()
    return any(map(has_variable, inner))


def list_like(node: List, items: Iterable[Node]) -> List:
    """A list of other items at the same place."""
    other = List(items)
    other.span, other.width, other.size, other.height = (
        node.span,
        node.width,
        node.size,
        node.height,
    )
    return other


def map_like(node: Map, keys: Iterable[str]) -> Map:
    """The same map with only some of its keys."""
    other = Map((key, node[key]) for key in keys)
    other.span, other.width, other.size, other.height = (
        node.span,
        node.width,
        node.size,
        node.height,
    )
    other.keys_at = {key: node.keys_at[key] for key in other}
    return other


def nearest_place(root: Node, path: Iterable[object]) -> Node | None:
    """The key or list item at the end of a path, or the last one there is; None: not even one."""
    place, node = None, root
    for part in path:
        if isinstance(node, Map) and part in node:
            place, node = node.keys_at[str(part)], node[str(part)]
        elif isinstance(node, List) and str(part).isdigit() and int(str(part)) < len(node):
            place = node = node[int(str(part))]
        else:
            break
    return place


def size_of(node: Node) -> int:
    return 1 if isinstance(node, Text) else node.size


def height_of(node: Node) -> int:
    return 0 if isinstance(node, Text) else node.height
