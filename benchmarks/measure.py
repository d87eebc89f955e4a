"""The measurements: wall time until all answer, and memory beside the containers' own."""

import http.client
import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from benchmarks.contestant import Contestant, Ground, ports

ANSWER_SECONDS = 60.0


def seconds(work: Callable[[], object]) -> float:
    """Wall time of one call."""
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def up_and_answering(contestant: Contestant, ground: Ground, count: int) -> None:
    """`up`, then wait until every published port gives the page."""
    contestant.up(count)
    await_all(ground, count)


def await_all(ground: Ground, count: int) -> None:
    with ground.host.inside():
        for port in ports(count):
            _await(port)


def _await(port: int) -> None:
    end = time.monotonic() + ANSWER_SECONDS
    while time.monotonic() < end:
        with suppress(OSError, http.client.HTTPException):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1)
            try:
                connection.request("GET", "/")
                if connection.getresponse().status == 200:
                    return
            finally:
                connection.close()
        time.sleep(0.001)
    raise RuntimeError(f"port {port} did not answer in {ANSWER_SECONDS:.0f} s")


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """A process that the contestant keeps beside the containers' own; memory is PSS in MB."""

    program: str
    megabytes: float


def beside(ground: Ground) -> list[Process]:
    """What runs for the contestant outside its containers: whatever stands in its host's network
    namespace, or names its folder in the arguments (DNS servers stand elsewhere)."""
    return sorted(_beside(ground), key=lambda process: process.program)


def _beside(ground: Ground) -> Iterator[Process]:
    home = ground.host.path.stat().st_ino
    for place in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, ValueError):
            line = (place / "cmdline").read_bytes()
            inside = (place / "ns/net").stat().st_ino == home
            ours = inside or str(ground.folder).encode() in line
            if line and ours and int(place.name) != os.getpid() and b"docker-registry" not in line:
                yield Process(program=(place / "comm").read_text().strip(), megabytes=_pss(place))


def _pss(place: Path) -> float:
    """proc_pid_smaps_rollup(5): each shared page counted by its share."""
    for line in (place / "smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    raise ValueError(place)
