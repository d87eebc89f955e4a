"""Which addresses and routes router and host shall have beside the links of containers; pure."""

from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network

import msgspec

from runtime.embedded.linux.rtnetlink import Address, Subnet
from runtime.embedded.router.isolation import UPLINK
from runtime.embedded.router.wiring import Wiring

LOOPBACK_NAME = "lo"


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """Through ``link``; "" means that the destination is unreachable."""

    destination: Subnet
    link: str
    via: Address | None = None

    def __str__(self) -> str:
        return f"route to {self.destination}"


class Layout(msgspec.Struct, frozen=True, kw_only=True):
    """``addresses`` are (link name, address of its own)."""

    addresses: frozenset[tuple[str, Address]]
    routes: frozenset[Route]


def router_layout(wiring: Wiring) -> Layout:
    """Gateways stand on loopback too, so that DNS can listen before a container comes. What no
    container has is unreachable and never leaves by the default route."""
    pool = wiring.pool
    gateways = {(LOOPBACK_NAME, gateway) for n in wiring.networks for gateway in n.gateways}
    four = _up(IPv4Network("0.0.0.0/0"), pool.shadow, IPv4Network(pool.uplink_host))
    four |= _nowhere((pool.pool, *wiring.foreign_subnets()))
    addresses = gateways | {(UPLINK, pool.uplink_router)}
    if not (wiring.subnets6() and pool.pool6 and pool.shadow6):
        return Layout(addresses=frozenset(addresses), routes=frozenset(four))
    assert pool.uplink_host6 is not None
    assert pool.uplink_router6 is not None
    six = _up(IPv6Network("::/0"), pool.shadow6, IPv6Network(pool.uplink_host6))
    six |= _nowhere((pool.pool6, *wiring.foreign_subnets6()))
    addresses |= {(UPLINK, pool.uplink_router6)}
    return Layout(addresses=frozenset(addresses), routes=frozenset(four | six))


def _up(everywhere: Subnet, shadow: Subnet, host: Subnet) -> set[Route]:
    via = host.network_address
    return {
        Route(destination=everywhere, link=UPLINK, via=via),
        Route(destination=shadow, link=UPLINK, via=via),
        Route(destination=host, link=UPLINK),
    }


def _nowhere(subnets: Iterable[Subnet]) -> set[Route]:
    return {Route(destination=subnet, link="") for subnet in subnets}


def host_layout(wiring: Wiring, uplink: str) -> Layout:
    pool = wiring.pool
    addresses: set[tuple[str, Address]] = {(uplink, pool.uplink_host)}
    routes = {
        Route(destination=subnet, link=uplink, via=pool.uplink_router)
        for subnet in (pool.pool, *wiring.foreign_subnets())
    }
    if wiring.subnets6() and pool.pool6 and pool.uplink_host6:
        addresses.add((uplink, pool.uplink_host6))
        routes |= {
            Route(destination=subnet, link=uplink, via=pool.uplink_router6)
            for subnet in (pool.pool6, *wiring.foreign_subnets6())
        }
    return Layout(addresses=frozenset(addresses), routes=frozenset(routes))
