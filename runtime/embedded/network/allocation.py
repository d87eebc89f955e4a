"""Who gets which address: pure, over the ledger's rows.

An address that a service has is kept for as long as it is asked for, so that clients which
resolve once never notice an update.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from ipaddress import IPv4Address, IPv6Address
from typing import TypeVar

import msgspec
from msgspec import structs

from runtime.api import Attachment, ContainerKey, ContainerSpec, ServiceSpec
from runtime.embedded.ledger import ContainerRow, NetworkRow, Place, ServiceRow, State
from runtime.embedded.linux.rtnetlink import Address, Subnet
from runtime.embedded.network.subnets import network_of
from runtime.embedded.router import addresses
from runtime.errors import Fault


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
        (network_of(state, spec.project, each.network).id, address): spec.name
        for spec in services
        for each in spec.networks
        for address in _asked(each)
    }
    projects = {spec.project for spec in services}
    found = []
    for (owner, name), row in state.services.items():
        held: list[tuple[int, Address]] = [*row.addresses.items(), *row.addresses6.items()]
        ids = {id for id, a in held if wanted.get((id, a), name) != name}
        ids -= _fixed(state, row.spec)
        if owner in projects and ids:
            four = {id: a for id, a in row.addresses.items() if id not in ids}
            six = {id: a for id, a in row.addresses6.items() if id not in ids}
            found.append(structs.replace(row, addresses=four, addresses6=six))
    return tuple(found)


def fitting(state: State, project: str, networks: Sequence[Attachment]) -> tuple[Attachment, ...]:
    """Without fixed addresses that their network does not hold any more: it has another subnet,
    and who asked for them will soon ask for others."""
    return tuple(_fitting(network_of(state, project, each.network), each) for each in networks)


def _fitting(network: NetworkRow, each: Attachment) -> Attachment:
    four, six = each.ipv4_address, each.ipv6_address
    held = network.subnet6
    return structs.replace(
        each,
        ipv4_address=four if four and IPv4Address(four) in network.subnet else None,
        ipv6_address=six if six and held and IPv6Address(six) in held else None,
    )


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
    stable = set() if service is None else set(_at(network, service))
    used = (*taken, *_of_generations(state, network, key), *stable)
    old = None if kept is None or kept.address in stable else kept.address
    old6 = None if kept is None or kept.address6 in stable else kept.address6
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


def _asked(attachment: Attachment) -> Iterator[Address]:
    if attachment.ipv4_address is not None:
        yield IPv4Address(attachment.ipv4_address)
    if attachment.ipv6_address is not None:
        yield IPv6Address(attachment.ipv6_address)


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


def _of_generations(state: State, network: NetworkRow, key: ContainerKey) -> set[Address]:
    """Addresses of the generations of a container."""
    rows = (row for row in state.containers.values() if row.key == key)
    return {address for row in rows for address in _at(network, row)}


def _at(network: NetworkRow, row: ServiceRow | ContainerRow) -> Iterator[Address]:
    if network.id in row.addresses:
        yield row.addresses[network.id]
    if network.id in row.addresses6:
        yield row.addresses6[network.id]
