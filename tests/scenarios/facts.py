"""What the kernel, the network, or a container itself says of a container: facts for `effects`."""

import json
import os
import re
from collections.abc import Callable
from pathlib import Path

from tests.scenarios.stage import Stage, limit, status, within

Fact = Callable[[Stage], str]
APP = "app"


def pid(stage: Stage, name: str = APP) -> int:
    """Its first process, without a look at the whole project."""
    return int(stage.trueup("inspect", "-f", "{{.State.Pid}}", name).stdout)


def said(script: str) -> Fact:
    """What a shell in the container says."""
    return lambda stage: within(pid(stage), "sh", "-c", script).strip()


def group_limit(file: str, unified: str) -> Fact:
    return lambda stage: limit(pid(stage), file, unified)


def status_line(name: str) -> Fact:
    """A line of the process's status."""
    return lambda stage: status(pid(stage))[name].split()[0]


def inspected(template: str) -> Fact:
    """What only the engine's own record can tell, as it shows when the time comes."""
    return lambda stage: stage.trueup("inspect", "-f", template, APP).stdout.strip()


def from_peer(script: str) -> Fact:
    """What a shell in the other container of the project says."""
    return lambda stage: within(pid(stage, "peer"), "sh", "-c", script).strip()


def answer(port: int) -> Fact:
    return lambda stage: stage.answer(port).strip()


def executed(script: str) -> Fact:
    """What a shell says that `exec` starts, within all limits of the container."""
    return lambda stage: stage.trueup("exec", APP, "sh", "-c", script, code=None).stdout.strip()


def runtime(stage: Stage) -> str:
    monitor = status(pid(stage))["PPid"]
    words = Path(f"/proc/{monitor}/cmdline").read_text().split("\0")
    return Path(words[words.index("-r") + 1]).name


def annotated(stage: Stage) -> str:
    config = json.loads((stage.bundle(APP) / "config.json").read_text())
    return str(config["annotations"]["tier"])


def asked(stage: Stage) -> str:
    """The name server that containers' questions go on to."""
    files = (stage.trueup.root / "run" / "dns").rglob("*")
    text = "".join(file.read_text() for file in files if file.is_file())
    return " ".join(sorted(set(re.findall(r"192\.0\.2\.[12]\b", text))))


def shares(stage: Stage) -> str:
    """CPU shares, whatever the hierarchy counts in."""
    value = int(limit(pid(stage), "cpu.shares", "cpu.weight"))
    return {512: "half", 20: "half", 1024: "one", 39: "one"}.get(value, str(value))


def quota(stage: Stage) -> str:
    """Processors' worth of time."""
    its = pid(stage)
    try:
        quota, period = limit(its, "none", "cpu.max").split()
    except ValueError:
        quota, period = (limit(its, f"cpu.cfs_{part}_us", "none") for part in ("quota", "period"))
    return f"{int(quota) / int(period):g}"


def replicas(stage: Stage) -> str:
    listed = stage.trueup("ps", "--format", "{{.Names}}").stdout.split()
    return str(sum(1 for name in listed if name.partition(".")[0] == f"shop/{APP}"))


def file(path: str) -> Fact:
    return said(f"cat {path} 2>/dev/null || echo none")


def namespace(stage: Stage, kind: str) -> str:
    ours, its = (os.readlink(f"/proc/{pid}/ns/{kind}") for pid in ("self", pid(stage)))
    return "the host's" if ours == its else "its own"
