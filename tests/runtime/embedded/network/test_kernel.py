"""The network of an instance on a real kernel: who is answered from where, and who is not."""

from ipaddress import IPv4Address
from pathlib import Path

import pytest
from msgspec.structs import replace

from runtime.embedded.linux.namespaces import inside
from runtime.embedded.router.wiring import Wiring
from tests.runtime.embedded.lab import Lab, fetch, resolve, send
from tests.runtime.embedded.wires import network, port, service

pytestmark = pytest.mark.root

A, B = network(1), network(2, project="blog")
WEB, APP, LONE = "10.201.2.2", "10.201.2.3", "10.201.2.4"
WEB_1, APP_1, APP_2 = "10.201.3.0", "10.201.3.1", "10.201.3.2"
BLOG, BLOG_1 = "10.201.4.2", "10.201.5.0"
PORTS = (
    port(8080, WEB),
    port(8080, WEB, protocol="udp"),
    port(8081, APP, host_ip="192.0.2.1"),
    port(8082, WEB, host_ip="127.0.0.1"),
    port(8083, LONE),
    port(8083, LONE, protocol="udp"),
    port(8084, BLOG),
)
SERVICES = (
    service("web", WEB, WEB_1, names=("web", "www")),
    service("app", APP, APP_1),
    service("lone", LONE),
    service("blog", BLOG, BLOG_1, network_id=2),
)


@pytest.fixture
def town(lab: Lab) -> Lab:
    """Two projects: web, app and a service without container in one, blog in the other."""
    lab.mend(networks=(A, B), services=SERVICES, ports=PORTS)
    lab.container("web", WEB_1, A)
    lab.container("app", APP_1, A)
    lab.container("blog", BLOG_1, B)
    return lab


def _places(town: Lab) -> dict[str, Path]:
    web, app, blog = (link.namespace for link in town.links)
    host = town.host
    return {"host": host.path, "other": host.other.path, "web": web, "app": app, "blog": blog}


# Shadow addresses: containers that come back through the host are seen by them.
ANSWERS = [
    # from, to, TCP, UDP (None: not asked)
    ("host", "127.0.0.1:8080", "web 10.201.0.1", "web 10.201.0.1"),
    ("host", "192.0.2.1:8080", "web 192.0.2.1", "web 192.0.2.1"),
    ("other", "192.0.2.1:8080", "web 192.0.2.2", "web 192.0.2.2"),
    ("web", "192.0.2.1:8080", "web 10.251.3.0", "web 10.251.3.0"),
    ("app", "192.0.2.1:8080", "web 10.251.3.1", "web 10.251.3.1"),
    ("blog", "192.0.2.1:8080", "web 10.251.5.0", "web 10.251.5.0"),
    ("blog", "10.201.0.1:8080", "web 10.251.5.0", None),
    ("host", "192.0.2.1:8081", "app 192.0.2.1", None),
    ("other", "192.0.2.1:8081", "app 192.0.2.2", None),
    ("host", "127.0.0.1:8081", "refused", None),
    ("host", "127.0.0.1:8082", "web 10.201.0.1", None),
    ("host", "192.0.2.1:8082", "refused", None),
    ("other", "192.0.2.1:8082", "refused", None),
    ("host", "127.0.0.1:8083", "refused", "refused"),
    ("other", "192.0.2.1:8083", "refused", "refused"),
    ("other", "192.0.2.1:9999", "refused", "refused"),
    ("host", f"{WEB}:80", "web 10.201.0.1", "web 10.201.0.1"),
    ("host", f"{WEB_1}:80", "web 10.201.0.1", None),
    ("app", f"{WEB}:80", "web 10.201.3.1", "web 10.201.3.1"),
    ("app", f"{WEB_1}:80", "web 10.201.3.1", None),
    ("web", f"{WEB}:80", "web 10.201.2.1", "web 10.201.2.1"),
    ("web", f"{WEB_1}:80", "web 10.201.3.0", None),
    ("app", f"{LONE}:80", "refused", "refused"),
    # Nobody enters another project's network, nor by a route of his own.
    ("blog", f"{WEB}:80", "silence", "silence"),
    ("blog", f"{WEB_1}:80", "silence", None),
    ("web", f"{BLOG}:80", "silence", None),
    ("other", f"{WEB}:80", "silence", None),
    ("other", f"{WEB_1}:80", "silence", None),
    # The router has nothing to say but DNS.
    ("app", "10.201.2.1:80", "silence", None),
    ("blog", "10.201.2.1:53", "silence", "silence"),
    # What nobody has does not leave the house.
    ("app", "10.201.200.1:80", "unreachable", None),
]


def test_what_answers_from_where(town: Lab) -> None:
    places = _places(town)
    # Another host may send anything: it has routes to our pool by way of the host.
    town.host.other.run("ip", "route", "add", "10.201.0.0/16", "via", town.host.address)
    wrong = []
    for source, target, tcp, udp in ANSWERS:
        address, _, number = target.partition(":")
        timeout = 0.3 if "silence" in (tcp, udp) else 2.0
        for how, words in ((fetch, tcp), (send, udp)):
            if words is not None:
                said = how(places[source], address, int(number), timeout=timeout)
                if said != words:
                    wrong.append(f"{source} -> {target} {how.__name__}: {said}, not {words}")
    assert not wrong, "\n".join(wrong)


def test_ipv6_loopback_refuses_at_once(town: Lab) -> None:
    assert fetch(town.host.path, "::1", 8080, timeout=1) == "refused"


