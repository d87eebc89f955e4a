"""A tree of projects: every spec below a folder, in the order in which they are made true.

A project that uses a network or volume of another one comes after it; otherwise the paths of the
specs say the order. What is wrong with one spec is no hindrance for the others. What a container
could have written is no spec.
"""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from reconciler.desired import Desired, desire
from reconciler.lock_file import check_frozen, read_beside
from reconciler.reach import WithinReach, reached, writable
from reconciler.spec import read
from runtime.errors import Fault

if TYPE_CHECKING:
    from specs.load import Loaded


class NoSpecs(Fault):
    """There is nothing to work on."""

    exit_code = 64

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        super().__init__(
            f"there is no spec in {folder} or below",
            hint="a spec is a file called trueup.yaml; hidden folders and links are not entered",
        )


class SameName(Fault):
    """Specs of one tree name the same project, and nobody knows which one is meant."""

    exit_code = 64

    def __init__(self, project: str, places: Sequence[str]) -> None:
        self.project, self.places = project, tuple(places)
        super().__init__(
            f"project {project} is declared more than once, and none of these is used",
            why=", ".join(places),
            hint="give each another name with `project:`",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A project and the path of its spec; ``frozen``: only what is locked is taken of it."""

    path: Path
    loaded: "Loaded"
    desired: Desired
    frozen: bool = False

    @property
    def project(self) -> str:
        return self.desired.project

    @property
    def place(self) -> str:
        """Where the project gets its name."""
        span = self.loaded.project.span("project")
        return span.brief if span else str(self.path)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """The projects in order; ``broken`` says why other specs are not used. ``circle`` holds
    projects that wait for each other, so that no order suits all of them."""

    members: tuple[Member, ...]
    broken: tuple[Fault, ...] = ()
    circle: tuple[str, ...] = ()


def member(path: Path, environ: Mapping[str, str] = os.environ, *, frozen: bool = False) -> Member:
    """Read one spec and its lock file. Raises ``SpecBroken``, ``BadReference``, and ``NotLocked``
    if ``frozen``."""
    loaded = read(path, environ)
    desired = desire(loaded.project, environ, read_beside(path))
    if frozen:
        check_frozen(desired.project, desired.locking)
    return Member(path=path, loaded=loaded, desired=desired, frozen=frozen)


def read_tree(
    folder: Path, environ: Mapping[str, str] = os.environ, *, frozen: bool = False
) -> Tree:
    """Read every spec of a tree. Raises ``NoSpecs``."""
    from specs.tree import specs_below

    paths = [Path(each) for each in specs_below(folder)]
    if not paths:
        raise NoSpecs(folder)
    sound, broken = read_each(paths, environ, frozen=frozen)
    clashes = tuple(same_names(sound))
    twice = {clash.project for clash in clashes}
    ordered, circle = in_order([each for each in sound if each.project not in twice])
    return Tree(members=ordered, broken=(*broken, *clashes), circle=circle)


def read_each(
    paths: Sequence[Path],
    environ: Mapping[str, str] = os.environ,
    *,
    known: Iterable[Desired] = (),
    frozen: bool = False,
) -> tuple[list[Member], tuple[Fault, ...]]:
    """Those that can be used, and what is wrong with the others; ``known`` are projects that are
    in use already, whose containers may write, too."""
    found: list[Member] = []
    broken: list[Fault] = []
    for path in paths:
        try:
            found.append(member(path, environ, frozen=frozen))
        except Fault as fault:
            broken.append(fault)
    refused = {fault.path: fault for fault in _within_reach(found, known)}
    return [each for each in found if each.path not in refused], (*broken, *refused.values())


def _within_reach(found: Sequence[Member], known: Iterable[Desired]) -> Iterator[WithinReach]:
    """What containers could have written: those of ``known`` projects, of projects further up and
    of others beside it. What is refused here has no say about what lies deeper."""
    places = _merged(map(writable, known))
    for _, group in groupby(sorted(found, key=_depth), _depth):
        level = list(group)
        sound = [each for each in level if not reached(each.path, places)]
        beside = {each.path: writable(each.desired) for each in sound}
        for each in level:
            others = _merged(them for path, them in beside.items() if path != each.path)
            if who := reached(each.path, places | others):
                yield WithinReach(each.path, who)
        places |= _merged(beside.values())


def _depth(member: Member) -> int:
    return len(Path(os.path.realpath(member.path.parent)).parts)


def _merged(places: Iterable[dict[Path, str]]) -> dict[Path, str]:
    return {place: who for each in places for place, who in each.items()}


def same_names(members: Sequence[Member]) -> Iterator[SameName]:
    """A fault for each name that several of them have."""
    for project in sorted({each.project for each in members}):
        places = [each.place for each in members if each.project == project]
        if len(places) > 1:
            yield SameName(project, places)


def in_order(members: Sequence[Member]) -> tuple[tuple[Member, ...], tuple[str, ...]]:
    """Those that others need first, and the names of a circle if there is one: it is cut at the
    first of its projects."""
    needs = _needs(members)
    left, done = list(members), set[str]()
    circle: tuple[str, ...] = ()
    ordered: list[Member] = []
    while left:
        ready = next((each for each in left if needs[each.project] <= done), None)
        if ready is None:
            ready = left[0]
            circle = circle or _circle(ready.project, needs, done)
        left.remove(ready)
        done.add(ready.project)
        ordered.append(ready)
    return tuple(ordered), circle


def _needs(members: Sequence[Member]) -> dict[str, set[str]]:
    """By project, those others of the tree whose networks and volumes it uses."""
    owners = {name: each.project for each in members for name in _objects(each, external=False)}
    return {
        each.project: {owners[name] for name in _objects(each, external=True) if name in owners}
        - {each.project}
        for each in members
    }


def _objects(member: Member, *, external: bool) -> Iterator[tuple[str, str]]:
    """Kind and name of its networks and volumes, as all projects know them."""
    desired = member.desired
    yield from (
        ("network", each.known_as)
        for each in desired.networks.values()
        if each.external is external
    )
    yield from (
        ("volume", each.known_as) for each in desired.volumes.values() if each.external is external
    )


def _circle(start: str, needs: Mapping[str, set[str]], done: set[str]) -> tuple[str, ...]:
    """The projects of a circle that ``start`` leads into; everybody left waits for somebody."""
    way = [start]
    while (following := min(needs[way[-1]] - done)) not in way:
        way.append(following)
    return tuple(way[way.index(following) :])
