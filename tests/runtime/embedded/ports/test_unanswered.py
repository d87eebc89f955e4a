"""Callers of a published port that nothing leads on: told so at once, not left waiting."""

import socket

import pytest

from tests.runtime.embedded.lab import Lab
from tests.runtime.embedded.wires import network, port, service

pytestmark = pytest.mark.root

WEB = "10.201.2.2"


@pytest.mark.parametrize("address", ["::1", "2001:db8::1"])
@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_ipv6_without_a_way_is_refused(lab: Lab, address: str, kind: socket.SocketKind) -> None:
    """The container has no IPv6 address; the socket that reserves the port swallows nothing."""
    ports = (port(8080, WEB), port(8080, WEB, protocol="udp"))
    lab.mend(networks=(network(1),), services=(service("web", WEB),), ports=ports)
    with socket.socket(socket.AF_INET6, kind) as own:
        own.settimeout(1)
        assert _refuses(own, address)


def _refuses(own: socket.socket, address: str) -> bool:
    try:
        own.connect((address, 8080))
        own.send(b"?")
        own.recv(100)
    except ConnectionRefusedError:
        return True
    return False
