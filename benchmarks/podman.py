"""podman with storage of its own and podman-compose from PyPI."""

import sys
from collections.abc import Mapping
from pathlib import Path

from benchmarks.contestant import Ground, compose_file

COMPOSE = str(Path(sys.executable).with_name("podman-compose"))
# Limits that podman would raise above the caller's where root lacks CAP_SYS_RESOURCE.
CONTAINERS = """\
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=10000:10000"]
log_driver = "k8s-file"
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
tmp_dir = "{folder}/tmp"
[network]
network_config_dir = "{folder}/networks"
"""
STORAGE = """\
[storage]
driver = "overlay"
graphroot = "{folder}/graph"
runroot = "{folder}/run"
"""
REGISTRIES = """\
[[registry]]
location = "{registry}"
insecure = true
"""


class Podman:
    """No daemon; one conmon per container, one aardvark-dns per host."""

    name = "podman"

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._environment = {
            "CONTAINERS_CONF": self._setting("containers.conf", CONTAINERS),
            "CONTAINERS_STORAGE_CONF": self._setting("storage.conf", STORAGE),
            "CONTAINERS_REGISTRIES_CONF": self._setting("registries.conf", REGISTRIES),
        }
        self._podman("pull", "--quiet", ground.image)

    def up(self, count: int) -> None:
        self._compose(count, "up", "-d")

    def down(self, count: int) -> None:
        self._compose(count, "down")

    def clients(self) -> Mapping[str, list[str]]:
        return {
            "podman --version": ["podman", "--version"],
            "podman-compose version": [COMPOSE, "version"],
        }

    def versions(self) -> Mapping[str, str]:
        engine = self._podman("--version").split()[-1]
        composer = self._ground.run(COMPOSE, "version").splitlines()[0].split()[-1]
        return {"podman": engine, "podman-compose": composer}

    def close(self) -> None:
        """The networks that were made, with podman's own tools; the folder goes with the run."""
        self._podman("system", "prune", "--force")

    def _setting(self, name: str, text: str) -> str:
        folder, registry = self._ground.folder, self._ground.image.partition("/")[0]
        place = folder / name
        place.write_text(text.format(folder=folder, registry=registry))
        return str(place)

    def _podman(self, *words: str) -> str:
        return self._ground.run("podman", *words, environment=self._environment)

    def _compose(self, count: int, *words: str) -> None:
        file = self._ground.write(f"compose-{count}.yml", compose_file(self._ground.image, count))
        command = [COMPOSE, "-p", "bench", "-f", str(file), *words]
        self._ground.run(*command, environment=self._environment)
