"""A dockerd of our own, beside which any other on the machine goes on undisturbed."""

import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

from benchmarks.contestant import Ground, compose_file

START_SECONDS = 30.0


class Docker:
    """dockerd with its containerd and docker-compose 1.29, as Debian 12 has them."""

    name = "docker"

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        socket = f"unix://{ground.folder}/docker.sock"
        self._environment = {"DOCKER_HOST": socket, "COMPOSE_HTTP_TIMEOUT": "300"}
        self._daemon = self._start(socket)
        self._await()
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
        """SIGTERM, which lets dockerd end its containerd and take away its mounts."""
        self._daemon.terminate()
        self._daemon.wait(60)

    def _start(self, socket: str) -> subprocess.Popen[bytes]:
        folder = self._ground.folder
        command = ["dockerd", "--host", socket, "--data-root", f"{folder}/data"]
        command += ["--exec-root", f"{folder}/exec", "--pidfile", f"{folder}/pid"]
        with Path(folder, "dockerd.log").open("wb") as log:
            words = [*self._ground.host.within, *command]
            return subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def _await(self) -> None:
        end = time.monotonic() + START_SECONDS
        while self._daemon.poll() is None and time.monotonic() < end:
            try:
                self._docker("info")
            except RuntimeError:
                time.sleep(0.1)
            else:
                return
        log = (self._ground.folder / "dockerd.log").read_text()[-3000:]
        raise RuntimeError(f"dockerd did not start:\n{log}")

    def _docker(self, *words: str) -> str:
        return self._ground.run("docker", *words, environment=self._environment)

    def _compose(self, count: int, *words: str) -> None:
        file = self._ground.write(f"compose-{count}.yml", compose_file(self._ground.image, count))
        command = ["docker-compose", "-p", "bench", "-f", str(file), *words]
        self._ground.run(*command, environment=self._environment)
