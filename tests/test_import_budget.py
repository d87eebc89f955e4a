"""Imports are the largest cost of a command: what each may import, and how long that may take.

Python itself starts in 10 ms; pydantic takes 48, requests 99, structlog 109, pyroute2 147. So each
command imports only what it uses, and this file holds the line.
"""

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import COMMAND, Images, Trueup

HEAVY = frozenset({"pydantic", "requests", "structlog", "pyroute2", "watchfiles", "yaml"})
LINE = re.compile(r"import time:\s+(\d+) \|\s+\d+ \|\s+(\S+)")
ATTEMPTS = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Imports:
    """What one run of a command imported, and the milliseconds that went into it."""

    modules: frozenset[str]
    milliseconds: float

    @property
    def heavy(self) -> frozenset[str]:
        return HEAVY & self.modules


def imports(*words: str | Path) -> Imports:
    """Run the command with Python's own import clock (`-X importtime`)."""
    command = [sys.executable, "-X", "importtime", COMMAND, *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    found = LINE.findall(done.stderr)
    assert found, done.stderr
    total = sum(int(microseconds) for microseconds, _ in found) / 1000
    return Imports(modules=frozenset(name for _, name in found), milliseconds=total)


def cpu(*words: str | Path) -> float:
    """Milliseconds of CPU that a run costs, the least of several: other load does not count."""
    environ = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    return min(_cpu_once(words, environ) for _ in range(ATTEMPTS))


def _cpu_once(words: Sequence[str | Path], environ: dict[str, str]) -> float:
    quiet = subprocess.DEVNULL
    with subprocess.Popen(words, stdout=quiet, stderr=quiet, env=environ) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    return (usage.ru_utime + usage.ru_stime) * 1000


LIGHT = [
    *(("version",), ("ps",), ("--help",)),
    *(("logs", "web"), ("exec", "web", "true"), ("top", "web")),
    *(("images",), ("history", "web"), ("rmi", "web"), ("tag", "web", "web:2")),
    *(("image", "prune", "--force"), ("save", "web"), ("export", "web")),
]


@pytest.mark.parametrize("words", LIGHT, ids=str)
def test_a_light_command_imports_nothing_heavy(words: tuple[str, ...], tmp_path: Path) -> None:
    assert not imports("--root", tmp_path, *words).heavy


@pytest.mark.parametrize(
    ("words", "budget"), [(("--help",), 30), (("version",), 70), (("ps",), 90)]
)
def test_a_light_command_costs_little_beside_python_itself(
    words: tuple[str, ...], budget: float, tmp_path: Path
) -> None:
    """`version` starts five programs. With pydantic each would cost 50 ms more."""
    bare = cpu(sys.executable, "-c", "pass")
    assert cpu(COMMAND, "--root", tmp_path, *words) - bare < budget


@pytest.mark.root
def test_an_apply_with_nothing_to_change_imports_no_client_and_no_netlink(
    images: Images, trueup: Trueup, tmp_path: Path
) -> None:
    spec = tmp_path / "trueup.yaml"
    spec.write_text(f"containers: {{web: {{image: '{images.busybox}', ports: ['80']}}}}\n")
    trueup("apply", spec)
    with trueup.host.inside():
        seen = imports("--root", trueup.root, "apply", spec)
    assert not seen.heavy & {"requests", "structlog", "pyroute2", "watchfiles"}


@pytest.fixture(autouse=True)
def _warm() -> None:
    """Byte code is compiled once by the first run; a later run measures what users see."""
    imports("version")
