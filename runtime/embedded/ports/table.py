"""The host's one table: published ports, what may pass to the containers, and how they leave.

Rules that close come before those that open: the raw drop of loopback addresses from outside
is what makes ``route_localnet`` on the uplink safe.
"""

from collections.abc import Sequence

import msgspec

from runtime.embedded.nft.ruleset import Chain, Set, Table
from runtime.embedded.ports.claims import claims
from runtime.embedded.ports.maps import port_sets, translations
from runtime.embedded.router.wiring import Wiring

LOOPBACK_RESOLVER = "127.0.0.53"
# The sets of pairs of links that we opened for forwarding.
OPENED, OPENED6 = "opened", "opened6"


class HostSide(msgspec.Struct, frozen=True, kw_only=True):
    """What the host's table needs to know beside the wiring.

    ``opened`` are the links for which we turned forwarding on, ``opened6`` those for IPv6: the
    host did not pass packets between them before, so it shall not do so now. ``resolver`` is a
    name server of the host that listens on loopback only, and that containers therefore reach by
    translation.
    """

    table: str
    uplink: str
    opened: Sequence[str] = ()
    opened6: Sequence[str] = ()
    resolver: str | None = None


def host_table(wiring: Wiring, side: HostSide) -> Table:
    return Table(
        name=side.table,
        sets=(*port_sets(wiring.ports), _datagrams6(wiring), *_subnet_sets(wiring, side)),
        chains=(*_guards(side), *_ports(wiring, side), *_ways_out(wiring, side)),
    )


def _datagrams6(wiring: Wiring) -> Set:
    reserved = (c for c in claims(wiring.ports) if (c.address, c.protocol) == ("::", "udp"))
    return Set(
        name="datagrams6",
        declaration="type inet_service",
        what="the set of UDP ports that are reserved for IPv6",
        elements={str(claim.port): "" for claim in sorted(reserved)},
    )


def _subnet_sets(wiring: Wiring, side: HostSide) -> tuple[Set, ...]:
    pool6 = wiring.pool.pool6
    subnets = (wiring.pool.pool, *wiring.foreign_subnets())
    subnets6 = (*(() if pool6 is None else (pool6,)), *wiring.foreign_subnets6())
    return (
        Set(
            name="inside",
            declaration="type ipv4_addr; flags interval",
            what="the set of container subnets",
            elements={str(subnet): "" for subnet in subnets},
        ),
        Set(
            name="inside6",
            declaration="type ipv6_addr; flags interval",
            what="the set of containers' IPv6 subnets",
            elements={str(subnet): "" for subnet in subnets6},
        ),
        _opened(OPENED, "links that forward", side.opened),
        _opened(OPENED6, "links that forward IPv6", side.opened6),
    )


def _opened(name: str, which: str, links: Sequence[str]) -> Set:
    return Set(
        name=name,
        declaration="type ifname . ifname",
        what=f"the set of {which} because of us",
        elements={f'"{a}" . "{b}"': "" for a in links for b in links},
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
                f"meta nfproto ipv4 iifname . oifname @{OPENED} drop",
                f"meta nfproto ipv6 iifname . oifname @{OPENED6} drop",
                f'oifname != "{side.uplink}" accept',
                "ct state established,related accept",
                "ct status dnat accept",
                "drop",
            ),
        ),
        # What was not translated (to ::1, or to a container without IPv6) would end in the
        # socket that reserves the port, and the sender hear nothing.
        Chain(
            name="input",
            hook="filter hook input priority filter; policy accept;",
            rules=("meta nfproto ipv6 udp dport @datagrams6 reject with icmpv6 port-unreachable",),
        ),
    )


def _ports(wiring: Wiring, side: HostSide) -> tuple[Chain, ...]:
    translate = translations()
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
            *_ways_out6(wiring, side),
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


def _ways_out6(wiring: Wiring, side: HostSide) -> tuple[str, ...]:
    """The same of IPv6, which has no loopback sources here."""
    pool, uplink = wiring.pool, side.uplink
    if pool.ula is None:
        return ()
    return (
        f'oifname "{uplink}" ip6 saddr {pool.uplink_host6} accept',
        f'oifname "{uplink}" snat ip6 prefix to ip6 saddr map {{ {pool.pool6} : {pool.shadow6} }}',
        "ip6 saddr @inside6 masquerade",
    )
