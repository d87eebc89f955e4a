"""Warnings for what a spec says in vain."""

from pathlib import Path

import pytest

from tests.specs.reading import loaded

SAID = [
    # a container's fields, what is warned of
    ("deploy: {placement: {constraints: [a]}}", "`deploy.placement` has no effect: it is only for "
     "Swarm"),
    ("deploy: {endpoint_mode: vip}", "`deploy.endpoint_mode` has no effect: it is only for Swarm"),
    ("deploy: {labels: {a: b}}", "`deploy.labels` has no effect: it is only for Swarm"),
    ("deploy: {rollback_config: {order: stop-first}}", "`deploy.rollback_config` has no effect"),
    ("deploy: {restart_policy: {condition: on-failure, delay: 5s}}",
     "`deploy.restart_policy.delay` has no effect: the engine's own back-off holds"),
    ("deploy: {restart_policy: {window: 5s}}", "`deploy.restart_policy.window` has no effect"),
    ("deploy: {restart_policy: {max_attempts: 3}}",
     "`max_attempts` counts only with `condition: on-failure`"),
    ("deploy: {update_config: {delay: 5s}}", "`deploy.update_config.delay` has no effect"),
    ("deploy: {update_config: {monitor: 5s}}",
     "`deploy.update_config.monitor` has no effect: see `update: {healthy_within: …}`"),
    ("deploy: {resources: {reservations: {cpus: 1}}}",
     "`deploy.resources.reservations.cpus` has no effect"),
    ("depends_on: {d: {condition: service_healthy, required: false}}",
     "there is no container `d` to wait for"),
    ("network_mode: host, ports: ['80:80']", "with `network_mode: host` no port is published"),
    ("network_mode: none, ports: ['80:80']", "with `network_mode: none` no port is published"),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "text"), SAID, ids=[each[0] for each in SAID])
def test_it_is_said_what_has_no_effect(tmp_path: Path, fields: str, text: str) -> None:
    warnings = loaded(tmp_path, f"containers: {{c: {{image: x, {fields}}}}}").warnings
    assert [each.text for each in warnings] == [f"container `c`: {text}"]
    assert warnings[0].excerpt


@pytest.mark.parametrize(
    "fields",
    [
        "deploy: {replicas: 2, placement: , restart_policy: {condition: on-failure, "
        "max_attempts: 3}}",
        "network_mode: bridge, ports: ['80:80']",
    ],
)
def test_what_has_its_effect_is_not_remarked_on(tmp_path: Path, fields: str) -> None:
    assert loaded(tmp_path, f"containers: {{c: {{image: x, {fields}}}}}").warnings == ()


def test_options_of_a_driver_have_none(tmp_path: Path) -> None:
    text = "networks: {n: {driver_opts: {a: b}, attachable: true}}\ncontainers: {c: {image: x}}"
    assert [each.text for each in loaded(tmp_path, text).warnings] == [
        "network `n`: `driver_opts` has no effect",
        "network `n`: `attachable` has no effect",
    ]
