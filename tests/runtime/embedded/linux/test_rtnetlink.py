"""Addresses, routes and rules of both IP versions, as ip(8) and the kernel's own lists see them."""

from collections.abc import Iterator
from contextlib import closing
from ipaddress import ip_address, ip_network

import pytest

from runtime.embedded.linux import rtnetlink
from runtime.embedded.linux.netlink import Netlink
from runtime.embedded.linux.rtnetlink import RuleSeen, Version
from tests.hosts import Host

pytestmark = pytest.mark.root

OWN = {4: "10.90.0.5", 6: "fd00:90::5"}
FAR = {4: "10.91.0.0/24", 6: "fd00:91::/64"}
NOWHERE = {4: "10.92.0.0/16", 6: "fd00:92::/48"}
NEIGHBOUR = {4: "10.93.0.7/32", 6: "fd00:93::7/128"}
GATEWAY = {4: "10.90.0.1", 6: "fd00:90::1"}
ALL = {4: "0.0.0.0/0", 6: "::/0"}
TABLE, PRIORITY = 200, 100


@pytest.fixture
def netlink(host: Host) -> Iterator[Netlink]:
    with host.inside(), closing(Netlink()) as opened:
        yield opened


@pytest.mark.parametrize("version", [4, 6])
def test_what_is_added_is_listed_and_what_is_deleted_is_gone(
    host: Host, netlink: Netlink, version: Version
) -> None:
    """Every request twice: the second means "it is so already"."""
    before = _facts(host, version)
    (link,) = (one.index for one in rtnetlink.links(netlink) if one.name == "eth0")
    own, gateway = ip_address(OWN[version]), ip_address(GATEWAY[version])
    far, nowhere = ip_network(FAR[version]), ip_network(NOWHERE[version])
    neighbour, everywhere = ip_network(NEIGHBOUR[version]), ip_network(ALL[version])
    for _ in range(2):
        netlink.request(
            [
                rtnetlink.add_address(own, own.max_prefixlen, link),
                rtnetlink.add_route(far, link=link, via=gateway, source=own),
                rtnetlink.add_route(neighbour, link=link),
                rtnetlink.add_unreachable(nowhere),
                rtnetlink.add_route(everywhere, link=link, via=gateway, table=TABLE),
                rtnetlink.add_rule(own, TABLE, PRIORITY),
            ]
        )
    assert (link, own) in {(i, a.ip) for i, a in rtnetlink.addresses(netlink, version)}
    routes = {(r.destination, r.gateway, r.link) for r in rtnetlink.routes(netlink, version)}
    assert {(far, gateway, link), (neighbour, None, link), (nowhere, None, 0)} <= routes
    assert not {r for r in routes if r[0] == everywhere}
    (apart,) = rtnetlink.routes(netlink, version, table=TABLE)
    assert (apart.destination, apart.gateway, apart.link) == (everywhere, gateway, link)
    seen = list(rtnetlink.rules(netlink, version))
    assert seen == [RuleSeen(source=own, table=TABLE, priority=PRIORITY)]
    for _ in range(2):
        netlink.request(
            [
                rtnetlink.delete_rule(own, TABLE, PRIORITY),
                rtnetlink.delete_route(everywhere, link=link, table=TABLE),
                rtnetlink.delete_unreachable(nowhere),
                rtnetlink.delete_route(neighbour, link=link),
                rtnetlink.delete_route(far, link=link),
                rtnetlink.delete_address(own, own.max_prefixlen, link),
            ]
        )
    assert _facts(host, version) == before


def _facts(host: Host, version: int) -> str:
    """Addresses of the whole world, routes and rules, as ip(8) shows them."""
    words = (
        ["-oneline", "address", "show", "scope", "global"],
        ["route", "show", "table", "all"],
        ["rule"],
    )
    return "".join(host.run("ip", f"-{version}", *each).stdout for each in words)


def test_an_ipv6_address_works_at_once_and_makes_no_route(host: Host, netlink: Netlink) -> None:
    own = ip_address(OWN[6])
    (link,) = (one.index for one in rtnetlink.links(netlink) if one.name == "eth0")
    netlink.request([rtnetlink.add_address(own, 128, link)])
    try:
        shown = host.run("ip", "-6", "address", "show", "dev", "eth0").stdout
        assert f"{own}/128 scope global nodad noprefixroute" in shown
        assert str(own) not in host.run("ip", "-6", "route").stdout
    finally:
        netlink.request([rtnetlink.delete_address(own, 128, link)])
