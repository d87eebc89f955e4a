"""Containers in several networks: interfaces, ways out, answers, isolation, changes in place."""

import os
import signal
import socket
import subprocess

import pytest
from msgspec.structs import replace

from runtime.api import Attachment, NetworkSpec, PortSpec
from runtime.embedded.linux import namespaces
from runtime.embedded.network import promises, subnets
from runtime.embedded.network.allocation import AddressOutside, AddressTaken
from runtime.embedded.network.subnets import NetworkInUse, SubnetNotAllowed, SubnetTaken
from runtime.embedded.observe import notices
from tests.runtime.embedded.estate import Estate
from tests.runtime.embedded.lab import fetch, resolve, send

pytestmark = pytest.mark.root


@pytest.fixture
def town(estate: Estate) -> Estate:
    """web is in front, app in front and back, db in back only, which is internal."""
    estate.network("front")
    estate.network("back", internal=True)
    estate.network("side")
    return estate


def test_interfaces_and_one_way_out(town: Estate) -> None:
    app = town.run("app", "back", "front", "side")
    addresses = [line.split()[1:4:2] for line in town.ip(app, "-o", "-4", "a").splitlines()[1:]]
    assert addresses == [
        ["eth0", f"{town.has(app, 'back')}/32"],
        ["eth1", f"{town.has(app, 'front')}/32"],
        ["eth2", f"{town.has(app, 'side')}/32"],
    ]
    assert town.ip(app, "r", "show", "default").split()[:5] == [
        *("default", "via", str(town.gateway("front")), "dev", "eth1"),
    ]
    assert town.causes() == []


def test_a_priority_leads_the_way_out(town: Estate) -> None:
    app = town.run("app", "front", Attachment(network="side", gw_priority=1))
    assert "dev eth1" in town.ip(app, "r", "show", "default")
    assert "web" not in town.ip(app, "r")


def test_every_network_answers_by_its_own_link(town: Estate) -> None:
    """Neighbours in each network, and the host by each service address."""
    app = town.run("app", "front", "side")
    one = town.run("one", "front")
    two = town.run("two", "side")
    heard = f"app {town.has(one, 'front')}"
    assert town.asks(one, town.gives("app", "front")) == (heard, heard)
    heard = f"app {town.has(two, 'side')}"
    assert town.asks(two, town.gives("app", "side")) == (heard, heard)
    heard = f"one {town.has(app, 'front')}"
    assert town.asks(app, town.gives("one", "front")) == (heard, heard)
    heard = f"two {town.has(app, 'side')}"
    assert town.asks(app, town.gives("two", "side")) == (heard, heard)
    host = town.lab.host.path
    assert fetch(host, town.gives("app", "front")) == "app 10.201.0.1"
    assert fetch(host, town.gives("app", "side")) == "app 10.201.0.1"
    assert send(host, town.gives("app", "front")) == "app 10.201.0.1"
    # To itself, by each.
    assert fetch(town.namespace(app), town.gives("app", "side")).startswith("app ")
    assert fetch(town.namespace(app), town.gives("app", "front")).startswith("app ")


def test_networks_are_apart_by_every_address(town: Estate) -> None:
    """Also where a container is in both: it passes nothing on."""
    one, two = town.run("one", "front"), town.run("two", "side")
    both = town.run("both", "front", "side")
    for address in (town.gives("two", "side"), town.has(two, "side"), town.gives("both", "side")):
        assert town.asks(one, address, timeout=0.3) == ("silence", "silence")
        assert _pings(town, one, address) is False
    assert _pings(town, one, town.gives("both", "front"))
    with pytest.raises(OSError, match="timed out"):
        resolve(town.namespace(one), town.gateway("side"), "two", timeout=0.3)
    # A route of its own by the one in both leads nowhere.
    neighbour = str(town.has(both, "front"))
    town.ip(one, "r", "add", neighbour, "dev", "eth0", "scope", "link")
    assert fetch(town.namespace(one), town.has(two, "side"), timeout=0.3) == "silence"


def _pings(town: Estate, id: str, address: object) -> bool:
    command = [
        "nsenter",
        f"--net={town.namespace(id)}",
        "busybox",
        "ping",
        "-c1",
        "-W1",
        str(address),
    ]
    return subprocess.run(command, capture_output=True).returncode == 0


