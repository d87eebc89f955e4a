"""The host's own rules, read where they can be in the way: tables with a filter at the hooks that
packets of containers pass."""

from collections.abc import Sequence

from runtime.api import Finding
from runtime.embedded.firewall import legacy
from runtime.embedded.firewall.rules import Entry
from runtime.embedded.firewall.ways import Place, findings, is_ours
from runtime.embedded.linux import rtnetlink
from runtime.embedded.linux.netlink import Netlink
from runtime.embedded.nft.apply import Nft

_HOOKS = ("forward", "input", "output")


def closed_ways(nft: Nft, place: Place) -> tuple[Finding, ...]:
    """What the host's firewalls close; one short listing where there is none."""
    return (*findings(listing(nft), place), *legacy.closed_ways(place))


def listing(nft: Nft) -> Sequence[Entry]:
    """All of the tables of others that filter."""
    chains = [entry["chain"] for entry in nft.entries("chains") if "chain" in entry]
    tables = {
        (chain["family"], chain["table"])
        for chain in chains
        if chain.get("type") == "filter"
        and chain.get("hook") in _HOOKS
        and not is_ours({"chain": chain})
    }
    return [
        entry for family, name in sorted(tables) for entry in nft.entries(f"table {family} {name}")
    ]


def outside_links(netlink: Netlink, uplink: str) -> tuple[str, ...]:
    """The links by which others come: those of default routes, else all that have an address."""
    names = {link.index: link.name for link in rtnetlink.links(netlink) if link.up}
    defaults = {
        route.link
        for each in (rtnetlink.routes(netlink), rtnetlink.routes(netlink, 6))
        for route in each
        if route.destination.prefixlen == 0
    }
    addressed = {index for index, _ in rtnetlink.addresses(netlink)} - {rtnetlink.LOOPBACK}
    chosen = (defaults & names.keys()) or (addressed & names.keys())
    return tuple(sorted(names[index] for index in chosen if names[index] != uplink))
