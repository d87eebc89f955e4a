"""Whoever works on the network may be killed at any moment: the next one finishes, or clears."""

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
from msgspec.structs import replace

from runtime.embedded.router.wiring import Link
from tests.eventually import eventually
from tests.runtime.embedded.lab import Lab, fetch, processes_with
from tests.runtime.embedded.wires import network, port, service

pytestmark = [pytest.mark.root, pytest.mark.sweep]

A = network(1)
WEB, WEB_1 = "10.201.2.2", "10.201.3.0"
TIMES = 15

# Makes and unmakes everything for ever.
WORKER = """
import sys
from msgspec.structs import replace
from pathlib import Path
from runtime.embedded.network import Network
from runtime.embedded.paths import Paths
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


def _work_and_die(lab: Lab, seconds: float) -> None:
    command = [sys.executable, "-c", WORKER, str(lab.paths.run.parent)]
    root = Path(__file__).parents[3]
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
