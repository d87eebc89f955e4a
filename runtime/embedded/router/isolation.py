"""Who may talk to whom inside the router: the filter, as text.

Containers of one network reach each other, the uplink reaches and is reached by all; checked
after translation, so a service address opens nothing that its target would not.
"""

from runtime.embedded.nft.ruleset import Chain, Set
from runtime.embedded.router.wiring import Wiring

UPLINK = "up0"


def isolation_sets(wiring: Wiring) -> tuple[Set, ...]:
    pairs = {f"{network.subnet} . {network.subnet}": "" for network in wiring.networks}
    return (
        Set(
            name="neighbours",
            declaration="type ipv4_addr . ipv4_addr; flags interval",
            what="the set of networks that may talk",
            elements=dict(sorted(pairs.items())),
        ),
    )


def isolation_chains() -> tuple[Chain, ...]:
    """``raw`` stops forged sources; ``input`` lets only the network's own gateway answer, and
    only DNS; ``forward`` is closed but for neighbours and the uplink."""
    return (
        Chain(
            name="raw",
            hook="filter hook prerouting priority raw; policy accept;",
            rules=("fib saddr . iif oif missing drop",),
        ),
        Chain(
            name="forward",
            hook="filter hook forward priority filter; policy drop;",
            rules=(
                "ct state established,related accept",
                "ct state invalid drop",
                "ip saddr . ip daddr @neighbours accept",
                f'meta nfproto ipv4 iifname "{UPLINK}" accept',
                f'meta nfproto ipv4 oifname "{UPLINK}" accept',
            ),
        ),
        Chain(
            name="input",
            hook="filter hook input priority filter; policy drop;",
            rules=(
                'iifname "lo" accept',
                "ct state established,related accept",
                f'iifname "{UPLINK}" meta l4proto icmp accept',
                f'iifname "{UPLINK}" drop',
                # Sources are true (raw), so this leads to the gateway of the own network only.
                # Not by `fib daddr . iif`: of an address on several links the kernel sees one.
                "ip saddr . ip daddr @neighbours meta l4proto icmp accept",
                "ip saddr . ip daddr @neighbours meta l4proto { tcp, udp } th dport 53 accept",
            ),
        ),
    )
