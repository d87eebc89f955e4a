"""Kernel parameters that a container may set: those that its own namespaces have."""

from collections.abc import Mapping
from pathlib import Path

from runtime.embedded.bundle.config import Namespaces
from runtime.errors import Fault

_OF_IPC = {
    "kernel.msgmax", "kernel.msgmnb", "kernel.msgmni", "kernel.sem", "kernel.shmall",
    "kernel.shmmax", "kernel.shmmni", "kernel.shm_rmid_forced",
}  # fmt: skip
_PER_INTERFACE = (".conf.", ".neigh.")


class SysctlRefused(Fault):
    """A parameter would change the host, or does not exist."""

    def __init__(self, name: str, container: str, cause: str) -> None:
        self.name, self.container = name, container
        super().__init__(
            f"{container} cannot set {name}",
            why=cause,
            hint=f"take {name} out of `sysctls:`, or set it for the whole host with sysctl -w",
        )


def check(sysctls: Mapping[str, str], namespaces: Namespaces, container: str) -> None:
    """Raises ``SysctlRefused``."""
    for name in sorted(sysctls):
        if cause := _objection(name, namespaces):
            raise SysctlRefused(name, container, cause)


def _objection(name: str, namespaces: Namespaces) -> str:
    name = name.replace("/", ".")
    if name == "kernel.hostname":
        return "`hostname:` says that"
    if name.startswith("net."):
        if namespaces.network is None:
            return "it has the host's network, so that would be set for the host"
    elif name == "kernel.domainname":
        if namespaces.uts is None:
            return "it has the host's names, so that would be set for the host"
    elif name in _OF_IPC or name.startswith("fs.mqueue."):
        if namespaces.ipc is None:
            return "it has the host's IPC namespace, so that would be set for the host"
    else:
        return "no namespace has it for itself, so that would be set for the host"
    if any(part in name for part in _PER_INTERFACE):
        return ""  # the interface is not there yet
    known = Path("/proc/sys", name.replace(".", "/")).exists()
    return "" if known else "this kernel has no such parameter"
