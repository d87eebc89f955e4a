"""Control groups: where containers are counted, limited in place and found to be killed.

Three kinds of hosts, cgroups(7): v1 (a hierarchy per controller), v2 (one for all) and hybrid
(v1, and a v2 tree that has no controller, or keeps some). Paths of groups are relative to a
hierarchy's root, without a leading slash, the same in every hierarchy.
"""

import errno
import os
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from enum import StrEnum
from pathlib import Path

import msgspec

from runtime.embedded.linux import mounts, pidfd
from runtime.errors import Fault

# Where it matters whose group a monitor is in: systemd and a login session kill by these, and
# its memory shall count for us. One move costs 4 ms per v1 hierarchy, so not in all of them.
_MONITOR_HIERARCHIES = ("name=systemd", "memory", "pids", "")


class Stuck(Fault):
    """Processes do not die: they sleep in the kernel (state D), where no signal arrives."""

    def __init__(self, pids: Sequence[int]) -> None:
        self.pids = tuple(pids)
        super().__init__(
            f"processes {', '.join(map(str, pids))} do not end",
            why="they were killed and still sleep in the kernel",
            hint="see `ps -o pid,stat,wchan`; usually a file system or a disk does not answer",
        )


class NoController(Fault):
    """The host has no hierarchy for a controller that a limit needs."""

    def __init__(self, controller: str) -> None:
        self.controller = controller
        super().__init__(
            f"the cgroup controller {controller} is not available",
            why="no hierarchy of this host has it, or it is not delegated to the group",
            hint="see /proc/cgroups and cgroup.controllers",
        )


class Kind(StrEnum):
    V1 = "v1"
    HYBRID = "hybrid"
    V2 = "v2"


class Hierarchy(msgspec.Struct, frozen=True, kw_only=True):
    """A mounted tree; ``name`` is its controllers as /proc/self/cgroup writes them, "" for v2."""

    root: Path
    name: str

    @property
    def controllers(self) -> tuple[str, ...]:
        return tuple(self.name.split(",")) if self.name else ()


class Layout(msgspec.Struct, frozen=True, kw_only=True):
    """The host's hierarchies. ``left`` are controllers that a hybrid host keeps in its v2 tree:
    crun refuses such hosts."""

    kind: Kind
    hierarchies: tuple[Hierarchy, ...]
    left: tuple[str, ...] = ()

    def folder(self, controller: str, path: str) -> Path:
        """Where ``controller`` keeps the group. Raises ``NoController``."""
        if self.kind is Kind.V2:
            return self.hierarchies[0].root / path
        for hierarchy in self.hierarchies:
            if controller in hierarchy.controllers:
                return hierarchy.root / path
        raise NoController(controller)

    def folders(self, path: str) -> tuple[Path, ...]:
        """The group in every hierarchy, whether it is there or not."""
        return tuple(hierarchy.root / path for hierarchy in self.hierarchies)


def layout(mountinfo: bytes, controllers: str = "") -> Layout:
    """Read a layout out of /proc/self/mountinfo; ``controllers`` is the v2 tree's
    cgroup.controllers."""
    found: dict[str, Hierarchy] = {}
    for line in mountinfo.splitlines():
        before, _, after = line.partition(b" - ")
        kind, options = (os.fsdecode(after.split(b" ")[at]) for at in (0, -1))
        if kind in ("cgroup", "cgroup2"):
            name = _name(options) if kind == "cgroup" else ""
            # A hierarchy may be mounted twice: the first is the usual one.
            root = Path(mounts.unescape(before.split(b" ")[4]))
            found.setdefault(name, Hierarchy(root=root, name=name))
    kind_of = _kind(set(found))
    left = tuple(controllers.split()) if kind_of is Kind.HYBRID else ()
    return Layout(kind=kind_of, hierarchies=tuple(found.values()), left=left)


def _kind(names: set[str]) -> Kind:
    if names == {""}:
        return Kind.V2
    return Kind.HYBRID if "" in names else Kind.V1


def detect() -> Layout:
    """This host's layout; 0.2 ms."""
    mountinfo = Path("/proc/self/mountinfo").read_bytes()
    first = layout(mountinfo)
    unified = next((h.root for h in first.hierarchies if not h.name), None)
    if unified is None:
        return first
    with suppress(FileNotFoundError):
        return layout(mountinfo, (unified / "cgroup.controllers").read_text())
    return first


def _name(options: str) -> str:
    """The controllers among a v1 mount's super options, "rw,cpu,cpuacct" or "rw,name=systemd"."""
    plain = {"rw", "ro", "xattr", "noprefix", "clone_children", "cpuset_v2_mode", "favordynmods"}
    return ",".join(o for o in options.split(",") if o not in plain and "release_agent" not in o)