def test_an_internal_network_has_no_way_out_and_none_in(town: Estate) -> None:
    ports = (PortSpec(container_port=80, host_port=8080),)
    db, peer = town.run("db", "back", ports=ports), town.run("peer", "back")
    web = town.run("web", "front", ports=(PortSpec(container_port=80, host_port=8081),))
    assert town.ip(db, "r", "show", "default") == ""
    host = town.lab.host
    for address in ("192.0.2.1", "192.0.2.2", "10.201.0.1", "203.0.113.1"):
        assert fetch(town.namespace(db), address) == "unreachable"
    assert fetch(town.namespace(db), "192.0.2.1", 8081) == "unreachable"  # a published port
    # By a route of its own it is refused at once.
    town.ip(db, "r", "add", "default", "via", str(town.gateway("back")), "dev", "eth0", "onlink")
    assert fetch(town.namespace(db), "192.0.2.1", 8081) == "refused"
    assert send(town.namespace(db), "192.0.2.1", 8081) == "refused"
    assert fetch(host.path, town.gives("db", "back")) == "refused"
    assert fetch(host.path, town.has(db, "back")) == "refused"
    assert send(host.path, town.has(db, "back")) == "refused"
    assert fetch(host.path, "127.0.0.1", 8080) == "refused"
    assert fetch(host.other.path, "192.0.2.1", 8080) == "refused"
    assert town.asks(web, town.gives("db", "back"), timeout=0.3) == ("silence", "silence")
    heard = f"db {town.has(peer, 'back')}"
    assert town.asks(peer, town.gives("db", "back")) == (heard, heard)
    assert resolve(town.namespace(db), town.gateway("back"), "peer") == [
        str(town.gives("peer", "back"))
    ]


def test_ports_lead_to_the_network_of_the_way_out(town: Estate) -> None:
    ports = (PortSpec(container_port=80, host_port=8080),)
    town.run("app", "back", "side", ports=ports)
    assert fetch(town.lab.host.other.path, "192.0.2.1", 8080) == "app 192.0.2.2"
    wiring = promises.wiring(town.state)
    assert wiring is not None
    assert [port.address for port in wiring.ports] == [town.gives("app", "side")]


def test_aliases_are_names_in_their_network_or_in_all(town: Estate) -> None:
    front = Attachment(network="front", aliases=("www",))
    app = town.run("app", front, "side", aliases=("everywhere",))
    for name, network, known in (
        ("app", "front", True),
        ("www", "front", True),
        ("everywhere", "side", True),
        ("www", "side", False),
    ):
        one = town.run("one", network)
        found = resolve(town.namespace(one), town.gateway(network), name)
        assert found == ([str(town.gives("app", network))] if known else [])
        _end(town, one)
    assert town.causes() == []
    assert app in town.state.containers


def test_a_container_is_found_by_the_name_that_it_was_given(town: Estate) -> None:
    web, app = town.run("web", "front"), town.run("app", "front")
    spec = replace(town.state.containers[web].spec, container_name="the-web")
    with town.services.rewiring() as writer:
        writer.set_spec(web, spec)
    gateway, address = town.gateway("front"), str(town.gives("web", "front"))
    assert resolve(town.namespace(app), gateway, "the-web") == [address]
    assert resolve(town.namespace(app), gateway, "web") == [address]


def _end(town: Estate, id: str) -> None:
    town.servers[id].kill()
    state = town.state
    town.lab.net.disconnect(promises.links(state, state.containers[id], town.lab.paths))
    town.services.drop_container(id)
    row = state.containers[id]
    town.services.unregister(row.key.project, [row.key.name])


# --- in place -----------------------------------------------------------------------------------


def test_networks_come_and_go_under_the_process(town: Estate) -> None:
    web = town.run("web", "front", ports=(PortSpec(container_port=80, host_port=8080),))
    two = town.run("two", "side")
    town.update(web, "front", "side")
    assert town.causes() == []
    heard = f"web {town.has(two, 'side')}"
    assert town.asks(two, town.gives("web", "side")) == (heard, heard)
    assert "dev eth0" in town.ip(web, "r", "show", "default")
    # The first one goes, and the way out with it; the interface keeps its name.
    town.update(web, "side")
    assert town.causes() == []
    assert "eth0" not in town.ip(web, "-o", "link")
    assert "dev eth1" in town.ip(web, "r", "show", "default")
    assert town.ip(web, "rule").count("lookup") == 3  # local, main, default: none of ours
    assert fetch(town.lab.host.other.path, "192.0.2.1", 8080) == "web 192.0.2.2"
    # A new one takes the lowest free name.
    town.update(web, "side", "back")
    assert "eth0" in town.ip(web, "-o", "link")
    assert town.causes() == []
    assert town.servers[web].poll() is None


