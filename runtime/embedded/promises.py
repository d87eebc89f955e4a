"""From the ledger's rows to the network that they promise: pure."""

from ipaddress import IPv4Address

from runtime.embedded.ledger import ContainerRow, NetworkRow, ServiceRow, State
from runtime.embedded.paths import Paths
from runtime.embedded.router.wiring import Link, NetworkWire, Pool, PortWire, ServiceWire, Wiring


def wiring(state: State) -> Wiring | None:
    """All networks, services and ports of the instance; None before the first project."""
    if state.pool is None:
        return None
    return Wiring(
        pool=Pool(pool=state.pool[0], shadow=state.pool[1]),
        networks=tuple(network_wire(row) for row in state.networks.values()),
        services=tuple(
            wire for row in state.services.values() for wire in _service_wires(row, state)
        ),
        ports=tuple(wire for row in state.services.values() for wire in _port_wires(row)),
    )


def network_wire(row: NetworkRow) -> NetworkWire:
    return NetworkWire(
        id=row.id,
        project=row.spec.project,
        name=row.spec.name,
        subnet=row.subnet,
        gateway=row.gateway,
    )


def links(
    state: State, row: ContainerRow, paths: Paths, pid: int | None = None
) -> tuple[Link, ...]:
    """The links that a generation shall have, one per network; ``pid`` is its process, if any."""
    return tuple(
        Link(
            container=row.id,
            namespace=paths.namespace(row.id),
            serial=row.serial,
            address=address,
            network=network_wire(state.network_by_id(network)),
            index=index,
            pid=pid,
        )
        for index, (network, address) in enumerate(row.addresses.items())
    )


def _service_wires(row: ServiceRow, state: State) -> list[ServiceWire]:
    return [
        ServiceWire(
            project=row.spec.project,
            name=row.spec.name,
            network_id=network,
            address=address,
            names=(row.spec.name, *row.spec.aliases),
            targets=_targets(row, network, state),
        )
        for network, address in row.addresses.items()
    ]


def _targets(row: ServiceRow, network: int, state: State) -> tuple[IPv4Address, ...]:
    generations = (state.containers[id] for id in row.targets if id in state.containers)
    return tuple(
        generation.addresses[network]
        for generation in generations
        if network in generation.addresses
    )


def _port_wires(row: ServiceRow) -> list[PortWire]:
    """Published ports lead to the service's address on its first network."""
    if not row.addresses:
        return []
    address = row.addresses[min(row.addresses)]
    return [
        PortWire(
            host_ip=port.host_ip,
            host_port=host_port,
            protocol=port.protocol,
            address=address,
            container_port=port.container_port,
            count=port.count,
        )
        for port, host_port in row.ports
    ]
