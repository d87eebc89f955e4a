"""The rows of the ledger as values, and all of them as one snapshot."""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

import msgspec

from runtime.api import ContainerKey, ContainerSpec, NetworkSpec, PortSpec, ServiceSpec


class NetworkRow(msgspec.Struct, frozen=True, kw_only=True):
    """``last_address`` and ``last_address6`` are what the youngest generation got."""

    id: int
    spec: NetworkSpec
    subnet: IPv4Network
    gateway: IPv4Address
    subnet6: IPv6Network | None = None
    last_address: IPv4Address | None = None
    last_address6: IPv6Address | None = None


class ServiceRow(msgspec.Struct, frozen=True, kw_only=True):
    """``addresses`` and ``addresses6`` by network id; ``ports`` pairs of what was asked and the
    host port it got; ``targets`` ids of generations."""

    spec: ServiceSpec
    addresses: dict[int, IPv4Address]
    ports: tuple[tuple[PortSpec, int], ...]
    targets: tuple[str, ...]
    addresses6: dict[int, IPv6Address] = {}


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """A generation in one network, by the interface ``eth<index>``. ``serial`` is unique for
    ever: the link's name in the router is made from it."""

    network: int
    address: IPv4Address
    index: int
    serial: int
    address6: IPv6Address | None = None


class ContainerRow(msgspec.Struct, frozen=True, kw_only=True):
    """``whole`` is False until ``create`` has come to its end. ``volumes`` are names of its
    anonymous volumes; ``places`` in the order of their interfaces; ``shares`` leads from names
    of containers to the ids of the generations whose namespaces it has joined."""

    id: str
    key: ContainerKey
    generation: int
    whole: bool
    spec: ContainerSpec
    image: str
    command: tuple[str, ...]
    volumes: tuple[str, ...]
    created: float
    places: tuple[Place, ...] = ()
    shares: dict[str, str] = {}

    @property
    def addresses(self) -> dict[int, IPv4Address]:
        """By network id."""
        return {place.network: place.address for place in self.places}

    @property
    def addresses6(self) -> dict[int, IPv6Address]:
        return {p.network: p.address6 for p in self.places if p.address6 is not None}


class State(msgspec.Struct, frozen=True, kw_only=True):
    """All rows as one value. ``pool`` is (container pool, shadow pool) once picked, ``ula`` the
    instance's own IPv6 range. ``externals`` are names that projects have for others' networks."""

    pool: tuple[IPv4Network, IPv4Network] | None = None
    ula: IPv6Network | None = None
    projects: dict[str, str] = {}
    networks: dict[tuple[str, str], NetworkRow] = {}
    externals: dict[tuple[str, str], NetworkSpec] = {}
    services: dict[tuple[str, str], ServiceRow] = {}
    containers: dict[str, ContainerRow] = {}
    generations: dict[ContainerKey, int] = {}

    def network_by_id(self, id: int) -> NetworkRow:
        return next(row for row in self.networks.values() if row.id == id)

    def network_of(self, project: str, name: str) -> NetworkRow | None:
        """The network that a project calls ``name``, its own or another's; None without one."""
        external = self.externals.get((project, name))
        if external is None:
            return self.networks.get((project, name))
        known = (row for row in self.networks.values() if row.spec.known_as == external.known_as)
        return next(known, None)

    def network_names(self, project: str) -> list[str]:
        """What a project calls its networks, those of others included that it uses."""
        return [name for owner, name in (*self.networks, *self.externals) if owner == project]

    def network_name(self, project: str, id: int) -> str:
        """What a project calls a network."""
        row = self.network_by_id(id)
        if row.spec.project == project:
            return row.spec.name
        for (owner, name), external in self.externals.items():
            if owner == project and external.known_as == row.spec.known_as:
                return name
        return row.spec.known_as
