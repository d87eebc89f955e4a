"""podman with podman-compose from PyPI."""

import sys
from collections.abc import Mapping
from pathlib import Path

from benchmarks.contestant import Ground, compose_file
from tests import peers

COMPOSE = str(Path(sys.executable).with_name("podman-compose"))


class Podman:
    """No daemon; one conmon per container, one aardvark-dns per host."""

    name = "podman"

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._podman = peers.Podman(ground.host, ground.folder, ground.image.partition("/")[0])
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
        self._podman.close()

    def _compose(self, count: int, *words: str) -> None:
        file = self._ground.write(f"compose-{count}.yml", compose_file(self._ground.image, count))
        command = [COMPOSE, "-p", "bench", "-f", str(file), *words]
        self._ground.run(*command, environment=self._podman.environment)
