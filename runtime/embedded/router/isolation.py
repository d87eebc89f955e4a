"""Who may talk to whom inside the router: the filter, as text.

Containers of one network reach each other, the uplink reaches and is reached by all but internal
networks; checked after translation, so a service address opens nothing that its target would not.
"""

from collections.abc import Iterator

from runtime.embedded.nft.ruleset import Chain, Set
from runtime.embedded.router.wiring import Wiring

UPLINK = "up0"


def isolation_sets(wiring: Wiring) -> tuple[Set, ...]:
    fours = {str(network.subnet): network for network in wiring.networks}
    sixes = {str(network.subnet6): network for network in wiring.networks if network.subnet6}
    return tuple(
        one
        for suffix, kind, subnets in (("", "ipv4_addr", fours), ("6", "ipv6_addr", sixes))
        for one in (
            Set(
                name=f"neighbours{suffix}",
                declaration=f"type {kind} . {kind}; flags interval",
                what="the set of networks that may talk",
                elements={f"{subnet} . {subnet}": "" for subnet in sorted(subnets)},
            ),
            Set(
                name=f"internal{suffix}",
                declaration=f"type {kind}; flags interval",
                what="the set of internal networks",
                elements={s: "" for s, network in sorted(subnets.items()) if network.internal},
            ),
        )
    )


def isolation_chains() -> tuple[Chain, ...]:
    """``raw`` stops forged sources; ``input`` lets only the network's own gateway answer, and
    only DNS; ``forward`` is closed but for neighbours and the uplink. Between the uplink and
    internal networks it refuses at once. ``output`` keeps it quiet for the moment in which the
    DNS server takes up new names: who is refused gives up, who hears nothing asks again."""
    return (
        Chain(
            name="raw",
            hook="filter hook prerouting priority raw; policy accept;",
            rules=(
                "meta nfproto ipv4 fib saddr . iif oif missing drop",
                "ip6 saddr != fe80::/10 fib saddr . iif oif missing drop",
            ),
        ),
        Chain(
            name="forward",
            hook="filter hook forward priority filter; policy drop;",
            rules=(
                # First: what was begun before a network became internal ends, too.
                *_refusals(),
                "ct state established,related accept",
                "ct state invalid drop",
                "ip saddr . ip daddr @neighbours accept",
                "ip6 saddr . ip6 daddr @neighbours6 accept",
                f'iifname "{UPLINK}" accept',
                f'oifname "{UPLINK}" accept',
            ),
        ),
        Chain(
            name="input",
            hook="filter hook input priority filter; policy drop;",
            rules=(
                'iifname "lo" accept',
                "ct state established,related accept",
                "icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept",
                f'iifname "{UPLINK}" meta l4proto {{ icmp, ipv6-icmp }} accept',
                f'iifname "{UPLINK}" drop',
                # Sources are true (raw), so this leads to the gateway of the own network only.
                # Not by `fib daddr . iif`: of an address on several links the kernel sees one.
                "ip saddr . ip daddr @neighbours meta l4proto icmp accept",
                "ip6 saddr . ip6 daddr @neighbours6 meta l4proto ipv6-icmp accept",
                "ip saddr . ip daddr @neighbours meta l4proto { tcp, udp } th dport 53 accept",
                "ip6 saddr . ip6 daddr @neighbours6 meta l4proto { tcp, udp } th dport 53 accept",
            ),
        ),
        Chain(
            name="output",
            hook="filter hook output priority filter; policy accept;",
            # The refusal carries the question: its protocol and its port follow ICMP's 8 bytes.
            rules=(
                'oifname != "lo" icmp type destination-unreachable @th,136,8 17 @th,240,16 53 drop',
            ),
        ),
    )


def _refusals() -> Iterator[str]:
    """A reset where there is one: an ICMPv6 error that comes while the caller's socket is busy
    sending is lost, and he would wait for his next try."""
    for direction, end in (("iifname", "daddr"), ("oifname", "saddr")):
        for family, internal in (("ip", "internal"), ("ip6", "internal6")):
            concerned = f'{direction} "{UPLINK}" {family} {end} @{internal}'
            yield f"{concerned} meta l4proto tcp reject with tcp reset"
            yield f"{concerned} reject with icmpx port-unreachable"
