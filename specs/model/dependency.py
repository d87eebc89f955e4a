"""`depends_on`: a list of names, or a map of names to conditions."""

from enum import StrEnum
from itertools import islice
from typing import Annotated, Any, ClassVar, Final

from pydantic import BeforeValidator, WithJsonSchema

from specs.fields import Effect, Spec, about, is_null
from specs.nodes import Map, Text
from specs.notations import each_of
from specs.problems import MOST_PROBLEMS, Problem, nearest_word
from specs.refusals import refuse, refuse_if_any, unknown_word, wrong
from specs.scalars import Unreadable, parse_flag


class Condition(StrEnum):
    """What must hold of the other container before this one starts."""

    STARTED = "service_started"
    HEALTHY = "service_healthy"
    COMPLETED = "service_completed_successfully"


class Dependency(Spec):
    """What one container waits for."""

    noun: ClassVar[str] = "a dependency"

    condition: Condition = about("What to wait for.", Effect.IN_PLACE, default=Condition.STARTED)
    required: bool = about("Whether it must be there, and come up.", Effect.IN_PLACE, default=True)
    restart: bool = about(
        "Whether a new container of it makes this one start anew.", Effect.IN_PLACE, default=False
    )


_KEYS: Final = ("condition", "required", "restart")
_SPELLINGS: Final = {
    "service_started": Condition.STARTED,
    "started": Condition.STARTED,
    "service_healthy": Condition.HEALTHY,
    "healthy": Condition.HEALTHY,
    "service_completed_successfully": Condition.COMPLETED,
    "completed_successfully": Condition.COMPLETED,
    "completed": Condition.COMPLETED,
}
_WORDS: Final = "service_started, service_healthy or service_completed_successfully"
_EXPECTED: Final = "a list of containers, or a map `{name: {condition: service_started}}`"


def _read_all(value: object) -> Any:
    if isinstance(value, Map):
        problems = (problem for name in value for problem in _faults(value[name]))
        refuse_if_any(list(islice(problems, MOST_PROBLEMS + 1)))
        return {str(name): _dependency(value[name]) for name in value}
    if isinstance(value, dict):
        return value
    names = each_of(value, _EXPECTED, _read_name)
    return {name: Dependency() for name in names}


def _read_name(item: object) -> str:
    if not isinstance(item, str) or is_null(item):
        refuse([wrong(item, "the name of a container")])
    return str(item)


def _dependency(value: object) -> Dependency:
    """One entry of the map, once it is known to be sound."""
    if isinstance(value, Map):
        flags = {key: parse_flag(value[key]) for key in _KEYS[1:] if key in value}
        word = value.get("condition", Condition.STARTED)
        return Dependency(condition=_SPELLINGS[word], **flags)
    word = Condition.STARTED if is_null(value) else str(value)
    return Dependency(condition=_SPELLINGS[word])


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
        found = value[key]
        faults += _condition_faults(found) if key == "condition" else _flag_faults(found)
    return faults


def _condition_faults(value: object) -> list[Problem]:
    if isinstance(value, Text) and value in _SPELLINGS:
        return []
    near = nearest_word(value, _SPELLINGS) if isinstance(value, Text) else ""
    hint = f"did you mean `{near}`?" if near else ""
    return [wrong(value, _WORDS, reason="is not a condition", hint=hint)]


def _flag_faults(value: object) -> list[Problem]:
    try:
        if isinstance(value, Text):
            parse_flag(value)
            return []
    except Unreadable as error:
        return [wrong(value, error.expected)]
    return [wrong(value, "true or false")]


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
