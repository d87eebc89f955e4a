"""`env_file`: a path, a list of paths, or `{path, required}`. The files are read by `load`."""

from typing import Annotated, Any, ClassVar, Final

from pydantic import BeforeValidator, WithJsonSchema

from specs.fields import Spec, about, is_null
from specs.model.mount import long_texts
from specs.nodes import Map, Text
from specs.notations import each_of, filled, read_text
from specs.refusals import refuse, wrong
from specs.scalars import parse_flag

_EXPECTED: Final = "a path, a list of paths, or `{path: .env, required: false}`"


class EnvFile(Spec):
    """One file of `NAME=value` lines; `path` as it was written."""

    noun: ClassVar[str] = "an environment file"

    path: str = about("Path of the file, relative to the project and below it.")
    required: bool = about("Whether it must be there.", default=True)


def _read_item(item: str | dict[str, Any]) -> EnvFile:
    if isinstance(item, str):
        return EnvFile(path=read_text(item, filled))
    texts = long_texts(item, ("path", "required"), {"format"}, "an environment file")
    if "path" not in texts:
        refuse([wrong(item, _EXPECTED, reason="has no `path`")])
    required = read_text(texts.get("required", "true"), parse_flag)
    return EnvFile(path=read_text(texts["path"], filled), required=required)


def _read_all(value: object) -> Any:
    items = [value] if isinstance(value, (Text, Map)) and not is_null(value) else value
    return each_of(items, _EXPECTED, _read_item)


_ENTRY: Final = {
    "anyOf": [
        {"type": "string"},
        {
            "type": "object",
            "properties": {"path": {"type": "string"}, "required": {"type": "boolean"}},
            "required": ["path"],
            "additionalProperties": False,
        },
    ]
}
EnvFiles = Annotated[
    tuple[EnvFile, ...],
    BeforeValidator(_read_all),
    WithJsonSchema({"anyOf": [*_ENTRY["anyOf"], {"type": "array", "items": _ENTRY}]}),
]
