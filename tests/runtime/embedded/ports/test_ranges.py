"""Ranges of ports on a real host: one element of a map, each port answering under its number."""

import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from runtime.embedded.linux.namespaces import inside
from runtime.embedded.ports.claims import LONGEST_RESERVED
from tests.hosts import Host
from tests.runtime.embedded.lab import Lab, fetch, make_lab, send
from tests.runtime.embedded.wires import network, port, service

pytestmark = pytest.mark.root

WEB = "10.201.2.2"
WIDE = port(10000, WEB, 10000, "udp", count=10001)


@pytest.fixture
def lab(host: Host, tmp_path: Path) -> Iterator[Lab]:
    with make_lab(host, tmp_path) as made:
        made.mend(networks=(network(1),), services=(service("web", WEB, "10.201.3.0"),))
        link = made.container("web", "10.201.3.0", network(1), port=10007)
        made.serve("last", link.namespace, 20000)
        yield made


def elements(lab: Lab, name: str) -> int:
    """How many elements a map of the host's table has."""
    listed = lab.host.run("nft", "-j", "list", "map", "inet", lab.paths.table, name).stdout
    return listed.count('"concat": ["udp"') + listed.count('"concat": ["tcp"')


def test_ten_thousand_ports_are_one_element_and_keep_their_numbers(lab: Lab) -> None:
    lab.change(ports=(WIDE,))
    assert elements(lab, "ranges") == 1
    other, own = lab.host.other.path, lab.host.address
    assert send(other, own, 10007) == "web 192.0.2.2"
    assert send(other, own, 20000) == "last 192.0.2.2"
    assert send(other, own, 20001) == "refused"
    assert lab.causes() == []


def test_a_range_grows_in_place(lab: Lab) -> None:
    lab.change(ports=(port(10000, WEB, 10000, "udp", count=8),))
    other, own = lab.host.other.path, lab.host.address
    assert send(other, own, 20000) == "refused"
    lab.change(ports=(WIDE,))
    assert (send(other, own, 10007), send(other, own, 20000)) == (
        "web 192.0.2.2",
        "last 192.0.2.2",
    )
    lab.change(ports=())
    assert send(other, own, 20000) == "refused"
    assert lab.causes() == []


def test_who_sent_before_a_long_range_came_gets_through(lab: Lab) -> None:
    """Its flow is known to the kernel as one to the host itself."""

    def client() -> socket.socket:
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        made.settimeout(1)
        made.sendto(b"?", (lab.host.address, 20000))
        return made

    with closing(inside(lab.host.other.path, client)) as own:
        lab.change(ports=(WIDE,))
        own.sendto(b"?", (lab.host.address, 20000))
        assert own.recv(100) == b"last 192.0.2.2"


def test_a_shifted_range_is_an_element_per_port(lab: Lab) -> None:
    lab.change(ports=(port(9000, WEB, 10000, count=100),))
    assert elements(lab, "published") == 100
    assert fetch(lab.host.other.path, lab.host.address, 9007) == "web 192.0.2.2"
    assert fetch(lab.host.other.path, lab.host.address, 9008) == "refused"


def test_a_range_on_one_address_answers_there_only(lab: Lab) -> None:
    lab.change(ports=(port(10000, WEB, 10000, host_ip="127.0.0.1", count=10),))
    listed = lab.host.run("nft", "list", "map", "inet", lab.paths.table, "ranges_at").stdout
    assert "127.0.0.1 . tcp . 10000-10009 : 10.201.2.2" in listed
    assert fetch(lab.host.path, "127.0.0.1", 10007).startswith("web ")
    assert fetch(lab.host.other.path, lab.host.address, 10007) == "refused"


@pytest.mark.parametrize(
    ("count", "free"), [(LONGEST_RESERVED, False), (LONGEST_RESERVED + 1, True)]
)
def test_ranges_up_to_a_length_are_reserved(lab: Lab, count: int, *, free: bool) -> None:
    lab.change(ports=(port(30000, WEB, 30000, count=count),))
    assert _can_bind(30000 + count - 1) is free


def _can_bind(number: int) -> bool:
    with socket.socket() as own:
        try:
            own.bind(("0.0.0.0", number))
        except OSError:
            return False
    return True


def test_a_container_calls_its_own_published_port_by_the_hosts_address(lab: Lab) -> None:
    lab.change(ports=(port(8080, WEB, 10007), port(8080, WEB, 10007, "udp"), WIDE))
    container = lab.links[0].namespace
    assert fetch(container, lab.host.address, 8080) == "web 10.251.3.0"
    assert send(container, lab.host.address, 8080) == "web 10.251.3.0"
    assert send(container, lab.host.address, 20000) == "last 10.251.3.0"
