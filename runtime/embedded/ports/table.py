"""The host's one table: published ports, what may pass to the containers, and how they leave.

Rules that close come before those that open: the raw drop of loopback addresses from outside
is what makes ``route_localnet`` on the uplink safe.
"""

from collections.abc import Sequence
from ipaddress import AddressValueError, IPv4Address

import msgspec

from runtime.embedded.nft.ruleset import Chain, Set, Table
from runtime.embedded.router.wiring import PortWire, Wiring
from runtime.errors import Fault

LOOPBACK_RESOLVER = "127.0.0.53"
OPENED = "opened"  # the set of pairs of links that we opened for forwarding


class PortAddressUnsupported(Fault):
    """A port shall be published on something that is not an IPv4 address."""

    def __init__(self, host_ip: str) -> None:
        self.host_ip = host_ip
        super().__init__(
            f"a port cannot be published on {host_ip}",
            why="only IPv4 addresses of the host can be published on",
            hint="write an IPv4 address, or none for every address",
        )


class HostSide(msgspec.Struct, frozen=True, kw_only=True):
    """What the host's table needs to know beside the wiring.

    ``opened`` are the links for which we turned forwarding on: the host did not pass packets
    between them before, so it shall not do so now. ``resolver`` is a name server of the host
    that listens on loopback only, and that containers therefore reach by translation.
    """

    table: str
    uplink: str
    opened: Sequence[str] = ()
    resolver: str | None = None


def host_table(wiring: Wiring, side: HostSide) -> Table:
    return Table(
        name=side.table,
        sets=(*_port_sets(wiring.ports), *_subnet_sets(wiring, side)),
        chains=(*_guards(side), *_ports(wiring, side), *_ways_out(wiring, side)),
    )


def _port_sets(ports: Sequence[PortWire]) -> tuple[Set, ...]:
    by_address, everywhere = {}, {}
    for port in ports:
        target = f"{port.address} . {port.container_port}"
        key = f"{port.protocol} . {port.host_port}"
        if address := host_address(port.host_ip):
            by_address[f"{address} . {key}"] = target
        else:
            everywhere[key] = target
    return (
        Set(
            name="published_at",
            declaration="type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service",
            what="the map of ports published on one address",
            elements=by_address,
            is_map=True,
        ),
        Set(
            name="published",
            declaration="type inet_proto . inet_service : ipv4_addr . inet_service",
            what="the map of published ports",
            elements=everywhere,
            is_map=True,
        ),
    )


def host_address(host_ip: str | None) -> IPv4Address | None:
    """The address to publish on, None for all. Raises ``PortAddressUnsupported``."""
    if host_ip in (None, "", "0.0.0.0"):
        return None
    try:
        return IPv4Address(host_ip)
    except AddressValueError as error:
        raise PortAddressUnsupported(str(host_ip)) from error


def _subnet_sets(wiring: Wiring, side: HostSide) -> tuple[Set, ...]:
    subnets = (wiring.pool.pool, *wiring.foreign_subnets())
    return (
        Set(
            name="inside",
            declaration="type ipv4_addr; flags interval",
            what="the set of container subnets",
            elements={str(subnet): "" for subnet in subnets},
        ),
        Set(
            name=OPENED,
            declaration="type ifname . ifname",
            what="the set of links that forward because of us",
            elements={f'"{a}" . "{b}"': "" for a in side.opened for b in side.opened},
        ),
    )


def _guards(side: HostSide) -> tuple[Chain, ...]:
    return (
        Chain(
            name="raw",
            hook="filter hook prerouting priority raw; policy accept;",
            rules=(
                'iifname != "lo" ip daddr 127.0.0.0/8 drop',
                'iifname != "lo" ip saddr 127.0.0.0/8 drop',
            ),
        ),
        Chain(
            name="forward",
            hook="filter hook forward priority filter; policy accept;",
            rules=(
                "meta nfproto ipv4 iifname . oifname @opened drop",
                f'oifname != "{side.uplink}" accept',
                "ct state established,related accept",
                "ct status dnat accept",
                "drop",
            ),
        ),
    )


def _ports(wiring: Wiring, side: HostSide) -> tuple[Chain, ...]:
    translate = (
        "fib daddr type local dnat ip to ip daddr . meta l4proto . th dport map @published_at",
        "meta nfproto ipv4 fib daddr type local dnat ip to meta l4proto . th dport map @published",
    )
    return (
        Chain(
            name="prerouting",
            hook="nat hook prerouting priority dstnat; policy accept;",
            rules=(*_to_resolver(wiring, side), *translate),
        ),
        Chain(name="output", hook="nat hook output priority -100; policy accept;", rules=translate),
    )


def _to_resolver(wiring: Wiring, side: HostSide) -> tuple[str, ...]:
    if side.resolver is None:
        return ()
    pool = wiring.pool
    return (
        f'iifname "{side.uplink}" ip saddr {pool.uplink_router} ip daddr {pool.uplink_host}'
        f" meta l4proto {{ tcp, udp }} th dport 53 dnat ip to {side.resolver}",
    )


def _ways_out(wiring: Wiring, side: HostSide) -> tuple[Chain, ...]:
    """Loopback sources take the uplink's address, because nothing answers to 127.0.0.1 from
    afar. A container that comes back through the host keeps an address of its own in the shadow
    pool: sharing one address with loopback made connections wait a second for free ports."""
    pool, uplink = wiring.pool, side.uplink
    shadow = f"{{ {pool.pool} : {pool.shadow} }}"
    leaving = Chain(
        name="postrouting",
        hook="nat hook postrouting priority srcnat; policy accept;",
        rules=(
            f'oifname "{uplink}" ip saddr 127.0.0.0/8 masquerade',
            f'oifname "{uplink}" ip saddr {pool.uplink_host} accept',
            f'oifname "{uplink}" snat ip prefix to ip saddr map {shadow}',
            "ip saddr @inside masquerade",
        ),
    )
    if side.resolver is None:
        return (leaving,)
    # Such a resolver answers loopback sources only.
    asking = Chain(
        name="asking",
        hook="nat hook input priority 100; policy accept;",
        rules=(f'iifname "{uplink}" ip daddr {side.resolver} snat ip to 127.0.0.1',),
    )
    return (leaving, asking)