def test_services_are_found_by_name_in_their_own_network_only(town: Lab) -> None:
    web, app, blog = (link.namespace for link in town.links)
    assert resolve(web, A.gateway, "web") == [WEB]
    assert resolve(app, A.gateway, "web") == [WEB]
    assert resolve(app, A.gateway, "WWW") == [WEB]
    assert resolve(app, A.gateway, "blog") == []
    assert resolve(blog, B.gateway, "blog") == [BLOG]
    assert resolve(blog, B.gateway, "web") == []


def test_containers_reach_other_hosts_and_hide_behind_ours(town: Lab) -> None:
    town.serve("there", town.host.other.path, 7000)
    app = town.links[1].namespace
    assert fetch(app, town.host.other.address, 7000) == "there 192.0.2.1"
    assert send(app, town.host.other.address, 7000) == "there 192.0.2.1"


def test_containers_reach_the_hosts_own_ports_but_not_its_loopback(town: Lab) -> None:
    town.serve("open", town.host.path, 7001)
    app = town.links[1].namespace
    assert fetch(app, town.host.address, 7001) == "open 10.201.3.1"
    # A container may route 127/8 to us; so may a neighbour on the link.
    for place, gateway in ((app, A.gateway), (town.host.other.path, town.host.address)):
        _route_loopback(place, str(gateway))
        assert fetch(place, "127.0.0.1", 7001, timeout=0.3) in ("silence", "unreachable")
        assert fetch(place, "127.0.0.1", 8082, timeout=0.3) in ("silence", "unreachable")


def _route_loopback(namespace: Path, gateway: str) -> None:
    import subprocess

    inner = ["nsenter", f"--net={namespace}"]
    for words in (
        ["sysctl", "-qw", "net.ipv4.conf.eth0.route_localnet=1"],
        ["ip", "address", "del", "127.0.0.1/8", "dev", "lo"],
        ["ip", "route", "add", "127.0.0.0/8", "via", gateway, "dev", "eth0", "onlink"],
        ["ip", "route", "flush", "table", "local", "127.0.0.0/8"],
    ):
        subprocess.run([*inner, *words], capture_output=True, check=False)


def test_forged_sources_are_dropped(town: Lab) -> None:
    """web sends as app, and as a stranger: neither arrives."""
    import socket
    import struct

    web, app, _ = town.links

    def shout(source: str, target: str) -> None:
        payload = b"forged"
        udp = struct.pack(">HHHH", 4000, 4001, 8 + len(payload), 0) + payload
        head = struct.pack(
            ">BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0,
            socket.inet_aton(source), socket.inet_aton(target),
        )  # fmt: skip
        with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as own:
            own.sendto(head + udp, (target, 0))

    def listening() -> socket.socket:
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        made.bind(("", 4001))
        made.settimeout(0.3)
        return made

    with inside(app.namespace, listening) as heard:
        inside(web.namespace, lambda: shout(WEB_1, APP_1))
        assert heard.recvfrom(100)[1][0] == WEB_1
        for source in ("10.201.3.9", "192.0.2.77", BLOG_1):
            inside(web.namespace, lambda source=source: shout(source, APP_1))  # type: ignore[misc]
        with pytest.raises(TimeoutError):
            heard.recvfrom(100)


def test_replicas_share_and_one_alone_takes_all(town: Lab) -> None:
    town.container("app2", APP_2, A)
    two = replace(SERVICES[1], targets=(IPv4Address(APP_1), IPv4Address(APP_2)))
    town.change(services=(SERVICES[0], two, *SERVICES[2:]))
    web = town.links[0].namespace
    said = [fetch(web, APP) for _ in range(40)]
    assert {"app 10.201.3.0", "app2 10.201.3.0"} == set(said)
    assert town.causes() == []
    town.change(services=SERVICES)
    assert {fetch(web, APP) for _ in range(10)} == {"app 10.201.3.0"}


def test_a_user_chosen_subnet_outside_the_pool(lab: Lab) -> None:
    small = network(3, subnet="10.90.0.0/28")
    lab.mend(networks=(A,), services=SERVICES[:1])
    lab.container("web", WEB_1, A)
    lab.change(
        networks=(A, small),
        services=(*SERVICES[:1], service("small", "10.90.0.2", "10.90.0.8", network_id=3)),
        ports=(port(8090, "10.90.0.2"),),
    )
    inner = lab.container("small", "10.90.0.8", small).namespace
    lab.serve("there", lab.host.other.path, 7000)
    assert lab.causes() == []
    assert fetch(lab.host.path, "127.0.0.1", 8090) == "small 10.201.0.1"
    assert fetch(lab.host.other.path, "192.0.2.1", 8090) == "small 192.0.2.2"
    assert fetch(inner, "192.0.2.1", 8090) == "small 10.201.0.1"
    assert fetch(inner, "10.90.0.2") == "small 10.90.0.1"
    assert fetch(inner, "192.0.2.2", 7000) == "there 192.0.2.1"
    assert fetch(inner, WEB, timeout=0.3) == "silence"
    assert resolve(inner, "10.90.0.1", "small") == ["10.90.0.2"]
    lab.change(networks=(A,), services=SERVICES[:1], ports=())
    assert lab.causes() == []
    assert "10.90" not in lab.host.run("ip", "route").stdout


def test_the_empty_wiring_stands_too(lab: Lab) -> None:
    lab.mend()
    assert lab.causes() == []
    assert isinstance(lab.wiring, Wiring)
