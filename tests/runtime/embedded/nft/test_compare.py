"""A table read back from the kernel, and what is wrong with it in words."""

from contextlib import closing
from pathlib import Path

import pytest
from msgspec.structs import replace

from runtime.embedded.nft import compare, ruleset
from runtime.embedded.nft.apply import Nft
from runtime.embedded.nft.ruleset import Set, Table
from runtime.embedded.ports.table import HostSide, host_table
from runtime.embedded.router.table import router_table
from tests.hosts import Host
from tests.runtime.embedded.wires import SHOP

GOLDENS = Path(__file__).parent / "goldens"
SIDE = HostSide(table="trueup-abc", uplink="tuuabc", opened=("eth0",), resolver="127.0.0.53")
TABLES = {"router": router_table(SHOP), "host": host_table(SHOP, SIDE)}
NAMES = {str(service.address): service.name for service in SHOP.services}


@pytest.mark.parametrize("name", TABLES)
def test_a_recorded_listing_has_no_differences(name: str) -> None:
    """The recordings are `nft -j list table` of the golden texts, by nft 1.0.6."""
    seen = compare.read((GOLDENS / f"{name}.json").read_text())
    assert compare.differences(TABLES[name], seen, NAMES) == []


@pytest.mark.root
@pytest.mark.parametrize("name", TABLES)
def test_what_was_written_is_read_back(name: str, host: Host) -> None:
    table = TABLES[name]
    with host.inside():
        nft = Nft()
        try:
            nft.apply(ruleset.replace(table))
            listing = nft.listing(table.name)
            assert listing is not None
            first = compare.read(listing)
            nft.apply(ruleset.replace(table))
            again = compare.read(nft.listing(table.name) or "")
        finally:
            nft.apply(ruleset.destroy(table.name))
            nft.close()
    assert compare.differences(table, first, NAMES) == []
    assert again == first, "handles, which count up, must not show"


IPV6 = {
    "type ipv6_addr : ipv6_addr": {"fd00::2": "fd00::8000:0:0:0"},
    "typeof ip6 daddr . numgen inc mod 840 : ip6 daddr; flags interval": {
        "fd00::2 . 0-419": "fd00::8000:0:0:1",
        "fd00::2 . 420-839": "fd00::8000:0:0:2",
    },
    "type ipv6_addr . ipv6_addr; flags interval": {
        "fd00:0:0:1::/64 . fd00:0:0:1::/64": "",
        "fd00::/120 . fd00::/120": "",
    },
    "type ipv6_addr; flags interval": {"fd00::/49": "", "fd01::/48": "", "2001:db8::5": ""},
    "type ipv6_addr . inet_proto . inet_service : ipv6_addr . inet_service": {
        "2001:db8::1 . tcp . 80": "fd00::2 . 80",
    },
    "type inet_proto . inet_service : ipv6_addr; flags interval": {
        "udp . 10000-20000": "fd00::2",
        "tcp . 5": "fd00::3",
    },
}


@pytest.mark.root
def test_ipv6_is_read_back_as_python_writes_it(host: Host) -> None:
    sets = (
        Set(name=f"s{n}", declaration=d, what="x", elements=e, is_map=" : " in d)
        for n, (d, e) in enumerate(IPV6.items())
    )
    table = Table(name="trueup-six", sets=tuple(sets), chains=())
    with host.inside(), closing(Nft()) as nft:
        nft.apply(ruleset.replace(table))
        seen = compare.read(nft.listing(table.name) or "")
        nft.apply(ruleset.destroy(table.name))
    assert compare.differences(table, seen, {}) == []


def _table(table: Table, name: str, elements: dict[str, str]) -> Table:
    sets = (replace(one, elements=elements) if one.name == name else one for one in table.sets)
    return replace(table, sets=tuple(sets))


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        (
            _table(TABLES["router"], "services", {"10.201.2.2": "10.201.3.7"}),
            [
                "the service map does not lead web to 10.201.3.7",
                "the service map has 10.90.0.2 too much",
            ],
        ),
        (
            _table(TABLES["router"], "neighbours", {"10.9.0.0/24 . 10.9.0.0/24": ""}),
            [
                "the set of networks that may talk lacks 10.9.0.0/24 . 10.9.0.0/24",
                "the set of networks that may talk has 10.201.2.0/23 . 10.201.2.0/23 too much",
                "the set of networks that may talk has 10.90.0.0/28 . 10.90.0.0/28 too much",
            ],
        ),
    ],
)
def test_differences_are_named(wanted: Table, words: list[str]) -> None:
    seen = compare.read((GOLDENS / "router.json").read_text())
    assert compare.differences(wanted, seen, NAMES) == words


def test_a_rule_by_hand_changes_the_fingerprint() -> None:
    listing = (GOLDENS / "router.json").read_text()
    by_hand = listing.replace('"policy": "drop"', '"policy": "accept"', 1)
    assert compare.read(listing).fingerprint != compare.read(by_hand).fingerprint
    assert compare.read(listing).elements == compare.read(by_hand).elements
