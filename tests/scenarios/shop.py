"""examples/shop as a scenario: as it stands there, with images that are made here.

`EDITS` are the kinds of edit that people make to such a project, as values: the tests apply them
with trueup, the benchmark of edits with docker-compose, too.
"""

import hashlib
import http.client
import json
import re
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.hosts import Namespace
from tests.images import applications, recipes
from tests.images.__main__ import OFFICIAL
from tests.images.registry import Registry
from tests.scenarios.load import Clients

EXAMPLE = Path(__file__).parents[2] / "examples/shop"
PORT, OTHER_PORT, ADDED_PORT = 8080, 8081, 8082
SERVERS = ("nginx", "python", "redis", "postgres")
PAGE = re.compile(r"Visits: (\d+)\. Orders: (\d+)\.\n")
VARIANT = "VARIANT=2"  # in the environment of `other-python`

Spec = dict[str, Any]


def push(registry: Registry, scratch: Path) -> None:
    """The shop's images by their official names, and `other-python`."""
    layouts = {**recipes.layouts(), **applications.layouts()}
    for name in SERVERS:
        registry.push(layouts[name], name, OFFICIAL[name])
    registry.push(_variant(layouts["python"], scratch), "other-python", OFFICIAL["python"])


def _variant(layout: Path, place: Path) -> Path:
    """The image with ``VARIANT`` in its environment."""
    shutil.copytree(layout, place, dirs_exist_ok=True)
    index = json.loads((place / "index.json").read_bytes())
    manifest = _blob(place, index["manifests"][0])
    config = _blob(place, manifest["config"])
    config["config"]["Env"].append(VARIANT)
    manifest["config"] |= _add(place, config)
    index["manifests"][0] |= _add(place, manifest)
    (place / "index.json").write_text(json.dumps(index))
    return place


def _blob(layout: Path, descriptor: Mapping[str, Any]) -> dict[str, Any]:
    kind, digest = descriptor["digest"].split(":")
    found: dict[str, Any] = json.loads((layout / "blobs" / kind / digest).read_bytes())
    return found


def _add(layout: Path, value: Mapping[str, Any]) -> dict[str, object]:
    """Store a document; what a descriptor says of it."""
    data = json.dumps(value).encode()
    digest = hashlib.sha256(data).hexdigest()
    (layout / "blobs/sha256" / digest).write_bytes(data)
    return {"digest": f"sha256:{digest}", "size": len(data)}


def write(folder: Path, registry: Registry) -> None:
    """The example with its files, as it stands in the repository."""
    shutil.copytree(EXAMPLE, folder, dirs_exist_ok=True)
    (folder / ".env").write_text(f"REGISTRY={registry.address}\n")


def page(place: Namespace, address: str, port: int, *, timeout: float = 5.0) -> str:
    """The shop's front page as a client at ``place`` gets it on a connection of its own; OSError
    where there is none, and for an answer that is not the page."""
    with place.inside():
        connection = http.client.HTTPConnection(address, port, timeout=timeout)
        try:
            connection.request("GET", "/")
            reply = connection.getresponse()
            text = reply.read().decode()
        except http.client.HTTPException as error:
            raise ConnectionError(repr(error)) from error
        finally:
            connection.close()
    if reply.status != 200 or not PAGE.fullmatch(text):
        raise ConnectionError(f"{reply.status}: {text}")
    return text


class Visitors(Clients):
    """Clients that fetch the page.

    They know both ports that the page may stand on: a request has failed when the page is on
    neither of them.
    """

    def __init__(self, place: Namespace, *, threads: int = 4) -> None:
        super().__init__(threads=threads, pause=0.03)
        self.pages = 0
        self.failures: list[str] = []
        self._place = place
        self._ports: tuple[int, ...] = (PORT, OTHER_PORT)

    def _ask(self) -> None:
        began = time.monotonic()
        reasons = []
        for port in self._ports:
            try:
                page(self._place, "127.0.0.1", port)
            except OSError as error:
                reasons.append(f"{port}: {error!r} after {time.monotonic() - began:.2f} s")
            else:
                self._ports = (port, *(each for each in (PORT, OTHER_PORT) if each != port))
                self.pages += 1
                return
        self.failures.append("; ".join(reasons))


