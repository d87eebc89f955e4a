"""The reference of the spec's keys as Markdown, from the JSON Schema: docs/spec.md holds it."""

from collections.abc import Iterator, Mapping
from typing import Any

from specs.scalars import render_duration

Schema = Mapping[str, Any]

# The parts of a spec, in the order in which people meet them.
_PARTS = {
    "Container": "Under `containers: NAME:`",
    "Healthcheck": "Under `containers: NAME: healthcheck:`",
    "Attachment": "Under `containers: NAME: networks: NETWORK:`",
    "Update": "Under `containers: NAME: update:`",
    "Logging": "Under `containers: NAME: logging:`",
    "LogOptions": "Under `containers: NAME: logging: options:`",
    "Deploy": "Under `containers: NAME: deploy:`",
    "Resources": "Under `containers: NAME: deploy: resources:`",
    "ResourceLimits": "Under `containers: NAME: deploy: resources: limits:`",
    "Reservations": "Under `containers: NAME: deploy: resources: reservations:`",
    "DeployRestart": "Under `containers: NAME: deploy: restart_policy:`",
    "UpdateConfig": "Under `containers: NAME: deploy: update_config:`",
    "Image": "Under `images: NAME:`",
    "ImageConfig": "Under `images: NAME: config:`",
    "Track": "Under `images: NAME: track:`",
    "Volume": "Under `volumes: NAME:`",
    "DriverOptions": "Under `volumes: NAME: driver_opts:`",
    "Network": "Under `networks: NAME:`",
    "Ipam": "Under `networks: NAME: ipam:`",
    "Pool": "Under `networks: NAME: ipam: config:`, each",
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
    yield "| key | value | default | meaning |" + (" a change |\n" if with_change else "\n")
    yield "| --- | --- | --- | --- |" + (" --- |\n" if with_change else "\n")
    for key, field in schema["properties"].items():
        change = f" {field.get('x-change', '')} |" if with_change else ""
        meaning = _cell(str(field.get("description", "")))
        forms = _cell(", ".join(_forms(field)))
        yield f"| `{key}` | {forms} | {_default(field)} | {meaning} |{change}\n"


def _default(field: Schema) -> str:
    """What holds where the key is not there, if it is a single value."""
    value = field.get("default") if _forms(field) else None
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, float) and _is_time(field):
        return f"`{render_duration(value)}`"
    return f"`{value}`" if isinstance(value, (str, int)) and value != "" else ""


def _is_time(field: Schema) -> bool:
    choices = [field, *(each for each in field.get("anyOf", ()))]
    nested = [each for choice in choices for each in choice.get("anyOf", ())]
    return any("10s" in each.get("examples", ()) for each in (*choices, *nested))


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
