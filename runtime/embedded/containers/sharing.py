"""Namespaces that containers share: whose they are, and the paths by which an OCI runtime joins.

A process's namespaces end with it, so the configuration of who joins names links in its own
bundle, which are set anew before each start (``process.joining``). Network namespaces are bound
and outlive processes: they are named directly.
"""

from collections.abc import Iterator
from pathlib import Path

from runtime.api import ContainerKey, ContainerSpec
from runtime.embedded import cgroups
from runtime.embedded.bundle.config import Namespaces
from runtime.embedded.ledger import ContainerRow, State
from runtime.embedded.paths import Paths
from runtime.embedded.process.joining import link
from runtime.errors import Fault

_SERVICE = "service:"


class NobodyToJoin(Fault):
    """A container whose namespaces shall be shared is not there."""

    def __init__(self, container: str, name: str) -> None:
        self.container, self.name = container, name
        super().__init__(
            f"{container} cannot be created",
            why=f"it shall live in the namespaces of {name}, which is not there",
            hint=f"create {name} first: `depends_on: [{name}]` gives the order",
        )


class NotShareable(Fault):
    """The other container keeps its IPC namespace for itself."""

    def __init__(self, container: str, name: str) -> None:
        self.container, self.name = container, name
        super().__init__(
            f"{container} cannot be created",
            why=f"it shall share the IPC namespace of {name}, which keeps that for itself",
            hint=f"set `ipc: shareable` on {name}",
        )


def joined(state: State, key: ContainerKey, spec: ContainerSpec) -> dict[str, str]:
    """The generations that a new one will live with, by container: the newest whole ones.

    Raises ``NobodyToJoin`` and ``NotShareable``."""
    found = {name: _newest(state, key, name) for name in spec.shares}
    if spec.ipc.startswith(_SERVICE):
        name = spec.ipc.removeprefix(_SERVICE)
        if not found[name].spec.ipc.startswith(("shareable", "host", _SERVICE)):
            raise NotShareable(str(key), name)
    return {name: row.id for name, row in found.items()}


def _newest(state: State, key: ContainerKey, name: str) -> ContainerRow:
    rows = [
        row
        for row in state.containers.values()
        if (row.key.project, row.key.name) == (key.project, name) and row.whole
    ]
    if not rows:
        raise NobodyToJoin(str(key), name)
    return max(rows, key=lambda row: (-row.key.replica, row.generation))


def owner(state: State, row: ContainerRow, kind: str) -> ContainerRow:
    """Whose namespace of a ``kind`` (a field of ContainerSpec) it lives in, in the end: maybe its
    own. Raises ``NobodyToJoin`` when that one was removed."""
    mode: str = getattr(row.spec, kind)
    if not mode.startswith(_SERVICE):
        return row
    name = mode.removeprefix(_SERVICE)
    other = state.containers.get(row.shares.get(name, ""))
    if other is None:
        raise NobodyToJoin(str(row.key), name)
    return owner(state, other, kind)


def namespaces(state: State, row: ContainerRow, paths: Paths, kind: cgroups.Kind) -> Namespaces:
    """Where it lives, as the OCI runtime is told."""
    spec, network = row.spec, owner(state, row, "network_mode")
    bundle = paths.bundle(row.id)
    return Namespaces(
        network=None if network.spec.network_mode == "host" else str(paths.namespace(network.id)),
        pid=_of_process(state, row, "pid", bundle),
        ipc=_of_process(state, row, "ipc", bundle),
        uts=None if spec.uts == "host" else "",
        cgroup=_own_cgroup(spec.cgroup, kind),
    )


def _of_process(state: State, row: ContainerRow, kind: str, bundle: Path) -> str | None:
    whose = owner(state, row, kind)
    if getattr(whose.spec, kind) == "host":
        return None
    return "" if whose is row else str(link(bundle, kind))


def _own_cgroup(asked: str, kind: cgroups.Kind) -> str | None:
    """On v1 a cgroup namespace would only hide paths, so there it is not the default."""
    own = asked == "private" or (asked != "host" and kind is cgroups.Kind.V2)
    return "" if own else None


def joins(state: State, row: ContainerRow, paths: Paths) -> tuple[tuple[str, Path], ...]:
    """The namespaces of processes that it joins, and the bundles of those."""
    return tuple(_joins(state, row, paths))


def _joins(state: State, row: ContainerRow, paths: Paths) -> Iterator[tuple[str, Path]]:
    for kind in ("pid", "ipc"):
        whose = owner(state, row, kind)
        if whose is not row and getattr(whose.spec, kind) != "host":
            yield kind, paths.bundle(whose.id)
