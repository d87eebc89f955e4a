"""Which sockets keep other programs off our published ports, and who else listens."""

import errno
import os
import socket
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress

import msgspec

from runtime.embedded.ports.table import host_address
from runtime.embedded.router.wiring import PortWire
from runtime.errors import Fault

Wanted = tuple[str | None, int, str]  # host address (None: all), port, protocol

_UNSEEN = "a program that holds the port without listening"
_CLOSING = "a connection that was closed less than a minute ago"


class PortTaken(Fault):
    """Somebody else has a port that shall be published."""

    def __init__(self, host_ip: str | None, port: int, protocol: str, holder: str) -> None:
        self.host_ip, self.port, self.protocol, self.holder = host_ip, port, protocol, holder
        address = f"{host_ip}:{port}" if host_ip else str(port)
        super().__init__(
            f"port {address}/{protocol} cannot be published",
            why=f"{holder} has it",
            hint="stop that program, or publish another port",
        )


class AddressNotHere(Fault):
    """A port shall be published on an address that the host does not have."""

    def __init__(self, host_ip: str, port: int, protocol: str) -> None:
        self.host_ip, self.port, self.protocol = host_ip, port, protocol
        super().__init__(
            f"port {host_ip}:{port}/{protocol} cannot be published",
            why=f"the host has no address {host_ip}",
            hint="`ip address` lists the host's addresses; leave the address out to use them all",
        )


class Claim(msgspec.Struct, frozen=True, kw_only=True, order=True):
    """One reserving socket; ``address`` "::" is every IPv6 address and no IPv4 one."""

    address: str
    port: int
    protocol: str

    def __str__(self) -> str:
        return f"{self.protocol} {self.address} {self.port}"

    @classmethod
    def parse(cls, text: str) -> "Claim":
        protocol, address, port = text.split()
        return cls(address=address, port=int(port), protocol=protocol)


def claims(ports: Iterable[PortWire]) -> set[Claim]:
    """The sockets for all published ports."""
    return {c for port in ports for c in claims_of(port.host_ip, port.host_port, port.protocol)}


def claims_of(host_ip: str | None, port: int, protocol: str) -> tuple[Claim, ...]:
    if address := host_address(host_ip):
        return (Claim(address=str(address), port=port, protocol=protocol),)
    everywhere = ("0.0.0.0", "::")
    return tuple(Claim(address=one, port=port, protocol=protocol) for one in everywhere)


def reserve(claim: Claim) -> socket.socket | None:
    """Bind the claim's socket; None where the host has no IPv6. Raises ``OSError``.

    Others get EADDRINUSE, with SO_REUSEADDR too, because ours is cleared after the bind. A TCP
    socket that is bound and never listens refuses whoever is not led elsewhere; a UDP socket
    gets a filter that takes nothing, or datagrams would pile up in it.
    """
    tcp, six = claim.protocol == "tcp", ":" in claim.address
    try:
        made = socket.socket(
            socket.AF_INET6 if six else socket.AF_INET,
            socket.SOCK_STREAM if tcp else socket.SOCK_DGRAM,
        )
    except OSError as error:
        if six and error.errno == errno.EAFNOSUPPORT:
            return None
        raise
    try:
        _bind(made, claim, tcp=tcp, six=six)
    except OSError as error:
        made.close()
        if six and error.errno == errno.EADDRNOTAVAIL:
            return None
        raise
    return made


def _bind(made: socket.socket, claim: Claim, *, tcp: bool, six: bool) -> None:
    if six:
        made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    if not tcp:
        _take_nothing(made)
        made.bind((claim.address, claim.port))
        return
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.bind((claim.address, claim.port))
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)


def _take_nothing(made: socket.socket) -> None:
    """SO_ATTACH_FILTER with the one instruction `ret 0`, socket(7)."""
    import ctypes
    import struct

    program = ctypes.create_string_buffer(struct.pack("=HBBI", 0x06, 0, 0, 0))
    made.setsockopt(socket.SOL_SOCKET, 26, struct.pack("@HxxxxxxQ", 1, ctypes.addressof(program)))


