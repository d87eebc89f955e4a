"""docker with docker-compose 1.29, as Debian 12 has them."""

from collections.abc import Mapping

from benchmarks.contestant import Ground, compose_file
from tests import peers


class Docker:
    """A dockerd of our own, beside which any other on the machine goes on undisturbed."""

    name = "docker"

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._docker = peers.Docker(ground.host, ground.folder)
        self._docker("pull", "--quiet", ground.image)

    def up(self, count: int) -> None:
        self._compose(count, "up", "-d")

    def down(self, count: int) -> None:
        self._compose(count, "down")

    def clients(self) -> Mapping[str, list[str]]:
        return {
            "docker --version": ["docker", "--version"],
            "docker-compose version": ["docker-compose", "version"],
        }

    def versions(self) -> Mapping[str, str]:
        server = self._docker("version", "--format", "{{.Server.Version}}")
        composer = self._ground.run("docker-compose", "version", "--short")
        return {"dockerd": server.strip(), "docker-compose": composer.strip()}

    def close(self) -> None:
        self._docker.close()

    def _compose(self, count: int, *words: str) -> None:
        file = self._ground.write(f"compose-{count}.yml", compose_file(self._ground.image, count))
        command = ["docker-compose", "-p", "bench", "-f", str(file), *words]
        environment = {**self._docker.environment, "COMPOSE_HTTP_TIMEOUT": "300"}
        self._ground.run(*command, environment=environment)
