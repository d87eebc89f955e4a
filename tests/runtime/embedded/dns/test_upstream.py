"""Names of the outside world: by the host's name servers, also when they are loopback only."""

import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from runtime.embedded import network as network_module
from tests.runtime.embedded.lab import Lab, resolve
from tests.runtime.embedded.wires import network, service

pytestmark = pytest.mark.root

A = network(1)
CLIENT = "10.201.3.0"

# Answers everything with 203.0.113.7; like systemd-resolved, to loopback sources only if asked.
RESOLVER = textwrap.dedent("""
    import socket, sys
    own = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    own.bind((sys.argv[1], 53))
    print("ready", flush=True)
    while True:
        asked, peer = own.recvfrom(4096)
        if sys.argv[1].startswith("127.") and not peer[0].startswith("127."):
            continue
        end = asked.index(0, 12) + 5
        head = asked[:2] + bytes.fromhex("81800001000100000000")
        answer = bytes.fromhex("c00c000100010000000a0004") + socket.inet_aton("203.0.113.7")
        own.sendto(head + asked[12:end] + answer, peer)
""")


@contextmanager
def _resolver(namespace: Path, address: str) -> Iterator[None]:
    command = ["nsenter", f"--net={namespace}", sys.executable, "-I", "-S", "-c", RESOLVER, address]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            yield
        finally:
            process.kill()


@pytest.mark.parametrize("address", ["192.0.2.2", "192.0.2.1", "127.0.0.53"])
def test_the_hosts_name_server_answers_for_the_world(
    address: str, lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At another host, at ours, and on ours where only loopback may ask."""
    resolv_conf = tmp_path / "resolv.conf"
    resolv_conf.write_text(f"nameserver {address}\n")
    monkeypatch.setattr(network_module, "_RESOLV_CONF", resolv_conf)
    monkeypatch.setattr(network_module, "_RESOLVED", tmp_path / "none")
    place = lab.host.other.path if address == lab.host.other.address else lab.host.path
    with _resolver(place, address):
        lab.mend(networks=(A,), services=(service("web", "10.201.2.2"),))
        client = lab.link("client", CLIENT, A)
        lab.net.connect(client)
        assert resolve(client.namespace, A.gateway, "www.example") == ["203.0.113.7"]
        assert resolve(client.namespace, A.gateway, "web") == ["10.201.2.2"]
        assert resolve(client.namespace, A.gateway, "nobody") == []
        assert lab.causes() == []


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
