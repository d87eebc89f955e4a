"""`depends_on`: a list of names, or a map of names to conditions."""

from enum import StrEnum
from itertools import islice
from typing import Annotated, Any, ClassVar, Final

from pydantic import BeforeValidator, WithJsonSchema

from specs.fields import Effect, Spec, about, is_null
from specs.nodes import Map, Text
from specs.notations import each_of
from specs.problems import MOST_PROBLEMS, Problem, nearest_word
from specs.refusals import not_yet, refuse, refuse_if_any, unknown_word, wrong
from specs.scalars import Unreadable, parse_flag


class Condition(StrEnum):
    """What must hold of the other container before this one starts."""

    STARTED = "service_started"


class Dependency(Spec):
    """What one container waits for."""

    noun: ClassVar[str] = "a dependency"

    condition: Condition = about("What to wait for.", Effect.IN_PLACE, default=Condition.STARTED)


_KEYS: Final = ("condition", "required", "restart")
_SPELLINGS: Final = {"service_started": Condition.STARTED, "started": Condition.STARTED}
_LATER: Final = {
    "service_healthy", "healthy", "service_completed_successfully", "completed_successfully",
    "completed",
}  # fmt: skip
_EXPECTED: Final = "a list of containers, or a map `{name: {condition: service_started}}`"
# What the two flags are unless they are given; only these values are carried out.
_FLAGS: Final = {"required": True, "restart": False}


def _read_all(value: object) -> Any:
    if isinstance(value, Map):
        problems = (problem for name in value for problem in _faults(value[name]))
        refuse_if_any(list(islice(problems, MOST_PROBLEMS + 1)))
        return {str(name): Dependency() for name in value}
    if isinstance(value, dict):
        return value
    names = each_of(value, _EXPECTED, _read_name)
    return {name: Dependency() for name in names}


def _read_name(item: object) -> str:
    if not isinstance(item, str) or is_null(item):
        refuse([wrong(item, "the name of a container")])
    return str(item)


def _faults(value: object) -> list[Problem]:
    """What is wrong with one entry of the map; several things at once."""
    if is_null(value):
        return []
    if isinstance(value, Text):
        return _condition_faults(value)
    if not isinstance(value, Map):
        return [wrong(value, "`{condition: service_started}`")]
    faults = [
        unknown_word(k, _KEYS, "a dependency") for k in value.keys_at.values() if k not in _KEYS
    ]
    for key in value.keys() & _KEYS:
        faults += (
            _condition_faults(value[key]) if key == "condition" else _flag_faults(key, value[key])
        )
    return faults


def _condition_faults(value: object) -> list[Problem]:
    if isinstance(value, Text) and value in _SPELLINGS:
        return []
    if isinstance(value, Text) and value in _LATER:
        return [not_yet(value, f"the condition `{value}`", "only `service_started` is so far")]
    near = nearest_word(value, [*_SPELLINGS, *_LATER]) if isinstance(value, Text) else ""
    hint = f"did you mean `{near}`?" if near else ""
    return [wrong(value, "service_started", reason="is not a condition", hint=hint)]


def _flag_faults(key: str, value: object) -> list[Problem]:
    try:
        if isinstance(value, Text) and parse_flag(value) == _FLAGS[key]:
            return []
    except Unreadable as error:
        return [wrong(value, error.expected)]
    return [not_yet(value, f"`{key}: {'false' if _FLAGS[key] else 'true'}` of a dependency")]


_ENTRY: Final = {
    "type": "object",
    "properties": {
        "condition": {"enum": list(_SPELLINGS)},
        "required": {"type": "boolean"},
        "restart": {"type": "boolean"},
    },
    "additionalProperties": False,
}
Dependencies = Annotated[
    dict[str, Dependency],
    BeforeValidator(_read_all),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "array", "items": {"type": "string"}},
                {
                    "type": "object",
                    "additionalProperties": {
                        "anyOf": [{"enum": list(_SPELLINGS)}, _ENTRY, {"type": "null"}]
                    },
                },
            ]
        }
    ),
]
