"""An OCI runtime configuration from values: pure.

Form and meaning: runtime-spec 1.0.2, config.md and config-linux.md. What a container may not
do is decided here once for crun and runc alike: a fresh /dev, masked kernel paths, no new
privileges, an empty inheritable and ambient set, a device list, a seccomp filter.
"""

import posixpath
from typing import Any, Literal

import msgspec

from runtime.api import Limits
from runtime.errors import Fault

CPU_PERIOD = 100_000  # microseconds, the kernel's default

MASKED = (
    "/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys",
    "/proc/latency_stats", "/proc/sched_debug", "/proc/scsi", "/proc/timer_list",
    "/proc/timer_stats", "/sys/devices/virtual/powercap", "/sys/firmware",
)  # fmt: skip
READ_ONLY = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")

# The kernel's device numbers, admin-guide/devices.txt; None is any.
_DEVICES: tuple[tuple[str, int | None, int | None, str], ...] = (
    ("c", None, None, "m"),  # mknod is harmless without opening
    ("b", None, None, "m"),
    ("c", 1, 3, "rwm"),  # null
    ("c", 1, 5, "rwm"),  # zero
    ("c", 1, 7, "rwm"),  # full
    ("c", 1, 8, "rwm"),  # random
    ("c", 1, 9, "rwm"),  # urandom
    ("c", 5, 0, "rwm"),  # tty
    ("c", 5, 2, "rwm"),  # ptmx
    ("c", 136, None, "rwm"),  # pts/N
)

# A network namespace of its own has no port or ping to protect: as Docker does, everybody may
# listen below 1024 and ping (ip-sysctl.rst), since users have no capability for either.
_SYSCTLS = {
    "net.ipv4.ip_unprivileged_port_start": "0",
    "net.ipv4.ping_group_range": "0 2147483647",
}


class MountRefused(Fault):
    """A mount would replace what isolates the container."""

    def __init__(self, target: str) -> None:
        self.target = target
        super().__init__(
            f"nothing can be mounted on {target}",
            why="the engine mounts its own there to keep the container apart from the host",
            hint="choose another target, or a path below it",
        )


class Bind(msgspec.Struct, frozen=True, kw_only=True):
    """A directory or file of the host, by absolute path."""

    source: str
    target: str
    read_only: bool = False
    kind: Literal["file", "dir"] = "dir"


class Tmpfs(msgspec.Struct, frozen=True, kw_only=True):
    """``size`` in bytes, ``mode`` as permission bits."""

    target: str
    size: int | None = None
    mode: int | None = None


class Rlimit(msgspec.Struct, frozen=True, kw_only=True):
    """A resource limit, getrlimit(2); ``name`` without RLIMIT_, as in ``NOFILE``."""

    name: str
    soft: int
    hard: int


class BundleInput(msgspec.Struct, frozen=True, kw_only=True):
    """All that a container's configuration depends on, resolved.

    ``capabilities`` are ``CAP_`` names; ``cgroups_path`` is relative to each hierarchy's root
    and has no leading slash; ``netns`` is the path where the network namespace is bound;
    ``cgroup_namespace`` is for v2 hosts: on v1 it would only hide the paths; ``swap_factor`` is the
    limit of memory and swap together as a multiple of that of memory, None where the kernel
    counts no swap.
    """

    id: str
    rootfs: str
    args: tuple[str, ...]
    env: tuple[str, ...]
    cwd: str
    hostname: str
    netns: str
    cgroups_path: str
    seccomp: dict[str, Any]
    capabilities: tuple[str, ...]
    limits: Limits
    uid: int = 0
    gid: int = 0
    groups: tuple[int, ...] = ()
    read_only: bool = False
    mounts: tuple[Bind | Tmpfs, ...] = ()
    rlimits: tuple[Rlimit, ...] = ()
    oom_score_adj: int = 0
    cgroup_namespace: bool = False
    swap_factor: int | None = None
    annotations: dict[str, str] = {}


def build(wanted: BundleInput) -> bytes:
    """The text of ``config.json``; equal inputs give equal bytes. Raises ``MountRefused``."""
    return msgspec.json.encode(
        {
            "ociVersion": "1.0.2",
            "hostname": wanted.hostname,
            "root": {"path": wanted.rootfs, "readonly": wanted.read_only},
            "process": _process(wanted),
            "mounts": _mounts(wanted.mounts),
            "linux": _linux(wanted),
            "annotations": wanted.annotations,
        },
        order="sorted",
    )


def default_rlimits(hard: dict[str, int]) -> tuple[Rlimit, ...]:
    """Docker's limits, never above ``hard``, the caller's own hard limits by name: raising them
    needs CAP_SYS_RESOURCE, which we may not have. -1 is unlimited."""
    files = min(1_048_576, _unlimited(hard["NOFILE"]))
    processes = hard["NPROC"]
    return (
        Rlimit(name="NOFILE", soft=files, hard=files),
        Rlimit(name="NPROC", soft=processes, hard=processes),
    )


