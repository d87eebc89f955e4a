"""Who gets which address and which host port: pure, over the ledger's rows.

An address or port that a service has is kept for as long as it is asked for, so that clients
which resolve once never notice an update, and a port picked once stays.
"""

from collections.abc import Callable, Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network

from msgspec import structs

from runtime.api import PortSpec, ServiceSpec
from runtime.embedded.ledger import NetworkRow, ServiceRow, State
from runtime.embedded.router import addresses
from runtime.embedded.router.wiring import Pool
from runtime.errors import Fault

FreePort = Callable[[str | None, str], int]


class UnknownNetwork(Fault):
    """A service names a network that its project does not have."""

    def __init__(self, project: str, network: str) -> None:
        super().__init__(
            f"project {project} has no network {network}",
            why="it was not created, or removed by hand",
            hint="trueup apply",
        )


class SubnetTaken(Fault):
    """A declared subnet overlaps with another one."""

    def __init__(self, subnet: IPv4Network, other: str) -> None:
        self.subnet, self.other = subnet, other
        super().__init__(
            f"subnet {subnet} cannot be used",
            why=f"it overlaps with {other}",
            hint="choose another `subnet:`, or leave it out and one is picked",
        )


def network_of(state: State, project: str, name: str) -> NetworkRow:
    row = state.networks.get((project, name))
    if row is None:
        raise UnknownNetwork(project, name)
    return row


def subnet(
    state: State, pool: Pool, wanted: str | None, host_routes: Sequence[IPv4Network]
) -> IPv4Network:
    """The subnet of a new network: the one asked for if nobody has it, else a free one."""
    owners = {row.subnet: f"project {row.spec.project}" for row in state.networks.values()}
    if wanted is None:
        return addresses.pick_subnet(pool, tuple(owners))
    asked = IPv4Network(wanted)
    for taken, owner in owners.items():
        if asked.overlaps(taken):
            raise SubnetTaken(asked, owner)
    for route in host_routes:
        if asked.overlaps(route) and not route.overlaps(pool.pool):
            raise SubnetTaken(asked, f"the host's route to {route}")
    return asked


def service_addresses(state: State, spec: ServiceSpec) -> dict[int, IPv4Address]:
    """One address per network of the service; what it has it keeps."""
    row = state.services.get((spec.project, spec.name))
    kept = {} if row is None else row.addresses
    chosen: dict[int, IPv4Address] = {}
    for each in spec.networks:
        network = network_of(state, spec.project, each.network)
        chosen[network.id] = kept.get(network.id) or addresses.pick_service(
            network.subnet, _addresses_on(state, network.id)
        )
    return chosen


def generation_addresses(
    state: State, project: str, networks: Iterable[str]
) -> dict[int, IPv4Address]:
    """Fresh addresses for a generation; one that was just freed is not given out soon."""
    chosen: dict[int, IPv4Address] = {}
    for name in networks:
        network = network_of(state, project, name)
        chosen[network.id] = addresses.pick_generation(
            network.subnet, _addresses_on(state, network.id), network.last_address
        )
    return chosen


def _addresses_on(state: State, network: int) -> frozenset[IPv4Address]:
    held = (
        *(row.addresses for row in state.services.values()),
        *(row.addresses for row in state.containers.values()),
    )
    return frozenset(each[network] for each in held if network in each)


def host_ports(
    state: State, spec: ServiceSpec, free_port: FreePort
) -> tuple[tuple[PortSpec, int], ...]:
    """The host port of each published port: as asked, as it was, or a free one."""
    row = state.services.get((spec.project, spec.name))
    kept = {} if row is None else dict(row.ports)
    return tuple(
        (port, port.host_port or kept.get(port) or free_port(port.host_ip, port.protocol))
        for port in spec.ports
    )


def claimant(state: State, project: str, port: PortSpec) -> str | None:
    """Which service of another project was promised this host port, as a name for people.

    Within a project the spec decides, see ``without_ports``.
    """
    for (owner, name), row in state.services.items():
        if owner != project and any(
            host_port == port.host_port and _overlap(other, port) for other, host_port in row.ports
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
    return any(
        other != name and host_port == each.host_port and _overlap(port, each)
        for other, each in wanted
    )


def _overlap(one: PortSpec, other: PortSpec) -> bool:
    if one.protocol != other.protocol:
        return False
    return one.host_ip is None or other.host_ip is None or one.host_ip == other.host_ip
