"""What the DNS server of a network knows, as the text of one file; pure.

aardvark-dns reads a line of listening addresses and name servers, then one line per name
holder: id, IPv4 addresses, IPv6 addresses, names, name servers. One bad line silences every
network, so nothing is written that was not checked here. The format was tried on 1.4.

Who asks is known by his address: it leads to an id, the id to all networks in whose files it
stands, and their names are what he is told. So a container in two networks has a line in both;
those in a single one share a line that never changes, because a reload loses a question or two.
"""

import re
import zlib
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, ip_address

from runtime.embedded.router.addresses import generations
from runtime.embedded.router.wiring import AskerWire, NetworkWire, ServiceWire, Wiring
from runtime.errors import Fault

# RFC 1123 host names, and the underscore that Compose names carry.
_NAME = re.compile(r"[a-z0-9_]([a-z0-9_.-]{0,251}[a-z0-9_])?")


# Nobody answers there. An internal network's file could not name no server at all: those of the
# host would be asked. From 1.11 on the file's name says it, and outside names are refused at
# once; before, they are left unanswered.
_NOBODY = ("127.0.0.1",)
_INTERNAL = "%int"


class NameNotAllowed(Fault):
    """A name cannot be answered by DNS."""

    def __init__(self, name: str, service: str) -> None:
        self.name, self.service = name, service
        super().__init__(
            f"{service} cannot be found by the name {name!r}",
            why="names in DNS have letters, digits, '-', '_' and '.', at most 63 between dots",
            hint="choose another name or alias",
        )


class NameServerNotAllowed(Fault):
    """A container shall ask a name server that cannot be asked for it."""

    def __init__(self, server: str) -> None:
        self.server = server
        super().__init__(
            f"no container can ask the name server {server!r}",
            why="it is no address, or one that belongs to a single link of the host",
            hint="write an address in `dns:` that leads there from everywhere on this host",
        )


def zones(wiring: Wiring, name_servers: Sequence[str]) -> dict[str, str]:
    """The files by name, one per network. Raises ``NameNotAllowed`` and
    ``NameServerNotAllowed``."""
    members: dict[int, list[ServiceWire]] = {network.id: [] for network in wiring.networks}
    for service in wiring.services:
        if service.network_id in members:
            members[service.network_id].append(service)
    return {
        f"n{network.id}{_INTERNAL if network.internal else ''}": _zone(
            network, members[network.id], wiring.askers, name_servers
        )
        for network in wiring.networks
    }


def facts(wiring: Wiring) -> set[tuple[object, ...]]:
    """All that the files are made of: equal facts, equal files."""
    networks = {(n.id, n.gateway, n.subnet, n.internal) for n in wiring.networks}
    services = {(s.network_id, s.address, s.address6, s.names) for s in wiring.services}
    return {*networks, *services, *((asker,) for asker in wiring.askers)}


def _zone(
    network: NetworkWire,
    services: Iterable[ServiceWire],
    askers: Iterable[AskerWire],
    name_servers: Sequence[str],
) -> str:
    own = _NOBODY if network.internal else name_servers
    lines = [f"{network.gateway} {','.join(own)}".rstrip()]
    for service in sorted(services, key=lambda one: int(one.address)):
        names = sorted({_checked(name, service.name) for name in service.names})
        if names:
            addresses = f"{service.address} {service.address6 or ''}"
            lines.append(f"s{int(service.address):x} {addresses} {','.join(names)}")
    apart = {
        address: asker for asker in askers for id, address in asker.addresses if id == network.id
    }
    lines += [_asker(address, apart[address], name_servers) for address in sorted(apart)]
    others = (IPv4Address(number) for number in generations(network.subnet))
    clients = ",".join(str(address) for address in others if address not in apart)
    # Known askers are answered whatever the case of the name. Loopback: our own probes. The id
    # is the network's own, because who has the same id in two networks sees the names of both.
    lines.append(f"clients{network.id} {clients},127.0.0.1  {_stamp(lines)}")
    return "\n".join(lines) + "\n"


def _asker(address: IPv4Address, asker: AskerWire, name_servers: Sequence[str]) -> str:
    """A line has to have a name; nobody asks for this one."""
    own = [_server(each) for each in asker.name_servers]
    servers = (own or name_servers) if asker.way_out else _NOBODY
    id = f"c{asker.container}"
    return f"{id} {address}  _{id} {','.join(servers)}".rstrip()


def _server(text: str) -> str:
    try:
        address = ip_address(text)
    except ValueError as error:
        raise NameServerNotAllowed(text) from error
    # A scope may hold anything, line feeds too.
    if address.is_link_local or "%" in text:
        raise NameServerNotAllowed(text)
    return str(address)


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
