"""The reference of the spec's keys as Markdown, from the JSON Schema: docs/spec.md holds it."""

from collections.abc import Iterator, Mapping
from typing import Any

Schema = Mapping[str, Any]

# The parts of a spec, in the order in which people meet them.
_PARTS = {
    "Container": "Under `containers: NAME:`",
    "Image": "Under `images: NAME:`",
    "ImageConfig": "Under `images: NAME: config:`",
    "Volume": "Under `volumes: NAME:`",
    "Network": "Under `networks: default:`",
    "Registry": "Under `registries: HOST:`",
    "RegistryAuth": "Under `registries: HOST: auth:`",
    "SecretSource": "A `password:`",
}
_WITH_CHANGE = ("Container",)
_WORDS = {"integer": "number", "object": "map", "array": "list", "boolean": "true or false"}


def reference(schema: Schema) -> str:
    """A table for the top of a file and one for each part."""
    parts = [("At the top", schema, False)]
    definitions: Schema = schema["$defs"]
    ordered = [*_PARTS, *(name for name in sorted(definitions) if name not in _PARTS)]
    for name in ordered:
        if name in definitions:
            title = _PARTS.get(name, name)
            parts.append((title, _body(definitions[name]), name in _WITH_CHANGE))
    return "\n".join("".join(_table(*part)) for part in parts)


def _body(schema: Schema) -> Schema:
    """The form of a part that has keys."""
    choices = [each for each in schema.get("anyOf", ()) if "properties" in each]
    return choices[0] if choices else schema


def _table(title: str, schema: Schema, with_change: bool) -> Iterator[str]:
    yield f"### {title}\n\n"
    yield "| key | value | meaning |" + (" a change |\n" if with_change else "\n")
    yield "| --- | --- | --- |" + (" --- |\n" if with_change else "\n")
    for key, field in schema["properties"].items():
        change = f" {field.get('x-change', '')} |" if with_change else ""
        meaning = _cell(str(field.get("description", "")))
        yield f"| `{key}` | {_cell(', '.join(_forms(field)))} | {meaning} |{change}\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _forms(field: Schema) -> list[str]:
    """How the value may be written, each form once."""
    found: list[str] = []
    for each in field.get("anyOf", (field,)):
        found += _form(each)
    return list(dict.fromkeys(found))


def _form(schema: Schema) -> list[str]:
    if "$ref" in schema:
        return ["map"]
    if "enum" in schema:
        return [f"`{each}`" for each in schema["enum"]]
    if "anyOf" in schema:
        return _forms(schema)
    types = schema.get("type", ())
    named = [types] if isinstance(types, str) else list(types)
    return [_WORDS.get(each, each) for each in named if each != "null"]
