"""Ports published on IPv6: on every address or on one, ranges, from everywhere, and refusals."""

import socket

import pytest

from runtime.api import PortSpec
from runtime.embedded.ports.claims import NoIpv6Target
from tests.eventually import eventually
from tests.runtime.embedded.estate import Estate
from tests.runtime.embedded.lab import fetch, send

pytestmark = pytest.mark.root

OWN, OTHER = "2001:db8::1", "2001:db8::2"
EVERYWHERE = PortSpec(container_port=80, host_port=8080)
ON_ONE = PortSpec(container_port=80, host_port=8081, host_ip=OWN)
ONLY_6 = PortSpec(container_port=80, host_port=8082, host_ip="::")
ONLY_4 = PortSpec(container_port=80, host_port=8083, host_ip="0.0.0.0")
RANGE = PortSpec(container_port=79, host_port=9079, count=2, host_ip="::")
UDP = PortSpec(container_port=80, host_port=8080, protocol="udp")
SAME = PortSpec(container_port=80, host_port=80, count=1000, protocol="udp", host_ip="::")


@pytest.fixture
def town(estate: Estate) -> Estate:
    """One container behind all forms of ports."""
    host = estate.lab.host
    estate.lab.serve("world", host.other.path, 80, both=True)
    # The two hosts were just made, and look for others with their addresses for a second.
    eventually(lambda: fetch(host.path, OTHER) == f"world {OWN}")
    estate.network("front", ipv6=True)
    ports = (EVERYWHERE, ON_ONE, ONLY_6, ONLY_4, RANGE, UDP, SAME)
    estate.run("web", "front", ports=ports)
    return estate


def test_each_form_answers_in_its_family_from_everywhere(town: Estate) -> None:
    host = town.lab.host
    numbers = (8080, 8081, 8082, 8083, 9080)
    for place in (host.path, host.other.path):
        six = [each for each in numbers if fetch(place, OWN, each).startswith("web ")]
        four = [each for each in numbers if fetch(place, host.address, each).startswith("web ")]
        assert (six, four) == ([8080, 8081, 8082, 9080], [8080, 8083])
    assert town.causes() == []


def test_sources_are_kept_and_loopback_refuses_at_once(town: Estate) -> None:
    host = town.lab.host
    assert fetch(host.other.path, OWN, 8080) == f"web {OTHER}"
    assert send(host.other.path, OWN, 8080) == f"web {OTHER}"
    assert send(host.other.path, OWN, 80) == f"web {OTHER}"
    assert send(host.other.path, OWN, 1080) == "refused"
    assert fetch(host.path, "::1", 8080) == "refused"
    assert fetch(host.path, "::1", 8082) == "refused"
    with socket.socket(socket.AF_INET6) as own, pytest.raises(OSError, match="in use"):
        own.bind((OWN, 8081))


def test_a_container_calls_its_own_published_port(town: Estate) -> None:
    """It is seen under its address in the shadow half of the instance's range."""
    (web,) = town.state.containers
    shadow = str(town.state.ula).split("::")[0] + ":8000:"
    told = fetch(town.namespace(web), OWN, 8080)
    assert told.startswith("web fd")
    assert shadow[:14] in told


def test_a_container_without_ipv6_cannot_have_it(estate: Estate) -> None:
    estate.network("plain")
    with pytest.raises(NoIpv6Target, match=r"port \[::\]:8082:80/tcp of web cannot be published"):
        estate.service("web", "plain", ports=(ONLY_6,))
    assert ("shop", "web") not in estate.state.services
    estate.service("web", "plain", ports=(EVERYWHERE,))
    assert fetch(estate.lab.host.path, OWN, 8080) == "refused"
