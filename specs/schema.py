"""The JSON Schema of a spec, for editors: generated from the models, so that it cannot lag behind.

Every field carries its description and `x-change`, which says whether a change of it is made in
place or replaces the container. Draft 2020-12.
"""

from typing import Any, Final

from specs.fields import Spec
from specs.model.project import Project
from specs.naming import NAME_PATTERN
from specs.notations import OBJECT_NAME

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_NAMED: Final = ("images", "volumes", "networks", "containers")

Schema = dict[str, Any]


def json_schema() -> Schema:
    """The schema of a file of a project; any of its sections may be in another file."""
    schema = Project.model_json_schema(by_alias=True, mode="validation")
    definitions: Schema = schema.pop("$defs")
    for spec in _specs():
        if spec.__name__ in definitions:
            _complete(definitions[spec.__name__], spec)
    _complete(schema, Project)
    schema.pop("required", None)  # the project's name may be the folder's
    _complete_sections(schema["properties"])
    _complete_short_forms(definitions)
    used = _reachable(schema, definitions)
    return {
        "$schema": DIALECT,
        "title": "trueup",
        **{key: value for key, value in schema.items() if key != "title"},
        "$defs": {name: definitions[name] for name in sorted(definitions) if name in used},
    }


def _specs() -> list[type[Spec]]:
    """All models, subclasses of subclasses included."""
    found, left = [], [Spec]
    while left:
        children = left.pop().__subclasses__()
        found += children
        left += children
    return found


def _complete(schema: Schema, spec: type[Spec]) -> None:
    """Leave out what only the loader fills in; take `x-` keys and keys without a value."""
    properties = schema["properties"]
    for name in spec.filled_in:
        properties.pop(name, None)
    schema["properties"] = {name: _nullable(each) for name, each in properties.items()}
    required = [name for name in schema.get("required", []) if name not in spec.filled_in]
    schema["required"] = required
    for name in required:
        schema["properties"][name] = properties[name]
    schema["patternProperties"] = {"^x-": {}}
    schema.pop("title", None)
    schema["description"] = schema["description"].partition("\n\n")[0]


def _nullable(schema: Schema) -> Schema:
    """A field that may also be written without a value; its description stays on the outside."""
    annotations = {k: v for k, v in schema.items() if k in ("description", "x-change", "default")}
    inner = {k: v for k, v in schema.items() if k not in annotations and k != "title"}
    choices = inner.pop("anyOf", None) or [inner]
    if {"type": "null"} not in choices:
        choices = [*choices, {"type": "null"}]
    return {"anyOf": choices, **annotations}


def _complete_sections(properties: Schema) -> None:
    """Names of objects, `version` for those who come from Compose, and objects without a body."""
    properties["project"] = {**properties["project"], "pattern": f"^{NAME_PATTERN}$"}
    properties["version"] = {"description": "Ignored; Compose files have it."}
    for section in ("registries", *_NAMED):
        choice = properties[section]["anyOf"][0]
        if section in _NAMED:
            choice["propertyNames"] = {"pattern": f"^{OBJECT_NAME}$"}
        if section in ("volumes", "networks", "registries"):
            body = choice["additionalProperties"]
            choice["additionalProperties"] = {"anyOf": [body, {"type": "null"}]}


def _complete_short_forms(definitions: Schema) -> None:
    """Forms that a model reads as a whole; and what exactly one of several keys means."""
    secret = definitions["SecretSource"]
    definitions["SecretSource"] = {"anyOf": [{"type": "string"}, secret]}
    networks = definitions["Container"]["properties"]["networks"]["anyOf"]
    networks[0]["additionalProperties"] = {
        "anyOf": [networks[0]["additionalProperties"], {"type": "null"}]
    }
    networks.insert(0, {"type": "array", "items": {"type": "string"}})
    definitions["Image"]["oneOf"] = [{"required": [key]} for key in ("from", "archive", "rootfs")]


def _reachable(schema: Any, definitions: Schema) -> set[str]:
    """Names of the definitions that the schema leads to."""
    found: set[str] = set()
    left = [schema]
    while left:
        each = left.pop()
        if isinstance(each, dict):
            name = str(each.get("$ref", "")).removeprefix("#/$defs/")
            if name and name not in found:
                found.add(name)
                left.append(definitions[name])
            left += each.values()
        elif isinstance(each, list):
            left += each
    return found
