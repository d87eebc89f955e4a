"""Processes that work on a bundle though nobody knows them any more: conmon, or an OCI runtime or
exit command whose conmon died, also when the bundle with its pid files is gone.
"""

import os
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from runtime.embedded import cgroups
from runtime.embedded.process import on_exit
from runtime.embedded.process.identity import Identity, identify, kill, wait

LONGEST = 10.0  # seconds until they must be gone
_DIES = 5.0  # seconds for one that was killed

# Of any version: each names its copy of the script by its content.
_SCRIPT = os.fsencode(Path(on_exit.__file__).stem)


def end(bundle: Path, spared: Sequence[Identity]) -> None:
    """Kill what works on the bundle until there is nothing; whoever is killed may just have
    started another. Raises ``cgroups.Stuck``."""
    until = time.monotonic() + LONGEST
    while strays := [stray for stray in find(bundle) if stray not in spared]:
        if time.monotonic() > until:
            raise cgroups.Stuck([stray.pid for stray in strays])
        for stray in strays:
            kill(stray)
            wait(stray, _DIES)


def find(bundle: Path) -> list[Identity]:
    """Looked for in all of /proc: 3 ms with 300 processes."""
    found = []
    for entry in os.scandir("/proc"):
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with suppress(OSError):
                command = Path(entry.path, "cmdline").read_bytes().split(b"\0")
                if _works_on(command, os.fsencode(bundle)):
                    found.append(identify(int(entry.name)))
    return [process for process in found if process is not None]


def _works_on(command: list[bytes], bundle: bytes) -> bool:
    """Whether the bundle stands where conmon, the OCI runtime or the exit command have it: others
    may name it, too, and are no business of ours."""
    if bundle not in command:
        return False
    before = command[command.index(bundle) - 1]
    return before in (b"-b", b"--bundle") or os.path.basename(before).startswith(_SCRIPT)
