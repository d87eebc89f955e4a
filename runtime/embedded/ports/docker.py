"""Beside Docker: its FORWARD chain drops what it does not know, so two rules in the chain that
it keeps for others let our uplink pass.

They are written with iptables(8) of the flavour that Docker used: rules that nft puts into a
table of iptables break `iptables -S`.
"""

from collections.abc import Iterator
from pathlib import Path

from runtime import programs
from runtime.embedded.nft.apply import Nft
from runtime.errors import Fault

CHAIN = "DOCKER-USER"
_LEGACY = Path("/proc/thread-self/net")
_VERSIONS = (("ip", "iptables", "ip_tables_names"), ("ip6", "ip6tables", "ip6_tables_names"))


class DockerChain:
    """Our two rules in DOCKER-USER, commented ``mark``."""

    def __init__(self, nft: Nft, *, uplink: str, mark: str) -> None:
        self._nft, self._uplink, self._mark = nft, uplink, mark

    def missing(self) -> bool:
        """Whether Docker's chain is there and one of our rules is not in it."""
        return any(
            rule not in _rules(iptables) for iptables in self._flavours() for rule in self._ours()
        )

    def admit(self) -> None:
        """Add the rules that are missing, behind those of the user. Without Docker's chain
        nothing is done."""
        for iptables in self._flavours():
            for rule in self._ours():
                present = _rules(iptables)
                if rule not in present:
                    returns = f"-A {CHAIN} -j RETURN"
                    place = present.index(returns) if returns in present else len(present)
                    words = rule.split()[2:]
                    programs.run([iptables, "-w", "-I", CHAIN, str(place + 1), *words])

    def retract(self) -> None:
        """Delete our rules, however often they stand there. Idempotent."""
        for iptables in self._flavours():
            for rule in _rules(iptables):
                if f"--comment {self._mark} " in rule:
                    programs.run([iptables, "-w", "-D", *rule.split()[1:]])

    def _ours(self) -> tuple[str, str]:
        tail = f"{self._uplink} -m comment --comment {self._mark} -j ACCEPT"
        return f"-A {CHAIN} -i {tail}", f"-A {CHAIN} -o {tail}"

    def _flavours(self) -> Iterator[str]:
        """The programs that Docker's chains were made with, one for each IP version in which
        there is one."""
        for family, program, tables in _VERSIONS:
            if self._nft.has_chain(family, "filter", CHAIN):
                yield f"{program}-nft"
            elif _is_legacy(tables) and _has_chain(f"{program}-legacy"):
                yield f"{program}-legacy"


def _is_legacy(tables: str) -> bool:
    try:
        return "filter" in Path(_LEGACY, tables).read_text().split()
    except FileNotFoundError:
        return False


def _rules(iptables: str) -> list[str]:
    lines = programs.run([iptables, "-w", "-S", CHAIN]).splitlines()
    return [line for line in lines if line.startswith("-A")]


def _has_chain(iptables: str) -> bool:
    try:
        _rules(iptables)
    except Fault:
        return False
    return True
