"""examples/shop: it answers, heals, keeps its data, and its internal network leads nowhere.

`test_shop_edits.py` has what edits of it do.
"""

import re
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import pytest

from runtime.embedded.linux.namespaces import inside
from tests.eventually import PATIENCE, eventually
from tests.hosts import Namespace
from tests.resolver import answering
from tests.scenarios import shop
from tests.scenarios.scene import ending, processes
from tests.scenarios.shop import PORT
from tests.scenarios.stage import Stage, kill, lives, status, within

pytestmark = [pytest.mark.root, pytest.mark.slow]

HEALTHY = {"web", "redis", "postgres"}  # nginx's image has no check
HEALS_WITHIN = 8.0  # seconds; the slowest is postgres, after it the application


@pytest.fixture
def stands(open_shop: Stage) -> Stage:
    """The shop as the example has it: a test that edits it need not mend it."""
    spec = (shop.EXAMPLE / "trueup.yaml").read_text()
    if open_shop.spec.read_text() != spec:
        open_shop.spec.write_text(spec)
        open_shop.apply()
    return open_shop


def visits(stage: Stage, place: Namespace | None = None, address: str = "127.0.0.1") -> int:
    """The number of visits that the page tells; OSError while there is none."""
    found = shop.PAGE.fullmatch(shop.page(place or stage.host, address, PORT))
    assert found
    return int(found[1])


def answers(stage: Stage) -> bool:
    with suppress(OSError):
        return visits(stage) > 0
    return False


def order(stage: Stage, article: str) -> str:
    """Order something; all orders that the shop has then."""
    address = f"http://127.0.0.1:{PORT}/orders"
    with stage.host.inside(), urllib.request.urlopen(address, article.encode(), 10) as reply:
        assert reply.status == 201
    return stage.host.fetch(address, timeout=10)


# --- it runs --------------------------------------------------------------------------------------


def test_the_page_answers_on_loopback_and_from_another_host(stands: Stage) -> None:
    first = visits(stands)
    assert visits(stands, stands.host.other, "192.0.2.1") == first + 1
    assert set(stands.pids()) == {"proxy", "web", "redis", "postgres"}


def test_all_that_have_a_check_are_healthy_and_nothing_is_to_change(stands: Stage) -> None:
    shown = stands.trueup("ps", "--format", "{{.Names}} {{.Status}}").stdout
    assert set(re.findall(r"^shop/(\S+) .*\(healthy\)$", shown, re.MULTILINE)) == HEALTHY
    before = stands.pids()
    assert "nothing to change" in stands.apply().stdout
    assert stands.pending() == ""
    assert stands.pids() == before


# --- it heals -------------------------------------------------------------------------------------


def first_of(name: str, stage: Stage) -> int:
    return stage.pid(name)


def child_of(name: str, stage: Stage) -> int:
    """The oldest child of a container's first process."""
    first = stage.pid(name)
    group = processes(stage)[stage.containers()[name]["id"]]
    return min(pid for pid in group if lives(pid) and status(pid)["PPid"] == str(first))


VICTIMS: dict[str, Callable[[Stage], int]] = {
    "nginx": partial(first_of, "proxy"),
    "a worker of nginx": partial(child_of, "proxy"),
    "the application": partial(first_of, "web"),
    "redis": partial(first_of, "redis"),
    "postgres": partial(first_of, "postgres"),
    "a child of postgres": partial(child_of, "postgres"),
}


@pytest.mark.parametrize("victim", VICTIMS)
def test_kill_of_any_process_heals_without_an_apply(stands: Stage, victim: str) -> None:
    eventually(lambda: answers(stands), HEALS_WITHIN)
    before, pid = stands.pids(), VICTIMS[victim](stands)
    kill(pid)
    eventually(lambda: answers(stands), HEALS_WITHIN)
    eventually(lambda: set(stands.pids()) == set(before))
    after = stands.pids()
    touched = {name for name in before if before[name] != after[name]}
    # Whoever else met the gap may have ended, too: that is the application's own affair.
    assert {name for name in before if before[name] == pid} <= touched <= set(before)
    assert stands.pending() == ""


