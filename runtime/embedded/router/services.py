"""Where a service address leads: the router's maps, as text.

One target stands in a plain map (a change takes 0.06 ms), several share 840 slots of an
interval map: 1 to 8 divide 840, so each gets the same share.
"""

from ipaddress import IPv4Address

from runtime.embedded.nft.ruleset import Chain, Set
from runtime.embedded.router.wiring import ServiceWire, Wiring

SLOTS = 840


def service_sets(wiring: Wiring) -> tuple[Set, ...]:
    single, several, own = {}, {}, {}
    for service in wiring.services:
        if len(service.targets) == 1:
            single[str(service.address)] = str(service.targets[0])
        elif service.targets:
            several.update(_shares(service))
        own.update({f"{target} . {target}": "" for target in service.targets})
    return (
        Set(
            name="services",
            declaration="type ipv4_addr : ipv4_addr",
            what="the service map",
            elements=single,
            is_map=True,
        ),
        Set(
            name="replicas",
            declaration=f"typeof ip daddr . numgen inc mod {SLOTS} : ip daddr; flags interval",
            what="the map of services with several containers",
            elements=several,
            is_map=True,
        ),
        Set(
            name="addresses",
            declaration="type ipv4_addr",
            what="the set of service addresses",
            elements={str(service.address): "" for service in wiring.services},
        ),
        Set(
            name="itself",
            declaration="type ipv4_addr . ipv4_addr",
            what="the set of containers that may call themselves",
            elements=own,
        ),
    )


def _shares(service: ServiceWire) -> dict[str, str]:
    """Divide the slots among the targets, in order."""
    targets: tuple[IPv4Address, ...] = service.targets[:SLOTS]
    bounds = [SLOTS * n // len(targets) for n in range(len(targets) + 1)]
    return {
        f"{service.address} . {_range(low, high - 1)}": str(target)
        for low, high, target in zip(bounds, bounds[1:], targets, strict=False)
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
            ),
        ),
        Chain(
            name="unmapped",
            hook="filter hook prerouting priority -90; policy accept;",
            rules=(
                "ip daddr @addresses meta l4proto tcp reject with tcp reset",
                "ip daddr @addresses reject with icmp port-unreachable",
            ),
        ),
        Chain(
            name="postrouting",
            hook="nat hook postrouting priority srcnat; policy accept;",
            rules=("ip saddr . ip daddr @itself masquerade",),
        ),
    )