# --- the edits ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Edit:
    """``changes`` leads from places in the spec to values, None to take away. They build upon one
    another. ``replaces`` names the container that cannot keep its process."""

    name: str
    changes: Mapping[tuple[str, ...], object]
    replaces: str = ""

    def apply(self, spec: Spec) -> None:
        for place, value in self.changes.items():
            *above, last = place
            inner = spec
            for key in above:
                inner = inner.setdefault(key, {})
            if value is None:
                del inner[last]
            else:
                inner[last] = value


def _of(name: str, container: str, field: str, value: object, *, replaces: bool = False) -> Edit:
    """An edit of one field."""
    return Edit(name, {("containers", container, field): value}, container if replaces else "")


_CHECK = ("containers", "redis", "healthcheck", "interval")
_NETWORKS = ("containers", "web", "networks")
_ALIASED: Mapping[str, object] = {"front": {"aliases": ["till"]}, "back": {}}
_DEPENDS: Mapping[str, object] = {
    "web": {"condition": "service_healthy"},
    "redis": {"condition": "service_started"},
}
_LIMITED: Mapping[str, object] = {"driver": "json-file", "options": {"max-size": "1m"}}
ADDED = [f"{OTHER_PORT}:80", f"{ADDED_PORT}:80"]
NARROW = [f"{OTHER_PORT}:80", f"127.0.0.1:{ADDED_PORT}:80"]
DNS = "192.0.2.2"

EDITS: Sequence[Edit] = (
    _of("memory", "web", "mem_limit", "192m"),
    _of("cpus", "web", "cpus", 0.75),
    _of("pids", "web", "pids_limit", 96),
    _of("restart", "web", "restart", "always"),
    Edit("healthcheck", {_CHECK: "5s"}),
    _of("labels", "web", "labels", {"tier": "middle"}),
    _of("published port", "proxy", "ports", [f"{OTHER_PORT}:80"]),
    _of("added port", "proxy", "ports", ADDED),
    _of("host address", "proxy", "ports", NARROW),
    Edit("network added", {_NETWORKS: ["front", "back", "side"], ("networks", "side"): {}}),
    Edit("network removed", {_NETWORKS: ["front", "back"], ("networks", "side"): None}),
    Edit("alias", {_NETWORKS: _ALIASED}),
    _of("replicas up", "web", "replicas", 2),
    _of("replicas down", "web", "replicas", 1),
    _of("stop_grace_period", "redis", "stop_grace_period", "20s"),
    _of("log size", "web", "logging", _LIMITED),
    _of("extra_hosts", "web", "extra_hosts", ["scales:192.0.2.9"]),
    _of("dns", "web", "dns", [DNS]),
    _of("container_name", "web", "container_name", "the-shop"),
    _of("depends_on", "proxy", "depends_on", _DEPENDS),
    _of("update policy", "web", "update", {"order": "start-first", "healthy_within": "30s"}),
    Edit("image", {("images", "python", "from"): "${REGISTRY}/other-python:3-slim"}, "web"),
    _of("command", "web", "command", ["python3", "-u", "/srv/app.py"], replaces=True),
    Edit("environment", {("containers", "web", "environment", "COLOUR"): "blue"}, "web"),
)


def read(folder: Path) -> Spec:
    """The spec of a folder as plain values."""
    found: Spec = yaml.safe_load((folder / "trueup.yaml").read_text())
    return found


def save(folder: Path, spec: Spec) -> None:
    (folder / "trueup.yaml").write_text(yaml.safe_dump(spec, sort_keys=False))
