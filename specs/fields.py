"""What a field says of itself: its meaning, and how a change of it takes effect.

Planner, documentation and JSON Schema read both from the field. Its type is its notation
(`notations.py`), which reads the short forms of the YAML and lets canonical values through, so that
a command line can build the same models from values that it has already.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, model_validator
from pydantic.config import JsonDict
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from specs.nodes import Text


class Effect(StrEnum):
    """What a change of a field costs: nothing that a process notices, or a new container."""

    IN_PLACE = "in place"
    REPLACE = "replace"


def about(
    description: str,
    effect: Effect = Effect.REPLACE,
    *,
    default: Any = PydanticUndefined,
    **rest: Any,
) -> Any:
    """A field with its one-sentence meaning and its effect."""
    extra: JsonDict = {"x-change": effect.value}
    return Field(default, description=description, json_schema_extra=extra, **rest)


def effects(model: type[BaseModel]) -> Mapping[str, Effect]:
    """How a change of each field of a model takes effect, by the field's Python name."""
    return {name: _effect(info) for name, info in model.model_fields.items()}


def _effect(info: FieldInfo) -> Effect:
    extra = info.json_schema_extra
    if not isinstance(extra, dict):
        raise TypeError(f"a field without an effect: {info!r}")
    return Effect(str(extra["x-change"]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What a spec is read against: its project's directory and the caller's environment."""

    directory: str
    environ: Mapping[str, str] = field(default_factory=dict)


def context_of(info: ValidationInfo) -> Context:
    """The context; the bare one when a model is built from values and not from text."""
    return info.context if isinstance(info.context, Context) else Context(directory="")


def is_null(value: object) -> bool:
    """Whether YAML wrote nothing here."""
    return value is None or (isinstance(value, Text) and value.null)


class Spec(BaseModel):
    """What all models share: immutable, no unknown keys, and what to say of keys that are not ours.

    `filled_in` fields are set by the loader, never by the YAML. `not_yet` keys are the Compose
    specification's, `planned` ones our own of later; `renamed` are words that people bring along.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", populate_by_name=True, hide_input_in_errors=True
    )
    noun: ClassVar[str] = "the project"
    filled_in: ClassVar[frozenset[str]] = frozenset()
    not_yet: ClassVar[frozenset[str]] = frozenset()
    planned: ClassVar[frozenset[str]] = frozenset()
    renamed: ClassVar[Mapping[str, str]] = {}

    @model_validator(mode="before")
    @classmethod
    def _without_nothing(cls, value: Any) -> Any:
        """A key without a value is as if it were not there, and so is one that begins with `x-`."""
        if isinstance(value, Text) and value.null:
            return {}
        if not isinstance(value, dict):
            return value
        return {k: v for k, v in value.items() if not (is_null(v) or k.startswith("x-"))}

    @classmethod
    def yaml_keys(cls) -> tuple[str, ...]:
        """The keys that YAML may use, in the order of the fields."""
        named = ((name, cls.model_fields[name]) for name in cls.model_fields)
        return tuple(_key(name, info) for name, info in named if name not in cls.filled_in)


def _key(name: str, info: FieldInfo) -> str:
    return info.validation_alias if isinstance(info.validation_alias, str) else name
