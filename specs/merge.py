"""`trueup.yaml` and the files of `trueup.d/` -> one tree; nothing is declared twice."""

from collections.abc import Iterable
from typing import Final

from specs.fields import is_null
from specs.model.project import Project
from specs.nodes import Map, Node, Text, map_at
from specs.problems import MOST_PROBLEMS, Problem, problem_at, quoted
from specs.refusals import unknown_key, wrong
from specs.source import Span

SECTIONS: Final = ("registries", "images", "volumes", "networks", "containers")


def merge(roots: Iterable[tuple[str, Node | None]], problems: list[Problem]) -> Map:
    """One map of sections from the roots of all files, in their order; of two, the first stays."""
    merged = map_at(Span("", 0, 0))
    for file, root in roots:
        if root is None or is_null(root):
            text = "the file is empty, so the spec is taken as broken"
            hint = "to remove everything run `trueup down`"
            problems.append(Problem(text=text, span=Span(file, 0, 0), hint=hint))
        elif not isinstance(root, Map):
            problems.append(wrong(root, "a map that begins with `containers:`"))
        else:
            _take_file(merged, root, problems)
    return merged


def _take_file(merged: Map, root: Map, problems: list[Problem]) -> None:
    for name, key in root.keys_at.items():
        if name == "version" or name.startswith("x-"):
            continue
        if name in SECTIONS:
            _take_section(merged, key, root[name], problems)
        elif name == "project":
            _take(merged, key, root[name], problems, "the project's name")
        elif name == "search_registries":
            _take(merged, key, root[name], problems, "the order of registries")
        elif len(problems) <= MOST_PROBLEMS:
            problems.append(_unknown(key))


def _unknown(key: Text) -> Problem:
    problem = unknown_key(key, Project)
    if key != "services":
        return problem
    return problem_at(key, "`services` are `containers:` in a spec of trueup", nearest="containers")


def _take_section(merged: Map, key: Text, section: Node, problems: list[Problem]) -> None:
    if is_null(section):
        return
    if not isinstance(section, Map):
        problems.append(wrong(section, f"a map of names to {key}"))
        return
    if key not in merged:
        merged[key] = map_at(section.span, section.width)
        merged.keys_at[key] = key
    for name, name_key in section.keys_at.items():
        what = f"{key.removesuffix('ies').removesuffix('s')}{'y' if key == 'registries' else ''}"
        _take(merged[key], name_key, section[name], problems, f"{what} {quoted(name)}")


def _take(into: Map, key: Text, value: Node, problems: list[Problem], what: str) -> None:
    if key not in into:
        into[key] = value
        into.keys_at[key] = key
        return
    problems.append(
        Problem(
            text=f"{what} is declared twice",
            span=key.span,
            width=key.width,
            other=into.keys_at[key].span,
            other_text="it is declared first at",
        )
    )
