"""Networks of real containers, changed in the spec while the processes go on."""

import re
import urllib.request
from pathlib import Path

import pytest

from runtime.embedded.linux.namespaces import inside
from tests.scenarios.stage import Stage, answer, within

pytestmark = [pytest.mark.root, pytest.mark.slow]

SPEC = """
project: shop
containers:
  web:
    image: $busybox
    command: [httpd, -f, -p, "80", -h, /etc]
    networks: [front, back]
    ports: ["8080:80"]
  db:
    image: $busybox
    command: [httpd, -f, -p, "80", -h, /etc]
    networks:
      back:
        aliases: [store]
networks:
  front: {}
  back:
    internal: true
"""


@pytest.fixture
def shop(stage: Stage) -> Stage:
    stage.make(SPEC)
    return stage


def page(pid: int, other: str) -> str:
    """Who the container of ``pid`` finds by the name of ``other``, as that says itself."""
    known = within(pid, "nslookup", other)
    found = re.search(r"^Name:.*\nAddress: ([0-9.]+)$", known, re.MULTILINE)
    assert found is not None, known
    return get(pid, found[1])


def get(pid: int, address: str) -> str:
    """By a program of ours in the container's network: the images' wget dies of static linking."""
    url = f"http://{address}/hostname"
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def call() -> str:
        with direct.open(url, timeout=2) as answer:
            body: bytes = answer.read()
        return body.decode()

    return inside(Path(f"/proc/{pid}/ns/net"), call)


def hostnames(stage: Stage) -> dict[str, str]:
    return {name: each["id"][:12] + "\n" for name, each in stage.containers().items()}


def test_an_internal_network_beside_another(shop: Stage) -> None:
    """Nobody leaves from the internal one; each network has names of its own."""
    ids, pids = hostnames(shop), shop.pids()
    assert page(pids["web"], "store") == page(pids["web"], "db") == ids["db"]
    assert page(pids["db"], "web") == ids["web"]
    assert answer(shop.host.other, "192.0.2.1", 8080, path="/hostname") == ids["web"]
    with pytest.raises(OSError, match="Network is unreachable"):
        get(pids["db"], "192.0.2.2")


EDITS = {
    "a network is added": ("networks: [front, back]", "networks: [front, back, side]"),
    "the way out goes": ("networks: [front, back, side]", "networks: [back, side]"),
    "a network is renumbered": (
        "    internal: true",
        "    internal: true\n    ipam: {config: [{subnet: 10.77.0.0/24}]}",
    ),
    "a network gets IPv6": ("    internal: true", "    internal: true\n    enable_ipv6: true"),
    "a network is not internal any more": ("    internal: true", "    internal: false"),
    "another alias": ("aliases: [store]", "aliases: [store, shelf]"),
}


def test_processes_go_on_while_networks_change(shop: Stage) -> None:
    before, ids = shop.pids(), hostnames(shop)
    shop.edit("  front: {}", "  front: {}\n  side: {}")
    for edit, (old, new) in EDITS.items():
        shop.edit(old, new)
        shop.apply()
        assert (edit, shop.pids()) == (edit, before)
        assert (edit, shop.pending()) == (edit, "")
        assert page(before["web"], "store") == ids["db"]
        assert page(before["db"], "web") == ids["web"]
        assert answer(shop.host.other, "192.0.2.1", 8080, path="/hostname") == ids["web"]
        address = within(before["db"], "ip", "-o", "-4", "a", "show", "eth0").split()[3]
        hosts = within(before["db"], "cat", "/etc/hosts")
        assert address.partition("/")[0] in hosts
    assert page(before["web"], "shelf") == ids["db"]
