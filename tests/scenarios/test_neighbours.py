"""Beside Docker and podman on one host: neither notices the other.

Their published ports answer and so do ours, from the host and from another host, while Docker's
FORWARD policy is DROP. What we change on the host is our own table and link, and two commented
rules in DOCKER-USER; after `down` their rules are the same bytes as before.
"""

import re
from dataclasses import dataclass

import pytest

from tests.conftest import Images
from tests.eventually import eventually
from tests.hosts import Host, Namespace
from tests.images.recipes import PAGE
from tests.peers import Docker, Podman
from tests.scenarios.scene import FRONT_PAGE, ending, owned
from tests.scenarios.stage import Stage, answer, within

pytestmark = [pytest.mark.root, pytest.mark.slow]

THEIRS = 18180


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbourhood:
    """What others have on the host, without counters."""

    rules: str
    tables: str
    links: str
    forwarding: str


def neighbourhood(stage: Stage) -> Neighbourhood:
    """All rules, tables and links of the host but ours."""
    host, mine = stage.host, owned(stage)
    return Neighbourhood(
        rules=_rules(host),
        tables=_without_table(host, mine.table),
        links=_links(host, mine.uplink),
        forwarding=host.run("sysctl", "-a", "-r", r"^net\.ipv4\.(ip_forward|conf.all)").stdout,
    )


def _rules(host: Host) -> str:
    """Every table of iptables, without the comments that hold the time, and without counters."""
    saved = host.run("iptables-save").stdout
    lines = [line for line in saved.splitlines() if not line.startswith("#")]
    return "\n".join(re.sub(r" \[\d+:\d+\]$", "", line) for line in lines)


def _without_table(host: Host, table: str) -> str:
    shown = host.run("nft", "list", "ruleset").stdout
    shown = re.sub(r"counter packets \d+ bytes \d+", "counter", shown)
    return re.sub(rf"^table inet {table} {{\n.*?^}}\n", "", shown, flags=re.MULTILINE | re.DOTALL)


def _links(host: Host, uplink: str) -> str:
    """Names, hardware and IPv4 addresses; states and IPv6 addresses settle for seconds."""
    shown = host.run("ip", "-oneline", "-4", "address", "show").stdout.splitlines()
    links = host.run("ip", "-brief", "link", "show").stdout.splitlines()
    shown += [f"{name} {address}" for name, _, address, *_ in map(str.split, links)]
    return "\n".join(line for line in shown if uplink not in line)


def answers_everywhere(stage: Stage, port: int, page: str, path: str = "/") -> None:
    """At the port, from the host itself and from another host."""
    host = stage.host
    for place, address in ((host, "127.0.0.1"), (host, host.address), (host.other, host.address)):
        _shows(place, address, port, page, path)


def _shows(place: Namespace, address: str, port: int, page: str, path: str) -> None:
    eventually(lambda: page in answer(place, address, port, path=path))


def theirs(peer: Docker | Podman, name: str) -> str:
    """The process of their container and when it started."""
    return peer("inspect", name, "--format", "{{.State.Pid}} {{.State.StartedAt}}")


def live_through_everything(stage: Stage, peer: Docker | Podman, name: str) -> None:
    """Apply, edits, a fault and `down`, beside the container ``name`` of theirs."""
    container = theirs(peer, name)
    stage.apply()
    answers_everywhere(stage, 18080, "visit", FRONT_PAGE)
    answers_everywhere(stage, THEIRS, PAGE)
    reaches_the_other_host(stage)
    stage.edit("18080:80", "18082:80")
    stage.edit("mem_limit: 64m", "mem_limit: 48m")
    stage.apply()
    answers_everywhere(stage, 18082, "visit", FRONT_PAGE)
    answers_everywhere(stage, THEIRS, PAGE)
    stage.host.run("nft", "delete", "table", "inet", owned(stage).table)
    assert f"host table {owned(stage).table} is missing" in stage.pending()
    stage.apply()
    answers_everywhere(stage, 18082, "visit", FRONT_PAGE)
    assert stage.pending() == ""
    stage.down()
    answers_everywhere(stage, THEIRS, PAGE)
    assert theirs(peer, name) == container


def reaches_the_other_host(stage: Stage) -> None:
    """A container of ours fetches a page from another host."""
    other = stage.host.other
    (stage.folder / "index.html").write_text("hello from afar\n")
    httpd = ("busybox", "httpd", "-f", "-p", "7000", "-h", stage.folder)
    url = f"http://{other.address}:7000/"
    with ending(other.start(*httpd)):
        pid = stage.pids()["web"]
        eventually(lambda: within(pid, "wget", "-qO-", url) == "hello from afar\n")


def test_beside_docker(four: Stage, docker: Docker, images: Images) -> None:
    docker("run", "-d", "--name", "theirs", "-p", f"{THEIRS}:80", images.busybox)
    answers_everywhere(four, THEIRS, PAGE)
    assert "-P FORWARD DROP" in four.host.run("iptables", "-S", "FORWARD").stdout
    before = neighbourhood(four)
    four.apply()
    during = neighbourhood(four)
    ours = [
        f"-A DOCKER-USER -{way} {owned(four).uplink} -m comment --comment {owned(four).table}"
        " -j ACCEPT"
        for way in "io"
    ]
    assert _added(before.rules, during.rules) == sorted(ours)
    assert (during.links, during.forwarding) == (before.links, before.forwarding)
    live_through_everything(four, docker, "theirs")
    assert neighbourhood(four) == before


def _added(before: str, after: str) -> list[str]:
    """The lines that came; none may have gone, and the order of the others is the same."""
    added = [line for line in after.splitlines() if line not in before.splitlines()]
    assert [line for line in after.splitlines() if line not in added] == before.splitlines()
    return sorted(added)


def test_beside_podman(four: Stage, podman: Podman, images: Images) -> None:
    podman("run", "-d", "--name", "theirs", "-p", f"{THEIRS}:80", images.busybox)
    answers_everywhere(four, THEIRS, PAGE)
    before = neighbourhood(four)
    four.apply()
    during = neighbourhood(four)
    assert (during.rules, during.links) == (before.rules, before.links)
    live_through_everything(four, podman, "theirs")
    assert neighbourhood(four) == before


def test_a_docker_that_comes_back_with_fresh_chains(four: Stage, docker: Docker) -> None:
    """Somebody flushes the firewall and restarts dockerd: its FORWARD DROP is back, our two rules
    are not."""
    four.apply()
    answers_everywhere(four, 18080, "visit", FRONT_PAGE)
    pids = four.pids()
    docker.restart(lambda: [four.host.run("iptables", word) for word in ("-F", "-X")])
    assert "-P FORWARD DROP" in four.host.run("iptables", "-S", "FORWARD").stdout
    assert answer(four.host.other, four.host.address, 18080) == "silence"
    assert "the rules that let containers through Docker's firewall are missing" in four.pending()
    four.apply()
    answers_everywhere(four, 18080, "visit", FRONT_PAGE)
    assert four.pending() == ""
    assert four.pids() == pids


def test_a_docker_that_comes_later(four: Stage, request: pytest.FixtureRequest) -> None:
    four.apply()
    answers_everywhere(four, 18080, "visit", FRONT_PAGE)
    request.getfixturevalue("docker")
    assert "Docker's firewall" in four.pending()
    four.apply()
    answers_everywhere(four, 18080, "visit", FRONT_PAGE)
    rules = _rules(four.host)
    four.down()
    assert len(_added(_rules(four.host), rules)) == 2
