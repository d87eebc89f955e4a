"""Flows that are forgotten, and those that are not, in both IP versions."""

import re
import socket
from collections.abc import Iterator
from contextlib import closing
from ipaddress import ip_address
from pathlib import Path

import pytest

from runtime.embedded.linux.conntrack import Flows, calls_from, forget, replies_from, to_port
from runtime.embedded.linux.netlink import NETLINK_NETFILTER, Netlink
from tests.hosts import Host

pytestmark = pytest.mark.root

TRACK = """table inet tracked {
    chain output { type filter hook output priority 0; ct state new accept
    }
}"""
PORTS = (7101, 7102)
UDP, TCP = socket.IPPROTO_UDP, socket.IPPROTO_TCP
HERE = {4: "192.0.2.1", 6: "2001:db8::1"}
THERE = {4: "192.0.2.2", 6: "2001:db8::2"}
# What is forgotten, and which of the flows below (version, port) remain.
FLOWS = frozenset((version, port) for version in (4, 6) for port in PORTS)
FORGOTTEN: dict[str, tuple[Flows, frozenset[tuple[int, int]]]] = {
    "a port, IPv4": (to_port(UDP, 7101), FLOWS - {(4, 7101)}),
    "a port, IPv6": (to_port(UDP, 7101, version=6), FLOWS - {(6, 7101)}),
    "a port at an address": (to_port(UDP, 7102, ip_address(THERE[6])), FLOWS - {(6, 7102)}),
    "a port at another address": (to_port(UDP, 7102, ip_address(HERE[6])), FLOWS),
    "another protocol": (to_port(TCP, 7101, version=6), FLOWS),
    "calls, IPv4": (calls_from(ip_address(HERE[4])), FLOWS - {(4, p) for p in PORTS}),
    "calls, IPv6": (calls_from(ip_address(HERE[6])), FLOWS - {(6, p) for p in PORTS}),
    "replies": (replies_from(ip_address(THERE[6]), UDP), FLOWS - {(6, p) for p in PORTS}),
    "replies of who calls": (replies_from(ip_address(HERE[6])), FLOWS),
}


@pytest.fixture
def netlink(host: Host) -> Iterator[Netlink]:
    """In a host that tracks connections and has one flow of each version to each port."""
    host.run("nft", TRACK)
    try:
        with host.inside(), closing(Netlink(NETLINK_NETFILTER)) as opened:
            _send()
            yield opened
    finally:
        host.run("nft", "delete table inet tracked")


def _send() -> None:
    for family, version in ((socket.AF_INET, 4), (socket.AF_INET6, 6)):
        with socket.socket(family, socket.SOCK_DGRAM) as own:
            own.bind((HERE[version], 0))
            for port in PORTS:
                own.sendto(b"?", (THERE[version], port))


@pytest.mark.parametrize("name", FORGOTTEN)
def test_what_is_forgotten_and_what_remains(netlink: Netlink, name: str) -> None:
    assert _flows() == FLOWS
    flows, remaining = FORGOTTEN[name]
    for _ in range(2):
        forget(netlink, [flows])
        assert _flows() == remaining


def _flows() -> frozenset[tuple[int, int]]:
    text = Path("/proc/thread-self/net/nf_conntrack").read_text()
    found = re.findall(r"^ipv([46]) .*? dport=(710\d) ", text, re.MULTILINE)
    return frozenset((int(version), int(port)) for version, port in found)


def test_more_flows_than_fit_into_one_message(netlink: Netlink) -> None:
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as own:
        for port in range(20000, 23000):
            own.sendto(b"?", (THERE[6], port))
    assert _count6() > 2000
    forget(netlink, [replies_from(ip_address(THERE[6]), UDP)])
    assert _count6() == 0
    assert _flows() == {(4, port) for port in PORTS}


def _count6() -> int:
    text = Path("/proc/thread-self/net/nf_conntrack").read_text()
    return text.count(f" dst={ip_address(THERE[6]).exploded} sport=")
