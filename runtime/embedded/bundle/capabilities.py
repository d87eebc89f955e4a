"""Which capabilities a container gets, capabilities(7)."""

from collections.abc import Iterable, Sequence

from runtime.errors import Fault

# In the kernel's order: the position is the bit, linux/capability.h.
KNOWN = (
    "CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID",
    "SETPCAP", "LINUX_IMMUTABLE", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW",
    "IPC_LOCK", "IPC_OWNER", "SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT", "SYS_PTRACE", "SYS_PACCT",
    "SYS_ADMIN", "SYS_BOOT", "SYS_NICE", "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD",
    "LEASE", "AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP", "MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG",
    "WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ", "PERFMON", "BPF", "CHECKPOINT_RESTORE",
)  # fmt: skip

# What Docker gives: enough for usual servers, nothing over the host.
DEFAULT = frozenset(
    {
        "AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD",
        "NET_BIND_SERVICE", "NET_RAW", "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT",
    }
)  # fmt: skip


class UnknownCapability(Fault):
    """``cap_add`` or ``cap_drop`` names what no kernel knows."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(
            f"{name} is no capability",
            hint="see capabilities(7); write names without CAP_, or ALL",
        )


class CapabilityUnavailable(Fault):
    """``cap_add`` asks for what we do not have ourselves and so cannot give."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(
            f"capability {name} cannot be given",
            why="this process, or this machine, was started without it",
            hint=f"take {name} out of cap_add",
        )


def resolve(add: Sequence[str], drop: Sequence[str], available: frozenset[str]) -> tuple[str, ...]:
    """The effective set, as ``CAP_`` names in the kernel's order.

    Docker's rules: ``ALL`` in ``add`` gives everything available but what ``drop`` names, else
    ``ALL`` in ``drop`` leaves what ``add`` names; of a name in both, ``add`` wins. A default
    that is not ``available`` is left out, one asked for by name raises
    ``CapabilityUnavailable``.
    """
    added, dropped = _names(add), _names(drop)
    named = added - {"ALL"}
    if missing := sorted(named - available):
        raise CapabilityUnavailable(missing[0])
    if "ALL" in added:
        given = frozenset(KNOWN) - dropped
    elif "ALL" in dropped:
        given = named
    else:
        given = (DEFAULT - dropped) | named
    return tuple(f"CAP_{name}" for name in KNOWN if name in given & available)


def from_mask(mask: int) -> frozenset[str]:
    """The names in a mask such as CapBnd of proc_pid_status(5)."""
    return frozenset(name for bit, name in enumerate(KNOWN) if mask >> bit & 1)


def _names(written: Iterable[str]) -> frozenset[str]:
    names = frozenset(name.upper().removeprefix("CAP_") for name in written)
    if unknown := sorted(names - {"ALL", *KNOWN}):
        raise UnknownCapability(unknown[0])
    return names
