"""YAML text -> nodes that know their place and keep their scalars as written.

The events of PyYAML's parser (libyaml where it is there) are composed here and not by PyYAML, for
three reasons: every key and value keeps its place; a scalar's type is decided by the field that
reads it and not by YAML 1.1 (`22:22`, `0644`, `no`); and size, depth and aliases are bounded while
they are read (CVE-2019-11253 and its kin).
"""

from dataclasses import dataclass, field
from typing import Any, Final

import yaml

from specs.nodes import List, Map, Node, Text, height_of, list_at, map_at, size_of, text_at
from specs.problems import Problem, problem_at, quoted
from specs.source import Source, Span
from specs.syntax import syntax_problem

DEEPEST: Final = 64
MOST_NODES: Final = 100_000  # with every alias counted as often as it is used

_CORE: Final = "tag:yaml.org,2002:"
_CORE_TAGS: Final = {_CORE + name for name in ("str", "int", "float", "bool", "null", "seq", "map")}
_NULLS: Final = {"", "~", "null", "Null", "NULL"}
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(slots=True)
class Document:
    """What could be read of one file; `root` is None when it is empty or not YAML at all."""

    root: Node | None = None
    problems: list[Problem] = field(default_factory=list)


class _Refused(Exception):
    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        super().__init__(problem.text)


def read(source: Source) -> Document:
    """Compose the one document of a source; problems are gathered, never raised."""
    document = Document()
    try:
        document.root = _Composer(source, document.problems).document()
    except _Refused as refusal:
        document.problems.append(refusal.problem)
    except yaml.MarkedYAMLError as error:
        document.problems.append(syntax_problem(source, error))
    return document


class _Composer:
    """Events of one source -> one tree, within the bounds above."""

    def __init__(self, source: Source, problems: list[Problem]) -> None:
        self._file = source.name
        self._lines = len(source.lines)
        self._problems = problems
        self._anchors: dict[str, Node | None] = {}
        self._loader = _LOADER(source.text)

    def document(self) -> Node | None:
        """The root node; None for an empty file. Refuses a second document."""
        self._next()  # the stream's start
        if isinstance(self._next(), yaml.StreamEndEvent):
            return None
        root = self._node(self._next(), 1)
        self._next()  # the document's end
        after = self._next()
        if not isinstance(after, yaml.StreamEndEvent):
            hint = "put further parts into files of `trueup.d/` beside it"
            raise _Refused(self._problem(after, "a second document begins here", hint=hint))
        return root

    def _next(self) -> Any:
        return self._loader.get_event()

    def _node(self, event: Any, depth: int) -> Node:
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event, depth)
        if depth > DEEPEST:
            raise _Refused(self._problem(event, f"nested more than {DEEPEST} levels deep"))
        self._check_tag(event)
        if isinstance(event, yaml.ScalarEvent):
            return self._anchored(event, self._scalar(event))
        if event.anchor:
            self._anchors[event.anchor] = None  # known, but not closed: an alias now is a loop
        whole = self._map if isinstance(event, yaml.MappingStartEvent) else self._list
        return self._anchored(event, whole(event, depth))

    def _anchored(self, event: Any, node: Node) -> Node:
        if event.anchor:
            self._anchors[event.anchor] = node
        return node

    def _alias(self, event: Any, depth: int) -> Node:
        name = quoted("*" + event.anchor)
        if event.anchor not in self._anchors:
            raise _Refused(self._problem(event, f"{name} has no anchor `&…` above it"))
        node = self._anchors[event.anchor]
        if node is None:
            raise _Refused(self._problem(event, f"{name} stands inside what it refers to"))
        if depth + height_of(node) > DEEPEST:
            raise _Refused(self._problem(event, f"nested more than {DEEPEST} levels deep"))
        return node

    def _scalar(self, event: Any) -> Text:
        plain = event.style in (None, "") and event.tag != _CORE + "str"
        null = plain and event.value in _NULLS
        node = text_at(event.value, self._span(event), _width(event), plain=plain, null=null)
        node.last_line = self._last_line(event)
        return node

    def _last_line(self, event: Any) -> int:
        """A block's end is marked where the next line's text begins, unless the file ends there."""
        mark = event.end_mark
        block = event.style in ("|", ">") and mark.line > event.start_mark.line
        return int(mark.line if block and not self._ends_in(mark.line) else mark.line + 1)

    def _ends_in(self, line: int) -> bool:
        return line + 1 >= self._lines

    def _list(self, event: Any, depth: int) -> List:
        node = list_at(self._span(event), _width(event))
        while not isinstance(item := self._next(), yaml.SequenceEndEvent):
            child = self._node(item, depth + 1)
            node.append(child)
            self._grow(node, child, item)
        return node

    def _map(self, event: Any, depth: int) -> Map:
        node = map_at(self._span(event), _width(event))
        merged: list[tuple[Node, Any]] = []
        while not isinstance(key_event := self._next(), yaml.MappingEndEvent):
            key = self._key(key_event, depth)
            value_event = self._next()
            child = self._node(value_event, depth + 1)
            self._grow(node, child, key_event)
            if key == "<<" and key.plain:
                merged.append((child, value_event))
            else:
                self._enter(node, key, child)
        for child, child_event in merged:
            self._merge(node, child, child_event)
        return node

    def _key(self, event: Any, depth: int) -> Text:
        key = self._node(event, depth + 1)
        if not isinstance(key, Text):
            raise _Refused(self._problem(event, "a key must be a single word, not a list or map"))
        return key

    def _enter(self, node: Map, key: Text, child: Node) -> None:
        """Take a pair; of two equal keys the first stays and both places are told."""
        if key in node:
            first = node.keys_at[key]
            self._problems.append(
                Problem(
                    text=f"{quoted(key)} is here twice",
                    span=key.span,
                    width=key.width,
                    other=first.span,
                    other_text="the first is at",
                )
            )
            return
        node[key] = child
        node.keys_at[key] = key

    def _merge(self, node: Map, child: Node, event: Any) -> None:
        """`<<: *base`: pairs that the map does not have itself; of several bases the first wins."""
        for base in child if isinstance(child, List) else [child]:
            if not isinstance(base, Map):
                raise _Refused(self._problem(event, "`<<` takes a map or a list of maps"))
            for key, value in base.items():
                if key not in node:
                    node[key] = value
                    node.keys_at[key] = base.keys_at[key]

    def _grow(self, node: Map | List, child: Node, event: Any) -> None:
        node.size += size_of(child) + isinstance(node, Map)  # a key is a value, too
        node.height = max(node.height, 1 + height_of(child))
        if node.size > MOST_NODES:
            text = f"more than {MOST_NODES:,} values, aliases counted as often as they are used"
            raise _Refused(self._problem(event, text))

    def _check_tag(self, event: Any) -> None:
        if event.tag is None or event.tag == "!" or event.tag in _CORE_TAGS:
            return
        shown = quoted(event.tag.replace(_CORE, "!!"))
        hint = "write the value without a tag"
        raise _Refused(self._problem(event, f"the tag {shown} is not allowed in a spec", hint=hint))

    def _span(self, event: Any) -> Span:
        mark = event.start_mark
        return Span(self._file, mark.line + 1, mark.column + 1)

    def _problem(self, event: Any, text: str, **facts: str) -> Problem:
        place = text_at("", self._span(event), _width(event))
        return problem_at(place, text, **facts)


def _width(event: Any) -> int:
    """Columns to underline; one when the node goes over several lines."""
    start, end = event.start_mark, event.end_mark
    return max(1, end.column - start.column) if end.line == start.line else 1
