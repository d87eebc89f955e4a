"""Which programs and which kernel the engine works with, asked of the programs themselves.

Only what `trueup version` needs: it must start faster than anything else.
"""

import os
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from runtime import programs
from runtime.errors import ProgramFailed, ProgramMissing
from runtime.part import PartVersion

# Absent parts are shown as such.
_PROGRAMS = ("crun", "runc", "conmon", "aardvark-dns", "nft")
_SECCOMP = (Path("/etc/containers/seccomp.json"), Path("/usr/share/containers/seccomp.json"))
_CGROUPS = Path("/sys/fs/cgroup")


def versions() -> tuple[PartVersion, ...]:
    """A row per part; every program is started once, all at a time."""
    system = os.uname()
    with ThreadPoolExecutor(len(_PROGRAMS)) as pool:
        found = tuple(pool.map(_version, _PROGRAMS))
    profile = next((path for path in _SECCOMP if path.is_file()), None)
    return (
        PartVersion("kernel", f"{system.release} {system.machine}"),
        PartVersion("cgroups", _cgroups()),
        *(PartVersion(*pair) for pair in zip(_PROGRAMS, found, strict=True)),
        PartVersion("seccomp profile", str(profile) if profile else "absent"),
    )


def _cgroups() -> str:
    """v1, v2 or hybrid, cgroups(7); a hybrid host may have controllers left in its v2 tree."""
    if (_CGROUPS / "cgroup.controllers").exists():
        return "v2"
    try:
        left = (_CGROUPS / "unified" / "cgroup.controllers").read_text().split()
    except FileNotFoundError:
        return "v1"
    return f"hybrid, in v2: {' '.join(left)}" if left else "hybrid"


def _version(program: str) -> str:
    try:
        text = programs.run([program, "--version"], timeout=5.0)
    except ProgramMissing:
        return "absent"
    except ProgramFailed as failed:
        return failed.why
    found = re.search(r"\d+\.\d+[^\s,)]*", text)
    return found[0] if found else text.strip().split("\n")[0]
