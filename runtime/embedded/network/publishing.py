"""Who gets which host port: pure, over the ledger's rows. A port picked once stays."""

from collections.abc import Callable, Sequence

from msgspec import structs

from runtime.api import PortSpec, ServiceSpec
from runtime.embedded.ledger import ServiceRow, State

FreePort = Callable[[PortSpec, Sequence[range]], int]


def host_ports(
    state: State, spec: ServiceSpec, beside: Sequence[ServiceSpec], free_port: FreePort
) -> tuple[tuple[PortSpec, int], ...]:
    """The host port of each published port: as asked, as it was, or a free one that neither is
    promised nor asked for by the services ``beside`` it."""
    row = state.services.get((spec.project, spec.name))
    kept = {} if row is None else dict(row.ports)
    found: list[tuple[PortSpec, int]] = []
    for port in spec.ports:
        promised = (
            *(pair for row in state.services.values() for pair in row.ports),
            *((each, each.host_port) for one in (spec, *beside) for each in one.ports),
            *found,
        )
        numbers = [
            range(number, number + each.count)
            for each, number in promised
            if number and each.protocol == port.protocol
        ]
        found.append((port, port.host_port or kept.get(port) or free_port(port, numbers)))
    return tuple(found)


def claimant(state: State, project: str, port: PortSpec) -> str | None:
    """Which service of another project was promised this host port, as a name for people.

    Within a project the spec decides, see ``without_ports``.
    """
    for (owner, name), row in state.services.items():
        if owner != project and any(
            _overlap(other, host_port, port) for other, host_port in row.ports
        ):
            return f"{owner}/{name}"
    return None


def without_ports(
    state: State, project: str, services: Sequence[ServiceSpec]
) -> tuple[ServiceRow, ...]:
    """Rows of the project that must let go of a port because ``services`` have it from now on."""
    wanted = [(spec.name, port) for spec in services for port in spec.ports if port.host_port]
    return tuple(
        structs.replace(row, ports=kept)
        for (owner, name), row in state.services.items()
        if owner == project
        and (kept := tuple(each for each in row.ports if not _wanted(name, each, wanted)))
        != row.ports
    )


def _wanted(name: str, held: tuple[PortSpec, int], wanted: Sequence[tuple[str, PortSpec]]) -> bool:
    """Whether another service than ``name`` wants the port that it holds."""
    port, host_port = held
    return any(other != name and _overlap(port, host_port, each) for other, each in wanted)


def _overlap(held: PortSpec, host_port: int, wanted: PortSpec) -> bool:
    """Whether what is held from ``host_port`` on has a port in common with what is wanted."""
    if wanted.host_port is None or held.protocol != wanted.protocol:
        return False
    if not -held.count < host_port - wanted.host_port < wanted.count:
        return False
    one, other = held.host_ip or "", wanted.host_ip or ""
    if one == other or "" in (one, other):
        return True
    return (":" in one) == (":" in other) and bool({one, other} & {"0.0.0.0", "::"})
