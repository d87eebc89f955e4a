"""What this host is and has: kernel, control groups, our own privileges, programs.

Cheap facts are read when asked; versions of programs cost a start each (2 to 5 ms) and are
asked for by ``trueup version`` only.
"""

import os
import platform
import re
import resource
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from runtime import programs
from runtime.api import PartVersion
from runtime.embedded import cgroups
from runtime.embedded.bundle import capabilities, seccomp
from runtime.errors import ProgramFailed, ProgramMissing

# (part, how it is asked); absent parts are shown as such.
_PROGRAMS = (
    ("crun", ("crun", "--version")),
    ("runc", ("runc", "--version")),
    ("conmon", ("conmon", "--version")),
    ("aardvark-dns", ("aardvark-dns", "--version")),
    ("nft", ("nft", "--version")),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class HostFacts:
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
    return HostFacts(
        machine=platform.machine(),
        kernel=platform.release(),
        layout=cgroups.detect(),
        capabilities=capabilities.from_mask(_bounding_set()),
        hard_limits={
            "NOFILE": resource.getrlimit(resource.RLIMIT_NOFILE)[1],
            "NPROC": resource.getrlimit(resource.RLIMIT_NPROC)[1],
        },
        oom_score_adj=int(Path("/proc/self/oom_score_adj").read_text()),
    )


def versions() -> tuple[PartVersion, ...]:
    """Which programs the engine would use, and the kernel; starts each program once."""
    facts = read()
    profile = seccomp.find()
    return (
        PartVersion(part="kernel", version=f"{facts.kernel} {facts.machine}"),
        PartVersion(part="cgroups", version=_cgroups(facts.layout)),
        *(PartVersion(part=part, version=_version(argv)) for part, argv in _PROGRAMS),
        PartVersion(part="seccomp profile", version=str(profile) if profile else "absent"),
    )


def _bounding_set() -> int:
    status = Path("/proc/self/status").read_text()
    found = re.search(r"^CapBnd:\s*([0-9a-f]+)", status, re.MULTILINE)
    return int(found[1], 16) if found else 0


def _cgroups(layout: cgroups.Layout) -> str:
    return f"{layout.kind}, in v2: {' '.join(layout.left)}" if layout.left else str(layout.kind)


def _version(argv: tuple[str, ...]) -> str:
    try:
        text = programs.run(argv, timeout=5.0)
    except ProgramMissing:
        return "absent"
    except ProgramFailed as failed:
        return failed.why
    found = re.search(r"\d+\.\d+[^\s,)]*", text)
    return found[0] if found else text.strip().split(os.linesep)[0]
