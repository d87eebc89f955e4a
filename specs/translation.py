"""pydantic's errors -> problems with their places, in words for those who write specs."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from specs.fields import Spec
from specs.nodes import Map, Node, Text, nearest_place
from specs.problems import MOST_PROBLEMS, Problem, problem_at, quoted
from specs.refusals import placed, shown, unknown_key

Path = tuple[int | str, ...]

_MAPS: Final = {"dict_type", "model_type", "model_attributes_type", "mapping_type"}
_UNKNOWN: Final = "extra_forbidden"


@dataclass(frozen=True, slots=True)
class Subject:
    """The object that an error is about: its model, its name in messages, its key and value."""

    spec: type[Spec]
    label: str
    key: Text
    node: Node

    def problems_of(self, error: ValidationError) -> list[Problem]:
        """One problem for each error, but none for a missing key that was only misspelt."""
        details = error.errors(include_url=False)[: MOST_PROBLEMS + 1]
        unknown = {e["loc"]: self._unknown(e["loc"]) for e in details if e["type"] == _UNKNOWN}
        meant = {(*path[:-1], problem.nearest) for path, problem in unknown.items()}
        others = (e for e in details if e["type"] != _UNKNOWN)
        told = (e for e in others if e["type"] != "missing" or e["loc"] not in meant)
        return [*unknown.values(), *(self._problem(each) for each in told)]

    def _unknown(self, path: Path) -> Problem:
        key = self._place(path)
        if not isinstance(key, Text):
            raise TypeError("an unknown key without its place")
        return unknown_key(key, self._spec_at(path))

    def _problem(self, details: ErrorDetails) -> Problem:
        path = details["loc"]
        context: Mapping[str, Any] = details.get("ctx", {})
        if isinstance(problem := context.get("problem"), Problem):
            return self._labelled(problem, path)
        match details["type"]:
            case "missing":
                return self._missing(path)
            case "value_error":
                text = f"{self._where(path[:1])} {context.get('error')}"
                return problem_at(self._place(path), text)
            case kind:
                return self._misfit(kind, path, details["msg"])

    def _place(self, path: Path) -> Node:
        """The nearest node to a path that is known."""
        place = nearest_place(self.node, path)
        return self.key if place is None else place

    def _labelled(self, problem: Problem, path: Path) -> Problem:
        """The problem under the name of the field that it is in."""
        text = f"{self._where(path[:1])}: {problem.text}"
        if problem.span is None:
            place = self._place(path)
            return replace(problem, text=text, span=place.span, width=place.width)
        return replace(problem, text=text)

    def _where(self, path: Path) -> str:
        return ", ".join([self.label, *(quoted(str(part)) for part in path)])

    def _missing(self, path: Path) -> Problem:
        spec, name = self._spec_at(path), str(path[-1])
        text = f"{self._where(path[:-1])} has no {quoted(name)}"
        description = _lower(spec.model_fields[name].description or "")
        return problem_at(self._place(path[:-1]), text, expected=f"{name}: {description}")

    def _misfit(self, kind: str, path: Path, message: str) -> Problem:
        value = _value_at(self.node, path)
        expected = "a map `{key: value}`" if kind in _MAPS else _lower(message)
        text = f"{self._where(path[:1])}: {shown(value)} does not fit here"
        at = placed(value)
        return problem_at(self._place(path) if at is None else at, text, expected=expected)

    def _spec_at(self, path: Path) -> type[Spec]:
        """The model that the last part of a path is a key of."""
        spec = self.spec
        for part in path[:-1]:
            info = spec.model_fields.get(str(part))
            spec = (_spec_in(info.annotation) or spec) if info else spec
        return spec


def _spec_in(annotation: Any) -> type[Spec] | None:
    """The model in `Model | None`."""
    for each in (annotation, *getattr(annotation, "__args__", ())):
        if isinstance(each, type) and issubclass(each, Spec):
            return each
    return None


def _value_at(node: Node, path: Path) -> Any:
    for part in path:
        if isinstance(node, Map) and part in node:
            node = node[str(part)]
        elif isinstance(node, list) and isinstance(part, int) and part < len(node):
            node = node[part]
    return node


def _lower(sentence: str) -> str:
    sentence = sentence.strip().rstrip(".")
    return sentence[:1].lower() + sentence[1:]
