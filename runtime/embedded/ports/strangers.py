"""Who else has a port that we want: by trying to bind it, and by the kernel's list of sockets."""

import errno
import os
import socket
from collections.abc import Collection, Container, Iterator, Mapping, Sequence
from contextlib import suppress

from runtime.embedded.linux import sockets
from runtime.embedded.ports.claims import (
    Claim,
    PortTaken,
    Wanted,
    claims_of,
    reserve,
)
from runtime.errors import Fault

UNSEEN = "a program that holds the port without listening"
_CLOSING = "a connection that was closed less than a minute ago"
_EVERY = ("0.0.0.0", "::")
# States of sockets that wait for anybody, include/net/tcp_states.h: LISTEN, and UDP without a peer.
_WAITING = {"tcp": "0A", "udp": "07"}


def taken(claim: Claim) -> Fault:
    """The fault for a claim that could not be bound because the address is in use."""
    wanted = (_spoken(claim), claim.port, claim.protocol)
    return PortTaken(*wanted, holder=listeners([claim]).get(claim, UNSEEN))


def _spoken(claim: Claim) -> str | None:
    return None if claim.address in _EVERY else claim.address


def holders(
    wanted: Sequence[Wanted], ours: Collection[Claim], own_pid: int | None
) -> dict[Wanted, str]:
    """Who else has which of the wanted ports, by trying; ``ours`` are held by our own holder,
    process ``own_pid``. Of ranges that are too long to be tried, by the list of sockets."""
    busy: dict[Wanted, list[Claim]] = {}
    for one in wanted:
        asked = claims_of(*one) or _occupied(*one)
        refused = [c for c in asked if c not in ours and not _is_free(c, ours, own_pid)]
        if refused:
            busy[one] = refused
    names = listeners([claim for refused in busy.values() for claim in refused], own_pid)
    return {one: _named(one[3], refused, names) for one, refused in busy.items()}


def _named(count: int, refused: Sequence[Claim], names: Mapping[Claim, str]) -> str:
    """The first holder that has a name; of a range it is told which port he has."""
    claim = next((claim for claim in refused if claim in names), refused[0])
    name = names.get(claim, UNSEEN)
    return name if count == 1 else f"{name} (port {claim.port})"


def _occupied(host_ip: str | None, port: int, protocol: str, count: int) -> tuple[Claim, ...]:
    """A claim for each port of the range on which some socket waits."""
    numbers = sorted(
        {
            number
            for _, number, state, _ in sockets.listed("thread-self", protocol)
            if port <= number < port + count and state == _WAITING[protocol]
        }
    )
    return tuple(claim for number in numbers for claim in claims_of(host_ip, number, protocol))


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
    their minute."""
    for address, port, _, inode in sockets.listed("thread-self", claim.protocol):
        if port == claim.port and _meets(address, claim):
            yield inode


def _meets(bound: str, claim: Claim) -> bool:
    """Whether an address of /proc/net collides with the claim's; IPv4 ones stand at the end of
    IPv6 ones."""
    anywhere = not bound.strip("0")
    if anywhere or claim.address in _EVERY:
        return True
    family = socket.AF_INET6 if ":" in claim.address else socket.AF_INET
    packed = socket.inet_pton(family, claim.address)
    words = [packed[at : at + 4][::-1].hex().upper() for at in range(0, len(packed), 4)]
    return bound.endswith("".join(words))


def _owners(inodes: Container[str], without: int | None) -> Iterator[tuple[str, str]]:
    """Which process has which of the sockets open; looks at every process."""
    pids = (pid for pid in os.listdir("/proc") if pid.isdigit() and pid != str(without))
    for pid in pids:
        with suppress(OSError):  # it may end meanwhile
            for inode in sockets.opened(int(pid)):
                if inode in inodes:
                    yield inode, f"{_command(pid)}[{pid}]"


def _command(pid: str) -> str:
    with open(f"/proc/{pid}/comm") as file:
        return file.read().strip()