def monitor_of(stage: Stage, name: str) -> int:
    return int(status(stage.pid(name))["PPid"])


def test_who_lost_its_monitor_answers_on_and_is_replaced_by_apply(stands: Stage) -> None:
    eventually(lambda: answers(stands), HEALS_WITHIN)
    before, monitor = stands.pids(), monitor_of(stands, "proxy")
    assert status(monitor)["Name"] == "conmon"
    kill(monitor)
    assert answers(stands)
    assert stands.pids() == before
    assert "proxy" in stands.pending()
    stands.apply()
    eventually(lambda: answers(stands), HEALS_WITHIN)
    after = stands.pids()
    assert {name for name in before if before[name] != after[name]} == {"proxy"}
    assert stands.pending() == ""


# --- it keeps its data, and says what it waits for ------------------------------------------------


MIGRATION = """\
containers:
  migrate:
    image: redis
    command: [sh, -c, "echo looking for tables; {}"]
    networks: [back]
    depends_on: {{postgres: {{condition: service_healthy}}}}
"""


def test_rows_survive_down_and_an_apply_that_fails(stands: Stage) -> None:
    """A migration that fails stops what waits for it; mended, everything comes, with its data."""
    eventually(lambda: answers(stands), HEALS_WITHIN)
    assert "teapot" in order(stands, "teapot")
    count = visits(stands)
    stands.down()
    assert stands.pids() == {}
    waits = "      redis: {condition: service_healthy}\n      postgres:"
    migrated = "      migrate: {condition: service_completed_successfully}\n"
    stands.edit(waits, migrated + waits)
    stands.edit("containers:\n", MIGRATION.format("echo no such column >&2; exit 3"))
    failed = stands.apply(code=1)
    assert "shop/migrate did not complete: it ended with exit code 3" in failed.stderr
    assert "looking for tables" in failed.stderr
    assert "no such column" in failed.stderr
    assert not {"web", "proxy"} & set(stands.pids())
    kept = stands.pids()
    stands.edit("echo no such column >&2; exit 3", "echo done")
    stands.apply()
    assert visits(stands) == count + 1
    assert "teapot" in order(stands, "kettle")
    assert kept.items() <= stands.pids().items()
    assert stands.pending() == ""


def test_a_check_that_fails_fails_the_apply_and_mended_it_converges(stands: Stage) -> None:
    before = stands.pids()
    times = "      interval: 10s\n      timeout: 5s\n      start_period: 20s\n"
    check = f"test: [CMD, redis-cli, ping]\n{times}"
    broken = 'test: [CMD, redis-cli, -p, "1", ping]\n      interval: 300ms\n      retries: 2\n'
    stands.edit(check, broken)
    stands.edit('"60", "1", --appendonly', '"61", "1", --appendonly')
    failed = stands.apply(code=1)
    said = failed.stdout + failed.stderr
    assert "shop/redis" in said
    assert "unhealthy" in said
    assert "Could not connect to Redis" in said
    stands.edit(broken, check)
    stands.apply()
    after = stands.pids()
    assert after["postgres"] == before["postgres"]
    eventually(lambda: answers(stands), HEALS_WITHIN)
    assert stands.pending() == ""


# --- its networks ---------------------------------------------------------------------------------

# Answers by TCP and UDP on one address.
SERVER = """
import socket, sys, threading
own = sys.argv[1], int(sys.argv[2])
stream, datagram = socket.create_server(own), socket.socket(type=socket.SOCK_DGRAM)
datagram.bind(own)
def talk():
    while True:
        datagram.sendto(b"here", datagram.recvfrom(100)[1])
threading.Thread(target=talk, daemon=True).start()
print("ready", flush=True)
while True:
    stream.accept()[0].sendall(b"here")
"""
TALKING = 7000


def network(pid: int) -> Path:
    return Path(f"/proc/{pid}/ns/net")


