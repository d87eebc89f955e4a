"""What the DNS server of a network knows, as the text of one file; pure.

aardvark-dns reads a line of listening addresses and name servers, then one line per name
holder: id, IPv4 addresses, IPv6 addresses, names. One bad line silences every network, so
nothing is written that was not checked here. The format was tried on 1.4.
"""

import re
import zlib
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, ip_address

from runtime.embedded.router.addresses import generations
from runtime.embedded.router.wiring import NetworkWire, ServiceWire, Wiring
from runtime.errors import Fault

# RFC 1123 host names, and the underscore that Compose names carry.
_NAME = re.compile(r"[a-z0-9_]([a-z0-9_.-]{0,251}[a-z0-9_])?")


class NameNotAllowed(Fault):
    """A name cannot be answered by DNS."""

    def __init__(self, name: str, service: str) -> None:
        self.name, self.service = name, service
        super().__init__(
            f"{service} cannot be found by the name {name!r}",
            why="names in DNS have letters, digits, '-', '_' and '.', at most 63 between dots",
            hint="choose another name or alias",
        )


def zones(wiring: Wiring, name_servers: Sequence[str]) -> dict[str, str]:
    """The files by name, one per network. Raises ``NameNotAllowed``."""
    members: dict[int, list[ServiceWire]] = {network.id: [] for network in wiring.networks}
    for service in wiring.services:
        if service.network_id in members:
            members[service.network_id].append(service)
    return {
        f"n{network.id}": _zone(network, members[network.id], name_servers)
        for network in wiring.networks
    }


def facts(wiring: Wiring) -> set[tuple[object, ...]]:
    """All that the files are made of: equal facts, equal files."""
    networks = {(n.id, n.gateway, n.subnet) for n in wiring.networks}
    return networks | {(s.network_id, s.address, s.names) for s in wiring.services}


def _zone(
    network: NetworkWire, services: Iterable[ServiceWire], name_servers: Sequence[str]
) -> str:
    lines = [f"{network.gateway} {','.join(name_servers)}".rstrip()]
    for service in sorted(services, key=lambda one: int(one.address)):
        names = sorted({_checked(name, service.name) for name in service.names})
        if names:
            lines.append(f"s{int(service.address):x} {service.address}  {','.join(names)}")
    clients = ",".join(str(IPv4Address(number)) for number in generations(network.subnet))
    # Known askers are answered whatever the case of the name. Loopback: our own probes. The id
    # is the network's own, because who has the same id in two networks sees the names of both.
    lines.append(f"clients{network.id} {clients},127.0.0.1  {_stamp(lines)}")
    return "\n".join(lines) + "\n"


def _checked(name: str, service: str) -> str:
    lower = name.lower()
    if not _NAME.fullmatch(lower) or any(not 0 < len(p) < 64 for p in lower.split(".")):
        raise NameNotAllowed(name, service)
    return lower


def _stamp(lines: Sequence[str]) -> str:
    """A name that only this version of the file answers: the proof that it was read."""
    text = "\n".join(lines)
    return f"_{zlib.crc32(text.encode()):08x}"


def stamp(zone: str) -> str:
    return zone.rstrip().rpartition(" ")[2]


def gateway(zone: str) -> IPv4Address:
    return IPv4Address(zone.split(maxsplit=1)[0])


def resolv_conf(gateway: IPv4Address) -> str:
    """A container's /etc/resolv.conf, resolv.conf(5)."""
    return f"nameserver {gateway}\noptions ndots:0\n"


def name_servers(text: str) -> list[str]:
    """The IPv4 name servers of a resolv.conf that others than the host itself can ask."""
    found = []
    for line in text.splitlines():
        words = line.split()
        if len(words) > 1 and words[0] == "nameserver":
            try:
                address = ip_address(words[1].partition("%")[0])
            except ValueError:
                continue
            if address.version == 4:
                found.append(str(address))
    return found
