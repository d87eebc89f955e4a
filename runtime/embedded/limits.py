"""Limits of a control group, read and written in place; cgroup v1 and v2.

The kernel keeps a limit in its own units (pages, weights, sets of processors), so what was asked
cannot be read back. ``as_asked`` compares in those units.
"""

import errno
import math
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import msgspec

from runtime.api import ContainerSpec, Limits
from runtime.embedded.cgroups import Kind, Layout, NoController, put
from runtime.errors import Fault

CPU_PERIOD = 100_000  # microseconds, the kernel's default
SWAP_FACTOR = 2  # as much swap as memory, as with Docker; OCI and v1 count both together
_SWAP_V1, _SWAP_V2 = "memory.memsw.limit_in_bytes", "memory.swap.max"
_RESERVED_V1, _RESERVED_V2 = "memory.soft_limit_in_bytes", "memory.low"
_CPUSET, _EFFECTIVE_CPUSET = "cpuset.cpus", "cpuset.cpus.effective"  # the second of v2 alone
_V1_UNLIMITED = 1 << 62  # bytes; the kernel shows 2**63 rounded down to a page
_DEFAULT_SHARES, _DEFAULT_WEIGHT = 1024, 100
_PAGE = 4096  # bytes; memory limits are cut down to whole pages


class MemoryInUse(Fault):
    """A new memory limit lies below what the container uses and cannot give back."""

    def __init__(self, limit: int, used: int) -> None:
        self.limit, self.used = limit, used
        super().__init__(
            f"the memory limit cannot be lowered to {limit} bytes",
            why=f"the container uses {used} bytes",
            hint="choose a higher mem_limit, or restart the container with the new one",
        )


class SwapBelowMemory(Fault):
    """``memswap_limit`` counts memory and swap together, so it cannot be the smaller one."""

    def __init__(self, swap: int, memory: int | None) -> None:
        self.swap, self.memory = swap, memory
        said = "there is no mem_limit" if memory is None else f"mem_limit is {memory} bytes"
        super().__init__(
            f"memswap_limit cannot be {swap} bytes",
            why=f"it is the limit of memory and swap together, and {said}",
            hint="set mem_limit, and memswap_limit to at least as much (-1 is unlimited)",
        )


def of(spec: ContainerSpec) -> Limits:
    """What a container asks for; -1 processes is no limit, and the kernel is told none."""
    return Limits(
        mem_limit=spec.mem_limit,
        memswap_limit=spec.memswap_limit,
        mem_reservation=spec.mem_reservation,
        cpus=spec.cpus,
        cpu_shares=spec.cpu_shares,
        cpuset=spec.cpuset,
        pids_limit=None if spec.pids_limit < 0 else spec.pids_limit,
    )


def check(wanted: Limits) -> None:
    """Raises ``SwapBelowMemory``."""
    memory, swap = wanted.mem_limit, wanted.memswap_limit
    if swap is not None and swap >= 0 and (memory is None or swap < memory):
        raise SwapBelowMemory(swap, memory)


def with_swap(wanted: Limits) -> int | None:
    """The limit of memory and swap together in bytes, None for none; twice the memory where
    nothing else is asked."""
    if wanted.memswap_limit is None:
        return None if wanted.mem_limit is None else SWAP_FACTOR * wanted.mem_limit
    return None if wanted.memswap_limit < 0 else wanted.memswap_limit


def counts_swap(where: Layout) -> bool:
    """Whether this kernel can bound swap: CONFIG_MEMCG_SWAP, and not swapaccount=0."""
    try:
        root = where.folder("memory", "")
    except NoController:
        return False
    if where.kind is Kind.V2:  # a limit is never in the root's own folder
        return any(root.glob(f"*/{_SWAP_V2}"))
    return (root / _SWAP_V1).exists()


# --- reading --------------------------------------------------------------------------------


def read(where: Layout, path: str, asked: Limits | None = None) -> Limits | None:
    """The limits in force, 0.2 ms; None when the group is gone. Where the kernel's value is what
    it makes of ``asked``, that is returned."""
    try:
        live = _live(where, path, asked)
    except FileNotFoundError:
        return None
    return live if asked is None else as_asked(live, asked)


def _live(where: Layout, path: str, asked: Limits | None) -> Limits:
    cpuset = None if asked is None else asked.cpuset
    if where.kind is Kind.V2:
        return _live_v2(where.hierarchies[0].root / path, cpuset)
    return _live_v1(where, path, cpuset)


