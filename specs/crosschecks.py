"""What no object can know alone: names that lead nowhere, circles, and clashes.

Runs on the containers that are valid; names of broken ones count as declared.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Any, Final

from specs.coherence import Coherence
from specs.model.container import Container
from specs.model.dependency import Condition
from specs.model.mount import VolumeMount
from specs.model.network import Network
from specs.model.port import Port, clashes, read_ports
from specs.model.tmpfs import is_tmpfs
from specs.neighbours import Neighbours, keys_by_name, needs, place_of
from specs.nodes import List, Map, Node, nearest_place
from specs.problems import MOST_PROBLEMS, Problem, nearest_word, problem_at, quoted

_LONGEST_CHAIN: Final = 12


def crosscheck(
    root: Map, containers: Mapping[str, Container], networks: Mapping[str, Network]
) -> list[Problem]:
    """All problems between the objects of a project."""
    keys = keys_by_name(containers)
    checks = _Checks(root, containers, keys)
    coherences = (Coherence(root, name, each).problems() for name, each in containers.items())
    found = chain(
        checks.unknown_volumes(),
        checks.unknown_dependencies(),
        checks.unhealthy_dependencies(),
        Neighbours(root, containers, networks, keys).problems(),
        chain.from_iterable(coherences),
        checks.circles(),
        checks.targets_taken(),
        checks.ports_taken(),
    )
    return list(islice(found, MOST_PROBLEMS + 1))


@dataclass(frozen=True, slots=True)
class _Use:
    """Where a container uses something: the number of an item in one of its fields."""

    container: str
    field: str
    number: int


@dataclass(frozen=True, slots=True)
class _Checks:
    root: Map
    containers: Mapping[str, Container]
    keys: Mapping[str, str]
    items: dict[tuple[str, str], list[Node]] = field(default_factory=dict)

    def unknown_volumes(self) -> Iterator[Problem]:
        declared = self.root.get("volumes", {})
        for name, container in self.containers.items():
            for number, mount in enumerate(container.volumes):
                if isinstance(mount, VolumeMount) and mount.volume not in declared:
                    use = _Use(name, "volumes", number)
                    yield _unknown_volume(self._place(use), name, mount.volume, declared)

    def unknown_dependencies(self) -> Iterator[Problem]:
        declared = self.root.get("containers", {})
        for name, container in self.containers.items():
            for other, dependency in container.depends_on.items():
                if other not in declared and dependency.required:
                    text = f"container {quoted(name)}: there is no container {quoted(other)}"
                    near = nearest_word(other, declared.keys() - {name})
                    yield problem_at(self._dependency_place(name, other), text, nearest=near)

    def unhealthy_dependencies(self) -> Iterator[Problem]:
        """Waits for the health of what is never asked for it; an image may have a check."""
        for name, container in self.containers.items():
            for other, dependency in container.depends_on.items():
                check = self.containers[other].healthcheck if other in self.containers else None
                if dependency.condition is Condition.HEALTHY and check and check.disabled:
                    text = f"container {quoted(name)}: {quoted(other)} has no health check"
                    hint = f"its `healthcheck` is disabled; wait for `{Condition.STARTED}`"
                    yield problem_at(self._dependency_place(name, other), text, hint=hint)

    def circles(self) -> Iterator[Problem]:
        """Each circle of who needs whom once, told from the container that is met first."""
        done: set[str] = set()
        for start in self.containers:
            for circle in _circles_from(start, self.containers, self.keys, done):
                text = "containers wait for each other: " + _chain(circle)
                field = needs(self.containers[circle[0]], self.keys)[circle[1]]
                place = place_of(self.root, circle[0], field, circle[1])
                yield problem_at(place, text, hint=f"take one of these out of its `{field}`")

    def targets_taken(self) -> Iterator[Problem]:
        for name, container in self.containers.items():
            taken: dict[str, _Use] = {}
            for kind in ("volumes", "tmpfs"):
                for number, mount in enumerate(getattr(container, kind)):
                    use = _Use(name, kind, number)
                    first = taken.setdefault(mount.target, use)
                    if first != use:
                        text = f"container {quoted(name)}: two mounts on {quoted(mount.target)}"
                        yield self._clash(text, use, first, "the first is at")

    def ports_taken(self) -> Iterator[Problem]:
        """Two ports on one address; every address includes each single one."""
        told: set[tuple[int, int]] = set()
        for number, first, use in clashes(self._published()):
            if self._is_news(first, use, told):
                text = f"port {number} is published twice"
                yield self._clash(text, use, first, f"by container {quoted(first.container)} at")

    def _published(self) -> Iterator[tuple[Port, _Use]]:
        for name, container in self.containers.items():
            for number, port in enumerate(container.ports):
                yield port, _Use(name, "ports", number)

    def _is_news(self, first: _Use, second: _Use, told: set[tuple[int, int]]) -> bool:
        """Ranges that overlap are told once and not for each port."""
        pair = (id(self._place(first)), id(self._place(second)))
        news = pair not in told
        told.add(pair)
        return news

    def _clash(self, text: str, use: _Use, first: _Use, relation: str) -> Problem:
        place, other = self._place(use), self._place(first)
        return Problem(
            text=text,
            span=None if place is None else place.span,
            width=1 if place is None else place.width,
            other=None if other is None else other.span,
            other_text=relation,
        )

    def _place(self, use: _Use) -> Node | None:
        """The item of the YAML that a use comes from."""
        key = (use.container, use.field)
        if key not in self.items:
            self.items[key] = items_of(self.root, *key)
        items = self.items[key]
        if use.number < len(items):
            return items[use.number]
        return nearest_place(self.root, ("containers", *key))

    def _dependency_place(self, name: str, other: str) -> Node | None:
        return place_of(self.root, name, "depends_on", other)


def _chain(circle: list[str]) -> str:
    names = [quoted(name) for name in circle]
    shown = names if len(names) <= _LONGEST_CHAIN else [*names[:5], "…", *names[-5:]]
    return " -> ".join(shown)


def items_of(root: Map, container: str, name: str) -> list[Node]:
    """For each value of a container's field the item of the YAML that it comes from."""
    node = root["containers"][container]
    volumes = _listed(node.get("volumes"))
    match name:
        case "volumes":
            return [item for item in volumes if not is_tmpfs(item)]
        case "tmpfs":
            return [*_listed(node.get("tmpfs")), *filter(is_tmpfs, volumes)]
        case _:
            ports = (item for item in _listed(node.get(name)) if not isinstance(item, List))
            return [item for item in ports for _ in read_ports(item)]


def _listed(node: Node | None) -> list[Node]:
    return node if isinstance(node, list) else [] if node is None else [node]


def _unknown_volume(place: Node | None, name: str, volume: str, declared: Any) -> Problem:
    near = nearest_word(volume, declared)
    hint = f"declare it under `volumes:`, or write `./{volume}` for a folder beside the spec"
    text = f"container {quoted(name)}: there is no volume {quoted(volume)}"
    return problem_at(place, text, nearest=near, hint="" if near else hint)


def _circles_from(
    start: str, containers: Mapping[str, Container], keys: Mapping[str, str], done: set[str]
) -> Iterator[list[str]]:
    """Depth first, without recursion; an edge back onto the way that led here closes a circle."""
    way: list[str] = []
    left: list[Iterator[str]] = [iter([start])]
    while left:
        name = next(left[-1], None)
        if name is None:
            left.pop()
            done.update(way[len(left) - 1 :])
            del way[len(left) - 1 :]
        elif name in way:
            yield [*way[way.index(name) :], name]
        elif name not in done and name in containers:
            way.append(name)
            left.append(iter(needs(containers[name], keys)))
