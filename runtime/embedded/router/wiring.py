"""What the network shall be, as values: the ledger writes them, the kernel is made to agree.

A *service* address is what others see, a *generation* address is what one container really
has; the router's service map leads from the first to the second.
"""

import itertools
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from pathlib import Path

import msgspec


class Pool(msgspec.Struct, frozen=True, kw_only=True):
    """The addresses of an instance, two networks of the same size.

    ``pool`` holds the uplink and every subnet that we pick; a container that calls a published
    port through the host is seen there under its address in ``shadow``, bit for bit the same
    below the prefix. ``ula`` is both for IPv6, the lower and the upper half; None while no
    network has IPv6.
    """

    pool: IPv4Network
    shadow: IPv4Network
    ula: IPv6Network | None = None

    @property
    def uplink_host(self) -> IPv4Address:
        """The host's end of the uplink; containers can call the host by it."""
        return self.pool[1]

    @property
    def uplink_router(self) -> IPv4Address:
        return self.pool[2]

    @property
    def pool6(self) -> IPv6Network | None:
        return None if self.ula is None else next(self.ula.subnets())

    @property
    def shadow6(self) -> IPv6Network | None:
        return None if self.ula is None else list(self.ula.subnets())[1]

    @property
    def uplink_host6(self) -> IPv6Address | None:
        return None if self.ula is None else self.ula[1]

    @property
    def uplink_router6(self) -> IPv6Address | None:
        return None if self.ula is None else self.ula[2]


class NetworkWire(msgspec.Struct, frozen=True, kw_only=True):
    """A network of a project; ``gateway`` stands on the router's end of every link in it. An
    ``internal`` one has no way to the uplink."""

    id: int
    project: str
    name: str
    subnet: IPv4Network
    gateway: IPv4Address
    subnet6: IPv6Network | None = None
    internal: bool = False

    @property
    def gateway6(self) -> IPv6Address | None:
        return None if self.subnet6 is None else self.subnet6[1]

    @property
    def subnets(self) -> tuple[IPv4Network | IPv6Network, ...]:
        return (self.subnet,) if self.subnet6 is None else (self.subnet, self.subnet6)

    @property
    def gateways(self) -> tuple[IPv4Address | IPv6Address, ...]:
        return (self.gateway,) if self.gateway6 is None else (self.gateway, self.gateway6)


class ServiceWire(msgspec.Struct, frozen=True, kw_only=True):
    """A service in one network: ``names`` are its DNS names, ``targets`` the addresses of the
    generations that answer. Without targets it refuses connections. An address that is its own
    target is a fixed one, which the container itself has."""

    project: str
    name: str
    network_id: int
    address: IPv4Address
    names: tuple[str, ...]
    targets: tuple[IPv4Address, ...] = ()
    address6: IPv6Address | None = None
    targets6: tuple[IPv6Address, ...] = ()


class PortWire(msgspec.Struct, frozen=True, kw_only=True):
    """A published port, or ``count`` adjacent ones: ``host_ip`` None is every address of the host,
    ``0.0.0.0`` and ``::`` every one of the family; ``address`` and, with IPv6, ``address6`` are a
    service's."""

    host_ip: str | None
    host_port: int
    protocol: str
    address: IPv4Address
    container_port: int
    count: int = 1
    address6: IPv6Address | None = None

    @property
    def host_ports(self) -> range:
        return range(self.host_port, self.host_port + self.count)

    @property
    def pairs(self) -> Iterator[tuple[int, int]]:
        """Each port of the host with the container's that it leads to."""
        return zip(self.host_ports, itertools.count(self.container_port), strict=False)


class AskerWire(msgspec.Struct, frozen=True, kw_only=True):
    """A generation that DNS answers apart from the others of its networks: it is in several, or
    has name servers of its own, or an address that was fixed. ``addresses`` are pairs of network
    id and address; without ``name_servers`` those of the host are asked, without ``way_out``
    none."""

    container: str
    addresses: tuple[tuple[int, IPv4Address], ...]
    name_servers: tuple[str, ...] = ()
    way_out: bool = True


class Wiring(msgspec.Struct, frozen=True, kw_only=True):
    """All of an instance's network but the links of single containers."""

    pool: Pool
    networks: tuple[NetworkWire, ...] = ()
    services: tuple[ServiceWire, ...] = ()
    ports: tuple[PortWire, ...] = ()
    askers: tuple[AskerWire, ...] = ()

    def foreign_subnets(self) -> tuple[IPv4Network, ...]:
        """Subnets that the user chose outside the pool."""
        subnets = (network.subnet for network in self.networks)
        return tuple(sorted(s for s in subnets if not s.subnet_of(self.pool.pool)))

    def subnets6(self) -> tuple[IPv6Network, ...]:
        """The IPv6 subnets of all networks; none: the instance has no IPv6."""
        return tuple(sorted(n.subnet6 for n in self.networks if n.subnet6 is not None))

    def foreign_subnets6(self) -> tuple[IPv6Network, ...]:
        pool = self.pool.pool6
        return tuple(s for s in self.subnets6() if pool is None or not s.subnet_of(pool))


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """One container's place in one network.

    ``serial`` is never used twice: the kernel keeps the name of a link for some milliseconds
    after its container is gone. ``index`` is that of the interface, eth0 and so on; ``way_out``
    says whether it has the default route. ``pid`` is any process that lives in the namespace, by
    which a namespace that lost its name is found again.
    """

    container: str
    namespace: Path
    serial: int
    address: IPv4Address
    network: NetworkWire
    index: int = 0
    pid: int | None = None
    address6: IPv6Address | None = None
    way_out: bool = True

    @property
    def name(self) -> str:
        """The router's end."""
        return f"v{self.serial:x}"

    @property
    def interface(self) -> str:
        """The container's end."""
        return f"eth{self.index}"

    @property
    def addresses(self) -> tuple[IPv4Address | IPv6Address, ...]:
        return (self.address,) if self.address6 is None else (self.address, self.address6)

    @property
    def note(self) -> str:
        """What the container's end was made to be: the router's end carries it as its alias, so
        what was begun and not finished is seen."""
        way = "out" if self.way_out else "internal" if self.network.internal else "aside"
        subnets = " ".join(
            f"{a} {s}" for a, s in zip(self.addresses, self.network.subnets, strict=False)
        )
        return f"{self.container} {self.interface} {way} {subnets}"
