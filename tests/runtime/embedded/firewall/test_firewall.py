"""Firewalls of hosts as data, and the same on a host: what they stop, what we say of it, and that
the commands we print open the way.

`hosts/` holds for each firewall its rules as `nft -j list ruleset` gives them, and in the form in
which they can be loaded. Docker, ufw and firewalld wrote theirs themselves (Debian 12: 20.10, 0.36,
1.3); what is called opened is theirs after the printed commands. The uplink is called `tuu`.
"""

import json
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path

import pytest
from msgspec.structs import replace

from runtime.api import Finding, Verdict
from runtime.embedded.firewall.look import closed_ways, outside_links
from runtime.embedded.firewall.ways import Place, findings
from runtime.embedded.router.doors import Doors
from tests.hosts import Host
from tests.runtime.embedded.lab import Lab, fetch, make_lab
from tests.runtime.embedded.wires import SHOP

HOSTS = Path(__file__).parent / "hosts"
PLACE = Place(
    uplink="tuu",
    outside=("eth0",),
    pool=IPv4Network("10.201.0.0/16"),
    ports=(("tcp", 80), ("udp", 53)),
)
OUTSIDE = "what comes from outside for published ports"
CONTAINERS = "what containers send to other hosts"
IPTABLES = """\
*filter
:INPUT ACCEPT [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
COMMIT
"""
OWN = "the chain inet filter forward of nftables"
OWN_IN = (
    "nft 'insert rule inet filter forward oifname \"tuu\" accept'",
    "nft 'insert rule inet filter forward iifname \"tuu\" ct state established,related accept'",
)
OWN_OUT = (
    "nft 'insert rule inet filter forward iifname \"tuu\" accept'",
    "nft 'insert rule inet filter forward oifname \"tuu\" ct state established,related accept'",
)


def blocker(text: str, *commands: str) -> Finding:
    return Finding(subject="firewall", verdict=Verdict.BLOCKER, text=text, commands=commands)


def warning(text: str, *commands: str) -> Finding:
    return Finding(subject="firewall", verdict=Verdict.WARNING, text=text, commands=commands)


FOUND: dict[str, tuple[Finding, ...]] = {
    "nothing": (),
    "docker": (),  # its rules drop, and the engine's own in DOCKER-USER let pass
    "ufw": (
        blocker(f"ufw drops {OUTSIDE}", "ufw route allow out on tuu"),
        warning(f"ufw drops {CONTAINERS}", "ufw route allow in on tuu"),
    ),
    "firewalld": (
        warning(
            f"firewalld drops {CONTAINERS}",
            "firewall-cmd --permanent --zone=trusted --add-interface=tuu",
            "firewall-cmd --reload",
        ),
    ),
    "own": (
        blocker(f"{OWN} drops {OUTSIDE}", *OWN_IN),
        warning(f"{OWN} drops {CONTAINERS}", *OWN_OUT),
    ),
}


def recorded(name: str) -> list[dict[str, object]]:
    listed = json.loads((HOSTS / f"{name}.json").read_text())["nftables"]
    return [entry for entry in listed if "metainfo" not in entry]


@pytest.mark.parametrize("name", FOUND)
def test_what_is_said_of_a_firewall(name: str) -> None:
    assert findings(recorded(name), PLACE) == FOUND[name]


def test_ipv6_is_looked_at_where_containers_have_it() -> None:
    both = replace(PLACE, pool6=IPv6Network("fd00::/48"))
    only6 = [entry for entry in recorded("ufw") if "ip" not in _families(entry)]
    assert findings(only6, PLACE) == ()
    assert findings(only6, both) == FOUND["ufw"]


def _families(entry: dict[str, object]) -> set[object]:
    return {value.get("family") for value in entry.values() if isinstance(value, dict)}


def test_a_resolver_of_the_host_is_behind_the_input_filter() -> None:
    found = findings(recorded("ufw"), replace(PLACE, asks_host=True))
    assert found[2:] == (
        warning(
            "ufw drops what containers ask the host's resolver",
            "ufw allow in on tuu to any port 53",
        ),
    )


RULES = {
    "the port is open": ("tcp dport 80 accept", ""),
    "another port is open": ("tcp dport 443 accept", OUTSIDE),
    "only one client may": ("ip saddr 192.0.2.7 accept", OUTSIDE),
    "containers' addresses are open": ("ip daddr 10.0.0.0/8 accept", ""),
    "a part of the addresses is open": ("ip daddr 10.201.3.0/24 accept", OUTSIDE),
    "ports that were translated are open": ("ct status dnat accept", ""),
    "all but one link is open": ('iifname != "eth1" accept', ""),
    "links are open by pattern": ('oifname "tu*" accept', ""),
    "a set of ports is open": ("tcp dport { 22, 80-90 } accept", ""),
    "the way leads over a map": ("iifname vmap { eth0 : accept }", ""),
    "more than so many are not let in": ("limit rate 3/minute accept", OUTSIDE),
}


