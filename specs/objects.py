"""Nodes -> models, one object at a time.

Each object is validated on its own, so that one that is broken keeps neither the problems of the
others nor the checks between them from being told.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, TypeVar

from pydantic import TypeAdapter, ValidationError

from specs.fields import Context, Spec, is_null
from specs.model.container import Container
from specs.model.image import Image
from specs.model.network import DEFAULT, Network
from specs.model.registry import HOST, HOST_RULE, Registry, SearchList
from specs.model.volume import Volume
from specs.nodes import List, Map, Node, Text, list_like, map_like
from specs.notations import OBJECT_NAME, OBJECT_RULE, name_of, read_text
from specs.problems import MOST_PROBLEMS, Problem, quoted
from specs.refusals import refused, unknown_key
from specs.translation import Subject

S = TypeVar("S", bound=Spec)
T = TypeVar("T")

_IMAGE: Final = "image"
_MOST_ITEMS: Final = 500  # of a broken list; each is tried on its own


@dataclass(slots=True)
class Objects:
    """All that could be read of the sections; `salvaged` is what is sound of broken containers."""

    registries: dict[str, Registry] = field(default_factory=dict)
    images: dict[str, Image] = field(default_factory=dict)
    volumes: dict[str, Volume] = field(default_factory=dict)
    networks: dict[str, Network] = field(default_factory=dict)
    containers: dict[str, Container] = field(default_factory=dict)
    salvaged: dict[str, tuple[Map, Container]] = field(default_factory=dict)
    search: tuple[str, ...] | None = None


def read_objects(root: Map, context: Context, problems: list[Problem]) -> Objects:
    """Read every section; the problems of all of them are added."""
    reader = _Reader(root, context, problems)
    name = _object_name
    networks = reader.section("networks", Network, "network", name("a network"))
    return Objects(
        registries=reader.section("registries", Registry, "registry", _registry_name),
        images=reader.section("images", Image, "image", name("an image")),
        volumes=reader.section("volumes", Volume, "volume", name("a volume")),
        networks={DEFAULT: Network()} | networks,
        containers=reader.section("containers", Container, "container", name("a container")),
        salvaged=reader.salvaged,
        search=read_search(root.get("search_registries"), problems),
    )


def read_registries(root: Map, context: Context, problems: list[Problem]) -> dict[str, Registry]:
    """Those of a file that is no spec."""
    reader = _Reader(root, context, problems)
    return reader.section("registries", Registry, "registry", _registry_name)


def read_search(node: Node | None, problems: list[Problem]) -> tuple[str, ...] | None:
    """The registries that short names are looked for in; None: nothing is said of it."""
    if node is None or is_null(node):
        return None
    try:
        return TypeAdapter(SearchList).validate_python(node)
    except ValidationError as error:
        problems += refused(error)
        return None


def _object_name(what: str) -> Callable[[Text], Any]:
    parse = name_of(what, OBJECT_NAME, OBJECT_RULE)
    return lambda key: read_text(key, parse)


def _registry_name(key: Text) -> Any:
    return read_text(key, name_of("a registry", HOST, HOST_RULE))


@dataclass(slots=True)
class _Reader:
    root: Map
    context: Context
    problems: list[Problem]
    salvaged: dict[str, tuple[Map, Container]] = field(default_factory=dict)

    def section(
        self, section: str, spec: type[S], noun: str, check_name: Callable[[Text], Any]
    ) -> dict[str, S]:
        """The objects of a section that are valid, by name."""
        nodes = self.root.get(section, Map())
        read: dict[str, S] = {}
        for name, node in nodes.items():
            if len(self.problems) > MOST_PROBLEMS:
                break
            subject = Subject(spec, f"{noun} {quoted(name)}", nodes.keys_at[name], node)
            named = self._attempt(subject, partial(check_name, subject.key))
            read_it = partial(spec.model_validate, node, context=self.context)
            valid = self._attempt(subject, read_it)
            self.problems += _internal_keys(spec, node)
            if valid is not None and named is not None:
                read[str(name)] = valid
            elif spec is Container and isinstance(node, Map):
                self.salvaged[str(name)] = _salvage(node, self.context)
        return read

    def _attempt(self, subject: Subject, read: Callable[[], T]) -> T | None:
        try:
            return read()
        except ValidationError as error:
            self.problems += subject.problems_of(error)
            return None


def _internal_keys(spec: type[Spec], node: Node) -> list[Problem]:
    """Fields that only the loader fills in are no keys."""
    keys = node.keys_at if isinstance(node, Map) else {}
    return [unknown_key(keys[name], spec) for name in keys.keys() & spec.filled_in]


def _salvage(node: Map, context: Context) -> tuple[Map, Container]:
    """What is sound of a broken container: its sound fields, and of the others' lists the items."""
    keys = [key for key in Container.yaml_keys() if key in node]
    sound = map_like(node, (key for key in keys if _is_sound(key, node[key], context)))
    for key in keys:
        if key not in sound and isinstance(items := node[key], List) and len(items) <= _MOST_ITEMS:
            kept = [item for item in items if _is_sound(key, list_like(items, [item]), context)]
            if _is_sound(key, rest := list_like(items, kept), context):
                sound[key], sound.keys_at[key] = rest, node.keys_at[key]
    return sound, Container.model_validate({_IMAGE: "unknown", **sound}, context=context)


def _is_sound(key: str, value: Node, context: Context) -> bool:
    try:
        Container.model_validate({_IMAGE: "unknown", key: value}, context=context)
    except ValidationError:
        return False
    return True
