"""The file that speaks of registries for the whole machine -> registries, and a search list.

It has the spec's `registries:`, and `search:`. Paths are relative to its folder.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from specs import document
from specs.fields import Context, is_null
from specs.files import FileRefused, Files, check_printable
from specs.interpolate import Interpolation
from specs.masking import hide_secrets
from specs.model.registry import Registry
from specs.nodes import Map, map_at, nearest_place
from specs.objects import read_registries, read_search
from specs.problems import Problem, SpecErrors
from specs.refusals import unknown_word, wrong
from specs.source import Source, Span

_KEYS = ("registries", "search")


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineRegistries:
    """What the file says; `search` is None when it says nothing of it."""

    registries: Mapping[str, Registry] = field(default_factory=dict)
    search: tuple[str, ...] | None = None
    root: Map = field(default_factory=lambda: map_at(Span("", 0, 0)))

    def span(self, *path: str) -> Span | None:
        """Where the value at this path stands, or the nearest that encloses it."""
        place = nearest_place(self.root, path)
        return place.span if place is not None else None


def load_registries(path: str, environ: Mapping[str, str]) -> MachineRegistries:
    """Read the file; one that is not there says nothing. Raises `SpecErrors` with all that is
    wrong."""
    source = Source(path, "")
    try:
        source = Source(path, Files().text(path))
        check_printable(source.text)
    except FileRefused as refusal:
        if refusal.missing:
            return MachineRegistries()
        span = Span(path, refusal.line, refusal.column)
        raise SpecErrors([Problem(text=f"the file {refusal.reason}", span=span)]) from refusal
    problems: list[Problem] = []
    root = _root(source, problems)
    filled = Interpolation(environ)
    filled.fill(root)
    problems += filled.problems
    context = Context(directory=os.path.dirname(path), environ=environ)
    found = MachineRegistries(
        registries=read_registries(root, context, problems),
        search=read_search(root.get("search"), problems),
        root=root,
    )
    if problems:
        raise SpecErrors([_with_excerpt(each, source) for each in problems])
    return found


def _root(source: Source, problems: list[Problem]) -> Map:
    read = document.read(source)
    hide_secrets(source, read.root)
    problems += read.problems
    empty = map_at(Span(source.name, 0, 0))
    if read.root is None or is_null(read.root):
        return empty
    if not isinstance(read.root, Map):
        problems.append(wrong(read.root, "a map with `registries:` and `search:`"))
        return empty
    keys = read.root.keys_at
    noun = "the file of registries"
    problems += [unknown_word(key, _KEYS, noun) for name, key in keys.items() if name not in _KEYS]
    return _without_nothing(read.root, problems)


def _without_nothing(root: Map, problems: list[Problem]) -> Map:
    """A key without a value is as if it were not there."""
    registries = root.get("registries")
    if registries is None or isinstance(registries, Map):
        return root
    del root["registries"]
    if not is_null(registries):
        problems.append(wrong(registries, "a map of hosts to what is special about them"))
    return root


def _with_excerpt(problem: Problem, source: Source) -> Problem:
    excerpt = source.excerpt(problem.span, problem.width) if problem.span else ""
    return replace(problem, excerpt=excerpt)
