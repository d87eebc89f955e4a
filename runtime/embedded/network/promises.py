"""From the ledger's rows to the network that they promise: pure."""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address

from runtime.api import Attachment
from runtime.embedded.ledger import ContainerRow, NetworkRow, ServiceRow, State
from runtime.embedded.paths import Paths
from runtime.embedded.router.addresses import generations
from runtime.embedded.router.wiring import (
    AskerWire,
    Link,
    NetworkWire,
    Pool,
    PortWire,
    ServiceWire,
    Wiring,
)


def wiring(state: State) -> Wiring | None:
    """All networks, services and ports of the instance; None before the first project."""
    if state.pool is None:
        return None
    return Wiring(
        pool=Pool(pool=state.pool[0], shadow=state.pool[1], ula=state.ula),
        networks=tuple(network_wire(row) for row in state.networks.values()),
        services=tuple(
            wire for row in state.services.values() for wire in _service_wires(row, state)
        ),
        ports=tuple(wire for row in state.services.values() for wire in _port_wires(row, state)),
        askers=tuple(_asker(row, state) for row in state.containers.values() if _apart(row, state)),
    )


def network_wire(row: NetworkRow) -> NetworkWire:
    return NetworkWire(
        id=row.id,
        project=row.spec.project,
        name=row.spec.name,
        subnet=row.subnet,
        gateway=row.gateway,
        subnet6=row.subnet6,
        internal=row.spec.internal,
    )


def way_out(state: State, project: str, attachments: Sequence[Attachment]) -> int | None:
    """The network (its id) by which a container leaves and is published: of those that are not
    internal the first one with the highest priority; None when all are internal."""
    known = ((each, state.network_of(project, each.network)) for each in attachments)
    open_ = [(each, row) for each, row in known if row is not None and not row.spec.internal]
    best = max(open_, key=lambda pair: pair[0].gw_priority, default=None)
    return None if best is None else best[1].id


def links(
    state: State, row: ContainerRow, paths: Paths, pid: int | None = None
) -> tuple[Link, ...]:
    """The links that a generation shall have, one per network; ``pid`` is its process, if any."""
    leads = way_out(state, row.key.project, row.spec.networks)
    return tuple(
        Link(
            container=row.id,
            namespace=paths.namespace(row.id),
            serial=place.serial,
            address=place.address,
            address6=place.address6,
            network=network_wire(state.network_by_id(place.network)),
            index=place.index,
            way_out=place.network == leads,
            pid=pid,
        )
        for place in row.places
    )


def _apart(row: ContainerRow, state: State) -> bool:
    """Whether DNS has to know the generation itself: the others of a network share a line, which
    has all addresses that are picked."""
    if row.spec.dns and row.places:
        return True
    subnets = ((p.address, state.network_by_id(p.network).subnet) for p in row.places)
    return len(row.places) > 1 or any(int(a) not in generations(s) for a, s in subnets)


def _asker(row: ContainerRow, state: State) -> AskerWire:
    return AskerWire(
        container=row.id,
        addresses=tuple(row.addresses.items()),
        name_servers=row.spec.dns,
        way_out=way_out(state, row.key.project, row.spec.networks) is not None,
    )


def _service_wires(row: ServiceRow, state: State) -> list[ServiceWire]:
    return [
        ServiceWire(
            project=row.spec.project,
            name=row.spec.name,
            network_id=network,
            address=address,
            address6=row.addresses6.get(network),
            names=_names(row, network, state),
            targets=_targets(row, network, state),
            targets6=_targets6(row, network, state),
        )
        for network, address in row.addresses.items()
    ]


def _names(row: ServiceRow, network: int, state: State) -> tuple[str, ...]:
    """Its name and its aliases, those of the network included, and the names of containers."""
    spec = row.spec
    here = (
        alias
        for each in spec.networks
        if (found := state.network_of(spec.project, each.network)) and found.id == network
        for alias in each.aliases
    )
    of_containers = (g.spec.container_name for g in _generations(row, state))
    given = (name for name in of_containers if name is not None)
    return tuple(dict.fromkeys((spec.name, *spec.aliases, *here, *given)))


def _generations(row: ServiceRow, state: State) -> list[ContainerRow]:
    return [state.containers[id] for id in row.targets if id in state.containers]


def _targets(row: ServiceRow, network: int, state: State) -> tuple[IPv4Address, ...]:
    found = (generation.addresses.get(network) for generation in _generations(row, state))
    return tuple(address for address in found if address is not None)


def _targets6(row: ServiceRow, network: int, state: State) -> tuple[IPv6Address, ...]:
    found = (generation.addresses6.get(network) for generation in _generations(row, state))
    return tuple(address for address in found if address is not None)


def _port_wires(row: ServiceRow, state: State) -> list[PortWire]:
    """Published ports lead to the service's address in the network that leads out of it."""
    leads = way_out(state, row.spec.project, row.spec.networks)
    address = None if leads is None else row.addresses.get(leads)
    if leads is None or address is None:
        return []
    return [
        PortWire(
            host_ip=port.host_ip,
            host_port=host_port,
            protocol=port.protocol,
            address=address,
            address6=row.addresses6.get(leads),
            container_port=port.container_port,
            count=port.count,
        )
        for port, host_port in row.ports
    ]
