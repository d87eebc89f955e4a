"""Which sockets keep other programs off our published ports."""

import errno
import socket
from collections.abc import Iterable

import msgspec

from runtime.api import PortSpec
from runtime.embedded.ports.maps import host_address, versions
from runtime.embedded.router.wiring import PortWire
from runtime.errors import Fault

LONGEST_RESERVED = 256  # ports of a range; longer ones are published without reservation

Wanted = tuple[str | None, int, str, int]  # host address (None: all), port, protocol, how many


class PortTaken(Fault):
    """Somebody else has a port that shall be published."""

    def __init__(self, host_ip: str | None, port: int, protocol: str, holder: str) -> None:
        self.host_ip, self.port, self.protocol, self.holder = host_ip, port, protocol, holder
        super().__init__(
            f"port {_place(host_ip)}{port}/{protocol} cannot be published",
            why=f"{holder} has it",
            hint="stop that program, or publish another port",
        )


class AddressNotHere(Fault):
    """A port shall be published on an address that the host does not have."""

    def __init__(self, host_ip: str, port: int, protocol: str) -> None:
        self.host_ip, self.port, self.protocol = host_ip, port, protocol
        super().__init__(
            f"port {_place(host_ip)}{port}/{protocol} cannot be published",
            why=f"the host has no address {host_ip}",
            hint="`ip address` lists the host's addresses; leave the address out to use them all",
        )


class NoIpv6Target(Fault):
    """A port shall be published on IPv6 for a container without."""

    def __init__(self, port: PortSpec, service: str) -> None:
        self.port = port
        super().__init__(
            f"port {port} of {service} cannot be published",
            why="the network that leads out of the container has no IPv6",
            hint="say `enable_ipv6: true` of that network, or publish on an IPv4 address",
        )


def _place(host_ip: str | None) -> str:
    """An address before the port, IPv6 ones in brackets."""
    if not host_ip:
        return ""
    return f"[{host_ip}]:" if ":" in host_ip else f"{host_ip}:"


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
    return {
        claim
        for port in ports
        for claim in claims_of(port.host_ip, port.host_port, port.protocol, port.count)
    }


def claims_of(host_ip: str | None, port: int, protocol: str, count: int = 1) -> tuple[Claim, ...]:
    """The sockets for ``count`` adjacent ports; none for a range that is too long for them."""
    if count > LONGEST_RESERVED:
        return ()
    if address := host_address(host_ip):
        places: tuple[str, ...] = (str(address),)
    else:
        places = tuple("0.0.0.0" if version == 4 else "::" for version in versions(host_ip))
    return tuple(
        Claim(address=place, port=number, protocol=protocol)
        for number in range(port, port + count)
        for place in places
    )


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
