"""A host passes packets for containers, and keeps all else of its network as it was: IPv6."""

import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from runtime.embedded.linux.netlink import Netlink
from runtime.embedded.router import forwarding
from tests.eventually import eventually
from tests.hosts import Host, make_host

pytestmark = pytest.mark.root

UPLINK, LAN = "tuu", "eth0"
EVERYWHERE = "net.ipv6.conf.all.forwarding"
# ICMPv6 type 134: hop limit 64, no flags, a router for 1800 seconds; RFC 4861 section 4.2.
ADVERTISEMENT = struct.pack(">BBHBBHII", 134, 0, 0, 64, 0, 1800, 0, 0)


@pytest.fixture
def routed() -> Iterator[Host]:
    """A host with an uplink of ours and a default route that `other` advertised; the test's
    thread lives there."""
    with make_host("tulf") as host:
        host.run("ip", "link", "add", UPLINK, "type", "veth", "peer", "name", "up0")
        host.run("ip", "link", "set", UPLINK, "up")
        host.run("ip", "-6", "address", "add", "fd00::1/128", "dev", UPLINK)
        # An address to advertise from that need not be probed first.
        host.other.run("ip", "address", "add", "fe80::2/64", "dev", LAN, "nodad")
        _advertise_until(host, lambda: _default(host) != "")
        with host.inside():
            yield host


def _advertise_until(host: Host, done: Callable[[], bool]) -> None:
    def again() -> bool:
        _advertise(host)
        return done()

    eventually(again)


def _advertise(host: Host) -> None:
    """A link-local address may still be tentative: nothing is sent then."""
    with (
        host.other.inside(),
        suppress(OSError),
        closing(socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)) as own,
    ):
        own.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
        own.sendto(ADVERTISEMENT, ("ff02::1", 0, 0, socket.if_nametoindex(LAN)))


def _default(host: Host) -> str:
    return host.run("ip", "-6", "route", "show", "default", "proto", "ra").stdout.partition(" exp")[
        0
    ]


def _sysctls(host: Host) -> str:
    words = r"^net\.ipv6\.conf\..*\.(forwarding|force_forwarding|accept_ra) "
    return host.run("sysctl", "-a", "-r", words.strip()).stdout


def _old_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the switch per link, Linux before 6.17."""
    monkeypatch.setattr(forwarding, "_FORCE", "no_such_switch")


@pytest.mark.parametrize("old", [False, True])
def test_the_advertised_route_stays_and_all_is_given_back(
    routed: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, old: bool
) -> None:
    if old:
        _old_kernel(monkeypatch)
    elif not forwarding.uplink_sysctls6(UPLINK):
        pytest.skip("this kernel forwards IPv6 on all links or none")
    before, default, record = _sysctls(routed), _default(routed), tmp_path / "opened"
    with closing(Netlink()) as netlink:
        assert forwarding.closed_links(netlink, UPLINK, 6) == [LAN]
        for _ in range(2):
            assert forwarding.open_links(netlink, UPLINK, record, (), 6) == (LAN,)
        assert forwarding.closed_links(netlink, UPLINK, 6) == []
    assert forwarding.recorded(record, 6) == (LAN,)
    assert _sysctls(routed) != before
    assert _default(routed) == default
    # And advertisements are still heard.
    routed.run("ip", "-6", "route", "del", "default")
    _advertise_until(routed, lambda: _default(routed) == default)
    for _ in range(2):
        forwarding.restore(record, (), 6)
    assert _sysctls(routed) == before
    assert _default(routed) == default
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("old", [False, True])
def test_a_router_by_its_own_will_is_left_alone(
    routed: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, old: bool
) -> None:
    if old:
        _old_kernel(monkeypatch)
    routed.run("sysctl", "-qw", f"{EVERYWHERE}=1")
    before, record = _sysctls(routed), tmp_path / "opened"
    with closing(Netlink()) as netlink:
        assert forwarding.closed_links(netlink, UPLINK, 6) == []
        assert forwarding.open_links(netlink, UPLINK, record, (), 6) == ()
    forwarding.restore(record, (), 6)
    assert _sysctls(routed) == before


@pytest.mark.parametrize("old", [False, True])
def test_the_last_instance_turns_it_off(
    routed: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, old: bool
) -> None:
    if old:
        _old_kernel(monkeypatch)
    first, second = tmp_path / "first", tmp_path / "second"
    with closing(Netlink()) as netlink:
        closed = forwarding.closed_links(netlink, UPLINK, 6)
        forwarding.open_links(netlink, UPLINK, first, (), 6)
        ours = forwarding.open_links(netlink, UPLINK, second, (LAN,), 6)
        assert ours == (LAN,)
        forwarding.restore(first, ours, 6)
        assert forwarding.closed_links(netlink, UPLINK, 6) == []
        forwarding.restore(second, (), 6)
        assert forwarding.closed_links(netlink, UPLINK, 6) == closed
