"""Beside a Docker with FORWARD DROP: two rules of ours in its DOCKER-USER, and no other change.

The rules that Docker makes are made by hand here; the engine's own tests have the real one.
"""

import subprocess
from pathlib import Path

import pytest

from runtime.api import PortSpec
from runtime.embedded.network import promises
from tests.eventually import eventually
from tests.runtime.embedded.estate import Estate
from tests.runtime.embedded.lab import Lab, fetch
from tests.runtime.embedded.wires import network, port, service

pytestmark = pytest.mark.root

A = network(1)
WEB, WEB_1 = "10.201.2.2", "10.201.3.0"

DOCKER = """*filter
:INPUT ACCEPT
:FORWARD DROP
:OUTPUT ACCEPT
:DOCKER -
:DOCKER-USER -
-A FORWARD -j DOCKER-USER
-A FORWARD -o docker0 -j DOCKER
-A DOCKER-USER -s 203.0.113.9/32 -j DROP
-A DOCKER-USER -j RETURN
COMMIT
"""


@pytest.fixture(params=["iptables-nft", "iptables-legacy"])
def iptables(request: pytest.FixtureRequest, lab: Lab) -> str:
    """Docker's rules in either flavour."""
    flavour: str = request.param
    _feed(DOCKER, f"{flavour}-restore")
    return flavour


def _feed(text: str, *words: str) -> None:
    """Run a program of the host on ``text``; the test's thread lives there."""
    subprocess.run(words, input=text, text=True, check=True)


def _user_chain(lab: Lab, iptables: str) -> list[str]:
    return lab.host.run(iptables, "-S", "DOCKER-USER").stdout.splitlines()


def _town(lab: Lab) -> None:
    lab.mend(networks=(A,), services=(service("web", WEB, WEB_1),), ports=(port(8080, WEB),))
    lab.container("web", WEB_1, A)


def test_ports_answer_and_the_rules_stand_behind_the_users(lab: Lab, iptables: str) -> None:
    before = _all_rules(lab, iptables)
    _town(lab)
    uplink, mark = lab.paths.uplink, lab.paths.table
    rules = [
        f"-A DOCKER-USER -{way} {uplink} -m comment --comment {mark} -j ACCEPT" for way in "io"
    ]
    assert _user_chain(lab, iptables) == [
        "-N DOCKER-USER",
        "-A DOCKER-USER -s 203.0.113.9/32 -j DROP",
        *rules,
        "-A DOCKER-USER -j RETURN",
    ]
    lab.serve("there", lab.host.other.path, 7000)
    inner = lab.links[0].namespace
    assert fetch(lab.host.other.path, "192.0.2.1", 8080) == "web 192.0.2.2"
    assert fetch(lab.host.path, "127.0.0.1", 8080) == "web 10.201.0.1"
    assert fetch(inner, "192.0.2.2", 7000) == "there 192.0.2.1"
    assert lab.causes() == []
    lab.host.run(iptables, "-D", "DOCKER-USER", "3")
    assert lab.causes() == ["the rules that let containers through Docker's firewall are missing"]
    lab.net.mend(lab.wiring)
    assert sorted(_user_chain(lab, iptables)[2:4]) == sorted(rules)
    assert lab.causes() == []
    lab.net.tear_down(lab.wiring)
    assert _all_rules(lab, iptables) == before


def _all_rules(lab: Lab, iptables: str) -> str:
    """Without the comments, in which iptables-save writes the time."""
    shown = lab.host.run(f"{iptables}-save", "-t", "filter").stdout
    return "\n".join(line.split(" [")[0] for line in shown.splitlines() if line[:1] != "#")


def test_docker_that_comes_later_is_seen(lab: Lab) -> None:
    _town(lab)
    assert lab.causes() == []
    _feed(DOCKER, "iptables-nft-restore")
    lab.host.run("sysctl", "-qw", "net.ipv4.ip_forward=1")
    assert "the rules that let containers" in lab.causes()[-1]
    lab.net.mend(lab.wiring)
    assert lab.causes() == []
    assert fetch(lab.host.other.path, "192.0.2.1", 8080) == "web 192.0.2.2"
    lab.net.tear_down(lab.wiring)
    assert lab.host.run("sysctl", "-n", "net.ipv4.ip_forward").stdout == "1\n"
    assert lab.host.run("sysctl", "-n", "net.ipv4.conf.eth0.forwarding").stdout == "1\n"


def test_a_firewall_that_drops_is_not_bypassed(lab: Lab) -> None:
    _town(lab)
    rules = "table inet lock { chain f { type filter hook forward priority 10; policy drop; }; }"
    _feed(rules, "nft", "-f", "-")
    assert fetch(lab.host.other.path, "192.0.2.1", 8080, timeout=0.3) == "silence"
    assert fetch(lab.host.path, "127.0.0.1", 8080) == "web 10.201.0.1"


def test_the_host_does_not_become_a_router(lab: Lab) -> None:
    """We turn forwarding on for its links, and keep packets from passing between them."""
    third = Path("/run/netns/tul-third")
    _ip = lab.host.run
    _ip("ip", "netns", "add", third.name)
    try:
        _ip("ip", "link", "add", "lan1", "type", "veth", "peer", "eth0", "netns", third.name)
        _ip("ip", "address", "add", "198.51.100.1/24", "dev", "lan1")
        _ip("ip", "link", "set", "lan1", "up")
        for words in ("link set eth0 up", "address add 198.51.100.2/24 dev eth0"):
            _ip("ip", "-n", third.name, *words.split())
        _ip("ip", "-n", third.name, "route", "add", "default", "via", "198.51.100.1")
        lab.host.other.run("ip", "route", "add", "198.51.100.0/24", "via", "192.0.2.1")
        lab.serve("third", third, 7000)
        _town(lab)
        assert fetch(lab.host.other.path, "198.51.100.2", 7000, timeout=0.3) == "silence"
        assert fetch(third, "198.51.100.1", 8080) == "web 198.51.100.2"
        assert fetch(lab.links[0].namespace, "198.51.100.2", 7000) == "third 198.51.100.1"
        assert lab.causes() == []
        # The host becomes one by its own will: Docker and libvirt do that.
        _ip("sysctl", "-qw", "net.ipv4.ip_forward=1")
        lab.net.mend(lab.wiring)
        assert fetch(lab.host.other.path, "198.51.100.2", 7000) == "third 192.0.2.2"
    finally:
        _ip("ip", "netns", "del", third.name)


@pytest.mark.parametrize("flavour", ["ip6tables-nft", "ip6tables-legacy"])
def test_a_docker_with_ipv6_has_the_rules_in_both_versions(estate: Estate, flavour: str) -> None:
    host = estate.lab.host
    _feed(DOCKER.replace("203.0.113.9/32", "2001:db8:9::9/128"), f"{flavour}-restore")
    before = _all_rules(estate.lab, flavour)
    estate.network("front", ipv6=True)
    estate.run("web", "front", ports=(PortSpec(container_port=80, host_port=8080),))
    # The two hosts were just made, and look for others with their addresses for a second.
    eventually(lambda: fetch(host.other.path, host.address6, 8080).startswith("web "))
    assert len(_user_chain(estate.lab, flavour)) == 5
    assert estate.causes() == []
    host.run(flavour, "-D", "DOCKER-USER", "3")
    assert len(estate.causes()) == 1
    estate.services.mend()
    assert estate.causes() == []
    estate.lab.net.tear_down(promises.wiring(estate.state) or estate.lab.wiring)
    assert _all_rules(estate.lab, flavour) == before