def as_asked(live: Limits, asked: Limits) -> Limits:
    """``live`` with the words of ``asked`` wherever both mean the same to the kernel. A limit of
    swap is taken as kept where there is none to be seen: the kernel may not count swap."""
    same: dict[str, Callable[[], bool]] = {
        "mem_limit": lambda: _pages(live.mem_limit) == _pages(asked.mem_limit),
        "memswap_limit": lambda: (
            live.memswap_limit is None or _pages(live.memswap_limit) == _pages(with_swap(asked))
        ),
        "mem_reservation": lambda: _pages(live.mem_reservation) == _pages(asked.mem_reservation),
        "cpus": lambda: _quota(live.cpus) == _quota(asked.cpus),
        "cpu_shares": lambda: live.cpu_shares in _seen_as(asked.cpu_shares),
        "cpuset": lambda: _processors(live.cpuset) == _processors(asked.cpuset),
    }
    kept = {name: getattr(asked, name) for name, is_same in same.items() if is_same()}
    return msgspec.structs.replace(live, **kept)


def _pages(size: int | None) -> int | None:
    return None if size is None else size // _PAGE


def _quota(cpus: float | None) -> int | None:
    return None if cpus is None else round(cpus * CPU_PERIOD)


def _seen_as(shares: int | None) -> set[int | None]:
    """How ``read`` may see shares that were set: v1's as they are, v2's by way of a weight."""
    if shares is None:
        return {None, _DEFAULT_SHARES}
    return {shares, *(_shares(weight) for weight in (_weight(shares), _newer_weight(shares)))}


def _weight(shares: int) -> int:
    """cpu.weight for cpu.shares, as crun before 1.23 and runc before 1.3.2 convert it."""
    return 1 + (min(max(shares, 2), 262_144) - 2) * 9999 // 262_142


def _newer_weight(shares: int) -> int:
    """The same as their successors convert it: 1024 becomes 100."""
    power = math.log2(min(max(shares, 2), 262_144))
    return math.ceil(10 ** ((power * power + 125 * power) / 612 - 7 / 34))


def _shares(weight: int) -> int | None:
    """The least shares that become ``weight``; None for the kernel's default."""
    if weight == _DEFAULT_WEIGHT:
        return None
    return 2 + math.ceil((weight - 1) * 262_142 / 9999)


def _processors(cpuset: str | None) -> frozenset[int] | None:
    """The numbers in a list such as 0-2,5 (cpuset(7))."""
    if cpuset is None:
        return None
    numbers: set[int] = set()
    for part in filter(None, cpuset.split(",")):
        first, _, last = part.partition("-")
        numbers.update(range(int(first), int(last or first) + 1))
    return frozenset(numbers)


def _live_v1(where: Layout, path: str, cpuset: str | None) -> Limits:
    memory, cpu = where.folder("memory", path), where.folder("cpu", path)
    quota, period = int(_get(cpu / "cpu.cfs_quota_us")), int(_get(cpu / "cpu.cfs_period_us"))
    shares = int(_get(cpu / "cpu.shares", str(_DEFAULT_SHARES)))
    return Limits(
        mem_limit=_bytes_v1(_get(memory / "memory.limit_in_bytes")),
        memswap_limit=_bytes_v1(_get(memory / _SWAP_V1, "-1")),
        mem_reservation=_bytes_v1(_get(memory / _RESERVED_V1, "-1")),
        cpus=None if quota < 0 else quota / period,
        cpu_shares=None if shares == _DEFAULT_SHARES else shares,
        cpuset=_cpuset_v1(where, path, cpuset),
        pids_limit=_number(_get(where.folder("pids", path) / "pids.max")),
    )


def _bytes_v1(text: str) -> int | None:
    size = int(text)
    return None if size < 0 or size >= _V1_UNLIMITED else size


def _cpuset_v1(where: Layout, path: str, asked: str | None) -> str | None:
    """A v1 group always has a set."""
    try:
        folder = where.folder("cpuset", path)
    except NoController:
        return None
    return _cpuset(_get(folder / _CPUSET, ""), _get(folder.parent / _CPUSET, ""), asked)


def _cpuset(own: str, above: str, asked: str | None) -> str | None:
    """The set of a group: None when it has all of the group above it, unless just that was asked
    for."""
    if asked is not None and _processors(own) == _processors(asked):
        return asked
    return None if _processors(own) == _processors(above) else own or None


def _live_v2(folder: Path, cpuset: str | None) -> Limits:
    quota, period = _get(folder / "cpu.max").split()
    memory, swap = _number(_get(folder / "memory.max")), _number(_get(folder / _SWAP_V2, "max"))
    return Limits(
        mem_limit=memory,
        memswap_limit=None if memory is None or swap is None else memory + swap,
        mem_reservation=_number(_get(folder / _RESERVED_V2, "0")) or None,
        cpus=None if quota == "max" else int(quota) / int(period),
        cpu_shares=_shares(int(_get(folder / "cpu.weight", str(_DEFAULT_WEIGHT)))),
        cpuset=_cpuset(
            _get(folder / _CPUSET, ""), _get(folder.parent / _EFFECTIVE_CPUSET, ""), cpuset
        ),
        pids_limit=_number(_get(folder / "pids.max")),
    )


# --- writing --------------------------------------------------------------------------------


