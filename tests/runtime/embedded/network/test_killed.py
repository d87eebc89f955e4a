"""Whoever works on the network may be killed at any moment: the next one finishes, or clears."""

import random
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from msgspec.structs import replace

from runtime.embedded.dns.aardvark import DnsSilent
from runtime.embedded.network import promises
from runtime.embedded.router.wiring import Link
from tests.eventually import eventually
from tests.runtime.embedded.estate import Estate
from tests.runtime.embedded.lab import Lab, fetch, processes_with
from tests.runtime.embedded.wires import network, port, service

pytestmark = [pytest.mark.root, pytest.mark.slow]

A = network(1)
WEB, WEB_1 = "10.201.2.2", "10.201.3.0"
TIMES = 15

# Makes and unmakes everything for ever.
WORKER = """
import sys
from msgspec.structs import replace
from pathlib import Path
from runtime.embedded.network.kernel import Network
from runtime.embedded.paths import Paths
from runtime.embedded.network import promises
from runtime.embedded.router.wiring import Link
from ipaddress import IPv4Address
from tests.runtime.embedded.wires import SHOP, network, port, service
paths = Paths.below(Path(sys.argv[1]))
net = Network(paths)
A = network(1)
empty = replace(SHOP, networks=(), services=(), ports=())
full = replace(empty, networks=(A,), services=(service("web", "10.201.2.2", "10.201.3.0"),),
               ports=(port(8080, "10.201.2.2"), port(8080, "10.201.2.2", protocol="udp")))
other = replace(full, services=(service("shop", "10.201.2.2", "10.201.3.1"),),
                ports=(port(8081, "10.201.2.2"),))
print("ready", flush=True)
for serial in range(1000, 100000):
    link = Link(container="w", namespace=paths.namespace("w"), serial=serial,
                address=IPv4Address("10.201.3.7"), network=A)
    net.change(empty, full)
    net.connect(link)
    net.change(full, other)
    net.disconnect([link])
    net.tear_down(other)
"""


def test_killed_at_any_moment(lab: Lab) -> None:
    chance = random.Random(7)
    for _ in range(TIMES):
        _work_and_die(lab, chance.uniform(0, 0.15))
        lab.mend(networks=(A,), services=(service("web", WEB, WEB_1),), ports=(port(8080, WEB),))
        lab.container("web", WEB_1, A)
        assert lab.causes() == []
        assert fetch(lab.host.path, "127.0.0.1", 8080) == "web 10.201.0.1"
        lab.stack.close()
        lab.net.disconnect([*lab.links, _left_over(lab)])
        lab.links.clear()
        lab.net.tear_down(lab.wiring)
        _assert_nothing(lab)


def _work_and_die(lab: Lab, seconds: float, program: str = WORKER) -> None:
    command = [sys.executable, "-c", program, str(lab.paths.run.parent)]
    root = Path(__file__).parents[4]
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE) as worker:
        assert worker.stdout is not None
        assert worker.stdout.readline() == b"ready\n"
        time.sleep(seconds)
        worker.kill()


def _left_over(lab: Lab) -> Link:
    return replace(lab.links[0], namespace=lab.paths.namespace("w"))


def _assert_nothing(lab: Lab) -> None:
    run = str(lab.paths.run)
    # A program that had been told to start when its parent died may just be on its way.
    eventually(lambda: processes_with(run) == [])
    assert run not in Path("/proc/mounts").read_text()
    assert [p.name for p in lab.paths.run.rglob("*") if p.is_file()] == []
    assert lab.host.run("nft", "list", "ruleset").stdout == ""
    assert "tuu" not in lab.host.run("ip", "-br", "link").stdout


# Moves and renumbers networks under three containers for ever, as the engine does.
MOVER = """
import sys
from contextlib import nullcontext
from pathlib import Path
from runtime.api import Attachment, ContainerSpec, NetworkSpec
from runtime.embedded.network import promises
from runtime.embedded.ledger import Ledger
from runtime.embedded.network.kernel import Network
from runtime.embedded.paths import Paths
from runtime.embedded.network.services import Services
paths = Paths.below(Path(sys.argv[1]))
ledger, net = Ledger(paths.run / "ledger.db"), Network(paths)
services = Services(paths=paths, ledger=ledger, network=net, host_lock=nullcontext)
print("ready", flush=True)
for number in range(100000):
    front = NetworkSpec(project="shop", name="front", subnet=f"10.77.{number % 9}.0/24",
                        ipv6=number % 2 == 1, internal=number % 3 == 1)
    changed = list(services.create_network(front))
    for row in list(ledger.state().containers.values()):
        names = ("front", "side") if number % 2 else ("side", "front") if number % 3 else ("front",)
        spec = ContainerSpec(image="", networks=tuple(Attachment(network=n) for n in names))
        with services.rewiring() as writer:
            writer.set_spec(row.id, spec)
            services.reseat(writer, row, spec)
        changed.append(row.id)
    for id in changed:
        state = ledger.state()
        net.connect(*promises.links(state, state.containers[id], paths))
"""


def test_killed_while_networks_change(estate: Estate) -> None:
    """What is not as the rows say is seen, and mended without touching a process."""
    chance = random.Random(11)
    estate.network("front")
    estate.network("side", ipv6=True)
    ids = [estate.run(name, "front") for name in ("web", "app", "job")]
    for _ in range(TIMES):
        _work_and_die(estate.lab, chance.uniform(0, 0.4), MOVER)
        broken = estate.causes()
        _mend(estate)
        for id in ids:
            estate.mend(id)
        assert estate.causes() == [], broken
        assert all(estate.servers[id].poll() is None for id in ids)
        for id in ids:
            _assert_as_promised(estate, id)
        answer = fetch(estate.namespace(ids[1]), estate.has(ids[0], "front"))
        assert answer == f"web {estate.has(ids[1], 'front')}"


def _mend(estate: Estate) -> None:
    try:
        estate.services.mend()
    except DnsSilent:
        # A DNS server that the dead one had just started may come after ours, and take its place.
        estate.services.mend()


def _assert_as_promised(estate: Estate, id: str) -> None:
    """Addresses of the container's own side, and its default route."""
    row, lines = estate.state.containers[id], estate.ip(id, "-o", "a", "show", "scope", "global")
    held = {line.split()[3].partition("/")[0] for line in lines.splitlines()}
    assert held == {*map(str, row.addresses.values()), *map(str, row.addresses6.values())}
    links = promises.links(estate.state, row, estate.lab.paths)
    wanted = [link.interface for link in links if link.way_out]
    assert re.findall(r"^default .* dev (\w+)", estate.ip(id, "r"), re.MULTILINE) == wanted
