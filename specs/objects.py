"""Nodes -> models, one object at a time, and pydantic's words -> problems with their places.

Each object is validated on its own, so that one that is broken keeps neither the problems of the
others nor the checks between them from being told.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from specs.fields import Context, Spec
from specs.model.container import Container
from specs.model.image import Image
from specs.model.network import DEFAULT, Network
from specs.model.registry import Registry
from specs.model.volume import Volume
from specs.nodes import Map, Node, Text, nearest_place
from specs.notations import OBJECT_NAME, OBJECT_RULE, name_of, read_text
from specs.problems import Problem, problem_at, quoted
from specs.refusals import not_yet, placed, refuse, shown, unknown_key

S = TypeVar("S", bound=Spec)

_MAPS: Final = {"dict_type", "model_type", "model_attributes_type", "mapping_type"}
_REGISTRY: Final = r"(?:[a-zA-Z0-9](?:[a-zA-Z0-9.-]*[a-zA-Z0-9])?|\[[0-9a-fA-F:]+\])(?::\d{1,5})?"
_REGISTRY_RULE: Final = "a host with its port if need be, such as registry.example:5000"


@dataclass(slots=True)
class Objects:
    """All that could be read of the sections."""

    registries: dict[str, Registry] = field(default_factory=dict)
    images: dict[str, Image] = field(default_factory=dict)
    volumes: dict[str, Volume] = field(default_factory=dict)
    networks: dict[str, Network] = field(default_factory=dict)
    containers: dict[str, Container] = field(default_factory=dict)


def read_objects(root: Map, context: Context, problems: list[Problem]) -> Objects:
    """Read every section; the problems of all of them are added."""
    reader = _Reader(root, context, problems)
    return Objects(
        registries=reader.section("registries", Registry, "registry", _registry_name),
        images=reader.section("images", Image, "image", _object_name("an image")),
        volumes=reader.section("volumes", Volume, "volume", _object_name("a volume")),
        networks={DEFAULT: Network()}
        | reader.section("networks", Network, "network", _network_name),
        containers=reader.section(
            "containers", Container, "container", _object_name("a container")
        ),
    )


def _object_name(what: str) -> Callable[[Text], Any]:
    parse = name_of(what, OBJECT_NAME, OBJECT_RULE)
    return lambda key: read_text(key, parse)


def _registry_name(key: Text) -> Any:
    return read_text(key, name_of("a registry", _REGISTRY, _REGISTRY_RULE))


def _network_name(key: Text) -> Any:
    if key != DEFAULT:
        refuse([not_yet(key, "more than the one network", "it is called `default`")])
    return key


@dataclass(frozen=True, slots=True)
class _Reader:
    root: Map
    context: Context
    problems: list[Problem]

    def section(
        self, section: str, spec: type[S], noun: str, check_name: Callable[[Text], Any]
    ) -> dict[str, S]:
        """The objects of a section that are valid, by name."""
        nodes = self.root.get(section, Map())
        read: dict[str, S] = {}
        for name, node in nodes.items():
            key = nodes.keys_at[name]
            try:
                check_name(key)
                read[str(name)] = spec.model_validate(node, context=self.context)
            except ValidationError as error:
                owner = _Owner(spec, f"{noun} {quoted(name)}", key, node)
                self.problems.extend(owner.problems_of(error))
            self.problems.extend(_internal_keys(spec, node))
        return read


def _internal_keys(spec: type[Spec], node: Node) -> list[Problem]:
    """Fields that only the loader fills in are no keys."""
    keys = node.keys_at if isinstance(node, Map) else {}
    return [unknown_key(keys[name], spec) for name in keys.keys() & spec.internal]


@dataclass(frozen=True, slots=True)
class _Owner:
    """The object that an error is about."""

    spec: type[Spec]
    label: str
    key: Text
    node: Node

    def problems_of(self, error: ValidationError) -> list[Problem]:
        return [self._problem(details) for details in error.errors(include_url=False)]

    def _problem(self, details: ErrorDetails) -> Problem:
        path = details["loc"]
        place = nearest_place(self.node, path) or self.key
        context: Mapping[str, Any] = details.get("ctx", {})
        if isinstance(problem := context.get("problem"), Problem):
            return self._labelled(problem, path, place)
        match details["type"]:
            case "extra_forbidden":
                return unknown_key(_as_text(place), self._spec_at(path))
            case "missing":
                return self._missing(path)
            case "value_error":
                text = f"{self._where(path[:1])} {context.get('error')}"
                return problem_at(place, text)
            case kind:
                return self._misfit(kind, path, details["msg"])

    def _labelled(self, problem: Problem, path: tuple[int | str, ...], place: Node) -> Problem:
        """The problem under the name of the field that it is in."""
        text = f"{self._where(path[:1])}: {problem.text}"
        if problem.span is None:
            return replace(problem, text=text, span=place.span, width=place.width)
        return replace(problem, text=text)

    def _where(self, path: tuple[int | str, ...]) -> str:
        return ", ".join([self.label, *(quoted(str(part)) for part in path)])

    def _missing(self, path: tuple[int | str, ...]) -> Problem:
        holder = nearest_place(self.node, path[:-1]) or self.key
        spec, name = self._spec_at(path), str(path[-1])
        description = spec.model_fields[name].description or ""
        text = f"{self._where(path[:-1])} has no {quoted(name)}"
        return problem_at(holder, text, expected=f"{name}: {_lower(description)}")

    def _misfit(self, kind: str, path: tuple[int | str, ...], message: str) -> Problem:
        value = _value_at(self.node, path)
        expected = "a map `{key: value}`" if kind in _MAPS else _lower(message)
        at = placed(value) or nearest_place(self.node, path) or self.key
        return problem_at(
            at, f"{self._where(path[:1])}: {shown(value)} does not fit here", expected=expected
        )

    def _spec_at(self, path: tuple[int | str, ...]) -> type[Spec]:
        """The model that the last part of a path is a key of."""
        spec = self.spec
        for part in path[:-1]:
            info = spec.model_fields.get(str(part))
            spec = _spec_in(info.annotation) or spec if info else spec
        return spec


def _spec_in(annotation: Any) -> type[Spec] | None:
    """The model in `Model | None`."""
    for each in (annotation, *getattr(annotation, "__args__", ())):
        if isinstance(each, type) and issubclass(each, Spec):
            return each
    return None


def _value_at(node: Node, path: tuple[int | str, ...]) -> Any:
    for part in path:
        if isinstance(node, Map) and part in node:
            node = node[str(part)]
        elif isinstance(node, list) and isinstance(part, int) and part < len(node):
            node = node[part]
    return node


def _as_text(place: Node) -> Text:
    if not isinstance(place, Text):
        raise TypeError("an unknown key without its place")
    return place


def _lower(sentence: str) -> str:
    sentence = sentence.strip().rstrip(".")
    return sentence[:1].lower() + sentence[1:]