def write(where: Layout, path: str, wanted: Limits) -> None:
    """Set all limits in place; a container that does not run has no group and is left.

    Raises ``MemoryInUse`` before anything is changed, ``NoController`` for a limit that nobody
    keeps, ``SwapBelowMemory``.
    """
    check(wanted)
    now = read(where, path, wanted)
    if now is None:
        return
    if (now.mem_limit, now.memswap_limit) != (wanted.mem_limit, wanted.memswap_limit):
        _write_memory(where, path, wanted)
    if now.pids_limit != wanted.pids_limit:
        put(where.folder("pids", path) / "pids.max", _or_max(wanted.pids_limit))
    if now.mem_reservation != wanted.mem_reservation:
        _write_reservation(where, path, wanted.mem_reservation)
    if now.cpus != wanted.cpus:
        _write_cpus(where, path, wanted.cpus)
    if now.cpu_shares != wanted.cpu_shares:
        _write_shares(where, path, wanted.cpu_shares)
    if now.cpuset != wanted.cpuset:
        _write_cpuset(where, path, wanted.cpuset)


def _write_memory(where: Layout, path: str, wanted: Limits) -> None:
    folder, limit = where.folder("memory", path), wanted.mem_limit
    if where.kind is Kind.V2:
        # A v2 kernel kills instead of refusing: look first at what it could not take back.
        if limit is not None and (used := _unreclaimable(folder)) > limit:
            raise MemoryInUse(limit, used)
        both = with_swap(wanted)
        put(folder / "memory.max", _or_max(limit))
        if (folder / _SWAP_V2).exists():
            put(folder / _SWAP_V2, _or_max(both and both - (limit or 0)))
        return
    try:
        _write_memory_v1(folder, limit, with_swap(wanted))
    except OSError as error:
        if error.errno != errno.EBUSY or limit is None:
            raise
        raise MemoryInUse(limit, int(_get(folder / "memory.usage_in_bytes"))) from error


def _write_memory_v1(folder: Path, limit: int | None, both: int | None) -> None:
    """Memory, and memory with swap together, which the kernel never lets be the smaller one."""
    before = _get(folder / "memory.limit_in_bytes")
    memory = ("memory.limit_in_bytes", "-1" if limit is None else str(limit))
    swap = (_SWAP_V1, "-1" if both is None else str(both))
    swap_first = both is None or both >= int(before)
    order = (swap, memory) if swap_first else (memory, swap)
    try:
        for name, value in order:
            if name != _SWAP_V1 or (folder / name).exists():
                put(folder / name, value)
    except OSError:
        if not swap_first:
            put(folder / "memory.limit_in_bytes", before)
        raise


def _unreclaimable(folder: Path) -> int:
    stat = dict(line.split() for line in _get(folder / "memory.stat").splitlines())
    return int(_get(folder / "memory.current")) - int(stat.get("file", 0))


def _write_reservation(where: Layout, path: str, reserved: int | None) -> None:
    folder = where.folder("memory", path)
    if where.kind is Kind.V2:
        put(folder / _RESERVED_V2, str(reserved or 0))
    else:
        put(folder / _RESERVED_V1, "-1" if reserved is None else str(reserved))


def _write_cpus(where: Layout, path: str, cpus: float | None) -> None:
    folder, quota = where.folder("cpu", path), _quota(cpus)
    if where.kind is Kind.V2:
        put(folder / "cpu.max", f"{_or_max(quota)} {CPU_PERIOD}")
        return
    put(folder / "cpu.cfs_period_us", str(CPU_PERIOD))
    put(folder / "cpu.cfs_quota_us", "-1" if quota is None else str(quota))


def _write_shares(where: Layout, path: str, shares: int | None) -> None:
    folder = where.folder("cpu", path)
    if where.kind is Kind.V2:
        put(folder / "cpu.weight", str(_DEFAULT_WEIGHT if shares is None else _weight(shares)))
    else:
        put(folder / "cpu.shares", str(_DEFAULT_SHARES if shares is None else shares))


def _write_cpuset(where: Layout, path: str, cpuset: str | None) -> None:
    """Without a set it gets all of the group above it: a group in use cannot be given back an
    empty one (ENOSPC, on v1 and on v2 of Linux 6.1)."""
    folder = where.folder("cpuset", path)
    above = folder.parent / (_EFFECTIVE_CPUSET if where.kind is Kind.V2 else _CPUSET)
    put(folder / _CPUSET, cpuset or _get(above))


def _or_max(value: int | None) -> str:
    return "max" if value is None else str(value)


def _number(text: str) -> int | None:
    return None if text == "max" else int(text)


def _get(path: Path, otherwise: str | None = None) -> str:
    """The text of a file; ``otherwise`` where the kernel does not have it."""
    if otherwise is not None:
        with suppress(FileNotFoundError):
            return _text(path)
        return otherwise
    return _text(path)


def _text(path: Path) -> str:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(fd, 65536).decode().strip()
    finally:
        os.close(fd)
