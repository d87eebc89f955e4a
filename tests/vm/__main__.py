"""`python -m tests.vm smoke|scenarios|run`: another host, booted here (docs/hosts.md).

    smoke      install, doctor, hello, an edit in place, a real reboot
    scenarios  the scenario tests inside; further words go to pytest
    run WORDS  unpack, install, run a shell line inside, and show what it wrote

Exit status 0 when all of it is true, 1 when not.
"""

import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.vm import disk, payload
from tests.vm.machine import Failed, Machine, started
from tests.vm.scenarios import scenarios
from tests.vm.smoke import install, smoke, unpack

# The Makefile's words: what the engine needs, then what the tests need.
ENGINE = (
    "crun", "conmon", "aardvark-dns", "nftables", "libnftables1", "iproute2", "iptables",
    "golang-github-containers-common", "ca-certificates", "python3", "python3-venv",
)  # fmt: skip
TESTS = (
    "apparmor",  # the kernel has it, and Docker then insists on its parser
    "busybox-static",
    "docker-registry",
    "skopeo",
    "util-linux",
    "umoci",
    "docker.io",
    "podman",
)


def main(words: Sequence[str]) -> int:
    """Build what is missing, boot, do the part; the exit status."""
    match words:
        case ["smoke"]:
            return _on_a_machine(ENGINE, lambda machine: smoke(machine, _say))
        case ["scenarios", *options]:
            return _on_a_machine(
                (*ENGINE, *TESTS), lambda machine: scenarios(machine, options, _say)
            )
        case ["run", *line]:
            return _on_a_machine((*ENGINE, *TESTS), lambda machine: _run(machine, " ".join(line)))
    print(__doc__, file=sys.stderr)
    return 64


def _on_a_machine(packages: Sequence[str], part: Callable[[Machine], object]) -> int:
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="trueup-vm-") as scratch:
        folder = Path(scratch)
        made = disk.disk(packages)
        _say(f"{time.monotonic() - began:6.1f} s  the disk is there")
        cargo, began = payload.pack(folder), time.monotonic()
        try:
            with started(made, cargo, folder) as machine:
                _say(f"{time.monotonic() - began:6.1f} s  {machine.run('uname -sr').strip()}")
                part(machine)
        except Failed as failure:
            _say(f"FAILED: {failure}")
            return 1
    _say(f"{time.monotonic() - began:6.1f} s  from power-on to power-off: all of it is true")
    return 0


def _run(machine: Machine, line: str) -> None:
    unpack(machine)
    install(machine)
    machine.run(f"cd /payload/checkout; {line}", seconds=3600, show=_say)


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    sys.exit(main(sys.argv[1:]))