def taken(claim: Claim) -> Fault:
    """The fault for a claim that could not be bound because the address is in use."""
    wanted = (_spoken(claim), claim.port, claim.protocol)
    return PortTaken(*wanted, holder=listeners([claim]).get(claim, _UNSEEN))


def _spoken(claim: Claim) -> str | None:
    return None if claim.address in ("0.0.0.0", "::") else claim.address


def holders(
    wanted: Sequence[Wanted], ours: Collection[Claim], own_pid: int | None
) -> dict[Wanted, str]:
    """Who else has which of the wanted ports, by trying; ``ours`` are held by our own holder,
    process ``own_pid``."""
    busy: dict[Wanted, list[Claim]] = {}
    for one in wanted:
        refused = [c for c in claims_of(*one) if c not in ours and not _is_free(c, ours, own_pid)]
        if refused:
            busy[one] = refused
    names = listeners([claim for refused in busy.values() for claim in refused], own_pid)
    return {
        one: next((names[claim] for claim in refused if claim in names), _UNSEEN)
        for one, refused in busy.items()
    }


def _is_free(claim: Claim, ours: Collection[Claim], own_pid: int | None) -> bool:
    """Whether the claim could be bound, or only our own other claims are in its way."""
    try:
        made = reserve(claim)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            return True  # for another reason, which the reservation itself will name
        rivals = [c for c in ours if (c.port, c.protocol) == (claim.port, claim.protocol)]
        return bool(rivals) and not listeners([claim], own_pid)
    if made is not None:
        made.close()
    return True


def listeners(claims: Sequence[Claim], without: int | None = None) -> dict[Claim, str]:
    """Name the programs whose sockets are in the way, as in ``nginx[812]``, but for process
    ``without``."""
    if not claims:
        return {}
    inodes = {inode: claim for claim in claims for inode in _in_the_way(claim)}
    closing = {inodes["0"]: _CLOSING} if "0" in inodes else {}
    return closing | {inodes[inode]: name for inode, name in _owners(inodes, without)}


def _in_the_way(claim: Claim) -> Iterator[str]:
    """Inodes of sockets bound to the claim's port, "0" for closed connections that wait out
    their minute, proc_net_tcp(5)."""
    for table in (claim.protocol, f"{claim.protocol}6"):
        with suppress(FileNotFoundError), open(f"/proc/thread-self/net/{table}") as file:
            next(file)
            for line in file:
                words = line.split()
                address, _, port = words[1].rpartition(":")
                if int(port, 16) == claim.port and _meets(address, claim):
                    yield words[9]


def _meets(bound: str, claim: Claim) -> bool:
    """Whether an address of /proc/net (hex, little endian words) collides with the claim's."""
    anywhere = not bound.strip("0")
    if anywhere or claim.address in ("0.0.0.0", "::"):
        return True
    own = socket.inet_pton(socket.AF_INET, claim.address)[::-1].hex().upper()
    return bound.endswith(own)


def _owners(inodes: Mapping[str, Claim], without: int | None) -> Iterator[tuple[str, str]]:
    """Which process has which of the sockets open; looks at every process."""
    wanted = {f"socket:[{inode}]": inode for inode in inodes}
    pids = (pid for pid in os.listdir("/proc") if pid.isdigit() and pid != str(without))
    for pid in pids:
        with suppress(OSError):
            for fd in os.listdir(f"/proc/{pid}/fd"):
                with suppress(OSError):
                    target = os.readlink(f"/proc/{pid}/fd/{fd}")
                    if target in wanted:
                        yield wanted[target], f"{_command(pid)}[{pid}]"


def _command(pid: str) -> str:
    with open(f"/proc/{pid}/comm") as file:
        return file.read().strip()
