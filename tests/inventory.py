"""What an instance has on the machine, as one value: for "nothing changed" and "nothing left".

Everything is found by the instance's own names, so that other instances on the same machine do
not disturb. Access times are left out: reading is no change.
"""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path

from runtime.embedded.paths import Paths
from tests.hosts import Host


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """One path below the root; ``kind`` holds type and mode bits, ``mtime`` counts ns."""

    kind: str
    size: int
    mtime: int
    inode: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Inventory:
    """Processes by (pid, start time), mounts, links, rules, cgroups and files of one instance.

    ``links`` and ``rules`` are the whole host's; ``uplink`` and ``table`` tell which are ours."""

    uplink: str
    table: str
    processes: dict[tuple[int, int], str]
    mounts: tuple[str, ...]
    namespaces: tuple[str, ...]
    links: tuple[str, ...]
    rules: str
    cgroups: tuple[str, ...]
    files: dict[str, File]

    def differences(self, later: "Inventory") -> str:
        """What ``later`` has more, less or otherwise; empty when nothing changed."""
        return "".join(
            _difference(field.name, getattr(self, field.name), getattr(later, field.name))
            for field in fields(self)
        )

    def leftovers(self) -> str:
        """What a `down` should have taken along, one line for each; empty when nothing is left.

        Kept on purpose below the root: images, volumes, databases, logs of what was done."""
        found = {
            "process": [f"{pid} {line}" for (pid, _), line in self.processes.items()],
            "mount": self.mounts,
            "namespace": self.namespaces,
            "link": [link for link in self.links if re.search(rf"\b{self.uplink}\b", link)],
            "rule": re.findall(rf".*\b{self.table}\b.*", self.rules),
            "cgroup": self.cgroups,
        }
        return "".join(f"{kind}: {one}\n" for kind, several in found.items() for one in several)


def inventory(root: Path, host: Host | None = None) -> Inventory:
    """The instance below ``root`` and, when ``host`` is given, that host's links and rules."""
    paths = Paths.below(root)
    cgroups = tuple(sorted(map(str, _cgroups(paths.cgroup))))
    mounts = tuple(_mounts(root.resolve()))
    return Inventory(
        uplink=paths.uplink,
        table=paths.table,
        processes=dict(sorted(_processes(root.resolve(), paths.cgroup))),
        mounts=mounts,
        namespaces=tuple(mount for mount in mounts if " nsfs " in mount),
        links=tuple(_links(host)) if host else (),
        rules=_rules(host) if host else "",
        cgroups=cgroups,
        files=dict(_files(root)),
    )


def _difference(name: str, before: object, after: object) -> str:
    if isinstance(before, dict) and isinstance(after, dict):
        changed = {k: (before.get(k), after.get(k)) for k in before.keys() | after.keys()}
        return "".join(
            f"{name}: {key}: {old} -> {new}\n"
            for key, (old, new) in sorted(changed.items(), key=str)
            if old != new
        )
    return "" if before == after else f"{name}:\n  before {before}\n  after  {after}\n"


def _processes(root: Path, cgroup: str) -> Iterator[tuple[tuple[int, int], str]]:
    """Live processes that name the root in their arguments or stand in the instance's cgroups."""
    for place in Path("/proc").glob("[0-9]*"):
        try:
            state, start = _stat(place)
            line = (place / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            below = re.search(rf"[:/]{re.escape(cgroup)}(/|$)", _text(place / "cgroup"), re.M)
        except OSError:
            continue
        if state != "Z" and int(place.name) != os.getpid() and (below or _names(line, root)):
            yield (int(place.name), start), line.strip()


def _names(line: str, root: Path) -> bool:
    return re.search(rf"{re.escape(str(root))}(/|\s|$)", line) is not None


def _stat(place: Path) -> tuple[str, int]:
    """State letter and start time (proc_pid_stat(5), fields 3 and 22)."""
    after_name = _text(place / "stat").rpartition(")")[2].split()
    return after_name[0], int(after_name[19])


def _text(path: Path) -> str:
    return path.read_text(errors="replace")


def _mounts(root: Path) -> Iterator[str]:
    """Mount points at or below the root: `point fstype options` (proc_pid_mountinfo(5))."""
    for line in _text(Path("/proc/self/mountinfo")).splitlines():
        words, _, rest = line.partition(" - ")
        point = words.split()[4]
        if Path(point).is_relative_to(root):
            yield f"{point} {rest.split()[0]} {words.split()[5]}"


def _links(host: Host) -> list[str]:
    """Links of the host without counters."""
    shown = host.run("ip", "-oneline", "address", "show").stdout
    return sorted(line.strip() for line in shown.splitlines())


def _rules(host: Host) -> str:
    """The whole ruleset of the host without counters and handles."""
    shown = host.run("nft", "list", "ruleset").stdout
    return re.sub(r"counter packets \d+ bytes \d+", "counter", shown)


def _cgroups(name: str) -> Iterator[Path]:
    """The instance's directories in every hierarchy."""
    for top in hierarchies():
        yield from (top / name).glob("**/")


def hierarchies() -> list[Path]:
    """Where cgroup file systems are mounted: one on v2 hosts, a dozen on v1 and hybrid ones."""
    lines = _text(Path("/proc/self/mounts")).splitlines()
    return sorted({Path(line.split()[1]) for line in lines if line.split()[2].startswith("cgroup")})


def _files(root: Path) -> Iterator[tuple[str, File]]:
    """Every path of the instance but those inside containers' mounted file systems."""
    foreign = {line.split()[0] for line in _mounts(root.resolve()) if " overlay " in line}
    for place, directories, names in os.walk(root.resolve()):
        directories[:] = sorted(d for d in directories if str(Path(place, d)) not in foreign)
        for name in (*directories, *names):
            path = Path(place) / name
            yield str(path.relative_to(root.resolve())), _file(path)


def _file(path: Path) -> File:
    seen = path.lstat()
    kind = oct(seen.st_mode)
    return File(kind=kind, size=seen.st_size, mtime=seen.st_mtime_ns, inode=seen.st_ino)
