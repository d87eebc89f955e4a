"""trueup on an instance of its own."""

import re
import sys
from collections.abc import Mapping
from pathlib import Path

from benchmarks.contestant import SERVE, Ground, ports

COMMAND = str(Path(sys.executable).with_name("trueup"))


class Trueup:
    """Has no daemon: there is nothing to start and nothing to close."""

    name = "trueup"

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._command = [COMMAND, "--root", str(ground.folder / "root")]
        self._ground.run(*self._command, "pull", ground.image)

    def up(self, count: int) -> None:
        self._ground.run(*self._command, "apply", self._spec(count))

    def down(self, count: int) -> None:
        self._ground.run(*self._command, "down", self._spec(count))

    def clients(self) -> Mapping[str, list[str]]:
        return {"trueup version": [*self._command, "version"]}

    def versions(self) -> Mapping[str, str]:
        lines = self._ground.run(*self._command, "version").splitlines()
        return dict(re.split(r"\s{2,}", line, maxsplit=1) for line in lines if "  " in line)

    def close(self) -> None:
        """What a run that was stopped left; nothing otherwise."""
        self._ground.run(*self._command, "down", "--project", "bench")

    def _spec(self, count: int) -> Path:
        containers = {
            f"web{i}": {"image": self._ground.image, "command": SERVE, "ports": [f"{port}:80"]}
            for i, port in enumerate(ports(count))
        }
        return self._ground.write(
            f"trueup-{count}.yaml", {"project": "bench", "containers": containers}
        )
