"""Which names containers know, as their own C library finds them, and that a change of names
touches no process."""

import itertools
import json
import subprocess
from dataclasses import dataclass

import pytest

from tests.eventually import PATIENCE
from tests.resolver import answering
from tests.scenarios.scene import ending
from tests.scenarios.stage import Stage, within

pytestmark = pytest.mark.root

SPEC = """
project: shop
networks:
  front: {}
  back: {internal: true}
images:
  server: {from: $python}
containers:
  web:
    image: server
    command: [python3, -c, "import time; time.sleep(1000)"]
    networks: [front]
    stop_signal: SIGKILL
  app:
    image: server
    command: [python3, -c, "import time; time.sleep(1000)"]
    networks:
      front: {aliases: [api]}
      back: {aliases: [worker]}
    stop_signal: SIGKILL
  db:
    image: server
    command: [python3, -c, "import time; time.sleep(1000)"]
    container_name: the-db
    networks: [back]
    stop_signal: SIGKILL
"""
ASK = """
import json, socket, sys
found = {}
for name in sys.argv[1:]:
    try:
        found[name] = sorted({each[4][0] for each in socket.getaddrinfo(name, 80)})
    except OSError:
        pass
print(json.dumps(found))
"""
# Asks for one name again and again until its input ends; tells how often in vain.
ASK_ON = """
import socket, sys, threading
over = threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), over.set())).start()
asked = failed = 0
while not over.is_set():
    asked += 1
    try:
        socket.getaddrinfo("app", 80)
    except OSError:
        failed += 1
print(asked, failed)
"""
NAMES = ("web", "app", "api", "worker", "db", "the-db", "WEB", "nobody")
# Who knows which of them.
KNOWN = {
    "web": {"web", "WEB", "app", "api"},
    "app": {"web", "WEB", "app", "api", "worker", "db", "the-db"},
    "db": {"app", "worker", "db", "the-db"},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """The project, and its processes, which stay the same through all tests."""

    stage: Stage
    pids: dict[str, int]

    def ask(self, caller: str, *names: str) -> dict[str, list[str]]:
        """The addresses of those names that are found."""
        words = ("python3", "-I", "-S", "-c", ASK, *names)
        found: dict[str, list[str]] = json.loads(within(self.pids[caller], *words))
        return found

    def edit(self, *changes: tuple[str, str]) -> None:
        for old, new in changes:
            self.stage.edit(old, new)
        self.stage.apply()

    def stands(self) -> bool:
        return self.stage.pids() == self.pids and self.stage.pending() == ""


@pytest.fixture(scope="module")
def named(long_stage: Stage) -> Named:
    long_stage.make(SPEC)
    return Named(stage=long_stage, pids=long_stage.pids())


def test_each_knows_the_names_of_its_own_networks(named: Named) -> None:
    assert {who: set(named.ask(who, *NAMES)) for who in KNOWN} == KNOWN


def test_a_name_leads_to_an_address_in_each_network_that_both_are_in(named: Named) -> None:
    """`app` has two, of which each neighbour is told the one that it can reach."""
    by_web, by_db = named.ask("web", "app")["app"], named.ask("db", "app")["app"]
    assert len(by_web) == len(by_db) == 1
    assert by_web != by_db
    own = named.ask("app", "app", "api", "worker")
    assert set(own["app"]) == {*by_web, *by_db}
    assert own["api"] == by_web
    assert own["worker"] == by_db


def test_names_come_and_go_without_a_restart(named: Named) -> None:
    alias, own = ("[api]", "[service]"), ("name: the-db", "name: another-db")
    named.edit(alias, own)
    assert set(named.ask("web", "api", "service")) == {"service"}
    assert set(named.ask("app", "the-db", "another-db")) == {"another-db"}
    named.edit(alias[::-1], own[::-1])
    assert named.stands()


def test_nobody_asks_in_vain_while_names_change(named: Named) -> None:
    """The DNS server is away for a moment: a question that falls into it is asked again."""
    words = ["nsenter", f"--target={named.pids['web']}", "--net", "--mount", "--root", "--wd"]
    words += ["python3", "-I", "-S", "-c", ASK_ON]
    with (
        subprocess.Popen(words, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as asking,
        ending(asking),
    ):
        for former, latter in itertools.pairwise(("api", "one", "two", "three", "four", "api")):
            named.edit((f"[{former}]", f"[{latter}]"))
        said, _ = asking.communicate(timeout=20 * PATIENCE)
    asked, failed = map(int, said.split())
    assert asked > 100
    assert failed == 0
    assert named.stands()


def test_a_network_that_is_joined_brings_its_names(named: Named) -> None:
    joining = ("networks: [front]\n", "networks: [front, back]\n")
    named.edit(joining)
    assert set(named.ask("web", *NAMES)) == KNOWN["app"]
    assert set(named.ask("db", "web")) == {"web"}
    named.edit(joining[::-1])
    assert set(named.ask("web", *NAMES)) == KNOWN["web"]
    assert named.stands()


def test_a_container_asks_name_servers_of_its_own(named: Named) -> None:
    """Named while it runs; its neighbour goes on asking the host's."""
    host = named.stage.host
    asking = ("networks: [front]\n", f"networks: [front]\n    dns: {host.other.address}\n")
    with answering(host.other, host.other.address, "203.0.113.8"):
        named.edit(asking)
        assert named.ask("web", "www.example", "app")["www.example"] == ["203.0.113.8"]
        named.edit(asking[::-1])
    assert named.stands()
