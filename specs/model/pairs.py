"""Names with values: `environment` and `labels`, as a map or as a list of `NAME=value`."""

from typing import Annotated, Any, Final

from pydantic import BeforeValidator, ValidationInfo, WithJsonSchema

from specs.fields import context_of
from specs.nodes import List, Map, Text
from specs.refusals import refuse, refuse_if_any, wrong


def pairs(value: object, info: ValidationInfo, *, ask: bool) -> Any:
    """`{K: v}` or `[K=v]`; K alone comes from the caller's environment if `ask`, else it is empty.

    A K that the environment lacks, too, is left out, as Compose does.
    """
    if isinstance(value, (List, Map)):
        found = _listed(value) if isinstance(value, List) else _mapped(value)
        environ = context_of(info).environ if ask else {}
        taken = {k: environ.get(k, None if ask else "") if v is None else v for k, v in found}
        return {k: v for k, v in taken.items() if v is not None}
    if isinstance(value, str):
        refuse([wrong(value, "a map `{NAME: value}` or a list `[NAME=value]`")])
    return value


def _mapped(value: Map) -> list[tuple[str, str | None]]:
    bad = [wrong(v, "text, a number, true or false") for v in value.values() if not _is_line(v)]
    bad += [wrong(k, "a name") for k in value.keys_at.values() if not _is_variable(k)]
    refuse_if_any(bad)
    return [(str(k), None if v.null else str(v)) for k, v in value.items()]


def _listed(value: List) -> list[tuple[str, str | None]]:
    bad = [
        wrong(v, "`NAME=value`, or `NAME` to pass it on")
        for v in value
        if not _is_line(v) or not _is_variable(v.partition("=")[0])
    ]
    refuse_if_any(bad)
    split = (str(item).partition("=") for item in value)
    return [(name, text if equals else None) for name, equals, text in split]


def _is_line(value: object) -> bool:
    return isinstance(value, Text) and "\0" not in value


def _is_variable(name: str) -> bool:
    """A name that execve(2) can carry: not empty, no `=`, no zero byte."""
    return bool(name.strip()) and "=" not in name and "\0" not in name


def _asked(value: object, info: ValidationInfo) -> Any:
    return pairs(value, info, ask=True)


def _unasked(value: object, info: ValidationInfo) -> Any:
    return pairs(value, info, ask=False)


PAIRS_SCHEMA: Final = {
    "anyOf": [
        {
            "type": "object",
            "additionalProperties": {"type": ["string", "number", "boolean", "null"]},
        },
        {"type": "array", "items": {"type": "string"}},
    ]
}

Environment = Annotated[dict[str, str], BeforeValidator(_asked), WithJsonSchema(PAIRS_SCHEMA)]
Labels = Annotated[dict[str, str], BeforeValidator(_unasked), WithJsonSchema(PAIRS_SCHEMA)]
