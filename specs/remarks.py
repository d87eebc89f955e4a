"""What is taken without effect, or in another way than its author may think."""

from collections.abc import Iterator, Mapping
from typing import Final

from specs.fields import is_null
from specs.model.container import Container
from specs.model.network import Network
from specs.neighbours import place_of
from specs.nodes import Map, Node, nearest_place
from specs.problems import Problem, problem_at, quoted

_SWARM: Final = "has no effect: it is only for Swarm"
_BACK_OFF: Final = "has no effect: the engine's own back-off holds"
_NO_EFFECT: Final = "has no effect"
_DEPLOY: Final[dict[tuple[str, ...], str]] = {
    ("labels",): _SWARM,
    ("placement",): _SWARM,
    ("endpoint_mode",): _SWARM,
    ("rollback_config",): _NO_EFFECT,
    ("resources", "reservations", "cpus"): _NO_EFFECT,
    ("restart_policy", "delay"): _BACK_OFF,
    ("restart_policy", "window"): _NO_EFFECT,
    ("update_config", "delay"): _NO_EFFECT,
    ("update_config", "monitor"): "has no effect: see `update: {healthy_within: …}`",
    ("update_config", "max_failure_ratio"): _NO_EFFECT,
}


def remarks(
    root: Map, containers: Mapping[str, Container], networks: Mapping[str, Network]
) -> Iterator[Problem]:
    """Warnings for what a project says in vain."""
    for name, container in containers.items():
        yield from _deployed(root, name)
        yield from _retries(root, name, container)
        yield from _absent(root, name, container)
        if container.network_mode in ("host", "none") and container.ports:
            text = f"container {quoted(name)}: with `network_mode: {container.network_mode}` no "
            text += "port is published"
            hints = {"host": "what it listens on is the host's own port already"}
            hint = hints.get(container.network_mode, "")
            yield problem_at(place_of(root, name, "ports"), text, hint=hint)
    for name in networks:
        for key in ("driver_opts", "attachable"):
            if place := _written(root, ("networks", name, key)):
                yield problem_at(place, f"network {quoted(name)}: `{key}` {_NO_EFFECT}")


def _deployed(root: Map, name: str) -> Iterator[Problem]:
    for path, text in _DEPLOY.items():
        if place := _written(root, ("containers", name, "deploy", *path)):
            said = ".".join(("deploy", *path))
            yield problem_at(place, f"container {quoted(name)}: `{said}` {text}")


def _retries(root: Map, name: str, container: Container) -> Iterator[Problem]:
    policy = container.deploy.restart_policy if container.deploy else None
    if policy and policy.max_attempts is not None and policy.policy.kind != "on-failure":
        path = ("containers", name, "deploy", "restart_policy", "max_attempts")
        text = f"container {quoted(name)}: `max_attempts` counts only with `condition: on-failure`"
        yield problem_at(nearest_place(root, path), text)


def _absent(root: Map, name: str, container: Container) -> Iterator[Problem]:
    for other, dependency in container.depends_on.items():
        if not dependency.required and other not in root["containers"]:
            text = f"container {quoted(name)}: there is no container {quoted(other)} to wait for"
            yield problem_at(place_of(root, name, "depends_on", other), text)


def _written(root: Map, path: tuple[str, ...]) -> Node | None:
    """The key at the end of a path, when it is there and says something."""
    node: object = root
    for part in path:
        if not isinstance(node, Map) or part not in node:
            return None
        node = node[part]
    return None if is_null(node) else nearest_place(root, path)
