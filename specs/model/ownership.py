"""`external`: networks and volumes of another project."""

from typing import Annotated, Any, Final

from pydantic import BeforeValidator, WithJsonSchema

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