def _unlimited(value: int) -> int:
    return (1 << 64) - 1 if value < 0 else value


def _process(wanted: BundleInput) -> dict[str, Any]:
    given = list(wanted.capabilities)
    return {
        "terminal": False,
        "user": {"uid": wanted.uid, "gid": wanted.gid, "additionalGids": list(wanted.groups)},
        "args": list(wanted.args),
        "env": list(wanted.env),
        "cwd": wanted.cwd,
        # Inheritable and ambient stay empty (CVE-2022-24769): a non-root user has none by exec.
        "capabilities": {"bounding": given, "effective": given, "permitted": given},
        "rlimits": [
            {"type": f"RLIMIT_{r.name}", "soft": _unlimited(r.soft), "hard": _unlimited(r.hard)}
            for r in wanted.rlimits
        ],
        "noNewPrivileges": True,
        "oomScoreAdj": wanted.oom_score_adj,
    }


def _linux(wanted: BundleInput) -> dict[str, Any]:
    return {
        "namespaces": [
            {"type": "pid"},
            {"type": "ipc"},
            {"type": "uts"},
            {"type": "mount"},
            {"type": "network", "path": wanted.netns},
            *([{"type": "cgroup"}] if wanted.cgroup_namespace else ()),
        ],
        "cgroupsPath": f"/{wanted.cgroups_path}",
        "resources": _resources(wanted.limits, wanted.swap_factor),
        "sysctl": _SYSCTLS,
        "seccomp": wanted.seccomp,
        "maskedPaths": list(MASKED),
        "readonlyPaths": list(READ_ONLY),
    }


def _resources(limits: Limits, swap_factor: int | None) -> dict[str, Any]:
    resources: dict[str, Any] = {"devices": [{"allow": False, "access": "rwm"}, *_devices()]}
    if limits.mem_limit is not None:
        swap = {} if swap_factor is None else {"swap": swap_factor * limits.mem_limit}
        resources["memory"] = {"limit": limits.mem_limit, **swap}
    if limits.cpus is not None:
        resources["cpu"] = {"quota": round(limits.cpus * CPU_PERIOD), "period": CPU_PERIOD}
    if limits.pids_limit is not None:
        resources["pids"] = {"limit": limits.pids_limit}
    return resources


def _devices() -> list[dict[str, Any]]:
    return [
        {"allow": True, "type": kind, "access": access}
        | ({} if major is None else {"major": major})
        | ({} if minor is None else {"minor": minor})
        for kind, major, minor, access in _DEVICES
    ]


def _mounts(wanted: tuple[Bind | Tmpfs, ...]) -> list[dict[str, Any]]:
    """The engine's own, then the user's by depth, so that none hides one below it.

    A user's mount takes the place of the engine's on the same target, except where that would
    open the host: /proc and /dev.
    """
    taken = {_checked(mount.target) for mount in wanted}
    return [
        *(mount for mount in _own() if mount["destination"] not in taken),
        *(_mount(mount) for mount in sorted(wanted, key=_depth)),
    ]


def _checked(target: str) -> str:
    """The target in its plain form. Raises ``MountRefused``."""
    plain = posixpath.normpath(posixpath.join("/", target)).replace("//", "/")
    if plain in ("/", "/dev", "/proc") or plain.startswith("/proc/"):
        raise MountRefused(target)
    return plain


def _depth(mount: Bind | Tmpfs) -> tuple[int, str]:
    target = _checked(mount.target)
    return target.count("/"), target


def _mount(mount: Bind | Tmpfs) -> dict[str, Any]:
    target = _checked(mount.target)
    if isinstance(mount, Tmpfs):
        size = [] if mount.size is None else [f"size={mount.size}"]
        mode = ["mode=1777"] if mount.mode is None else [f"mode={mount.mode:o}"]
        return _entry(target, "tmpfs", "tmpfs", "nosuid", "nodev", *mode, *size)
    recursive = "bind" if mount.kind == "file" else "rbind"
    access = "ro" if mount.read_only else "rw"
    return _entry(target, "bind", mount.source, recursive, "rprivate", access)


def _entry(target: str, kind: str, source: str, *options: str) -> dict[str, Any]:
    return {"destination": target, "type": kind, "source": source, "options": list(options)}


def _own() -> tuple[dict[str, Any], ...]:
    kept = ("nosuid", "noexec", "nodev")
    return (
        _entry("/proc", "proc", "proc", *kept),
        _entry("/dev", "tmpfs", "tmpfs", "nosuid", "strictatime", "mode=755", "size=65536k"),
        _entry(
            "/dev/pts", "devpts", "devpts",
            "nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5",
        ),
        _entry("/dev/shm", "tmpfs", "shm", *kept, "mode=1777", "size=65536k"),
        _entry("/dev/mqueue", "mqueue", "mqueue", *kept),
        _entry("/sys", "sysfs", "sysfs", *kept, "ro"),
        _entry("/sys/fs/cgroup", "cgroup", "cgroup", *kept, "relatime", "ro"),
    )  # fmt: skip