def test_what_a_dead_engine_began_is_seen_and_finished(town: Estate) -> None:
    web = town.run("web", "front")
    town.rows_of_update(web, "front", "side")
    assert town.causes() == ["the veth eth1 is gone"]
    town.mend(web)
    assert town.causes() == []
    town.rows_of_update(web, "side")
    assert town.causes() == [
        "addresses and routes of eth1 are not those that it shall have",
        "it has a link to a network that it is not in any more",
    ]
    town.mend(web)
    assert town.causes() == []
    assert "eth0" not in town.ip(web, "-o", "link")


def test_a_network_becomes_internal_and_open_again(town: Estate) -> None:
    ports = (PortSpec(container_port=80, host_port=8080),)
    web = town.run("web", "side", ports=ports)
    other = town.lab.host.other.path
    town.network("side", internal=True)
    assert town.ip(web, "r", "show", "default") == ""
    assert fetch(other, "192.0.2.1", 8080) == "refused"
    town.network("side")
    assert "dev eth0" in town.ip(web, "r", "show", "default")
    assert fetch(other, "192.0.2.1", 8080) == "web 192.0.2.2"
    assert town.causes() == []


def test_what_was_begun_before_a_network_became_internal_ends(town: Estate) -> None:
    """Also for who takes the way out that we have taken away."""
    web, other = town.run("web", "side"), town.lab.host.other
    with other.inside():
        listener = socket.create_server((other.address, 9000))
    with (
        listener,
        namespaces.inside(
            town.namespace(web), lambda: socket.create_connection((other.address, 9000), 2)
        ) as connection,
        listener.accept()[0] as peer,
    ):
        town.network("side", internal=True)
        gateway = str(town.gateway("side"))
        town.ip(web, "r", "add", "default", "via", gateway, "dev", "eth0", "onlink")
        connection.send(b"more")
        with pytest.raises(ConnectionResetError):
            connection.recv(1)
        peer.setblocking(False)
        with pytest.raises(BlockingIOError):
            peer.recv(1)


def test_a_network_is_renumbered_under_its_containers(town: Estate) -> None:
    ports = (PortSpec(container_port=80, host_port=8080),)
    web, app = town.run("web", "front", "side", ports=ports), town.run("app", "front")
    before = town.has(web, "front")
    town.network("front", subnet="10.77.0.0/24")
    assert str(town.has(web, "front")).startswith("10.77.0.")
    assert str(town.gives("web", "front")) == "10.77.0.2"
    assert town.gateway("front") in subnets.network_of(town.state, "shop", "front").subnet
    heard = f"web {town.has(app, 'front')}"
    assert town.asks(app, town.gives("web", "front")) == (heard, heard)
    assert resolve(town.namespace(app), town.gateway("front"), "web") == ["10.77.0.2"]
    assert fetch(town.lab.host.other.path, "192.0.2.1", 8080) == "web 192.0.2.2"
    assert str(before) not in town.ip(web, "a") + town.ip(web, "r") + town.ip(web, "rule")
    assert town.causes() == []
    # Nothing of it is left with its number either.
    town.network("front", subnet="10.78.0.0/24")
    for place in (town.lab.paths.router, town.lab.host.path, town.namespace(web)):
        shown = subprocess.run(
            ["nsenter", f"--net={place}", "sh", "-c", "ip a; ip r; nft list ruleset"],
            capture_output=True,
            text=True,
        ).stdout
        assert "10.77." not in shown
    assert town.causes() == []


def test_renumbering_that_died_is_seen_at_every_container(town: Estate) -> None:
    web = town.run("web", "front")
    town.services.create_network(NetworkSpec(project="shop", name="front", subnet="10.77.0.0/24"))
    assert town.causes() == ["the gateway of eth0 is gone"]
    town.mend(web)
    assert town.causes() == []
    assert fetch(town.lab.host.path, town.gives("web", "front")) == "web 10.201.0.1"


# --- fixed addresses ----------------------------------------------------------------------------


