"""Wirings for tests, from a few words."""

from ipaddress import IPv4Address, IPv4Network, IPv6Address

from runtime.embedded.router import addresses
from runtime.embedded.router.wiring import NetworkWire, Pool, PortWire, ServiceWire, Wiring

POOL = Pool(pool=IPv4Network("10.201.0.0/16"), shadow=IPv4Network("10.251.0.0/16"))


def network(
    id: int = 1, *, project: str = "shop", name: str = "default", subnet: str = ""
) -> NetworkWire:
    """Network 1 has 10.201.2.0/23, 2 has 10.201.4.0/23 and so on, where none is given."""
    chosen = IPv4Network(subnet or f"10.201.{2 * id}.0/23")
    return NetworkWire(
        id=id,
        project=project,
        name=name,
        subnet=chosen,
        gateway=addresses.gateway(chosen),
    )


def service(
    name: str, address: str, *targets: str, network_id: int = 1, names: tuple[str, ...] = ()
) -> ServiceWire:
    return ServiceWire(
        project="shop",
        name=name,
        network_id=network_id,
        address=IPv4Address(address),
        names=names or (name,),
        targets=tuple(map(IPv4Address, targets)),
    )


def port(
    host_port: int,
    address: str,
    container_port: int = 80,
    protocol: str = "tcp",
    host_ip: str | None = None,
    count: int = 1,
    address6: str | None = None,
) -> PortWire:
    return PortWire(
        host_ip=host_ip,
        host_port=host_port,
        protocol=protocol,
        address=IPv4Address(address),
        container_port=container_port,
        count=count,
        address6=None if address6 is None else IPv6Address(address6),
    )


# Two networks, one of them chosen by the user; no, one and three containers; all port forms.
SHOP = Wiring(
    pool=POOL,
    networks=(network(1), network(2, project="blog", subnet="10.90.0.0/28")),
    services=(
        service("web", "10.201.2.2", "10.201.3.0", names=("web", "www")),
        service("app", "10.201.2.3", "10.201.3.1", "10.201.3.2", "10.201.3.3"),
        service("job", "10.201.2.4"),
        service("blog", "10.90.0.2", "10.90.0.8", network_id=2),
    ),
    ports=(
        port(8080, "10.201.2.2"),
        port(8443, "10.201.2.2", 443, host_ip="192.0.2.1"),
        port(5353, "10.201.2.3", 53, "udp"),
    ),
)
