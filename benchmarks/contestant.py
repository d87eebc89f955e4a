"""What every contestant can do, and the one spec that all of them are given.

Each contestant works in a network namespace of its own with a registry on the same loopback
port, so that one's firewall rules do not slow another's.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tests import peers
from tests.hosts import Host

FIRST_PORT = 20_000
# PID 1 has no default signal handlers: without the trap every stop would last the grace period.
SERVE = ["sh", "-c", "trap 'exit 0' TERM; httpd -f -p 80 -h /www & wait"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """Where a contestant works: its namespace, its folder, the image that it runs."""

    host: Host
    folder: Path
    image: str

    def run(self, *command: str | Path, environment: Mapping[str, str] | None = None) -> str:
        """Run a command inside and return its stdout; a failure raises with all it wrote."""
        return peers.run(self.host, command, environment or {}, self.folder)

    def write(self, name: str, value: object) -> Path:
        """Write a value as JSON, which every YAML reader reads too."""
        place = self.folder / name
        place.write_text(json.dumps(value, indent=1))
        return place


class Contestant(Protocol):
    """One engine with its composer. `up` and `down` return when the command has ended."""

    name: str

    def up(self, count: int) -> None:
        """Make ``count`` containers run, the i-th published on FIRST_PORT + i. Idempotent."""

    def down(self, count: int) -> None:
        """Take away what `up` made."""

    def clients(self) -> Mapping[str, list[str]]:
        """Label -> the shortest command of each client: what starting it costs."""

    def versions(self) -> Mapping[str, str]:
        """Program -> version, for the report."""

    def close(self) -> None:
        """End what was started to be measured."""


def ports(count: int) -> list[int]:
    return list(range(FIRST_PORT, FIRST_PORT + count))


def compose_file(image: str, count: int) -> dict[str, object]:
    """The spec in the Compose form that all composers read."""
    services = {
        f"web{i}": {"image": image, "command": SERVE, "ports": [f"{port}:80"]}
        for i, port in enumerate(ports(count))
    }
    return {"version": "3", "services": services}
