"""Which addresses and routes router and host shall have beside the links of containers; pure."""

from ipaddress import IPv4Address, IPv4Network

import msgspec

from runtime.embedded.router.isolation import UPLINK
from runtime.embedded.router.wiring import Wiring

LOOPBACK_NAME = "lo"


class Route(msgspec.Struct, frozen=True, kw_only=True, order=True):
    """Through ``link``; "" means that the destination is unreachable."""

    destination: IPv4Network
    link: str
    via: IPv4Address | None = None

    def __str__(self) -> str:
        return f"route to {self.destination}"


class Layout(msgspec.Struct, frozen=True, kw_only=True):
    """``addresses`` are (link name, /32 address)."""

    addresses: frozenset[tuple[str, IPv4Address]]
    routes: frozenset[Route]


def router_layout(wiring: Wiring) -> Layout:
    """Gateways stand on loopback too, so that DNS can listen before a container comes. What no
    container has is unreachable and never leaves by the default route."""
    pool = wiring.pool
    gateways = {(LOOPBACK_NAME, network.gateway) for network in wiring.networks}
    up = {
        Route(destination=IPv4Network("0.0.0.0/0"), link=UPLINK, via=pool.uplink_host),
        Route(destination=pool.shadow, link=UPLINK, via=pool.uplink_host),
        Route(destination=IPv4Network(pool.uplink_host), link=UPLINK),
    }
    nowhere = {
        Route(destination=subnet, link="") for subnet in (pool.pool, *wiring.foreign_subnets())
    }
    return Layout(
        addresses=frozenset(gateways | {(UPLINK, pool.uplink_router)}),
        routes=frozenset(up | nowhere),
    )


def host_layout(wiring: Wiring, uplink: str) -> Layout:
    pool = wiring.pool
    routes = {
        Route(destination=subnet, link=uplink, via=pool.uplink_router)
        for subnet in (pool.pool, *wiring.foreign_subnets())
    }
    return Layout(
        addresses=frozenset({(uplink, pool.uplink_host)}),
        routes=frozenset(routes),
    )
