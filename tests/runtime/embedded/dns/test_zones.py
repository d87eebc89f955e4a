"""The files of the DNS server, whole."""

from ipaddress import IPv4Address, IPv6Address

import pytest
from msgspec.structs import replace

from runtime.embedded.dns import zones
from runtime.embedded.dns.zones import NameNotAllowed, NameServerNotAllowed
from runtime.embedded.router.wiring import AskerWire
from tests.runtime.embedded.wires import SHOP, network, service

SMALL = replace(
    SHOP,
    networks=(network(2, subnet="10.90.0.0/29"),),
    services=(
        service("Web", "10.90.0.3", network_id=2, names=("Web", "www.shop", "web")),
        service("db", "10.90.0.2", network_id=2, names=("db",)),
    ),
)


def test_a_zone_is_the_golden_text() -> None:
    assert zones.zones(SMALL, ["192.0.2.53", "192.0.2.54"]) == {
        "n2": (
            "10.90.0.1 192.0.2.53,192.0.2.54\n"
            "sa5a0002 10.90.0.2  db\n"
            "sa5a0003 10.90.0.3  web,www.shop\n"
            "clients2 10.90.0.4,10.90.0.5,10.90.0.6,127.0.0.1  _6e938104\n"
        )
    }


def test_who_is_in_two_networks_has_a_line_in_both() -> None:
    """And asks servers of his own, or none; the line that the others share is without him."""
    ids, inner = (2, 3), network(3, subnet="10.91.0.0/29")
    both = AskerWire(
        container="ab12",
        addresses=tuple((id, IPv4Address(f"10.9{id - 2}.0.5")) for id in ids),
        name_servers=("198.51.100.1", "2001:db8::53"),
    )
    secluded = AskerWire(container="cd34", addresses=((3, inner.subnet[3]),), way_out=False)
    wiring = replace(
        SMALL,
        networks=(*SMALL.networks, replace(inner, internal=True)),
        services=(replace(SMALL.services[1], address6=IPv6Address("fd00::2")),),
        askers=(both, secluded),
    )
    assert zones.zones(wiring, ["192.0.2.53"]) == {
        "n2": (
            "10.90.0.1 192.0.2.53\n"
            "sa5a0002 10.90.0.2 fd00::2 db\n"
            "cab12 10.90.0.5  _cab12 198.51.100.1,2001:db8::53\n"
            "clients2 10.90.0.4,10.90.0.6,127.0.0.1  _1580b119\n"
        ),
        "n3%int": (
            "10.91.0.1 127.0.0.1\n"
            "ccd34 10.91.0.3  _ccd34 127.0.0.1\n"
            "cab12 10.91.0.5  _cab12 198.51.100.1,2001:db8::53\n"
            "clients3 10.91.0.4,10.91.0.6,127.0.0.1  _6d1582c5\n"
        ),
    }
    assert zones.facts(wiring) != zones.facts(replace(wiring, askers=()))


def test_the_stamp_changes_with_the_names() -> None:
    before = zones.zones(SMALL, [])["n2"]
    after = zones.zones(replace(SMALL, services=SMALL.services[:1]), [])["n2"]
    assert zones.stamp(before).startswith("_")
    assert zones.stamp(before) != zones.stamp(after)
    assert zones.gateway(before) == IPv4Address("10.90.0.1")


def test_equal_facts_whatever_the_targets() -> None:
    first = SMALL.services[0]
    flipped = replace(
        SMALL, services=(replace(first, targets=(IPv4Address("10.90.0.4"),)), SMALL.services[1])
    )
    assert zones.facts(SMALL) == zones.facts(flipped)
    assert zones.zones(SMALL, []) == zones.zones(flipped, [])
    renamed = replace(SMALL, services=(replace(first, names=("x",)), SMALL.services[1]))
    assert zones.facts(SMALL) != zones.facts(renamed)


@pytest.mark.parametrize("name", ["", "a b", "a,b", "a\nb", "-a", "a..b", "x" * 64, "ü", "a/b"])
def test_names_that_would_silence_the_server_are_refused(name: str) -> None:
    bad = replace(SMALL, services=(service("web", "10.90.0.2", network_id=2, names=("ok", name)),))
    with pytest.raises(NameNotAllowed, match="web cannot be found by the name"):
        zones.zones(bad, [])


@pytest.mark.parametrize(
    "server",
    [
        "",
        "resolver.example",
        "1.1.1.1 2",
        "fe80::1%eth0",
        "1.1.1",
        "2001:db8::1%a b",
        "fd00::1%\nx",
    ],
)
def test_name_servers_that_would_silence_the_server_are_refused(server: str) -> None:
    asker = AskerWire(
        container="ab12", addresses=((2, IPv4Address("10.90.0.5")),), name_servers=(server,)
    )
    with pytest.raises(NameServerNotAllowed, match="can ask the name server"):
        zones.zones(replace(SMALL, askers=(asker,)), [])


@pytest.mark.parametrize("name", ["web", "web-1", "my_app", "a.b.c", "x" * 63, "1", "WEB"])
def test_names_that_are_fine(name: str) -> None:
    good = replace(SMALL, services=(service("web", "10.90.0.2", network_id=2, names=(name,)),))
    assert f"  {name.lower()}\n" in zones.zones(good, [])["n2"]


def test_name_servers_of_a_resolv_conf() -> None:
    text = """# made by hand
search lab.example
nameserver 192.0.2.53
nameserver fe80::1%eth0
nameserver nonsense
nameserver 127.0.0.53
options edns0
"""
    assert zones.name_servers(text) == ["192.0.2.53", "127.0.0.53"]
