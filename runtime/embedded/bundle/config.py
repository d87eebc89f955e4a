"""An OCI runtime configuration from values: pure.

Form and meaning: runtime-spec 1.0.2, config.md and config-linux.md. What a container may not
do is decided here once for crun and runc alike: a fresh /dev, masked kernel paths, no new
privileges, an empty inheritable and ambient set, a device list, a seccomp filter.
"""

import posixpath
from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from runtime.api import Limits
from runtime.embedded.bundle.devices import DeviceRule, Node
from runtime.errors import Fault

CPU_PERIOD = 100_000  # microseconds, the kernel's default

MASKED = (
    "/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys",
    "/proc/latency_stats", "/proc/sched_debug", "/proc/scsi", "/proc/timer_list",
    "/proc/timer_stats", "/sys/devices/virtual/powercap", "/sys/firmware",
)  # fmt: skip
READ_ONLY = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")

SHM_SIZE = 64 << 20  # bytes of /dev/shm, Docker's default

# The kernel's device numbers, admin-guide/devices.txt; None is any.
_DEVICES = (
    DeviceRule(kind="c", access="m"),  # mknod is harmless without opening
    DeviceRule(kind="b", access="m"),
    *(DeviceRule(kind="c", major=1, minor=minor) for minor in (3, 5, 7, 8, 9)),  # null to urandom
    DeviceRule(kind="c", major=5, minor=0),  # tty
    DeviceRule(kind="c", major=5, minor=2),  # ptmx
    DeviceRule(kind="c", major=136),  # pts/N
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
    """A directory or file of the host, by absolute path; ``propagation`` as in
    mount_namespaces(7). ``kept`` are flags that the source is mounted with on the host: crun
    would drop them (runc does not)."""

    source: str
    target: str
    read_only: bool = False
    kind: Literal["file", "dir"] = "dir"
    propagation: str = "rprivate"
    kept: tuple[str, ...] = ()


class Tmpfs(msgspec.Struct, frozen=True, kw_only=True):
    """``size`` in bytes, ``mode`` as permission bits, ``options`` of mount(8) outrank ours."""

    target: str
    size: int | None = None
    mode: int | None = None
    options: tuple[str, ...] = ()


class Rlimit(msgspec.Struct, frozen=True, kw_only=True):
    """A resource limit, getrlimit(2); ``name`` without RLIMIT_, as in ``NOFILE``."""

    name: str
    soft: int
    hard: int


class Namespaces(msgspec.Struct, frozen=True, kw_only=True):
    """Where the container lives: a path of a namespace that is there, "" for one of its own, None
    for the host's."""

    network: str | None = ""
    pid: str | None = ""
    ipc: str | None = ""
    uts: str | None = ""
    cgroup: str | None = None


class BundleInput(msgspec.Struct, frozen=True, kw_only=True):
    """All that a container's configuration depends on, resolved.

    ``capabilities`` are ``CAP_`` names; ``cgroups_path`` is relative to each hierarchy's root
    and has no leading slash; ``swap`` is the limit of memory and swap together in bytes, -1 for
    none and None where nothing is said of it; ``seccomp`` None is no filter. ``nodes`` are made in
    /dev, ``device_rules`` say what may be opened. ``opened`` masks nothing of /proc and /sys,
    ``privileged`` lets them be written, too. ``shm_size`` in bytes.
    """

    id: str
    rootfs: str
    args: tuple[str, ...]
    env: tuple[str, ...]
    cwd: str
    hostname: str
    namespaces: Namespaces
    cgroups_path: str
    seccomp: dict[str, Any] | None
    capabilities: tuple[str, ...]
    limits: Limits
    uid: int = 0
    gid: int = 0
    groups: tuple[int, ...] = ()
    terminal: bool = False
    no_new_privileges: bool = True
    read_only: bool = False
    mounts: tuple[Bind | Tmpfs, ...] = ()
    shm_size: int = SHM_SIZE
    nodes: tuple[Node, ...] = ()
    device_rules: tuple[DeviceRule, ...] = ()
    rlimits: tuple[Rlimit, ...] = ()
    sysctls: dict[str, str] = {}
    oom_score_adj: int = 0
    apparmor: str = ""
    opened: bool = False
    privileged: bool = False
    swap: int | None = None
    annotations: dict[str, str] = {}


def build(wanted: BundleInput) -> bytes:
    """The text of ``config.json``; equal inputs give equal bytes. Raises ``MountRefused``."""
    document = {
        "ociVersion": "1.0.2",
        "root": {"path": wanted.rootfs, "readonly": wanted.read_only},
        "process": _process(wanted),
        "mounts": _mounts(wanted),
        "linux": _linux(wanted),
        "annotations": wanted.annotations,
    }
    if wanted.namespaces.uts is not None:
        document["hostname"] = wanted.hostname
    return msgspec.json.encode(document, order="sorted")


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
    process = {
        "terminal": wanted.terminal,
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
        "noNewPrivileges": wanted.no_new_privileges,
        "oomScoreAdj": wanted.oom_score_adj,
    }
    return process | ({"apparmorProfile": wanted.apparmor} if wanted.apparmor else {})


def _linux(wanted: BundleInput) -> dict[str, Any]:
    linux = {
        "namespaces": _namespaces(wanted.namespaces),
        "cgroupsPath": f"/{wanted.cgroups_path}",
        "resources": _resources(wanted),
        "devices": [_node(node) for node in wanted.nodes],
        "sysctl": _sysctls(wanted),
        "maskedPaths": [] if wanted.opened else list(MASKED),
        "readonlyPaths": [] if wanted.opened else list(READ_ONLY),
    }
    if wanted.seccomp is not None:
        linux["seccomp"] = wanted.seccomp
    if propagation := _root_propagation(wanted.mounts):
        linux["rootfsPropagation"] = propagation
    return linux


def _namespaces(wanted: Namespaces) -> list[dict[str, str]]:
    kinds = ("pid", "ipc", "uts", "network", "cgroup")
    found = [(kind, getattr(wanted, kind)) for kind in kinds]
    return [
        {"type": "mount"},
        *(
            {"type": kind, "path": path} if path else {"type": kind}
            for kind, path in found
            if path is not None
        ),
    ]


def _sysctls(wanted: BundleInput) -> dict[str, str]:
    """A namespace that others live in, too, keeps what it has unless something is asked."""
    own = {} if wanted.namespaces.network is None else _SYSCTLS
    return {**own, **wanted.sysctls}


def _root_propagation(mounts: Sequence[Bind | Tmpfs]) -> str:
    """What lets a mount that is shared with the host stay so; the runtime's default cuts it off."""
    asked = {mount.propagation.removeprefix("r") for mount in mounts if isinstance(mount, Bind)}
    return "shared" if "shared" in asked else "rslave" if "slave" in asked else ""


def _resources(wanted: BundleInput) -> dict[str, Any]:
    resources: dict[str, Any] = {"devices": _device_rules(wanted)}
    if memory := _memory(wanted):
        resources["memory"] = memory
    if cpu := _cpu(wanted.limits):
        resources["cpu"] = cpu
    if wanted.limits.pids_limit is not None:
        resources["pids"] = {"limit": wanted.limits.pids_limit}
    return resources


def _memory(wanted: BundleInput) -> dict[str, int]:
    limits = wanted.limits
    said = {"limit": limits.mem_limit, "swap": wanted.swap, "reservation": limits.mem_reservation}
    return {name: value for name, value in said.items() if value is not None}


def _cpu(limits: Limits) -> dict[str, int | str]:
    cpu: dict[str, int | str] = {}
    if limits.cpus is not None:
        cpu |= {"quota": round(limits.cpus * CPU_PERIOD), "period": CPU_PERIOD}
    if limits.cpu_shares is not None:
        cpu["shares"] = limits.cpu_shares
    if limits.cpuset is not None:
        cpu["cpus"] = limits.cpuset
    return cpu


def _device_rules(wanted: BundleInput) -> list[dict[str, Any]]:
    if wanted.privileged:
        return [{"allow": True, "access": "rwm"}]
    nodes = (node.rule for node in wanted.nodes)
    allowed = (*_DEVICES, *nodes, *wanted.device_rules)
    return [{"allow": False, "access": "rwm"}, *map(_device_rule, allowed)]


def _device_rule(rule: DeviceRule) -> dict[str, Any]:
    return (
        {"allow": True, "type": rule.kind, "access": rule.access}
        | ({} if rule.major is None else {"major": rule.major})
        | ({} if rule.minor is None else {"minor": rule.minor})
    )


def _node(node: Node) -> dict[str, Any]:
    return {
        "path": node.path,
        "type": node.rule.kind,
        "major": node.rule.major,
        "minor": node.rule.minor,
        "fileMode": node.mode,
        "uid": node.uid,
        "gid": node.gid,
    }


def _mounts(wanted: BundleInput) -> list[dict[str, Any]]:
    """The engine's own, then the user's by depth, so that none hides one below it.

    A user's mount takes the place of the engine's on the same target, except where that would
    open the host: /proc and /dev.
    """
    taken = {_checked(mount.target) for mount in wanted.mounts}
    return [
        *(mount for mount in _own(wanted) if mount["destination"] not in taken),
        *(_mount(mount) for mount in sorted(wanted.mounts, key=_depth)),
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
        usual = (word for word in ("nosuid", "nodev") if word[2:] not in mount.options)
        words = (*usual, *mode, *size, *mount.options)
        return _entry(target, "tmpfs", "tmpfs", *words)
    recursive = "bind" if mount.kind == "file" else "rbind"
    access = "ro" if mount.read_only else "rw"
    return _entry(target, "bind", mount.source, recursive, mount.propagation, access, *mount.kept)


def _entry(target: str, kind: str, source: str, *options: str) -> dict[str, Any]:
    return {"destination": target, "type": kind, "source": source, "options": list(options)}


def _own(wanted: BundleInput) -> tuple[dict[str, Any], ...]:
    kept = ("nosuid", "noexec", "nodev")
    access = "rw" if wanted.privileged else "ro"
    return (
        _entry("/proc", "proc", "proc", *kept),
        _entry("/dev", "tmpfs", "tmpfs", "nosuid", "strictatime", "mode=755", "size=65536k"),
        _entry(
            "/dev/pts", "devpts", "devpts",
            "nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5",
        ),
        _entry("/dev/shm", "tmpfs", "shm", *kept, "mode=1777", f"size={wanted.shm_size}"),
        _entry("/dev/mqueue", "mqueue", "mqueue", *kept),
        _entry("/sys", "sysfs", "sysfs", *kept, access),
        _entry("/sys/fs/cgroup", "cgroup", "cgroup", *kept, "relatime", access),
    )  # fmt: skip