def path_for(parent: str, project: str, id: str) -> str:
    """The group of a container; ``parent`` is the instance's."""
    return f"{parent}/{project}/{id}"


def put(path: Path, text: str) -> None:
    """Write a file of a control group, which takes one write(2)."""
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)


# --- processes ------------------------------------------------------------------------------


def processes(where: Layout, path: str) -> tuple[int, ...]:
    """Every pid in the group or a group below it, in any hierarchy: an OCI runtime that was
    killed half-way has entered only some."""
    found = {pid for folder in where.folders(path) for pid in _pids(folder)}
    return tuple(sorted(found))


def prepare(where: Layout, path: str) -> None:
    """Make the group in every hierarchy, so that nobody's ``remove_empty`` takes its parent away
    while an OCI runtime makes it: crun failed so in 13 of 40 creates beside such a loop."""
    for folder in where.folders(path):
        while not folder.is_dir():
            with suppress(FileNotFoundError):  # the parent went between two of our steps
                folder.mkdir(parents=True, exist_ok=True)


def kill(where: Layout, path: str, timeout: float = 10.0) -> None:
    """Kill all that is in the group and wait until it is empty; frozen groups are thawed, as a
    frozen process dies only then. Raises ``Stuck`` after ``timeout`` seconds."""
    until = time.monotonic() + timeout
    while pids := processes(where, path):
        thaw(where, path)
        for pid in pids:
            kill_member(where, path, pid)
        if time.monotonic() > until:
            raise Stuck(pids)
        time.sleep(0.001)


def kill_member(where: Layout, path: str, pid: int) -> None:
    """Kill a process if it is in the group."""
    fd = pidfd.of(pid)
    if fd is None:
        return
    try:
        # Looked up again with the descriptor in hand: the pid may have changed its owner.
        if pid in processes(where, path):
            pidfd.send(fd, signal.SIGKILL)
    finally:
        os.close(fd)


def thaw(where: Layout, path: str) -> None:
    """Let a frozen group go on: no signal arrives in a frozen process."""
    names = ("cgroup.freeze", "0") if where.kind is Kind.V2 else ("freezer.state", "THAWED")
    with suppress(OSError, NoController):
        put(where.folder("freezer", path) / names[0], names[1])


def remove(where: Layout, path: str, timeout: float = 2.0) -> None:
    """Remove the group, and groups below it, in every hierarchy. It must be empty; the kernel
    says EBUSY for a moment after the last process died. Idempotent."""
    until = time.monotonic() + timeout
    for folder in where.folders(path):
        while not _removed(folder):
            if time.monotonic() > until:
                raise Stuck(processes(where, path))
            time.sleep(0.002)


def remove_empty(where: Layout, path: str) -> None:
    """Remove a parent in every hierarchy where nothing is below it: OCI runtimes make parents
    and never remove them. To be called when nobody is about to use it."""
    for folder in where.folders(path):
        with suppress(OSError):
            folder.rmdir()


def _pids(folder: Path) -> Iterator[int]:
    for place, _, _ in os.walk(folder):
        with suppress(FileNotFoundError, OSError):
            yield from map(int, (Path(place) / "cgroup.procs").read_text().split())


def _removed(folder: Path) -> bool:
    try:
        for place, _, _ in os.walk(folder, topdown=False):
            os.rmdir(place)
    except FileNotFoundError:
        return not folder.exists()
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise
        return False
    return True


# --- monitors -------------------------------------------------------------------------------


@contextmanager
def monitors(where: Layout, parent: str) -> Iterator[None]:
    """Be in the instance's group ``monitors`` meanwhile, so that conmons started now are there:
    outside the caller's session or service, whose end would kill them.

    The whole process moves and comes back; not to be nested.
    """
    folders = [h.root / parent / "monitors" for h in _monitor_hierarchies(where)]
    origins = [_origin(h) for h in _monitor_hierarchies(where)]
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
        put(folder / "cgroup.procs", "0")
    try:
        yield
    finally:
        for origin in origins:
            with suppress(OSError):
                put(origin / "cgroup.procs", "0")


def _monitor_hierarchies(where: Layout) -> list[Hierarchy]:
    return [
        hierarchy
        for hierarchy in where.hierarchies
        if {hierarchy.name, *hierarchy.controllers} & set(_MONITOR_HIERARCHIES)
    ]


def _origin(hierarchy: Hierarchy) -> Path:
    """Where this process is in a hierarchy, from /proc/self/cgroup."""
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, name, path = line.split(":", 2)
        if name == hierarchy.name:
            return hierarchy.root / path.lstrip("/")
    return hierarchy.root
