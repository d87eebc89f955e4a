"""Broken by hand, seen with its cause, mended; and nothing left in the end."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from runtime.embedded.network.kernel import Network
from runtime.embedded.ports.claims import PortTaken
from runtime.embedded.router.events import Listener
from runtime.embedded.router.table import NAME
from tests.eventually import eventually
from tests.runtime.embedded.lab import Lab, fetch, processes_with, resolve
from tests.runtime.embedded.wires import network, port, service

pytestmark = pytest.mark.root

A = network(1)
WEB, WEB_1, APP, APP_1 = "10.201.2.2", "10.201.3.0", "10.201.2.3", "10.201.3.1"
SERVICES = (service("web", WEB, WEB_1), service("app", APP, APP_1))
PORTS = (port(8080, WEB), port(8053, APP, protocol="udp"))


@pytest.fixture
def town(lab: Lab) -> Lab:
    lab.mend(networks=(A,), services=SERVICES, ports=PORTS)
    lab.container("web", WEB_1, A)
    lab.container("app", APP_1, A)
    assert lab.causes() == []
    return lab


def _router(town: Lab, *words: str) -> None:
    command = ["nsenter", f"--net={town.paths.router}", *words]
    subprocess.run(command, check=True, capture_output=True)


def _host(town: Lab, *words: str) -> None:
    town.host.run(*words)


def _kill(town: Lab, word: str) -> None:
    (pid,) = [
        pid
        for pid in processes_with(str(town.paths.run))
        if Path(f"/proc/{pid}/comm").read_text().strip() == word
    ]
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: "State:\tZ" in _status(pid) or not _status(pid))


def _status(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return ""


def _table(town: Lab) -> str:
    return town.paths.table


BREAKS: dict[str, tuple[Callable[[Lab], object], str]] = {
    "the host's table": (
        lambda t: _host(t, "nft", "delete", "table", "inet", _table(t)),
        "host table trueup-",
    ),
    "everybody's rules": (lambda t: _host(t, "nft", "flush", "ruleset"), "host table trueup-"),
    "a rule of the host": (
        lambda t: _host(t, "nft", "flush", "chain", "inet", _table(t), "raw"),
        "the rules of host table trueup-",
    ),
    "a published port": (
        lambda t: _host(t, "nft", "flush", "map", "inet", _table(t), "published"),
        "the map of published ports does not lead tcp . 8080",
    ),
    "the service map": (
        lambda t: _router(t, "nft", "flush", "map", "inet", "trueup", "services"),
        "the service map does not lead web to 10.201.3.0",
    ),
    "the router's table": (
        lambda t: _router(t, "nft", "flush", "ruleset"),
        "router table trueup is missing",
    ),
    "the uplink": (
        lambda t: _host(t, "ip", "link", "del", t.paths.uplink),
        "between host and router is gone",
    ),
    "the uplink is down": (
        lambda t: _host(t, "ip", "link", "set", t.paths.uplink, "down"),
        "between host and router is gone",
    ),
    "the route to the pool": (
        lambda t: _host(t, "ip", "route", "del", "10.201.0.0/16"),
        "the host has no route to 10.201.0.0/16",
    ),
    "the gateway": (
        lambda t: _router(t, "ip", "address", "del", "10.201.2.1/32", "dev", "lo"),
        "the router has no address 10.201.2.1 on lo",
    ),
    "a sysctl": (
        lambda t: _host(t, "sysctl", "-qw", f"net.ipv4.conf.{t.paths.uplink}.route_localnet=0"),
        "route_localnet is not 1",
    ),
    "forwarding": (
        lambda t: _host(t, "sysctl", "-qw", "net.ipv4.conf.eth0.forwarding=0"),
        "the host does not forward on eth0",
    ),
    "the DNS server": (lambda t: _kill(t, "aardvark-dns"), "the DNS server is not running"),
    "a DNS file": (
        lambda t: (t.paths.dns / "zones" / "n1").write_text("nonsense\n"),
        "the names that DNS answers",
    ),
    "the reservations": (lambda t: _kill(t, "sleep"), "port 8053/udp on 0.0.0.0 is not reserved"),
}


@pytest.mark.parametrize("case", BREAKS)
def test_what_is_broken_on_the_host_is_seen_and_mended(case: str, town: Lab) -> None:
    damage, cause = BREAKS[case]
    damage(town)
    assert any(cause in one for one in town.causes()), town.causes()
    # Another process, which knows nothing of ours, mends.
    other = Network(town.paths)
    other.mend(town.wiring)
    other.close()
    assert town.causes() == []
    assert fetch(town.host.path, "127.0.0.1", 8080) == "web 10.201.0.1"
    assert fetch(town.host.other.path, "192.0.2.1", 8080) == "web 192.0.2.2"
    assert fetch(town.links[1].namespace, WEB) == "web 10.201.3.1"
    assert resolve(town.links[0].namespace, A.gateway, "app") == [APP]


def _in_container(town: Lab, *words: str) -> None:
    command = ["nsenter", f"--net={town.links[0].namespace}", *words]
    subprocess.run(command, check=True, capture_output=True)


LINK_BREAKS: dict[str, tuple[Callable[[Lab], None], str]] = {
    "deleted in the router": (
        lambda t: _router(t, "ip", "link", "del", t.links[0].name),
        "the veth eth0 is gone",
    ),
    "deleted in the container": (
        lambda t: _in_container(t, "ip", "link", "del", "eth0"),
        "the veth eth0 is gone",
    ),
    "down in the container": (
        lambda t: _in_container(t, "ip", "link", "set", "eth0", "down"),
        "the veth eth0 is down",
    ),
    "down in the router": (
        lambda t: _router(t, "ip", "link", "set", t.links[0].name, "down"),
        "the veth eth0 is down",
    ),
    "without its gateway": (
        lambda t: _router(t, "ip", "address", "del", "10.201.2.1/32", "dev", t.links[0].name),
        "the gateway of eth0 is gone",
    ),
    "without its route": (
        lambda t: _router(t, "ip", "route", "del", WEB_1),
        f"the route to {WEB_1} is gone",
    ),
}


@pytest.mark.parametrize("case", LINK_BREAKS)
def test_a_broken_link_is_its_containers_and_comes_back_under_the_process(
    case: str, town: Lab
) -> None:
    damage, cause = LINK_BREAKS[case]
    damage(town)
    web, app = town.links
    host, containers = town.net.defects(town.wiring, town.links)
    assert host == ()
    assert [d.cause for d in containers[web.container]] == [cause]
    assert containers[app.container] == ()
    town.net.connect(web)
    assert town.causes() == []
    assert fetch(app.namespace, WEB) == "web 10.201.3.1"


def test_a_namespace_that_lost_its_name_is_found_by_a_process(town: Lab) -> None:
    web = town.links[0]
    pid = next(p for p in _inside(web.namespace))
    subprocess.run(["umount", "-l", web.namespace], check=True)
    web.namespace.unlink()
    assert town.causes() == ["its network namespace is gone"]
    town.net.connect(replace(web, pid=pid))
    assert town.causes() == []
    assert fetch(town.host.path, "127.0.0.1", 8080) == "web 10.201.0.1"


def _inside(namespace: Path) -> list[int]:
    wanted = namespace.stat().st_ino
    pids = filter(str.isdigit, os.listdir("/proc"))
    return [int(p) for p in pids if _inode(p) == wanted]


def _inode(pid: str) -> int:
    try:
        return os.stat(f"/proc/{pid}/ns/net").st_ino
    except OSError:
        return 0


def test_a_lost_router_is_made_again_with_every_link(town: Lab) -> None:
    subprocess.run(["umount", "-l", town.paths.router], check=True)
    assert "the router namespace is gone" in town.causes()
    town.net.mend(town.wiring)
    for link in town.links:
        town.net.connect(link)
    assert town.causes() == []
    assert fetch(town.host.path, "127.0.0.1", 8080) == "web 10.201.0.1"


def test_looking_and_mending_what_is_well_change_nothing(town: Lab) -> None:
    before = _state(town)
    for _ in range(3):
        assert town.causes() == []
    assert _state(town) == before
    town.net.mend(town.wiring)
    for link in town.links:
        town.net.connect(link)
    assert _state(town) == before


def _state(town: Lab) -> list[str]:
    shown = []
    for place in (town.host.path, town.paths.router, town.links[0].namespace):
        for words in (["ip", "-o", "a"], ["ip", "-o", "r"], ["nft", "list", "ruleset"]):
            command = ["nsenter", f"--net={place}", *words]
            shown.append(subprocess.run(command, capture_output=True, text=True).stdout)
    return [*shown, *map(str, processes_with(str(town.paths.run)))]


def test_nothing_is_left(town: Lab) -> None:
    fetch(town.host.other.path, "192.0.2.1", 8080)
    town.stack.close()  # the containers' processes
    town.net.disconnect(town.links)
    town.net.tear_down(town.wiring)
    town.net.tear_down(town.wiring)
    assert processes_with(str(town.paths.run)) == []
    assert [p for p in town.paths.run.rglob("*") if p.is_file() or p.is_mount()] == []
    assert town.host.run("nft", "list", "ruleset").stdout == ""
    assert town.host.run("ip", "route").stdout.strip().splitlines() == [
        "192.0.2.0/24 dev eth0 proto kernel scope link src 192.0.2.1"
    ]
    assert "tuu" not in town.host.run("ip", "-br", "link").stdout
    assert town.host.run("sysctl", "-n", "net.ipv4.conf.eth0.forwarding").stdout == "0\n"
    assert str(town.paths.run) not in Path("/proc/mounts").read_text()


def test_a_stranger_on_a_port_is_named_and_keeps_it_while_all_else_is_mended(town: Lab) -> None:
    town.net.tear_down(town.wiring)
    stranger = town.serve("stranger", town.host.path, 8080)
    with pytest.raises(PortTaken) as taken:
        town.net.mend(town.wiring)
    assert f"{Path(sys.executable).name}[{stranger.pid}]" in str(taken.value)
    assert fetch(town.host.path, "127.0.0.1", 8080) == "stranger 127.0.0.1"
    assert any("port 8080/tcp" in cause for cause in town.causes())
    for link in town.links:
        town.net.connect(link)
    assert fetch(town.links[1].namespace, WEB) == "web 10.201.3.1"
    stranger.kill()
    stranger.wait()
    town.net.mend(town.wiring)
    assert town.causes() == []


def test_a_listener_hears_links_and_rules(town: Lab) -> None:
    listener = Listener(
        town.paths.router,
        uplink=town.paths.uplink,
        host_table=town.paths.table,
        router_table=NAME,
    )
    try:
        assert not listener.wait(0.05)
        damages: tuple[Callable[[Lab], object], ...] = (
            LINK_BREAKS["deleted in the router"][0],
            BREAKS["the service map"][0],
            BREAKS["the host's table"][0],
        )
        for damage in damages:
            damage(town)
            assert listener.wait(1)
            while listener.wait(0.05):
                pass
    finally:
        listener.close()
