"""The other iptables: its tables are none of nftables, so the rules are read by its own program.

Its rules are not followed: a chain that drops by default and does not name the uplink is told.
"""

from collections.abc import Iterator
from pathlib import Path

from runtime import programs
from runtime.api import Finding, Verdict
from runtime.embedded.firewall.ways import (
    DOCKER_CHAIN,
    FROM_CONTAINERS,
    FROM_OUTSIDE,
    SUBJECT,
    Place,
)
from runtime.errors import Fault

_PROGRAM = "iptables-legacy"
_TABLES = Path("/proc/thread-self/net/ip_tables_names")
_ANSWERS = "-m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT"


def closed_ways(place: Place) -> tuple[Finding, ...]:
    """What the chain FORWARD closes; nothing where nobody uses that iptables."""
    return tuple(judged(_rules(), place.uplink))


def _rules() -> list[str]:
    """As `iptables -S FORWARD` lists them."""
    try:
        if "filter" not in _TABLES.read_text().split():
            return []
        return programs.run([_PROGRAM, "-w", "-S", "FORWARD"]).splitlines()
    except (FileNotFoundError, Fault):
        return []


def judged(rules: list[str], uplink: str) -> Iterator[Finding]:
    if "-P FORWARD DROP" not in rules or f"-A FORWARD -j {DOCKER_CHAIN}" in rules:
        return
    insert = f"{_PROGRAM} -I FORWARD"
    ways = (
        (FROM_OUTSIDE, Verdict.BLOCKER, "-o", "-i"),
        (FROM_CONTAINERS, Verdict.WARNING, "-i", "-o"),
    )
    for what, verdict, there, back in ways:
        if f"-A FORWARD {there} {uplink} -j ACCEPT" not in rules:
            yield Finding(
                subject=SUBJECT,
                verdict=verdict,
                text=f"the chain FORWARD of {_PROGRAM} drops {what}",
                commands=(
                    f"{insert} {there} {uplink} -j ACCEPT",
                    f"{insert} {back} {uplink} {_ANSWERS}",
                ),
            )
