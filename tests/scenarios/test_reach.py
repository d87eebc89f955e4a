"""Who reaches whom, by TCP and UDP, beside a Docker on the same host: one table for both.

A cell says whom the server saw as its caller, or how the caller was turned away. The table stands
in docs/network.md; `pytest --write-docs` fills it.
"""

import json
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

import pytest

from tests import documented
from tests.conftest import Images
from tests.eventually import PATIENCE, eventually
from tests.hosts import Host, Namespace
from tests.peers import Docker
from tests.scenarios.scene import ending, owned
from tests.scenarios.stage import Stage

pytestmark = [pytest.mark.root, pytest.mark.slow]

PAGE, TABLE = Path("docs/network.md"), "who reaches whom"

# Answers on port 80, TCP and UDP, IPv4 and IPv6, with the address that it was called from.
SERVER = """
import socket, socketserver, sys, threading

def words(address):
    return address.removeprefix("::ffff:").encode()

class Stream(socketserver.BaseRequestHandler):
    def handle(self):
        self.request.recv(1)
        self.request.sendall(words(self.client_address[0]))

class Datagram(socketserver.BaseRequestHandler):
    def handle(self):
        self.request[1].sendto(words(self.client_address[0]), self.client_address)

port = int(sys.argv[1]) if len(sys.argv) > 1 else 80
servers = []
pairs = (socketserver.ThreadingTCPServer, Stream), (socketserver.UDPServer, Datagram)
for kind, handler in pairs:
    kind.address_family, kind.allow_reuse_address = socket.AF_INET6, True
    kind.request_queue_size = 512
    servers.append(kind(("::", port), handler))
    threading.Thread(target=servers[-1].serve_forever).start()
print("ready", flush=True)
"""
# Asks all at once: [protocol, version, name, port] each.
PROBE = """
import concurrent.futures, json, socket, sys, time

def ask(protocol, version, name, port):
    family = socket.AF_INET6 if version == 6 else socket.AF_INET
    kind = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM
    try:
        address = socket.getaddrinfo(name, port, family, kind)[0][4]
    except OSError:
        return "no such name"
    with socket.socket(family, kind) as own:
        own.settimeout(1.5)
        try:
            own.connect(address)
            own.send(b"?")
            return own.recv(2048).decode()
        except ConnectionRefusedError:
            return "refused"
        except TimeoutError:
            return "silence"
        except OSError:
            return "unreachable"

asked = json.loads(sys.argv[1])
with concurrent.futures.ThreadPoolExecutor(len(asked)) as pool:
    print(json.dumps(list(pool.map(lambda each: ask(*each), asked))))
"""
SPEC = """
project: shop
networks:
  front: {enable_ipv6: true}
  back: {enable_ipv6: true}
images:
  server: {from: $python}
containers:
  web:
    image: server
    command: [python3, /server.py]
    volumes: ["./server.py:/server.py:ro"]
    networks: [front]
    ports: ["18080:80", "18080:80/udp"]
    stop_signal: SIGKILL
  app:
    image: server
    command: [python3, /server.py]
    volumes: ["./server.py:/server.py:ro"]
    networks: [front]
    stop_signal: SIGKILL
  blog:
    image: server
    command: [python3, /server.py]
    volumes: ["./server.py:/server.py:ro"]
    networks: [back]
    stop_signal: SIGKILL
"""
PORT, THEIRS, OUTSIDE = 18080, 28080, 17000
VERSIONS = (4, 6)
PROTOCOLS = ("tcp", "udp")
INSIDE = ("--mount", "--uts", "--pid", "--root", "--wd")
Kind = tuple[str, int]
KINDS: tuple[Kind, ...] = tuple((p, v) for v in VERSIONS for p in PROTOCOLS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """A line of the table: who calls what. ``target`` is a name, or leads from the IP version to
    an address; ``sees`` is what trueup promises, by IP version where they differ."""

    title: str
    caller: str
    target: str | Mapping[int, str]
    port: int | None
    sees: str | Mapping[int, str]

    def promised(self, version: int) -> str:
        return self.sees if isinstance(self.sees, str) else self.sees[version]


LOOPBACK = {4: "127.0.0.1", 6: "::1"}
OWN = {4: "192.0.2.1", 6: "2001:db8::1"}
OTHER = {4: "192.0.2.2", 6: "2001:db8::2"}
KNOWN = {OWN[4]: "the host", OWN[6]: "the host"}
KNOWN |= {OTHER[4]: "the other host", OTHER[6]: "the other host"}
# What links of the host are, by the beginning of their names.
LINKS = {"tuu": "the host's end of the uplink", "br-": "the host's bridge", "lo": "loopback"}
# Port None is the published one.
WAYS = (
    Way(
        title="the host to a published port, by loopback",
        caller="host",
        target=LOOPBACK,
        port=None,
        sees={4: "the host's end of the uplink", 6: "refused"},
    ),
    Way(
        title="the host to a published port, by its own address",
        caller="host",
        target=OWN,
        port=None,
        sees="the host",
    ),
    Way(
        title="another host to a published port",
        caller="other",
        target=OWN,
        port=None,
        sees="the other host",
    ),
    Way(
        title="a container to a service of its network, by name",
        caller="app",
        target="web",
        port=80,
        sees="the caller",
    ),
    Way(
        title="a container to itself, by its service's name",
        caller="web",
        target="web",
        port=80,
        sees="the network's gateway",
    ),
    Way(
        title="a container to its own published port, by the host's address",
        caller="web",
        target=OWN,
        port=None,
        sees="the caller's shadow",
    ),
    Way(
        title="a container to a neighbour's published port, by the host's address",
        caller="app",
        target=OWN,
        port=None,
        sees="the caller's shadow",
    ),
    Way(
        title="a container to a published port of another network, by the host's address",
        caller="blog",
        target=OWN,
        port=None,
        sees="the caller's shadow",
    ),
    Way(
        title="a container to a service of another network, by name",
        caller="blog",
        target="web",
        port=80,
        sees="no such name",
    ),
    Way(
        title="a container to another host",
        caller="app",
        target=OTHER,
        port=OUTSIDE,
        sees="the host",
    ),
)


class Side:
    """One engine's containers, and how to ask from them; ``port`` is what `web` is published at."""

    def __init__(self, host: Host, port: int, pids: Mapping[str, int]) -> None:
        self._host, self._port, self._pids = host, port, pids

    def told(self) -> dict[tuple[str, Kind], str]:
        """What each way's caller is told, in words, by the way's title and the kind."""
        found = {}
        for caller in dict.fromkeys(way.caller for way in WAYS):
            asked = [(way, kind) for way in WAYS if way.caller == caller for kind in KINDS]
            told = self._ask(caller, [self._question(*each) for each in asked])
            for (way, kind), said in zip(asked, told, strict=True):
                found[way.title, kind] = self._in_words(caller, said)
        return found

    def stands(self) -> bool:
        """Whether `web` answers, by name and as published; all containers run the same program."""
        by_name = [[protocol, version, "web", 80] for protocol, version in KINDS]
        published = [[protocol, version, OWN[version], self._port] for protocol, version in KINDS]
        told = [*self._ask("app", by_name), *self._ask("other", published)]
        return all(_is_address(said) for said in told)

    def _question(self, way: Way, kind: Kind) -> list[object]:
        protocol, version = kind
        name = way.target if isinstance(way.target, str) else way.target[version]
        return [protocol, version, name, way.port or self._port]

    def _ask(self, caller: str, asked: Sequence[Sequence[object]]) -> list[str]:
        words = ["python3", "-I", "-S", "-c", PROBE, json.dumps(asked)]
        told: list[str] = json.loads(_run([*self._within(caller), *words]))
        return told

    def _within(self, caller: str, *more: str) -> list[str]:
        places: dict[str, Namespace] = {"host": self._host, "other": self._host.other}
        if caller in places:
            return places[caller].within
        return ["nsenter", f"--target={self._pids[caller]}", "--net", *(more or INSIDE)]

    def _in_words(self, caller: str, said: str) -> str:
        """An address as the one who has it."""
        if not _is_address(said):
            return said
        if known := KNOWN.get(said):
            return known
        link = _addresses(self._host.within).get(said, "")
        if known := LINKS.get(link[:3]):
            return known
        own = [a for a, link in _addresses(self._within(caller, "--")).items() if link != "lo"]
        if said in own:
            return "the caller"
        if any(_is_shadow(said, each) for each in own):
            return "the caller's shadow"
        return "the network's gateway" if said in _gateways(self._within(caller, "--")) else said


def _is_address(said: str) -> bool:
    with suppress(ValueError):
        return bool(ip_address(said))
    return False


def _is_shadow(seen: str, own: str) -> bool:
    """Bit for bit the same below the prefix of the pool."""
    one, other = ip_address(seen), ip_address(own)
    below = (1 << (16 if one.version == 4 else 79)) - 1
    return one.version == other.version and int(one) & below == int(other) & below


def _addresses(within: Sequence[str]) -> dict[str, str]:
    """Every address in a namespace, and the link that has it."""
    links = json.loads(_run([*within, "ip", "-json", "address"]))
    return {each["local"]: link["ifname"] for link in links for each in link["addr_info"]}


def _gateways(within: Sequence[str]) -> set[str]:
    routes = [
        route
        for version in ("-4", "-6")
        for route in json.loads(_run([*within, "ip", version, "-json", "route"]) or "[]")
    ]
    return {route["gateway"] for route in routes if "gateway" in route}


def _run(command: Sequence[str | Path]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    return done.stdout


# --- both engines on one host ---------------------------------------------------------------------


@pytest.fixture
def shop(stage: Stage) -> Stage:
    (stage.folder / "server.py").write_text(SERVER)
    stage.make(SPEC)
    return stage


@pytest.fixture
def theirs(shop: Stage, docker: Docker, images: Images) -> dict[str, int]:
    """The same three containers in Docker, by the same names; their processes."""
    for number, network in enumerate(("front", "back")):
        docker("network", "create", "--ipv6", "--subnet", f"fd00:d0c:{number}::/64", network)
    for name, network, ports in (
        ("web", "front", ["-p", f"{THEIRS}:80", "-p", f"{THEIRS}:80/udp"]),
        ("app", "front", []),
        ("blog", "back", []),
    ):
        script = ["-v", f"{shop.folder}/server.py:/server.py:ro"]
        where = ["--detach", "--name", name, "--network", network]
        docker("run", *where, *ports, *script, images.python, "python3", "/server.py")
    return {
        name: int(docker("inspect", name, "--format", "{{.State.Pid}}"))
        for name in ("web", "app", "blog")
    }


def test_who_reaches_whom(
    shop: Stage, theirs: dict[str, int], tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    """As promised for us, beside a Docker that serves the same. Docker's lines are what was seen
    with the version of the day, so only ours are compared with the documentation."""
    host = shop.host
    shop.apply()  # the way through Docker's firewall, which came later
    ours, docker = Side(host, PORT, shop.pids()), Side(host, THEIRS, theirs)
    outside = host.other.start(sys.executable, "-I", "-S", "-c", SERVER, str(OUTSIDE))
    with ending(outside):
        for side in (ours, docker):
            eventually(side.stands, 20)
        told, others = ours.told(), docker.told()
    wanted = {(way.title, kind): way.promised(kind[1]) for way in WAYS for kind in KINDS}
    wrong = [f"{key}: {told[key]}, not {word}" for key, word in wanted.items() if told[key] != word]
    assert not wrong, "\n".join(wrong)
    if pytestconfig.getoption("--write-docs"):
        documented.write(PAGE, TABLE, _table(told, others))
    assert _lines_of_ours(documented.block(PAGE, TABLE)) == _lines_of_ours(_table(told, others))


def _table(told: Mapping[tuple[str, Kind], str], others: Mapping[tuple[str, Kind], str]) -> str:
    titles = ("from, to", "", *(f"{protocol}, IPv{version}" for protocol, version in KINDS))
    rows = [
        (way.title, name, *(seen[way.title, kind] for kind in KINDS))
        for way in WAYS
        for name, seen in (("trueup", told), ("Docker", others))
    ]
    return documented.table(titles, rows)


def _lines_of_ours(table: str) -> list[str]:
    return [line for line in table.splitlines() if "| trueup |" in line]


# --- the host's rules go while containers talk ----------------------------------------------------

# Calls a name again and again, each time on a connection of its own; tells how it went.
LOAD = """
import json, socket, sys, threading, time

end, counts, failures = time.monotonic() + float(sys.argv[1]), [], []

def call():
    count = 0
    while time.monotonic() < end:
        try:
            with socket.create_connection(("web", 80), timeout=2) as own:
                own.sendall(b"?")
                assert own.recv(100)
        except (OSError, AssertionError) as error:
            failures.append(repr(error))
        count += 1
    counts.append(count)

threads = [threading.Thread(target=call) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(json.dumps([sum(counts), failures]))
"""
LOAD_SECONDS = 3.0


def test_containers_talk_on_while_the_hosts_rules_are_flushed(shop: Stage) -> None:
    """Names, service addresses and containers live in the router; `apply` gives the host its
    table back without touching a process."""
    pids = shop.pids()
    ours = Side(shop.host, PORT, pids)
    eventually(ours.stands)
    words = ["nsenter", f"--target={pids['app']}", "--net", *INSIDE]
    words += ["python3", "-I", "-S", "-c", LOAD, str(LOAD_SECONDS)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as load, ending(load):
        time.sleep(LOAD_SECONDS / 3)
        shop.host.run("nft", "flush", "ruleset")
        output, _ = load.communicate(timeout=LOAD_SECONDS + 20)
    requests, failures = json.loads(output)
    assert failures == []
    assert requests > 500 / PATIENCE
    assert f"host table {owned(shop).table} is missing" in shop.pending()
    shop.apply()
    assert ours.stands()
    assert shop.pending() == ""
    assert shop.pids() == pids
