"""The rows of the ledger as values, and all of them as one snapshot."""

from ipaddress import IPv4Address, IPv4Network

import msgspec

from runtime.api import ContainerKey, ContainerSpec, NetworkSpec, PortSpec, ServiceSpec


class NetworkRow(msgspec.Struct, frozen=True, kw_only=True):
    id: int
    spec: NetworkSpec
    subnet: IPv4Network
    gateway: IPv4Address
    last_address: IPv4Address | None


class ServiceRow(msgspec.Struct, frozen=True, kw_only=True):
    """``addresses`` by network id; ``ports`` pairs of what was asked and the host port it got;
    ``targets`` ids of generations."""

    spec: ServiceSpec
    addresses: dict[int, IPv4Address]
    ports: tuple[tuple[PortSpec, int], ...]
    targets: tuple[str, ...]


class ContainerRow(msgspec.Struct, frozen=True, kw_only=True):
    """``serial`` is unique for ever: link names are made from it. ``whole`` is False until
    ``create`` has come to its end. ``volumes`` are names of its anonymous volumes."""

    id: str
    key: ContainerKey
    generation: int
    serial: int
    whole: bool
    spec: ContainerSpec
    image: str
    command: tuple[str, ...]
    volumes: tuple[str, ...]
    created: float
    addresses: dict[int, IPv4Address]


class State(msgspec.Struct, frozen=True, kw_only=True):
    """All rows as one value. ``pool`` is (container pool, shadow pool) once picked."""

    pool: tuple[IPv4Network, IPv4Network] | None = None
    projects: dict[str, str] = {}
    networks: dict[tuple[str, str], NetworkRow] = {}
    services: dict[tuple[str, str], ServiceRow] = {}
    containers: dict[str, ContainerRow] = {}
    generations: dict[ContainerKey, int] = {}

    def network_by_id(self, id: int) -> NetworkRow:
        return next(row for row in self.networks.values() if row.id == id)