def test_a_fixed_address_is_the_containers_own(town: Estate) -> None:
    town.network("fixed", subnet="10.77.0.0/24")
    me = Attachment(network="fixed", ipv4_address="10.77.0.2")
    town.service("web", me)
    one = town.run("one", "fixed")
    assert str(town.gives("one", "fixed")) == "10.77.0.3"
    assert town.asks(one, "10.77.0.2") == ("refused", "refused")  # nobody has it yet
    web = town.run("web", me)
    assert str(town.has(web, "fixed")) == str(town.gives("web", "fixed")) == "10.77.0.2"
    heard = f"web {town.has(one, 'fixed')}"
    assert town.asks(one, "10.77.0.2") == (heard, heard)
    assert fetch(town.namespace(web), "10.77.0.2") == "web 10.77.0.2"
    assert resolve(town.namespace(one), town.gateway("fixed"), "web") == ["10.77.0.2"]
    assert town.causes() == []


def test_a_fixed_address_moves_with_its_network(town: Estate) -> None:
    town.network("fixed", subnet="10.77.0.0/24")
    web = town.run("web", Attachment(network="fixed", ipv4_address="10.77.0.9"))
    app = town.run("app", "fixed")
    town.network("fixed", subnet="10.78.0.0/24")
    assert str(town.gives("web", "fixed")).startswith("10.78.0.")  # any, until one is asked for
    assert town.causes() == []
    town.update(web, Attachment(network="fixed", ipv4_address="10.78.0.9"))
    assert str(town.has(web, "fixed")) == str(town.gives("web", "fixed")) == "10.78.0.9"
    assert town.asks(app, "10.78.0.9")[0] == f"web {town.has(app, 'fixed')}"
    assert town.causes() == []


def test_a_successor_takes_the_fixed_address_over(town: Estate) -> None:
    town.network("fixed", subnet="10.77.0.0/24")
    me = Attachment(network="fixed", ipv4_address="10.77.0.9")
    first = town.run("web", me)
    os.kill(town.servers[first].pid, signal.SIGKILL)
    second = town.run("web", me, generation=2)
    assert town.has(first, "fixed") == town.has(second, "fixed")
    one = town.run("one", "fixed")
    assert town.asks(one, "10.77.0.9")[0].startswith("web ")


def test_an_address_that_was_only_picked_gives_way_to_who_asks_for_it(town: Estate) -> None:
    town.network("fixed", subnet="10.77.0.0/24")
    town.run("one", "fixed")
    assert str(town.gives("one", "fixed")) == "10.77.0.2"
    town.run("web", Attachment(network="fixed", ipv4_address="10.77.0.2"))
    assert str(town.gives("one", "fixed")) == "10.77.0.3"
    two = town.run("two", "fixed")
    assert town.asks(two, "10.77.0.3")[0].startswith("one ")
    assert town.asks(two, "10.77.0.2")[0].startswith("web ")
    assert town.causes() == []


