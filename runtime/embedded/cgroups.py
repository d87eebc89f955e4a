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

from runtime.api import Limits
from runtime.embedded.linux import mounts, pidfd
from runtime.errors import Fault

CPU_PERIOD = 100_000  # microseconds, the kernel's default
SWAP_FACTOR = 2  # as much swap as memory, as with Docker; OCI and v1 count both together
_SWAP_V1, _SWAP_V2 = "memory.memsw.limit_in_bytes", "memory.swap.max"
_V1_UNLIMITED = 1 << 62  # bytes; the kernel shows 2**63 rounded down to a page

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


class MemoryInUse(Fault):
    """A new memory limit lies below what the container uses and cannot give back."""

    def __init__(self, limit: int, used: int) -> None:
        self.limit, self.used = limit, used
        super().__init__(
            f"the memory limit cannot be lowered to {limit} bytes",
            why=f"the container uses {used} bytes",
            hint="choose a higher mem_limit, or restart the container with the new one",
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


# --- limits ---------------------------------------------------------------------------------


def read_limits(where: Layout, path: str) -> Limits | None:
    """The limits in force, 0.1 ms; None when the group is gone."""
    try:
        if where.kind is Kind.V2:
            return _limits_v2(where.hierarchies[0].root / path)
        return _limits_v1(where, path)
    except FileNotFoundError:
        return None


def write_limits(where: Layout, path: str, limits: Limits) -> None:
    """Set all three limits in place; a container that does not run has no group and is left.

    Raises ``MemoryInUse`` before anything is changed, ``NoController`` for a limit that nobody
    keeps.
    """
    now = read_limits(where, path)
    if now is None:
        return
    if now.mem_limit != limits.mem_limit:
        _write_memory(where, path, limits.mem_limit)
    if now.pids_limit != limits.pids_limit:
        most = "max" if limits.pids_limit is None else str(limits.pids_limit)
        _put(where.folder("pids", path) / "pids.max", most)
    if now.cpus != limits.cpus:
        _write_cpus(where, path, limits.cpus)


def counts_swap(where: Layout) -> bool:
    """Whether this kernel can bound swap: CONFIG_MEMCG_SWAP, and not swapaccount=0."""
    try:
        root = where.folder("memory", "")
    except NoController:
        return False
    if where.kind is Kind.V2:  # a limit is never in the root's own folder
        return any(root.glob(f"*/{_SWAP_V2}"))
    return (root / _SWAP_V1).exists()


def _limits_v1(where: Layout, path: str) -> Limits:
    memory = int(_get(where.folder("memory", path) / "memory.limit_in_bytes"))
    quota = int(_get(where.folder("cpu", path) / "cpu.cfs_quota_us"))
    period = int(_get(where.folder("cpu", path) / "cpu.cfs_period_us"))
    return Limits(
        mem_limit=None if memory >= _V1_UNLIMITED else memory,
        cpus=None if quota < 0 else quota / period,
        pids_limit=_number(_get(where.folder("pids", path) / "pids.max")),
    )


def _limits_v2(folder: Path) -> Limits:
    quota, period = _get(folder / "cpu.max").split()
    return Limits(
        mem_limit=_number(_get(folder / "memory.max")),
        cpus=None if quota == "max" else int(quota) / int(period),
        pids_limit=_number(_get(folder / "pids.max")),
    )


def _write_memory(where: Layout, path: str, limit: int | None) -> None:
    folder = where.folder("memory", path)
    if where.kind is Kind.V2:
        # A v2 kernel kills instead of refusing: look first at what it could not take back.
        if limit is not None and (used := _unreclaimable(folder)) > limit:
            raise MemoryInUse(limit, used)
        for name in ("memory.max", _SWAP_V2):
            if (folder / name).exists():
                _put(folder / name, "max" if limit is None else str(limit))
        return
    try:
        _write_memory_v1(folder, limit)
    except OSError as error:
        if error.errno != errno.EBUSY or limit is None:
            raise
        raise MemoryInUse(limit, int(_get(folder / "memory.usage_in_bytes"))) from error


def _write_memory_v1(folder: Path, limit: int | None) -> None:
    """Memory, and memory with swap together, which the kernel never lets be the smaller one."""
    before = _get(folder / "memory.limit_in_bytes")
    grows = limit is None or limit > int(before)
    memory = [("memory.limit_in_bytes", "-1" if limit is None else str(limit))]
    swap = [(_SWAP_V1, "-1" if limit is None else str(SWAP_FACTOR * limit))]
    if not (folder / _SWAP_V1).exists():
        swap = []
    try:
        for name, value in (*swap, *memory) if grows else (*memory, *swap):
            _put(folder / name, value)
    except OSError:
        if not grows:
            _put(folder / "memory.limit_in_bytes", before)
        raise


def _unreclaimable(folder: Path) -> int:
    stat = dict(line.split() for line in _get(folder / "memory.stat").splitlines())
    return int(_get(folder / "memory.current")) - int(stat.get("file", 0))


def _write_cpus(where: Layout, path: str, cpus: float | None) -> None:
    folder = where.folder("cpu", path)
    quota = None if cpus is None else round(cpus * CPU_PERIOD)
    if where.kind is Kind.V2:
        _put(folder / "cpu.max", f"{'max' if quota is None else quota} {CPU_PERIOD}")
        return
    _put(folder / "cpu.cfs_period_us", str(CPU_PERIOD))
    _put(folder / "cpu.cfs_quota_us", "-1" if quota is None else str(quota))


def _number(text: str) -> int | None:
    return None if text == "max" else int(text)


def _get(path: Path) -> str:
    with open(path) as file:
        return file.read().strip()


def _put(path: Path, text: str) -> None:
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
            _kill_member(where, path, pid)
        if time.monotonic() > until:
            raise Stuck(pids)
        time.sleep(0.001)


def thaw(where: Layout, path: str) -> None:
    """Let a frozen group go on: no signal arrives in a frozen process."""
    names = ("cgroup.freeze", "0") if where.kind is Kind.V2 else ("freezer.state", "THAWED")
    with suppress(OSError, NoController):
        _put(where.folder("freezer", path) / names[0], names[1])


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
            yield from map(int, _get(Path(place) / "cgroup.procs").split())


def _kill_member(where: Layout, path: str, pid: int) -> None:
    fd = pidfd.of(pid)
    if fd is None:
        return
    try:
        # Looked up again with the descriptor in hand: the pid may have changed its owner.
        if pid in processes(where, path):
            pidfd.send(fd, signal.SIGKILL)
    finally:
        os.close(fd)


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
        _put(folder / "cgroup.procs", "0")
    try:
        yield
    finally:
        for origin in origins:
            with suppress(OSError):
                _put(origin / "cgroup.procs", "0")


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