def call(pid: int, kind: socket.SocketKind, address: str, port: int = TALKING) -> str:
    """What a client in the container's network gets from a `SERVER`: "here", or why nothing."""

    def ask() -> str:
        with socket.socket(type=kind) as own:
            own.settimeout(1.0 * PATIENCE)
            own.connect((address, port))
            own.send(b"?")
            return own.recv(100).decode()

    try:
        return inside(network(pid), ask)
    except OSError as error:
        return type(error).__name__ if error.errno is None else str(error.strerror)


def pinged(pid: int, address: str) -> bool:
    return "1 packets received" in within(pid, "busybox", "ping", "-c1", "-W1", address)


def known(pid: int, name: str) -> list[str]:
    """The IPv4 addresses that a name leads to."""
    said = within(pid, "busybox", "nslookup", "-type=a", name)
    return re.findall(r"^Name:.*\nAddress: ([0-9.]+)$", said, re.MULTILINE)


def own_address(pid: int) -> str:
    """Its real address on its first interface."""
    words = ["nsenter", f"--target={pid}", "--net", "ip", "-o", "-4", "address", "show", "eth0"]
    shown = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    return shown.split()[3].partition("/")[0]


@contextmanager
def serving(place: Path, address: str) -> Iterator[None]:
    """A `SERVER` in a network namespace."""
    words = [f"--net={place}", sys.executable, "-ISc", SERVER, address, str(TALKING)]
    with subprocess.Popen(["nsenter", *words], stdout=subprocess.PIPE) as server, ending(server):
        assert server.stdout is not None
        assert server.stdout.readline() == b"ready\n"
        yield


@pytest.fixture
def talking(stands: Stage) -> Iterator[Stage]:
    """With a `SERVER` in the network of redis, on the host and on another host."""
    eventually(lambda: answers(stands), HEALS_WITHIN)
    redis, host, other = stands.pid("redis"), stands.host, stands.host.other
    with (
        serving(network(redis), own_address(redis)),
        serving(host.path, host.address),
        serving(other.path, other.address),
    ):
        yield stands


KINDS = (socket.SOCK_STREAM, socket.SOCK_DGRAM)
OUTSIDE = {"the host": "192.0.2.1", "another host": "192.0.2.2"}


def test_who_is_on_the_internal_network_cannot_leave(talking: Stage) -> None:
    pids = talking.pids()
    for title, address in OUTSIDE.items():
        for kind in KINDS:
            assert call(pids["proxy"], kind, address) == "here", f"{title}, from outside of it"
            assert call(pids["postgres"], kind, address) != "here", title
        assert not pinged(pids["postgres"], address), title
    for address in ("192.0.2.1", own_address(pids["proxy"])):
        got = call(pids["postgres"], socket.SOCK_STREAM, address, PORT)
        assert got != "here", f"{address}: {got}"
    assert own_address(pids["proxy"]) not in known(pids["postgres"], "proxy")


def test_names_from_outside_are_known_to_nobody_on_the_internal_network(stands: Stage) -> None:
    """While a name server outside would have the answer. The C library gives up soon; at once
    where aardvark-dns can refuse (1.11)."""
    postgres = stands.pid("postgres")
    with answering(stands.host.other, "192.0.2.2"):
        began = time.monotonic()
        assert within(postgres, "getent", "ahostsv4", "www.example.com") == ""
        assert time.monotonic() - began < 4.0 * PATIENCE
    assert "STREAM" in within(postgres, "getent", "ahostsv4", "redis")
    assert "STREAM" not in within(postgres, "getent", "ahostsv4", "proxy")


def test_who_is_on_front_reaches_nobody_on_back(talking: Stage) -> None:
    pids = talking.pids()
    (service,) = known(pids["web"], "redis")
    for address in (own_address(pids["redis"]), service):
        for kind in KINDS:
            assert call(pids["web"], kind, address) == "here", "who is on both reaches it"
            assert call(pids["proxy"], kind, address) != "here", address
        assert not pinged(pids["proxy"], address), address
    assert pinged(pids["web"], own_address(pids["redis"]))
    assert known(pids["proxy"], "redis") == []