REFUSED = {
    "another's fixed address": ("10.77.0.66", AddressTaken, "shop/one has it"),
    "the gateway's": ("10.77.0.1", AddressTaken, "the gateway has it"),
    "of another subnet": ("10.78.0.9", AddressOutside, "10.77.0.0/24"),
    "the broadcast address": ("10.77.0.255", AddressOutside, "10.77.0.0/24"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_fixed_address_that_cannot_be_is_refused(town: Estate, case: str) -> None:
    address, fault, why = REFUSED[case]
    town.network("fixed", subnet="10.77.0.0/24")
    town.service("one", Attachment(network="fixed", ipv4_address="10.77.0.66"))
    before = town.state
    with pytest.raises(fault) as refused:
        town.service("web", Attachment(network="fixed", ipv4_address=address))
    assert why in str(refused.value)
    assert town.state == before


# --- others' networks ---------------------------------------------------------------------------


def test_another_projects_network_is_used_by_its_full_name(town: Estate) -> None:
    town.run("web", "front")
    with pytest.raises(subnets.ExternalMissing, match="no project has a network"):
        town.network("theirs", project="blog", external=True, full_name="shop_nowhere")
    town.network("theirs", project="blog", external=True, full_name="shop_front")
    blog = town.run("blog", "theirs", project="blog")
    heard = f"web {town.has(blog, 'theirs')}"
    assert town.asks(blog, town.gives("web", "front")) == (heard, heard)
    assert resolve(town.namespace(blog), town.gateway("front"), "web") == [
        str(town.gives("web", "front"))
    ]
    assert town.state.network_name("blog", town.state.networks["shop", "front"].id) == "theirs"
    with pytest.raises(NetworkInUse, match="blog/blog"):
        town.services.remove_network("shop", "front")
    # Renumbering by the owner takes the guests along.
    town.network("front", subnet="10.77.0.0/24")
    heard = f"web {town.has(blog, 'theirs')}"
    assert town.asks(blog, town.gives("web", "front")) == (heard, heard)
    assert town.causes() == []


# --- subnets ------------------------------------------------------------------------------------


def test_subnets_keep_away_from_the_hosts_routes(estate: Estate) -> None:
    """A VPN with the first pool, Docker's idle bridge in the second, a policy table in a shadow."""
    host = estate.lab.host
    for name in ("wg0", "br-1"):
        host.run("ip", "link", "add", name, "type", "bridge")
        host.run("ip", "link", "set", name, "up")
    host.run("ip", "route", "add", "10.201.8.0/24", "dev", "wg0")
    host.run("ip", "address", "add", "10.202.0.1/16", "dev", "br-1")
    host.run("ip", "route", "add", "10.253.4.0/24", "dev", "wg0", "table", "52")
    estate.network("default")
    assert estate.state.pool is not None
    assert [str(each) for each in estate.state.pool] == ["10.204.0.0/16", "10.254.0.0/16"]
    with pytest.raises(SubnetTaken, match=r"host's route to 10\.202"):
        estate.network("other", subnet="10.202.3.0/24")
    # One that comes later is kept away from by the next network.
    host.run("ip", "route", "add", "10.204.4.0/24", "dev", "wg0")
    estate.network("next")
    assert str(estate.state.networks["shop", "next"].subnet) == "10.204.6.0/23"


@pytest.mark.parametrize(
    "subnet",
    ["0.1.0.0/16", "127.5.0.0/24", "169.254.0.0/17", "224.1.0.0/16", "255.255.255.0/24",
     "::/64", "fe80::/64", "fea0::/64", "ff02::/64"],
)  # fmt: skip
def test_no_network_takes_what_means_something_to_every_host(town: Estate, subnet: str) -> None:
    before = town.lab.host.run("sh", "-c", "ip r; ip -6 r").stdout
    with pytest.raises(SubnetNotAllowed):
        town.network("odd", **{"subnet6" if ":" in subnet else "subnet": subnet})
    assert town.lab.host.run("sh", "-c", "ip r; ip -6 r").stdout == before


def test_what_comes_later_is_told(town: Estate) -> None:
    state, host = town.state, town.lab.host
    overlapping = notices.overlapping(state, "shop", town.lab.net.host_networks())
    assert list(overlapping) == []
    host.run("ip", "link", "add", "wg0", "type", "bridge")
    host.run("ip", "link", "set", "wg0", "up")
    host.run("ip", "route", "add", "10.201.2.0/24", "dev", "wg0")
    (told,) = notices.overlapping(state, "shop", town.lab.net.host_networks())
    assert told.startswith("network front, 10.201.2.0/23, overlaps with the host's route to")
    assert "10.201.2.0/24 (wg0)" in told


def test_ports_that_nothing_leads_to_are_told(town: Estate) -> None:
    ports = (PortSpec(container_port=80, host_port=8080),)
    town.service("db", "back", ports=ports)
    town.service("web", "back", "front", ports=(PortSpec(container_port=80, host_port=8081),))
    assert list(notices.unpublished(town.state, "shop")) == [
        "no port of db is published: all of its networks are internal"
    ]


# --- replicas -----------------------------------------------------------------------------------


def test_two_replicas_share_what_comes(town: Estate) -> None:
    ports = (PortSpec(container_port=80, host_port=8080),)
    first = town.run("app", "front", ports=ports)
    second = town.run("app", "front", ports=ports, replica=2)
    one = town.run("one", "front")
    for space, address, port in (
        (town.namespace(one), town.gives("app", "front"), 80),
        (town.lab.host.other.path, "192.0.2.1", 8080),
    ):
        answers = [fetch(space, address, port).split()[0] for _ in range(60)]
        assert set(answers) == {"app", "app.2"}
        assert 10 <= answers.count("app") <= 50
    town.services.serve("shop", "app", [second])
    address = town.gives("app", "front")
    assert {fetch(town.namespace(one), address).split()[0] for _ in range(20)} == {"app.2"}
    assert first in town.state.containers
