"""Who gets which address and which host port: pure, over the ledger's rows.

An address or port that a service has is kept for as long as it is asked for, so that clients
which resolve once never notice an update, and a port picked once stays.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import TypeVar

import msgspec
from msgspec import structs

from runtime.api import Attachment, ContainerKey, ContainerSpec, NetworkSpec, PortSpec, ServiceSpec
from runtime.embedded.ledger import ContainerRow, NetworkRow, Place, ServiceRow, State
from runtime.embedded.router import addresses
from runtime.embedded.router.wiring import Pool
from runtime.errors import Fault

Address = IPv4Address | IPv6Address
Subnet = IPv4Network | IPv6Network
FreePort = Callable[[PortSpec, Sequence[range]], int]


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

    def __init__(self, subnet: Subnet, other: str) -> None:
        self.subnet, self.other = subnet, other
        super().__init__(
            f"subnet {subnet} cannot be used",
            why=f"it overlaps with {other}",
            hint="choose another `subnet:`, or leave it out and one is picked",
        )


class ExternalMissing(Fault):
    """A network that should be another project's is nobody's."""

    def __init__(self, spec: NetworkSpec) -> None:
        super().__init__(
            f"project {spec.project} cannot use the external network {spec.name}",
            why=f"no project has a network that is known as {spec.known_as}",
            hint="apply the project that has it first, or correct its `name:`",
        )


class NetworkInUse(Fault):
    """A network cannot go while somebody is in it."""

    def __init__(self, network: str, users: Sequence[str]) -> None:
        self.users = users
        super().__init__(
            f"network {network} cannot be removed",
            why=f"{', '.join(users)} {'are' if len(users) > 1 else 'is'} in it",
            hint="take those down first, or keep the network",
        )


class AddressTaken(Fault):
    """A fixed address belongs to somebody else."""

    def __init__(self, address: Address, wanted_by: str, holder: str) -> None:
        self.address, self.holder = address, holder
        super().__init__(
            f"{wanted_by} cannot have the address {address}",
            why=f"{holder} has it",
            hint="choose another address, or take that one down",
        )


class AddressOutside(Fault):
    """A fixed address is none that a container of the network can have."""

    def __init__(self, address: Address, wanted_by: str, subnet: Subnet | None) -> None:
        self.address = address
        why = f"it is no address for containers in its network, {subnet}"
        super().__init__(
            f"{wanted_by} cannot have the address {address}",
            why=why if subnet else "its network has no IPv6",
            hint="choose an address of the network's subnet, or give the network a `subnet:`",
        )


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """Addresses of both families, by network id."""

    v4: dict[int, IPv4Address] = {}
    v6: dict[int, IPv6Address] = {}


def network_of(state: State, project: str, name: str) -> NetworkRow:
    row = state.network_of(project, name)
    if row is None:
        raise UnknownNetwork(project, name)
    return row


def subnet(
    state: State, pool: Pool, spec: NetworkSpec, host_routes: Mapping[IPv4Network, str]
) -> IPv4Network:
    """The subnet of a network: the one asked for if nobody has it, else the one that it has, else
    a free one. Raises ``SubnetTaken``."""
    row = state.networks.get((spec.project, spec.name))
    asked = None if spec.subnet is None else IPv4Network(spec.subnet)
    if row is not None and asked in (None, row.subnet):
        return row.subnet
    owners = {r.subnet: f"network {r.spec.known_as}" for r in _others(state, spec)}
    if asked is None:
        # A wider route than the pool leads elsewhere but for what is ours: no subnet would help.
        inside = (route for route in host_routes if route.subnet_of(pool.pool))
        return addresses.pick_subnet(pool, (*owners, *inside))
    _refuse_overlap(asked, owners.items())
    _refuse_overlap(asked, ((r, f"the host's route to {r}") for r in host_routes))
    uplink = IPv4Network((int(pool.uplink_host) & ~3, 30))
    _refuse_overlap(asked, [(uplink, "the router's own addresses")])
    return asked


def subnet6(state: State, pool: Pool, spec: NetworkSpec) -> IPv6Network | None:
    """The same of IPv6; None for a network without."""
    if not spec.ipv6 and spec.subnet6 is None:
        return None
    row = state.networks.get((spec.project, spec.name))
    asked = None if spec.subnet6 is None else IPv6Network(spec.subnet6)
    if row is not None and row.subnet6 is not None and asked in (None, row.subnet6):
        return row.subnet6
    owners = {r.subnet6: f"network {r.spec.known_as}" for r in _others(state, spec) if r.subnet6}
    assert pool.pool6 is not None
    if asked is None:
        return addresses.pick_subnet6(pool.pool6, tuple(owners))
    _refuse_overlap(asked, owners.items())
    return asked


def _others(state: State, spec: NetworkSpec) -> list[NetworkRow]:
    own = (spec.project, spec.name)
    return [row for key, row in state.networks.items() if key != own]


def _refuse_overlap(asked: Subnet, taken: Iterable[tuple[Subnet, str]]) -> None:
    for other, owner in taken:
        if asked.overlaps(other):
            raise SubnetTaken(asked, owner)


def refuse_in_use(state: State, project: str, name: str) -> None:
    """Raises ``NetworkInUse`` while services or containers, of other projects too, are in it."""
    row = state.networks.get((project, name))
    if row is None:
        return
    services = {f"{p}/{n}" for (p, n), s in state.services.items() if row.id in s.addresses}
    containers = (c for c in state.containers.values() if row.id in c.addresses)
    users = services | {f"{c.key.project}/{c.key.name}" for c in containers}
    if users:
        raise NetworkInUse(row.spec.known_as, sorted(users))


def service_addresses(state: State, spec: ServiceSpec) -> Held:
    """One address per network of the service and family; what it has it keeps. A fixed one is
    that of its container. Raises ``AddressTaken``, ``AddressOutside`` and ``SubnetFull``."""
    row = state.services.get((spec.project, spec.name))
    fixed_before = set() if row is None else _fixed(state, row.spec)
    v4: dict[int, IPv4Address] = {}
    v6: dict[int, IPv6Address] = {}
    for each in spec.networks:
        network = network_of(state, spec.project, each.network)
        taken = _taken(state, network, spec.project, spec.name)
        kept = {} if row is None or network.id in fixed_before else row.addresses
        kept6 = {} if row is None or network.id in fixed_before else row.addresses6
        v4[network.id] = (
            _fixed4(each, network, spec.name, taken)
            or _still(kept.get(network.id), network.subnet, taken)
            or addresses.pick_service(network.subnet, tuple(taken))
        )
        if network.subnet6 is not None:
            v6[network.id] = (
                _fixed6(each, network, spec.name, taken)
                or _still(kept6.get(network.id), network.subnet6, taken)
                or addresses.pick_service(network.subnet6, tuple(taken))
            )
        elif each.ipv6_address:
            raise AddressOutside(IPv6Address(each.ipv6_address), spec.name, None)
    return Held(v4=v4, v6=v6)


def without_addresses(state: State, services: Sequence[ServiceSpec]) -> tuple[ServiceRow, ...]:
    """Rows of the same project that must let go of an address that was picked for them, because
    ``services`` ask for it by number."""
    wanted = {
        (network_of(state, spec.project, each.network).id, ip_address(text)): spec.name
        for spec in services
        for each in spec.networks
        for text in (each.ipv4_address, each.ipv6_address)
        if text is not None
    }
    projects = {spec.project for spec in services}
    found = []
    for (owner, name), row in state.services.items():
        picked = {*row.addresses.items(), *row.addresses6.items()}
        ids = {id for id, a in picked if wanted.get((id, a), name) != name}
        ids -= _fixed(state, row.spec)
        if owner in projects and ids:
            four = {id: a for id, a in row.addresses.items() if id not in ids}
            six = {id: a for id, a in row.addresses6.items() if id not in ids}
            found.append(structs.replace(row, addresses=four, addresses6=six))
    return tuple(found)


def places(
    state: State,
    key: ContainerKey,
    spec: ContainerSpec,
    kept: Sequence[Place],
    next_serial: Callable[[], int],
) -> tuple[Place, ...]:
    """Where a generation is in each of its networks; nowhere with another network mode.

    What it has (``kept``) it keeps, a new network takes the lowest free interface, and an address
    that was just freed is not given out soon."""
    attachments = () if spec.network_mode else spec.networks
    networks = {network_of(state, key.project, each.network).id: each for each in attachments}
    has = {place.network: place for place in kept if place.network in networks}
    free = iter(sorted(set(range(len(kept) + len(networks))) - {p.index for p in has.values()}))
    seated = []
    for id, each in networks.items():
        network, place = state.network_by_id(id), has.get(id)
        index = next(free) if place is None else place.index
        serial = next_serial() if place is None else place.serial
        seated.append(_place(state, key, each, network, place, index, serial))
    return tuple(sorted(seated, key=lambda place: place.index))


def _place(
    state: State,
    key: ContainerKey,
    attachment: Attachment,
    network: NetworkRow,
    kept: Place | None,
    index: int,
    serial: int,
) -> Place:
    taken = _taken(state, network, key.project, key.name, key.replica)
    # Its service's own address is the container's only while it is a fixed one.
    service = state.services.get((key.project, key.name))
    own = () if service is None else (service.addresses, service.addresses6)
    stable = {str(each[network.id]) for each in own if network.id in each}
    busy = {**taken, **_of_generations(state, network, key)}
    used = (*busy, *(ip_address(text) for text in stable))
    old = None if kept is None or str(kept.address) in stable else kept.address
    old6 = None if kept is None or str(kept.address6) in stable else kept.address6
    six: IPv6Address | None = None
    if network.subnet6 is not None:
        six = (
            _fixed6(attachment, network, str(key), taken)
            or _still(old6, network.subnet6, taken)
            or addresses.pick_generation(network.subnet6, used, network.last_address6)
        )
    return Place(
        network=network.id,
        index=index,
        serial=serial,
        address=_fixed4(attachment, network, str(key), taken)
        or _still(old, network.subnet, taken)
        or addresses.pick_generation(network.subnet, used, network.last_address),
        address6=six,
    )


def _fixed(state: State, spec: ServiceSpec) -> set[int]:
    """The networks in which a service has a fixed address."""
    rows = (state.network_of(spec.project, a.network) for a in spec.networks if a.fixed)
    return {row.id for row in rows if row is not None}


def _fixed4(
    attachment: Attachment, network: NetworkRow, name: str, taken: Mapping[Address, str]
) -> IPv4Address | None:
    if attachment.ipv4_address is None:
        return None
    address = IPv4Address(attachment.ipv4_address)
    last = network.subnet.broadcast_address
    if address not in network.subnet or address in (network.subnet.network_address, last):
        raise AddressOutside(address, name, network.subnet)
    _refuse_taken(address, name, taken)
    return address


def _fixed6(
    attachment: Attachment, network: NetworkRow, name: str, taken: Mapping[Address, str]
) -> IPv6Address | None:
    if attachment.ipv6_address is None or network.subnet6 is None:
        return None
    address = IPv6Address(attachment.ipv6_address)
    if address not in network.subnet6 or address == network.subnet6.network_address:
        raise AddressOutside(address, name, network.subnet6)
    _refuse_taken(address, name, taken)
    return address


def _refuse_taken(address: Address, name: str, taken: Mapping[Address, str]) -> None:
    if address in taken:
        raise AddressTaken(address, name, taken[address])


AnyAddress = TypeVar("AnyAddress", IPv4Address, IPv6Address)


def _still(
    kept: AnyAddress | None, subnet: Subnet, taken: Mapping[Address, str]
) -> AnyAddress | None:
    """An address that can be kept."""
    return kept if kept is not None and kept in subnet and kept not in taken else None


def _taken(
    state: State, network: NetworkRow, project: str, name: str, replica: int | None = None
) -> dict[Address, str]:
    """Addresses of the network that others have, with names for people: all but those of the
    service and its generations, or of one replica's generations."""
    held: dict[Address, str] = {network.gateway: "the gateway"}
    if network.subnet6 is not None:
        held[network.subnet6[1]] = "the gateway"
    for (owner, each), row in state.services.items():
        if (owner, each) != (project, name):
            held |= dict.fromkeys(_at(network, row), f"{owner}/{each}")
    for container in state.containers.values():
        key = container.key
        own = (key.project, key.name) == (project, name) and replica in (None, key.replica)
        if not own:
            held |= dict.fromkeys(_at(network, container), str(key))
    return held


def _of_generations(state: State, network: NetworkRow, key: ContainerKey) -> dict[Address, str]:
    """Addresses of the other generations of the same container."""
    rows = (row for row in state.containers.values() if row.key == key)
    return {address: str(key) for row in rows for address in _at(network, row)}


def _at(network: NetworkRow, row: ServiceRow | ContainerRow) -> Iterator[Address]:
    if network.id in row.addresses:
        yield row.addresses[network.id]
    if network.id in row.addresses6:
        yield row.addresses6[network.id]


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