@pytest.mark.root
@pytest.mark.parametrize("name", RULES)
def test_a_rule_before_the_drop(name: str, host: Host) -> None:
    rule, closed = RULES[name]
    chain = "type filter hook forward priority 0; policy drop;"
    place = replace(PLACE, ports=(("tcp", 80),))
    with loaded(host, f"table inet own {{ chain forward {{ {chain} {rule}\n}}\n}}\n"):
        found = looked(host, place)
    told = [each.text for each in found if OUTSIDE in each.text]
    assert bool(told) == bool(closed), found


@contextmanager
def loaded(host: Host, rules: str, program: str = "nft") -> Iterator[None]:
    command = ["nft", "-f", "-"] if program == "nft" else [program, "--noflush"]
    host.run(*command, stdin=rules)
    try:
        yield
    finally:
        if program == "iptables-legacy-restore":
            host.run(program, stdin=IPTABLES.replace("DROP", "ACCEPT"))
        for table in host.run("nft", "list", "tables").stdout.splitlines():
            if not table.split()[-1].startswith("trueup"):
                host.run("nft", "delete", *table.split())


def looked(host: Host, place: Place) -> tuple[Finding, ...]:
    with host.inside(), closing(Doors(None)) as doors:
        return closed_ways(doors.nft, place)


def load(lab: Lab, file: str) -> tuple[str, str]:
    """The recorded rules for this lab's uplink, and the program that loads them."""
    text = (HOSTS / file).read_text().replace("tuu", lab.paths.uplink)
    return text, "nft" if file.endswith(".nft") else "iptables-nft-restore"


def outside(lab: Lab) -> tuple[str, ...]:
    with closing(Doors(None)) as doors:
        return outside_links(doors.routes, lab.paths.uplink)


@pytest.fixture
def lab(host: Host, tmp_path: Path) -> Iterator[Lab]:
    with make_lab(host, tmp_path) as made:
        made.mend(**{name: getattr(SHOP, name) for name in ("networks", "services", "ports")})
        made.container("web", "10.201.3.0", SHOP.networks[0])
        yield made


def ways(lab: Lab) -> tuple[str, str]:
    """How the published port answers another host, and a container another host's program."""
    other, container = lab.host.other, lab.links[0].namespace
    inward = fetch(other.path, lab.host.address, 8080, timeout=1.0)
    return inward, fetch(container, other.address, 8000, timeout=1.0)


def place_of(lab: Lab) -> Place:
    return replace(PLACE, uplink=lab.paths.uplink)


@pytest.mark.root
@pytest.mark.parametrize(
    ("file", "answers"),
    [
        ("ufw.rules", ("silence", "silence")),
        ("firewalld.nft", ("web 192.0.2.2", "unreachable")),
        ("own.nft", ("silence", "silence")),
        ("ufw-opened.rules", ("web 192.0.2.2", "other 192.0.2.1")),
        ("firewalld-opened.nft", ("web 192.0.2.2", "other 192.0.2.1")),
    ],
)
def test_what_is_said_is_what_happens(
    lab: Lab, host: Host, file: str, answers: tuple[str, str]
) -> None:
    lab.serve("other", host.other.path, 8000)
    assert ways(lab) == ("web 192.0.2.2", "other 192.0.2.1")
    name = Path(file).stem
    expected = FOUND.get(name, ())
    with loaded(host, *load(lab, file)):
        assert outside(lab) == ("eth0",)
        assert looked(host, place_of(lab)) == tuple(
            replace(each, commands=tuple(c.replace("tuu", lab.paths.uplink) for c in each.commands))
            for each in expected
        )
        assert ways(lab) == answers
    assert ways(lab) == ("web 192.0.2.2", "other 192.0.2.1")


@pytest.mark.root
@pytest.mark.parametrize("program", ["nft", "iptables-nft-restore", "iptables-legacy-restore"])
def test_the_printed_commands_open_the_way(lab: Lab, host: Host, program: str) -> None:
    lab.serve("other", host.other.path, 8000)
    rules = (HOSTS / "own.nft").read_text() if program == "nft" else IPTABLES
    with loaded(host, rules, program):
        closed = looked(host, place_of(lab))
        assert [each.verdict for each in closed] == [Verdict.BLOCKER, Verdict.WARNING]
        assert ways(lab) == ("silence", "silence")
        run(host, closed[0])
        assert ways(lab) == ("web 192.0.2.2", "silence")
        assert looked(host, place_of(lab)) == closed[1:]
        run(host, closed[1])
        assert ways(lab) == ("web 192.0.2.2", "other 192.0.2.1")
        assert looked(host, place_of(lab)) == ()


def run(host: Host, finding: Finding) -> None:
    """As a user pastes them into a shell."""
    for command in finding.commands:
        subprocess.run([*host.within, "sh", "-ec", command], check=True)
