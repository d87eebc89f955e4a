"""Names of the outside world: by the host's name servers, also when they are loopback only."""

import socket
import subprocess
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

import pytest
from msgspec.structs import replace

from runtime.embedded.linux.namespaces import inside
from runtime.embedded.network import kernel as network_module
from runtime.embedded.router.wiring import AskerWire
from tests.resolver import answering
from tests.runtime.embedded.lab import Lab, resolve
from tests.runtime.embedded.wires import network, service

pytestmark = pytest.mark.root

A, B = network(1), network(2, name="back")
CLIENT = "10.201.3.0"


def _use(address: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make it the host's name server."""
    resolv_conf = folder / "resolv.conf"
    resolv_conf.write_text(f"nameserver {address}\n")
    monkeypatch.setattr(network_module, "_RESOLV_CONF", resolv_conf)
    monkeypatch.setattr(network_module, "_RESOLVED", folder / "none")


@pytest.mark.parametrize("address", ["192.0.2.2", "192.0.2.1", "127.0.0.53"])
def test_the_hosts_name_server_answers_for_the_world(
    address: str, lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At another host, at ours, and on ours where only loopback may ask."""
    _use(address, tmp_path, monkeypatch)
    place = lab.host.other if address == lab.host.other.address else lab.host
    with answering(place, address):
        lab.mend(networks=(A,), services=(service("web", "10.201.2.2"),))
        client = lab.link("client", CLIENT, A)
        lab.net.connect(client)
        assert resolve(client.namespace, A.gateway, "www.example") == ["203.0.113.7"]
        assert resolve(client.namespace, A.gateway, "web") == ["10.201.2.2"]
        assert resolve(client.namespace, A.gateway, "nobody") == []
        assert lab.causes() == []


def test_who_is_in_two_networks_knows_the_names_of_both_and_asks_his_own_server(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever of the two gateways he asks; nobody else learns more by that."""
    _use(lab.host.address, tmp_path, monkeypatch)
    lab.mend(
        networks=(A, B),
        services=(service("web", "10.201.2.2"), service("blog", "10.201.4.2", network_id=2)),
    )
    both, alone = lab.link("both", CLIENT, A), lab.link("alone", "10.201.3.1", A)
    aside = replace(
        both, serial=9, address=IPv4Address("10.201.5.0"), network=B, index=1, way_out=False
    )
    lab.links.append(aside)
    lab.net.connect(both, aside)
    lab.net.connect(alone)
    places = ((1, both.address), (2, aside.address))
    asker = AskerWire(container="both", addresses=places, name_servers=(lab.host.other.address,))
    lab.change(askers=(asker,))
    other = lab.host.other
    with (
        answering(lab.host, lab.host.address),
        answering(other, other.address, "203.0.113.8"),
    ):
        for gateway in (A.gateway, B.gateway):
            assert resolve(both.namespace, gateway, "web") == ["10.201.2.2"]
            assert resolve(both.namespace, gateway, "blog") == ["10.201.4.2"]
            assert resolve(both.namespace, gateway, "www.example") == ["203.0.113.8"]
        assert resolve(alone.namespace, A.gateway, "web") == ["10.201.2.2"]
        assert resolve(alone.namespace, A.gateway, "blog") == []
        assert resolve(alone.namespace, A.gateway, "www.example") == ["203.0.113.7"]
    lab.change(askers=())
    assert resolve(both.namespace, A.gateway, "blog") == []
    assert lab.causes() == []


def test_an_internal_network_asks_nobody(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """aardvark-dns before 1.11 is silent on names of the outside world, later ones refuse."""
    _use(lab.host.address, tmp_path, monkeypatch)
    inner = replace(A, internal=True)
    with answering(lab.host, lab.host.address):
        lab.mend(networks=(inner, B), services=(service("web", "10.201.2.2"),))
        secluded, free = lab.link("secluded", CLIENT, inner), lab.link("free", "10.201.5.0", B)
        lab.net.connect(secluded)
        lab.net.connect(free)
        assert resolve(secluded.namespace, A.gateway, "web") == ["10.201.2.2"]
        assert resolve(secluded.namespace, A.gateway, "nobody") == []
        assert _answer(secluded.namespace, "www.example") == []
        assert resolve(free.namespace, B.gateway, "www.example") == ["203.0.113.7"]
        lab.change(networks=(A, B))
        assert resolve(secluded.namespace, A.gateway, "www.example") == ["203.0.113.7"]
    assert lab.causes() == []


def _answer(namespace: Path, name: str) -> list[str]:
    try:
        return resolve(namespace, A.gateway, name)
    except TimeoutError:
        return []


def test_names_lead_to_both_ip_versions(lab: Lab) -> None:
    """And a name with one version only has no address of the other, which is an answer, too."""
    web = replace(service("web", "10.201.2.2"), address6=IPv6Address("fd00::2"))
    lab.mend(networks=(A,), services=(web, service("old", "10.201.2.3")))
    client = lab.link("client", CLIENT, A)
    lab.net.connect(client)
    assert _ask6(client.namespace, "web") == (0, "fd00::2")
    assert _ask6(client.namespace, "old") == (0, "")
    assert _ask6(client.namespace, "nobody") == (3, "")


def _ask6(namespace: Path, name: str) -> tuple[int, str]:
    """The code of the answer and the IPv6 address of a name, which has at most one."""
    question = bytes([len(name)]) + name.encode() + b"\0\0\x1c\0\1"

    def call() -> bytes:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as own:
            own.settimeout(1)
            own.connect((str(A.gateway), 53))
            own.send(b"\0\7\1\0\0\1\0\0\0\0\0\0" + question)
            return own.recv(4096)

    reply = inside(namespace, call)
    found = str(IPv6Address(reply[-16:])) if reply[6:8] == b"\0\1" else ""
    return reply[3] & 0xF, found


def test_a_silent_server_is_started_anew(lab: Lab) -> None:
    """One bad file leaves aardvark-dns running and deaf; nothing but a restart helps."""
    lab.mend(networks=(A,), services=(service("web", "10.201.2.2"),))
    zones = lab.paths.dns / "zones"
    good = (zones / "n1").read_text()
    pid = int((zones / "aardvark.pid").read_text())
    (zones / "n1").write_text("nonsense\n")
    subprocess.run(["kill", "-HUP", str(pid)], check=True)
    (zones / "n1").write_text(good)
    lab.net.mend(lab.wiring)
    client = lab.link("client", CLIENT, A)
    lab.net.connect(client)
    assert resolve(client.namespace, A.gateway, "web") == ["10.201.2.2"]


def test_the_server_goes_with_the_last_network(lab: Lab) -> None:
    lab.mend(networks=(A,), services=(service("web", "10.201.2.2"),))
    assert (lab.paths.dns / "zones" / "aardvark.pid").exists()
    lab.change(networks=(), services=())
    assert not lab.paths.dns.exists()
    assert lab.causes() == []
