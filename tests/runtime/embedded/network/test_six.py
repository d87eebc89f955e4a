"""Networks with IPv6: the same promises in both families."""

import re
import subprocess

import pytest

from runtime.api import Attachment, PortSpec
from runtime.embedded.network.allocation import AddressOutside, AddressTaken
from runtime.embedded.network.subnets import SubnetTaken
from tests.eventually import eventually
from tests.runtime.embedded.estate import Estate
from tests.runtime.embedded.lab import Lab, fetch, send

pytestmark = pytest.mark.root


@pytest.fixture
def town(estate: Estate) -> Estate:
    estate.network("front", ipv6=True)
    return estate


def _router(lab: Lab, *words: str) -> str:
    command = ["nsenter", f"--net={lab.paths.router}", *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_a_network_has_a_subnet_of_the_instances_own_range(town: Estate) -> None:
    town.network("side", ipv6=True)
    state = town.state
    front, side = state.networks["shop", "front"].subnet6, state.networks["shop", "side"].subnet6
    assert front is not None
    assert side is not None
    assert state.ula is not None
    assert str(state.ula).startswith("fd")
    assert front.subnet_of(state.ula)
    assert side.subnet_of(state.ula)
    assert (front.prefixlen, side.prefixlen, front == side) == (64, 64, False)
    assert town.causes() == []


def test_services_answer_by_both_families(town: Estate) -> None:
    web, app = town.run("web", "front"), town.run("app", "front")
    heard = f"web {town.has6(app, 'front')}"
    assert town.asks(app, town.gives6("web", "front")) == (heard, heard)
    assert town.asks(app, town.has6(web, "front")) == (heard, heard)
    heard = f"web {town.has(app, 'front')}"
    assert town.asks(app, town.gives("web", "front")) == (heard, heard)
    assert fetch(town.namespace(web), town.gives6("web", "front")).startswith("web fd")
    host = town.lab.host.path
    uplink = str(town.state.ula).replace("/48", "1")
    assert fetch(host, town.gives6("web", "front")) == f"web {uplink}"
    assert send(host, town.gives6("web", "front")) == f"web {uplink}"
    assert town.causes() == []


def test_a_service_without_container_refuses_at_once(town: Estate) -> None:
    town.service("lone", "front")
    app = town.run("app", "front")
    assert town.asks(app, town.gives6("lone", "front")) == ("refused", "refused")


def test_a_flip_leads_elsewhere(town: Estate) -> None:
    town.run("web", "front")
    second = town.run("web", "front", replica=2)
    app = town.run("app", "front")
    address = town.gives6("web", "front")
    answers = {fetch(town.namespace(app), address).split()[0] for _ in range(40)}
    assert answers == {"web", "web.2"}
    town.services.serve("shop", "web", [second])
    answers = {fetch(town.namespace(app), address).split()[0] for _ in range(10)}
    assert answers == {"web.2"}
    assert town.causes() == []


def test_networks_are_apart(town: Estate) -> None:
    town.network("side", ipv6=True)
    town.network("back", ipv6=True, internal=True)
    one, two = town.run("one", "front"), town.run("two", "side")
    both, db = town.run("both", "front", "side"), town.run("db", "back")
    for address in (town.gives6("two", "side"), town.has6(two, "side"), town.has6(db, "back")):
        assert town.asks(one, address, timeout=0.3) == ("silence", "silence")
    heard = f"both {town.has6(two, 'side')}"
    assert town.asks(two, town.gives6("both", "side")) == (heard, heard)
    # The host by the one and by the other, and what is internal by none.
    host = town.lab.host.path
    for network in ("front", "side"):
        assert fetch(host, town.gives6("both", network)).startswith("both fd")
    assert fetch(host, town.gives6("db", "back")) == "refused"
    assert send(host, town.has6(db, "back")) == "refused"
    assert fetch(town.namespace(db), "2001:db8::1") == "unreachable"
    assert town.ip(db, "-6", "r", "show", "default") == ""
    assert "dev eth0" in town.ip(both, "-6", "r", "show", "default")
    assert town.causes() == []


def test_forged_sources_are_stopped(town: Estate) -> None:
    web, app = town.run("web", "front"), town.run("app", "front")
    forged = "fd99::1"
    town.ip(app, "-6", "a", "add", f"{forged}/128", "dev", "eth0", "nodad")
    town.ip(app, "-6", "r", "replace", "default", "via", str(town.gateway6("front")), "dev",
            "eth0", "onlink", "src", forged)  # fmt: skip
    town.ip(app, "-6", "r", "del", str(town.state.networks["shop", "front"].subnet6))
    assert fetch(town.namespace(app), town.has6(web, "front"), timeout=0.3) == "silence"


def test_the_world_is_reached_and_reaches_published_ports(town: Estate) -> None:
    host = town.lab.host
    town.lab.serve("world", host.other.path, 80, both=True)
    # The two hosts were just made, and look for others with their addresses for a second.
    eventually(lambda: fetch(host.path, "2001:db8::2") == "world 2001:db8::1")
    web = town.run("web", "front", ports=(PortSpec(container_port=80, host_port=8080),))
    assert fetch(town.namespace(web), "2001:db8::2") == "world 2001:db8::1"
    assert fetch(host.other.path, "2001:db8::1", 8080) == "web 2001:db8::2"
    assert send(host.other.path, "2001:db8::1", 8080) == "refused"
    assert fetch(host.path, "2001:db8::1", 8080).startswith("web ")
    assert fetch(host.path, "::1", 8080) == "refused"
    assert fetch(host.other.path, "192.0.2.1", 8080) == "web 192.0.2.2"


def test_it_is_turned_on_and_off_under_a_container(estate: Estate) -> None:
    estate.network("front")
    web, app = estate.run("web", "front"), estate.run("app", "front")
    assert estate.state.ula is None
    estate.network("front", ipv6=True)
    heard = f"web {estate.has6(app, 'front')}"
    assert estate.asks(app, estate.gives6("web", "front")) == (heard, heard)
    assert estate.causes() == []
    estate.network("front")
    assert "fd" not in estate.ip(web, "-6", "-o", "a", "show", "scope", "global")
    assert estate.ip(web, "-6", "r", "show", "default") == ""
    heard = f"web {estate.has(app, 'front')}"
    assert estate.asks(app, estate.gives("web", "front")) == (heard, heard)
    assert estate.causes() == []
    assert _router(estate.lab, "ip", "-6", "r") == ""


def test_it_is_renumbered_and_fixed(town: Estate) -> None:
    town.network("front", subnet="10.77.0.0/24", subnet6="fd77::/64")
    me = Attachment(network="front", ipv4_address="10.77.0.7", ipv6_address="fd77::7")
    web, app = town.run("web", me), town.run("app", "front")
    assert (str(town.has6(web, "front")), str(town.gives6("web", "front"))) == ("fd77::7",) * 2
    heard = f"web {town.has6(app, 'front')}"
    assert town.asks(app, "fd77::7") == (heard, heard)
    with pytest.raises(AddressTaken, match="shop/web has it"):
        town.service("two", Attachment(network="front", ipv6_address="fd77::7"))
    with pytest.raises(AddressOutside):
        town.service("two", Attachment(network="front", ipv6_address="fd78::7"))
    with pytest.raises(SubnetTaken, match="network shop_front"):
        town.network("other", subnet6="fd77::/65")
    assert town.causes() == []


BREAKS = {
    "the gateway of a link": (
        "ip -6 a del {gateway}/128 dev {link}",
        "the gateway of eth0 is gone",
    ),
    "the route to a container": ("ip -6 r del {address}", "the route to {address} is gone"),
    "the uplink's address": ("ip -6 a flush dev up0 scope global", "the router has no address"),
    "the way out": ("ip -6 r del default", "the router has no route to ::/0"),
    "the service map": ("nft flush map inet trueup services6", "does not lead web to"),
}


@pytest.mark.parametrize("case", BREAKS)
def test_what_is_broken_is_seen_and_mended(town: Estate, case: str) -> None:
    command, cause = BREAKS[case]
    web, app = town.run("web", "front"), town.run("app", "front")
    row = town.state.containers[web]
    facts = {
        "gateway": town.gateway6("front"),
        "link": f"v{row.places[0].serial:x}",
        "address": town.has6(web, "front"),
    }
    _router(town.lab, *command.format(**facts).split())
    assert any(cause.format(**facts) in each for each in town.causes()), town.causes()
    town.services.mend()
    town.mend(web)
    assert town.causes() == []
    heard = f"web {town.has6(app, 'front')}"
    assert town.asks(app, town.gives6("web", "front")) == (heard, heard)


def test_nothing_is_left(town: Estate) -> None:
    town.run("web", "front")
    lab = town.lab
    lab.stack.close()
    town.close()
    lab.net.tear_down(lab.wiring)
    shown = lab.host.run("sh", "-c", "ip -6 r; ip link; nft list ruleset").stdout
    assert re.search(r"\bfd[0-9a-f]{2}:", shown) is None, "a network of ours"
    assert "tuu" not in shown
    forwards = "/proc/sys/net/ipv6/conf/eth0/forwarding"
    assert lab.host.run("cat", forwards).stdout == "0\n"
