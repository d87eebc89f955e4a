"""`external`: networks and volumes of another project."""

from typing import Annotated, Any, Final

from pydantic import BeforeValidator, WithJsonSchema

from specs.fields import Spec
from specs.model.mount import long_texts
from specs.nodes import Map
from specs.notations import filled, read_text
from specs.refusals import refuse, wrong
from specs.scalars import parse_flag

_EXPECTED: Final = "true, false, or `{name: NAME}`"


def _read(value: object) -> Any:
    """None: the project's own; else what its owner calls it, "" where that is its key."""
    if isinstance(value, str):
        return "" if read_text(value, parse_flag) else None
    if not isinstance(value, Map):
        return value if value is None else refuse([wrong(value, _EXPECTED)])
    texts = long_texts(value, ("name",), set(), "`external`")
    return read_text(texts["name"], filled) if "name" in texts else ""


def check_external(spec: Spec) -> None:
    """What belongs to another project is only named here."""
    if getattr(spec, "external", None) is None:
        return
    said = [name for name in type(spec).yaml_keys() if name in spec.model_fields_set]
    others = [name for name in said if name not in ("external", "name")]
    if others:
        raise ValueError(f"takes no `{others[0]}` where it is external")


External = Annotated[
    str | None,
    BeforeValidator(_read),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": ["boolean", "string"]},
                {
                    "type": "object",
                    "properties": {"name": {"type": "string"}},
                    "additionalProperties": False,
                },
            ]
        }
    ),
]
