"""The text of our tables, whole; and that a change is no more than what changed."""

from ipaddress import IPv4Address
from pathlib import Path

import pytest
from msgspec.structs import replace

from runtime.embedded.nft import ruleset
from runtime.embedded.nft.apply import Nft, RulesRefused
from runtime.embedded.nft.ruleset import Table
from runtime.embedded.ports.table import HostSide, host_table
from runtime.embedded.router.table import router_table
from runtime.embedded.router.wiring import ServiceWire, Wiring
from tests.hosts import Host
from tests.runtime.embedded.wires import SHOP, network, port, service

GOLDENS = Path(__file__).parent / "goldens"
SIDE = HostSide(table="trueup-abc", uplink="tuuabc", opened=("eth0",), resolver="127.0.0.53")


@pytest.mark.parametrize(
    ("name", "table"), [("router", router_table(SHOP)), ("host", host_table(SHOP, SIDE))]
)
def test_the_table_is_the_golden_text(name: str, table: Table) -> None:
    assert ruleset.replace(table) == (GOLDENS / f"{name}.nft").read_text()


def _with(*services: ServiceWire) -> Wiring:
    return replace(SHOP, services=services)


WEB = service("web", "10.201.2.2", "10.201.3.0")

CHANGES = {
    "nothing": (WEB, WEB, ""),
    "a service goes to another container": (
        WEB,
        replace(WEB, targets=(IPv4Address("10.201.3.9"),)),
        "delete element inet trueup services { 10.201.2.2 : 10.201.3.0 }\n"
        "delete element inet trueup itself { 10.201.3.0 . 10.201.3.0 }\n"
        "add element inet trueup services { 10.201.2.2 : 10.201.3.9 }\n"
        "add element inet trueup itself { 10.201.3.9 . 10.201.3.9 }\n",
    ),
    "a service loses its container": (
        WEB,
        replace(WEB, targets=()),
        "delete element inet trueup services { 10.201.2.2 : 10.201.3.0 }\n"
        "delete element inet trueup itself { 10.201.3.0 . 10.201.3.0 }\n",
    ),
    "a second replica comes": (
        WEB,
        replace(WEB, targets=(IPv4Address("10.201.3.0"), IPv4Address("10.201.3.1"))),
        "delete element inet trueup services { 10.201.2.2 : 10.201.3.0 }\n"
        "add element inet trueup replicas { 10.201.2.2 . 0-419 : 10.201.3.0,"
        " 10.201.2.2 . 420-839 : 10.201.3.1 }\n"
        "add element inet trueup itself { 10.201.3.1 . 10.201.3.1 }\n",
    ),
}


@pytest.mark.parametrize("case", CHANGES)
def test_a_change_is_what_changed(case: str) -> None:
    before, after, text = CHANGES[case]
    assert ruleset.change(router_table(_with(before)), router_table(_with(after))) == text


def test_a_port_moves_in_one_transaction() -> None:
    moved = replace(SHOP, ports=(port(8080, "10.201.2.3", 8000), *SHOP.ports[1:]))
    assert ruleset.change(host_table(SHOP, SIDE), host_table(moved, SIDE)) == (
        "delete element inet trueup-abc published { tcp . 8080 : 10.201.2.2 . 80 }\n"
        "add element inet trueup-abc published { tcp . 8080 : 10.201.2.3 . 8000 }\n"
    )


def test_another_fixed_part_replaces_the_table() -> None:
    before, after = host_table(SHOP, SIDE), host_table(SHOP, replace(SIDE, resolver=None))
    assert ruleset.change(before, after) == ruleset.replace(after)


def test_a_range_with_the_same_numbers_is_one_element_and_a_shifted_one_an_element_per_port() -> (
    None
):
    wide = port(10000, "10.201.2.3", 10000, "udp", count=10001)
    shifted = port(9000, "10.201.2.3", 80, "tcp", host_ip="192.0.2.1", count=2)
    ranges = replace(SHOP, ports=(*SHOP.ports, wide, shifted))
    assert ruleset.change(host_table(SHOP, SIDE), host_table(ranges, SIDE)) == (
        "add element inet trueup-abc published_at"
        " { 192.0.2.1 . tcp . 9000 : 10.201.2.3 . 80, 192.0.2.1 . tcp . 9001 : 10.201.2.3 . 81 }\n"
        "add element inet trueup-abc ranges { udp . 10000-20000 : 10.201.2.3 }\n"
    )


@pytest.mark.root
def test_the_kernel_takes_tables_and_changes_and_refuses_nonsense_whole(host: Host) -> None:
    """Also: every step of CHANGES leads from what the step before left."""
    with host.inside():
        nft = Nft()
        try:
            nft.apply(ruleset.replace(host_table(SHOP, SIDE)))
            for before, after, _ in CHANGES.values():
                old, new = router_table(_with(before)), router_table(_with(after))
                nft.apply(ruleset.replace(old))
                nft.apply(ruleset.change(old, new))
            listed = nft.listing("trueup")
            with pytest.raises(RulesRefused, match="nftables refused a change"):
                nft.apply(
                    "add element inet trueup addresses { 10.201.2.77 }\n"
                    "delete element inet trueup addresses { 10.201.2.99 }\n"
                )
            assert nft.listing("trueup") == listed
        finally:
            nft.apply(ruleset.destroy("trueup") + ruleset.destroy("trueup-abc"))
            assert nft.listing("trueup") is None
            nft.close()


def test_networks_are_pairs_that_may_talk() -> None:
    two = replace(SHOP, networks=(network(1), network(2)))
    one = replace(SHOP, networks=(network(1),))
    assert ruleset.change(router_table(two), router_table(one)) == (
        "delete element inet trueup neighbours { 10.201.4.0/23 . 10.201.4.0/23 }\n"
    )
