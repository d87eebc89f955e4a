"""Who keeps the shop of `benchmarks.edits`: trueup, and docker-compose with a file that is made
from the same spec."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from benchmarks.contestant import Ground
from tests import peers
from tests.scenarios import shop
from tests.scenarios.shop import Spec

COMMAND = str(Path(sys.executable).with_name("trueup"))
PROJECT = "shop"
# The last version of the file that knows limits, `scale` and conditions of `depends_on`.
VERSION = "2.4"

Processes = dict[str, set[int]]
"""The first processes of each container's replicas, by the name in the spec."""


class Keeper(Protocol):
    def says(self, spec: Spec) -> object:
        """What becomes of the spec here: equal where this one has no word for the difference."""

    def apply(self, spec: Spec) -> None:
        """Make the spec true; returns when the command has ended."""

    def processes(self) -> Processes: ...

    def restart(self, container: str) -> None:
        """What somebody does when nothing else helps."""

    def close(self) -> None: ...


class Trueup:
    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._command = [COMMAND, "--root", str(ground.folder / "root")]

    def says(self, spec: Spec) -> object:
        return spec

    def apply(self, spec: Spec) -> None:
        shop.save(self._ground.folder, spec)
        self._ground.run(*self._command, "apply", self._ground.folder)

    def processes(self) -> Processes:
        words = ("status", self._ground.folder, "--offline", "--format", "json")
        shown = self._ground.run(*self._command, *words)
        found: Processes = {}
        for each in json.loads(shown)["containers"]:
            found.setdefault(each["name"].partition(".")[0], set()).add(each["pid"])
        return found

    def restart(self, container: str) -> None:
        raise RuntimeError(f"the page is away, and {container} would have to be restarted")

    def close(self) -> None:
        self._ground.run(*self._command, "down", "--project", PROJECT)


class Compose:
    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._docker = peers.Docker(ground.host, ground.folder)

    def says(self, spec: Spec) -> object:
        return compose_file(spec)

    def apply(self, spec: Spec) -> None:
        self._ground.write("docker-compose.yml", compose_file(spec))
        self._compose("up", "-d", "--remove-orphans")

    def processes(self) -> Processes:
        ids = self._docker("ps", "--quiet").split()
        found: Processes = {}
        for each in json.loads(self._docker("inspect", *ids)):
            name = each["Config"]["Labels"]["com.docker.compose.service"]
            found.setdefault(name, set()).add(each["State"]["Pid"])
        return found

    def restart(self, container: str) -> None:
        self._compose("restart", container)

    def close(self) -> None:
        self._docker.close()

    def _compose(self, *words: str) -> None:
        command = ["docker-compose", "-p", PROJECT, *words]
        environment = {**self._docker.environment, "COMPOSE_HTTP_TIMEOUT": "300"}
        self._ground.run(*command, environment=environment)


def compose_file(spec: Spec) -> dict[str, Any]:
    """The containers as services."""
    images = {name: each["from"] for name, each in spec["images"].items()}
    return {
        "version": VERSION,
        "networks": spec["networks"],
        "volumes": spec["volumes"],
        "services": {name: _service(each, images) for name, each in spec["containers"].items()},
    }


def _service(container: Mapping[str, Any], images: Mapping[str, str]) -> dict[str, Any]:
    service = {**container, "image": images[container["image"]]}
    service.pop("update", None)
    if replicas := service.pop("replicas", None):
        service["scale"] = replicas
    if check := service.get("healthcheck"):
        service["healthcheck"] = {k: v for k, v in check.items() if k != "start_interval"}
    return service
