"""What was measured, as values, and as the tables of docs/benchmarks.md."""

import os
import platform
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from benchmarks.measure import Process


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the table. ``goal``: the largest share of docker's time that trueup may take."""

    title: str
    goal: float | None = None


@dataclass(slots=True)
class Results:
    """Seconds by row and contestant, in the order in which they came."""

    times: dict[Row, dict[str, list[float]]] = field(default_factory=dict)
    clients: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    memory: dict[str, tuple[int, list[Process]]] = field(default_factory=dict)
    versions: dict[str, Mapping[str, str]] = field(default_factory=dict)

    def add(self, row: Row, contestant: str, seconds: float) -> None:
        self.times.setdefault(row, defaultdict(list))[contestant].append(seconds)


def document(results: Results, *, date: str) -> str:
    """The whole page."""
    return "\n".join(
        (
            "# Benchmarks",
            "",
            "Made by `make bench`: trueup and its peers with the same image and containers, one",
            "after the other in one run, repeated; each in a network namespace of its own, all",
            "traffic on loopback. A cell shows the median and (least..most). `x` is the peer's",
            "median divided by trueup's. Images are pulled beforehand. Every container is busybox",
            "`httpd` with one published port; bring-up ends when all ports have given the page.",
            "",
            *machine(results.versions, date),
            "",
            *times(results),
            "",
            *_clients(results),
            "",
            *_memory(results),
            "",
        )
    )


def machine(versions: Mapping[str, Mapping[str, str]], date: str) -> Iterator[str]:
    """When and where it was measured, and what: program -> version by contestant."""
    cores, memory = os.cpu_count(), os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    yield f"* Date: {date}"
    yield f"* Machine: {_processor()}, {cores} cores, {memory / 2**30:.0f} GB"
    yield f"* System: {_system()}, Linux {platform.release()}, Python {platform.python_version()}"
    for name, parts in versions.items():
        yield f"* {name}: {', '.join(f'{part} {version}' for part, version in parts.items())}"


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def _system() -> str:
    pairs = (
        line.partition("=") for line in Path("/etc/os-release").read_text().splitlines() if line
    )
    return {key: value.strip('"') for key, _, value in pairs}.get("PRETTY_NAME", "Linux")


def times(results: Results) -> Iterator[str]:
    """The table of what was timed: a row each, a column for each contestant, ours first."""
    names = list(results.versions)
    peers = names[1:]
    yield f"| seconds | {' | '.join(names)} | goal |"
    yield f"| --- |{' --- |' * (len(names) + 1)}"
    for row, measured in results.times.items():
        cells = [_cell(measured[name]) for name in names if name in measured]
        for i, peer in enumerate(peers, start=1):
            cells[i] += f" x{median(measured[peer]) / median(measured[names[0]]):.1f}"
        yield f"| {row.title} | {' | '.join(cells)} | {_verdict(row, measured, names)} |"


def _cell(values: Sequence[float], unit: float = 1.0) -> str:
    least, most = min(values) * unit, max(values) * unit
    return f"{_figure(median(values) * unit)} ({_figure(least)}..{_figure(most)})"


def _figure(value: float) -> str:
    return f"{value:.0f}" if value >= 10 else f"{value:.2f}"


def _verdict(row: Row, measured: Mapping[str, Sequence[float]], names: Sequence[str]) -> str:
    if row.goal is None or "docker" not in measured or names[0] == "docker":
        return ""
    share = median(measured[names[0]]) / median(measured["docker"])
    word = "met" if share <= row.goal else "**missed**"
    return f"{row.goal:.0%} of docker: {share:.0%}, {word}"


def _clients(results: Results) -> Iterator[str]:
    yield "| start of a command line | ms |"
    yield "| --- | --- |"
    for label, values in results.clients.items():
        yield f"| `{label}` | {_cell(values, 1000)} |"


def _memory(results: Results) -> Iterator[str]:
    yield "| memory beside the containers (PSS) | per container, MB | for all together, MB |"
    yield "| --- | --- | --- |"
    for name, (count, processes) in results.memory.items():
        each, whole = _split(processes, count)
        yield f"| {name}, {count} running | {_sum(each, count)} | {_sum(whole, 1)} |"


def _split(
    processes: Sequence[Process], count: int
) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """By program: those that there are for each container, and the rest."""
    found: dict[str, list[float]] = defaultdict(list)
    for process in processes:
        found[process.program].append(process.megabytes)
    each = {program: sizes for program, sizes in found.items() if len(sizes) >= count}
    return each, {program: sizes for program, sizes in found.items() if program not in each}


def _sum(programs: Mapping[str, Sequence[float]], count: int) -> str:
    total = sum(map(sum, programs.values())) / count
    parts = (f"{name} {sum(sizes) / count:.2f}" for name, sizes in programs.items())
    return f"{total:.2f} ({', '.join(parts)})" if programs else "0"
