"""What this host is and has: kernel, control groups, our own privileges, programs.

Cheap facts only; versions of programs, which cost a start each, are in ``versions``.
"""

import os
import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

import msgspec

from runtime import programs
from runtime.embedded import cgroups
from runtime.embedded.bundle import capabilities, ulimits
from runtime.errors import Fault, ProgramMissing

# Names another OCI runtime, by path or as PATH knows it.
OCI_RUNTIME = "TRUEUP_OCI_RUNTIME"


class HybridHost(Fault):
    """crun refuses hosts with v1 hierarchies whose v2 tree keeps controllers, and there is no
    runc to take its place."""

    def __init__(self, left: Sequence[str]) -> None:
        self.left = tuple(left)
        names = ",".join(left)
        place = f"/sys/fs/cgroup/{names}"
        super().__init__(
            "crun cannot work on this host",
            why=f"the controllers {names} are neither wholly in cgroup v1 nor is the host in v2",
            hint=f"mkdir -p {place} && mount -t cgroup -o {names} {names} {place}\n"
            "  or: apt-get install runc",
        )


class HostFacts(msgspec.Struct, frozen=True, kw_only=True):
    """``hard_limits`` by name without RLIMIT_, -1 is unlimited; ``capabilities`` are those that
    we can give; ``oom_score_adj`` is ours, which nobody may go below without privilege."""

    machine: str
    kernel: str
    layout: cgroups.Layout
    capabilities: frozenset[str]
    hard_limits: dict[str, int]
    oom_score_adj: int

    @property
    def kernel_version(self) -> tuple[int, int]:
        major, minor = re.findall(r"\d+", self.kernel)[:2]
        return int(major), int(minor)


@cache
def read() -> HostFacts:
    """This host, read once; 0.3 ms."""
    system = os.uname()
    return HostFacts(
        machine=system.machine,
        kernel=system.release,
        layout=cgroups.detect(),
        capabilities=capabilities.from_mask(_bounding_set()),
        hard_limits=ulimits.hard_limits(),
        oom_score_adj=int(Path("/proc/self/oom_score_adj").read_text()),
    )


def oci_program(layout: cgroups.Layout, environ: Mapping[str, str] = os.environ) -> str:
    """The OCI runtime to use, by absolute path: what TRUEUP_OCI_RUNTIME names, else crun, or
    runc where crun cannot work.

    Containers that run keep the one that started them. Raises ``HybridHost`` and
    ``ProgramMissing``.
    """
    if named := environ.get(OCI_RUNTIME):
        return programs.find(named)
    if not layout.left:
        return programs.find("crun")
    try:
        return programs.find("runc")
    except ProgramMissing as missing:
        raise HybridHost(layout.left) from missing


def _bounding_set() -> int:
    status = Path("/proc/self/status").read_text()
    found = re.search(r"^CapBnd:\s*([0-9a-f]+)", status, re.MULTILINE)
    return int(found[1], 16) if found else 0
