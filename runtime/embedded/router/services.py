"""Where a service address leads: the router's maps, as text.

One target stands in a plain map (a change takes 0.06 ms), several share 840 slots of an
interval map: 1 to 8 divide 840, so each gets the same share. A fixed address, which its
container has itself, needs no map.
"""

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv6Address

from runtime.embedded.nft.ruleset import Chain, Set
from runtime.embedded.router.wiring import Wiring

SLOTS = 840
Address = IPv4Address | IPv6Address
Aim = tuple[Address, Sequence[Address]]


def service_sets(wiring: Wiring) -> tuple[Set, ...]:
    fours: list[Aim] = [(service.address, service.targets) for service in wiring.services]
    sixes: list[Aim] = [(s.address6, s.targets6) for s in wiring.services if s.address6]
    return (*_sets(fours, "", "ipv4_addr", "ip"), *_sets(sixes, "6", "ipv6_addr", "ip6"))


def _sets(aims: Sequence[Aim], suffix: str, kind: str, family: str) -> Iterable[Set]:
    single, several, own = {}, {}, {}
    mapped = [(address, targets) for address, targets in aims if address not in targets]
    for address, targets in mapped:
        if len(targets) == 1:
            single[str(address)] = str(targets[0])
        elif targets:
            several.update(_shares(address, targets))
        own.update({f"{target} . {target}": "" for target in targets})
    return (
        Set(
            name=f"services{suffix}",
            declaration=f"type {kind} : {kind}",
            what="the service map",
            elements=single,
            is_map=True,
        ),
        Set(
            name=f"replicas{suffix}",
            declaration=f"typeof {family} daddr . numgen inc mod {SLOTS} : {family} daddr;"
            " flags interval",
            what="the map of services with several containers",
            elements=several,
            is_map=True,
        ),
        Set(
            name=f"addresses{suffix}",
            declaration=f"type {kind}",
            what="the set of service addresses",
            elements={str(address): "" for address, _ in mapped},
        ),
        Set(
            name=f"itself{suffix}",
            declaration=f"type {kind} . {kind}",
            what="the set of containers that may call themselves",
            elements=own,
        ),
    )


def _shares(address: Address, targets: Sequence[Address]) -> dict[str, str]:
    """Divide the slots among the targets, in order."""
    chosen = targets[:SLOTS]
    bounds = [SLOTS * n // len(chosen) for n in range(len(chosen) + 1)]
    return {
        f"{address} . {_range(low, high - 1)}": str(target)
        for low, high, target in zip(bounds, bounds[1:], chosen, strict=False)
    }


def _range(low: int, high: int) -> str:
    return str(low) if low == high else f"{low}-{high}"


def service_chains() -> tuple[Chain, ...]:
    """``unmapped`` comes after the translation, so what still goes to a service address has no
    target: refused at once instead of left hanging."""
    return (
        Chain(
            name="services",
            hook="nat hook prerouting priority dstnat; policy accept;",
            rules=(
                "dnat ip to ip daddr map @services",
                f"dnat ip to ip daddr . numgen random mod {SLOTS} map @replicas",
                "dnat ip6 to ip6 daddr map @services6",
                f"dnat ip6 to ip6 daddr . numgen random mod {SLOTS} map @replicas6",
            ),
        ),
        Chain(
            name="unmapped",
            hook="filter hook prerouting priority -90; policy accept;",
            rules=(
                "ip daddr @addresses meta l4proto tcp reject with tcp reset",
                "ip daddr @addresses reject with icmp port-unreachable",
                "ip6 daddr @addresses6 meta l4proto tcp reject with tcp reset",
                "ip6 daddr @addresses6 reject with icmpv6 port-unreachable",
            ),
        ),
        Chain(
            name="postrouting",
            hook="nat hook postrouting priority srcnat; policy accept;",
            rules=(
                "ip saddr . ip daddr @itself masquerade",
                "ip6 saddr . ip6 daddr @itself6 masquerade",
            ),
        ),
    )
