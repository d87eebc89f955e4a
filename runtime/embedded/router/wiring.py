"""What the network shall be, as values: the ledger writes them, the kernel is made to agree.

A *service* address is what others see, a *generation* address is what one container really
has; the router's service map leads from the first to the second.
"""

import itertools
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network, IPv6Address
from pathlib import Path

import msgspec


class Pool(msgspec.Struct, frozen=True, kw_only=True):
    """The addresses of an instance, two networks of the same size.

    ``pool`` holds the uplink and every subnet that we pick; a container that calls a published
    port through the host is seen there under its address in ``shadow``, bit for bit the same
    below the prefix.
    """

    pool: IPv4Network
    shadow: IPv4Network

    @property
    def uplink_host(self) -> IPv4Address:
        """The host's end of the uplink; containers can call the host by it."""
        return self.pool[1]

    @property
    def uplink_router(self) -> IPv4Address:
        return self.pool[2]


class NetworkWire(msgspec.Struct, frozen=True, kw_only=True):
    """A network of a project; ``gateway`` stands on the router's end of every link in it."""

    id: int
    project: str
    name: str
    subnet: IPv4Network
    gateway: IPv4Address


class ServiceWire(msgspec.Struct, frozen=True, kw_only=True):
    """A service in one network: ``names`` are its DNS names, ``targets`` the addresses of the
    generations that answer. Without targets it refuses connections."""

    project: str
    name: str
    network_id: int
    address: IPv4Address
    names: tuple[str, ...]
    targets: tuple[IPv4Address, ...] = ()


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


class Wiring(msgspec.Struct, frozen=True, kw_only=True):
    """All of an instance's network but the links of single containers."""

    pool: Pool
    networks: tuple[NetworkWire, ...] = ()
    services: tuple[ServiceWire, ...] = ()
    ports: tuple[PortWire, ...] = ()

    def foreign_subnets(self) -> tuple[IPv4Network, ...]:
        """Subnets that the user chose outside the pool."""
        subnets = (network.subnet for network in self.networks)
        return tuple(sorted(s for s in subnets if not s.subnet_of(self.pool.pool)))


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """One container's place in one network.

    ``serial`` is never used twice: the kernel keeps the name of a link for some milliseconds
    after its container is gone. ``index`` counts the networks of the container, eth0 first;
    only eth0 gets the default route. ``pid`` is any process that lives in the namespace, by
    which a namespace that lost its name is found again.
    """

    container: str
    namespace: Path
    serial: int
    address: IPv4Address
    network: NetworkWire
    index: int = 0
    pid: int | None = None

    @property
    def name(self) -> str:
        """The router's end."""
        return f"v{self.serial:x}"
