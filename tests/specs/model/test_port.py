"""Published ports: every form that Compose has, what is refused, and which of them clash."""

from pathlib import Path

import pytest

from specs.model.port import Port, Protocol, clashes
from tests.specs.reading import loaded, refused

UDP = Protocol.UDP
FORMS = [
    ("80", [Port(container_port=80)]),
    ("'80/udp'", [Port(container_port=80, protocol=UDP)]),
    ("'8080:80'", [Port(host_port=8080, container_port=80)]),
    ("'127.0.0.1:8080:80'", [Port(host_ip="127.0.0.1", host_port=8080, container_port=80)]),
    ("'127.0.0.1::80'", [Port(host_ip="127.0.0.1", container_port=80)]),
    ("'0.0.0.0:80:80'", [Port(host_ip="0.0.0.0", host_port=80, container_port=80)]),
    ("'[2001:db8:0::1]:80:80'", [Port(host_ip="2001:db8::1", host_port=80, container_port=80)]),
    ("'[::]:80:80'", [Port(host_ip="::", host_port=80, container_port=80)]),
    ("3000-3001", [Port(container_port=3000), Port(container_port=3001)]),
    ("'9000-9010:9000-9010/udp'",
     [Port(host_port=9000, container_port=9000, protocol=UDP, count=11)]),
    ("'127.0.0.1:9000-9001:80-81'",
     [Port(host_ip="127.0.0.1", host_port=9000, container_port=80, count=2)]),
    ("'1-65535:1-65535'", [Port(host_port=1, container_port=1, count=65535)]),
    ("'2000-2999:1000-1999'", [Port(host_port=2000, container_port=1000, count=1000)]),
    ("'8000-8010:80'", [Port(container_port=80, choices=(8000, 8010))]),
    ("{target: 80}", [Port(container_port=80)]),
    ("{target: 80, published: 8080, host_ip: 127.0.0.1, protocol: udp}",
     [Port(host_ip="127.0.0.1", host_port=8080, container_port=80, protocol=UDP)]),
    ("{target: 80, published: '8000-8010'}", [Port(container_port=80, choices=(8000, 8010))]),
    ("{target: 80, published: '8080', mode: host, name: web, app_protocol: http}",
     [Port(host_port=8080, container_port=80)]),
    ("{target: 80, mode: ingress, x-note: [1]}", [Port(container_port=80)]),
    ("{target: 80, published: 80, host_ip: '2001:db8::1'}",
     [Port(host_ip="2001:db8::1", host_port=80, container_port=80)]),
]  # fmt: skip


@pytest.mark.parametrize(("written", "ports"), FORMS, ids=[written for written, _ in FORMS])
def test_a_form_is_read_as(tmp_path: Path, written: str, ports: list[Port]) -> None:
    text = f"containers: {{c: {{image: x, ports: [{written}]}}}}\n"
    read = loaded(tmp_path, f"networks: {{default: {{enable_ipv6: true}}}}\n{text}").project
    assert read.containers["c"].ports == tuple(ports)


def test_ipv6_addresses_are_for_containers_that_have_ipv6(tmp_path: Path) -> None:
    text = "none of its networks has IPv6, so nothing can be published on `::`"
    assert refused(tmp_path, "ports: ['[::]:80:80']") == f"container `c`: {text}"
    networks = "networks: {a: {}, b: {subnet: 'fd00:1::/64'}}\n"
    both = "containers: {c: {image: x, networks: [a, b], ports: ['[::]:80:80']}}\n"
    assert loaded(tmp_path, networks + both).project.containers["c"].ports[0].host_ip == "::"


REFUSED = [
    ("'[::1]:80:80'", "`[::1]:80:80` publishes on ::1, which the kernel does not translate"),
    ("'[::ffff:1.2.3.4]:80:80'",
     "`[::ffff:1.2.3.4]:80:80` does not begin with a plain address of this host"),
    ("80/sctp", "publishing SCTP is not carried out yet"),
    ("'8000-8010:80-81'",
     "`8000-8010:80-81` has 11 ports on the host and 2 in the container"),
    ("'80:8000-8010'", "`80:8000-8010` has 1 ports on the host and 11 in the container"),
    ("'2000-3000:1000-2000'", "`2000-3000:1000-2000` leads 1001 ports to other numbers"),
    ("1-257", "`1-257` asks for 257 free ports of the host"),
    ("{target: 80, mode: hots}", "`hots` is not a mode"),
    ("{target: 80, publish: 80}", "`publish` is not a key of a port"),
    ("{target: 80, published: '80800'}", "`80800` is not a port"),
    ("{target: 80, published: 81, host_ip: here}",
     "`here` does not begin with an address of this host"),
    ("{target: 80, protocol: tpc}", "`tpc` has an unknown protocol"),
]  # fmt: skip


@pytest.mark.parametrize(("written", "text"), REFUSED, ids=[written for written, _ in REFUSED])
def test_a_form_is_refused(tmp_path: Path, written: str, text: str) -> None:
    assert refused(tmp_path, f"ports: [{written}]") == f"`ports`: {text}"


def on(address: str | None, first: int, count: int = 1, protocol: Protocol = UDP) -> Port:
    return Port(
        host_ip=address, host_port=first, container_port=first, count=count, protocol=protocol
    )


CLASHES = {
    "the same port": ([on(None, 80), on(None, 80)], "80/udp 0 1"),
    "two protocols": ([on(None, 80), on(None, 80, protocol=Protocol.TCP)], ""),
    "two addresses": ([on("127.0.0.1", 80), on("127.0.0.2", 80)], ""),
    "every address and one": ([on("127.0.0.1", 80), on(None, 80)], "80/udp 0 1"),
    "one and every address of its family": ([on("0.0.0.0", 80), on("127.0.0.1", 80)], "80/udp 0 1"),
    "every address of the other family": ([on("::", 80), on("127.0.0.1", 80)], ""),
    "the two families": ([on("::", 80), on("0.0.0.0", 80)], ""),
    "a port in a range": ([on(None, 1000, 11), on("::1", 1010)], "1010/udp 0 1"),
    "a port behind a range": ([on(None, 1000, 11), on(None, 1011)], ""),
    "ranges that overlap": ([on(None, 1005, 10), on(None, 1000, 6)], "1005/udp 0 1"),
    "a short range within a long one": ([on(None, 1, 100), on(None, 5), on(None, 50)],
                                        "5/udp 0 1, 50/udp 0 2"),
    "ports that are chosen": ([Port(container_port=80), Port(container_port=80)], ""),
}  # fmt: skip


@pytest.mark.parametrize("name", CLASHES)
def test_which_ports_clash(name: str) -> None:
    ports, told = CLASHES[name]
    found = clashes((port, str(number)) for number, port in enumerate(ports))
    assert ", ".join(map(" ".join, found)) == told
