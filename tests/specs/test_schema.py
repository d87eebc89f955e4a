"""The JSON Schema, and what every field says of itself."""

import json
from typing import Any

import pytest

from specs.fields import Effect, Spec, effects
from specs.model.container import Container
from specs.schema import DIALECT, json_schema


def models(parent: type[Spec] = Spec) -> list[type[Spec]]:
    """All that the specs are made of."""
    return [each for child in parent.__subclasses__() for each in (child, *models(child))]


@pytest.mark.parametrize("model", models())
def test_every_field_has_one_sentence_and_an_effect(model: type[Spec]) -> None:
    for name, info in model.model_fields.items():
        assert info.description, name
        assert info.description.endswith("."), name
    assert set(effects(model)) == set(model.model_fields)


def test_what_changes_in_place() -> None:
    in_place = {name for name, effect in effects(Container).items() if effect is Effect.IN_PLACE}
    assert in_place == {
        "container_name", "cpu_period", "cpu_quota", "cpu_shares", "cpus", "cpuset", "depends_on",
        "deploy", "dns", "dns_opt", "dns_search", "expose", "extra_hosts", "healthcheck", "labels",
        "links", "logging", "mem_limit", "mem_reservation", "memswap_limit", "networks",
        "pids_limit", "ports", "pull_policy", "replicas", "restart", "scale", "stop_grace_period",
        "stop_signal", "update",
    }  # fmt: skip


def test_the_schema_is_of_its_dialect_and_plain_json() -> None:
    schema = json_schema()
    assert schema["$schema"] == DIALECT
    assert json.loads(json.dumps(schema)) == schema


def test_every_reference_leads_somewhere_and_nothing_is_left_over() -> None:
    schema = json_schema()
    text = json.dumps(schema)
    for name in schema["$defs"]:
        assert f'"#/$defs/{name}"' in text
    assert text.count("#/$defs/") == sum(text.count(f'"#/$defs/{n}"') for n in schema["$defs"])


def properties(schema: dict[str, Any], model: str) -> dict[str, Any]:
    found: dict[str, Any] = schema["$defs"][model]["properties"]
    return found


def test_it_has_the_keys_of_the_yaml_and_no_others() -> None:
    schema = json_schema()
    assert set(schema["properties"]) == {
        "project", "registries", "search_registries", "images", "volumes", "networks", "containers",
        "version",
    }  # fmt: skip
    assert set(properties(schema, "Container")) == set(Container.yaml_keys())
    assert set(properties(schema, "Image")) == {
        "from", "archive", "rootfs", "pull", "platform", "config", "tags", "push", "track",
    }  # fmt: skip
    assert schema["$defs"]["Container"]["additionalProperties"] is False


def test_a_field_in_it() -> None:
    assert properties(json_schema(), "Container")["mem_limit"] == {
        "anyOf": [
            {"type": ["integer", "string"], "examples": ["512m", "1.5g"]},
            {"type": "null"},
        ],
        "default": None,
        "description": "Most memory, in bytes; none: unlimited.",
        "x-change": "in place",
    }
