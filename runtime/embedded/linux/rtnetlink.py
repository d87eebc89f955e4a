"""Links, addresses and routes as netlink messages, and their lists; rtnetlink(7)."""

import errno
import socket
import struct
import sys
from collections.abc import Iterator
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
)
from typing import Literal, overload

import msgspec

from runtime.embedded.linux.netlink import (
    GONE,
    NLM_F_CREATE,
    NLM_F_EXCL,
    NLM_F_REPLACE,
    Message,
    Netlink,
    attribute,
    attributes,
    nested,
    number,
    text,
)

RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK = 16, 17, 18
RTM_NEWADDR, RTM_DELADDR, RTM_GETADDR = 20, 21, 22
RTM_NEWROUTE, RTM_DELROUTE, RTM_GETROUTE = 24, 25, 26
RTM_NEWRULE, RTM_DELRULE, RTM_GETRULE = 32, 33, 34

IFF_UP, IFF_LOWER_UP = 0x1, 0x10000
IFLA_ADDRESS, IFLA_IFNAME, IFLA_LINKINFO, IFLA_IFALIAS, IFLA_NET_NS_FD = 1, 3, 18, 20, 28
IFLA_INFO_KIND, IFLA_INFO_DATA, VETH_INFO_PEER = 1, 2, 1
IFA_ADDRESS, IFA_LOCAL, IFA_FLAGS = 1, 2, 8
IFA_F_NODAD, IFA_F_NOPREFIXROUTE = 0x2, 0x200
RTA_DST, RTA_OIF, RTA_GATEWAY, RTA_PREFSRC, RTA_TABLE = 1, 4, 5, 7, 15
RT_TABLE_MAIN, RT_TABLE_LOCAL, RTPROT_STATIC = 254, 255, 4
RT_SCOPE_UNIVERSE, RT_SCOPE_LINK = 0, 253
RTN_UNICAST, RTN_UNREACHABLE = 1, 7
RTNH_F_ONLINK = 4
FRA_SRC, FRA_PRIORITY, FRA_TABLE, FR_ACT_TO_TBL = 2, 6, 15, 1

_LINK = struct.Struct("=BxHiII")  # family, type, index, flags, change: struct ifinfomsg
_ADDRESS = struct.Struct("=BBBBi")  # family, prefix, flags, scope, index: struct ifaddrmsg
_ROUTE = struct.Struct("=BBBBBBBBI")  # struct rtmsg

LOOPBACK = 1

Address = IPv4Address | IPv6Address
Subnet = IPv4Network | IPv6Network
Version = Literal[4, 6]
FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}


class LinkSeen(msgspec.Struct, frozen=True, kw_only=True):
    """A link; ``carrier`` says that both ends of a veth are up, ``alias`` is a note on it."""

    index: int
    name: str
    up: bool
    carrier: bool
    alias: str = ""


class RouteSeen(msgspec.Struct, frozen=True, kw_only=True):
    """An IPv4 route; ``link`` is 0 for one that leads nowhere."""

    destination: IPv4Network
    gateway: IPv4Address | None
    link: int
    kind: int


class RouteSeen6(msgspec.Struct, frozen=True, kw_only=True):
    """The same of IPv6."""

    destination: IPv6Network
    gateway: IPv6Address | None
    link: int
    kind: int


class RuleSeen(msgspec.Struct, frozen=True, kw_only=True, order=True):
    """A rule that sends packets of one source to a routing table."""

    source: Address
    table: int
    priority: int


def new_veth(name: str, index: int, peer: str, peer_index: int, namespace: int) -> Message:
    """A veth pair with chosen indexes; the peer is born in the namespace open as ``namespace``.

    IFF_UP at creation fails with ENOTCONN: ``set_up`` goes apart.
    """
    other = _LINK.pack(0, 0, peer_index, 0, 0) + text(IFLA_IFNAME, peer)
    other += number(IFLA_NET_NS_FD, namespace)
    data = nested(IFLA_INFO_DATA, attribute(VETH_INFO_PEER, other))
    info = nested(IFLA_LINKINFO, text(IFLA_INFO_KIND, "veth"), data)
    return Message(
        kind=RTM_NEWLINK,
        flags=NLM_F_CREATE | NLM_F_EXCL,
        body=_LINK.pack(0, 0, index, 0, 0) + text(IFLA_IFNAME, name) + info,
        doing=f"create the link {name}",
    )


def set_up(index: int) -> Message:
    return Message(
        kind=RTM_NEWLINK,
        body=_LINK.pack(0, 0, index, IFF_UP, IFF_UP),
        doing=f"set link {index} up",
    )


def set_hardware_address(index: int, address: str) -> Message:
    """``address`` as in 02:42:ac:11:65:43."""
    return Message(
        kind=RTM_NEWLINK,
        body=_LINK.pack(0, 0, index, 0, 0)
        + attribute(IFLA_ADDRESS, bytes.fromhex(address.replace(":", "").replace("-", ""))),
        doing=f"give link {index} the hardware address {address}",
    )


def note(index: int, words: str) -> Message:
    """Keep a note of at most 255 bytes on a link (its alias)."""
    return Message(
        kind=RTM_NEWLINK,
        body=_LINK.pack(0, 0, index, 0, 0) + text(IFLA_IFALIAS, words),
        doing=f"note on link {index} what it is",
    )


def settle_carrier(index: int) -> Message:
    """Ask for the link, which makes the kernel act on a carrier that just came (Linux 6.8).

    Otherwise a worker does that some milliseconds later, and drops packets until then.
    """
    return Message(
        kind=RTM_GETLINK,
        body=_LINK.pack(0, 0, index, 0, 0),
        doing=f"look at link {index}",
    )


def delete_link(name: str) -> Message:
    return Message(
        kind=RTM_DELLINK,
        body=_LINK.pack(0, 0, 0, 0, 0) + text(IFLA_IFNAME, name),
        doing=f"delete the link {name}",
        accept=GONE,
    )


def add_address(address: Address, prefix: int, index: int) -> Message:
    """An address that works at once: nobody else on our links can have it."""
    return Message(
        kind=RTM_NEWADDR,
        flags=NLM_F_CREATE | NLM_F_REPLACE,
        body=_address(address, prefix, index),
        doing=f"give link {index} the address {address}/{prefix}",
        accept=(errno.EEXIST,),
    )


def delete_address(address: Address, prefix: int, index: int) -> Message:
    return Message(
        kind=RTM_DELADDR,
        body=_address(address, prefix, index),
        doing=f"take the address {address}/{prefix} from link {index}",
        accept=GONE,
    )


def _address(address: Address, prefix: int, index: int) -> bytes:
    packed = address.packed
    head = _ADDRESS.pack(_family(address), prefix, 0, RT_SCOPE_UNIVERSE, index)
    body = head + attribute(IFA_LOCAL, packed) + attribute(IFA_ADDRESS, packed)
    if address.version == 6:
        # The kernel would look for others with the address first, and add a route to it.
        body += number(IFA_FLAGS, IFA_F_NODAD | IFA_F_NOPREFIXROUTE)
    return body


def _family(address: Address | Subnet) -> int:
    return FAMILIES[address.version]


def add_route(
    destination: Subnet,
    *,
    link: int,
    via: Address | None = None,
    source: Address | None = None,
    table: int = RT_TABLE_MAIN,
) -> Message:
    """A route through ``link``; ``via`` needs no route of its own (onlink)."""
    return _route(RTM_NEWROUTE, RTN_UNICAST, destination, link, via, source, table)


def delete_route(destination: Subnet, *, link: int, table: int = RT_TABLE_MAIN) -> Message:
    return _route(RTM_DELROUTE, RTN_UNICAST, destination, link, table=table)


def add_unreachable(destination: Subnet, *, table: int = RT_TABLE_MAIN) -> Message:
    """Answer "unreachable" for what no longer route covers."""
    return _route(RTM_NEWROUTE, RTN_UNREACHABLE, destination, 0, table=table)


def delete_unreachable(destination: Subnet, *, table: int = RT_TABLE_MAIN) -> Message:
    return _route(RTM_DELROUTE, RTN_UNREACHABLE, destination, 0, table=table)


def _route(
    kind: int,
    type_: int,
    destination: Subnet,
    link: int,
    via: Address | None = None,
    source: Address | None = None,
    table: int = RT_TABLE_MAIN,
) -> Message:
    adding = kind == RTM_NEWROUTE
    scope = RT_SCOPE_LINK if link and via is None and adding else RT_SCOPE_UNIVERSE
    if not adding:
        scope = 255  # RT_SCOPE_NOWHERE: whatever the scope is
    flags = RTNH_F_ONLINK if via is not None else 0
    head = (_family(destination), destination.prefixlen, 0, 0, 0, RTPROT_STATIC)
    body = _ROUTE.pack(*head, scope, type_, flags)
    body += attribute(RTA_DST, destination.network_address.packed)
    body += number(RTA_TABLE, table)
    body += number(RTA_OIF, link) if link else b""
    body += attribute(RTA_GATEWAY, via.packed) if via is not None else b""
    body += attribute(RTA_PREFSRC, source.packed) if source is not None else b""
    return Message(
        kind=kind,
        flags=NLM_F_CREATE | NLM_F_REPLACE if adding else 0,
        body=body,
        doing=f"{'add' if adding else 'delete'} the route to {destination}",
        accept=() if adding else GONE,
    )


def add_rule(source: Address, table: int, priority: int) -> Message:
    """Route what ``source`` sends by ``table``; rules of lower ``priority`` come first."""
    return _rule(RTM_NEWRULE, source, table, priority)


def delete_rule(source: Address, table: int, priority: int) -> Message:
    return _rule(RTM_DELRULE, source, table, priority)


def _rule(kind: int, source: Address, table: int, priority: int) -> Message:
    adding = kind == RTM_NEWRULE
    bits = source.max_prefixlen
    body = _ROUTE.pack(_family(source), 0, bits, 0, 0, 0, 0, FR_ACT_TO_TBL, 0)
    body += attribute(FRA_SRC, source.packed)
    body += number(FRA_PRIORITY, priority) + number(FRA_TABLE, table)
    return Message(
        kind=kind,
        flags=NLM_F_CREATE | NLM_F_EXCL if adding else 0,
        body=body,
        doing=f"{'add' if adding else 'delete'} the rule for what {source} sends",
        accept=(errno.EEXIST,) if adding else GONE,
    )


def links(netlink: Netlink) -> Iterator[LinkSeen]:
    for content in netlink.dump(RTM_GETLINK, _LINK.pack(0, 0, 0, 0, 0)):
        _, _, index, flags, _ = _LINK.unpack_from(content)
        found = attributes(content, _LINK.size)
        yield LinkSeen(
            index=index,
            name=found[IFLA_IFNAME].rstrip(b"\0").decode(),
            up=bool(flags & IFF_UP),
            carrier=bool(flags & IFF_LOWER_UP),
            alias=found.get(IFLA_IFALIAS, b"").rstrip(b"\0").decode(errors="replace"),
        )


@overload
def addresses(netlink: Netlink, version: Literal[4] = 4) -> Iterator[tuple[int, IPv4Interface]]: ...
@overload
def addresses(netlink: Netlink, version: Literal[6]) -> Iterator[tuple[int, IPv6Interface]]: ...
def addresses(
    netlink: Netlink, version: Version = 4
) -> Iterator[tuple[int, IPv4Interface | IPv6Interface]]:
    """Link index and address of each address but those that only a link knows."""
    asked = _ADDRESS.pack(FAMILIES[version], 0, 0, 0, 0)
    for content in netlink.dump(RTM_GETADDR, asked):
        _, prefix, _, scope, index = _ADDRESS.unpack_from(content)
        found = attributes(content, _ADDRESS.size)
        packed = found.get(IFA_LOCAL, found.get(IFA_ADDRESS))
        if packed is None or (version == 6 and scope == RT_SCOPE_LINK):
            continue
        if version == 6:
            yield index, IPv6Interface((packed, prefix))
        else:
            yield index, IPv4Interface((packed, prefix))


@overload
def routes(
    netlink: Netlink, version: Literal[4] = 4, *, table: int | None = RT_TABLE_MAIN
) -> Iterator[RouteSeen]: ...
@overload
def routes(
    netlink: Netlink, version: Literal[6], *, table: int | None = RT_TABLE_MAIN
) -> Iterator[RouteSeen6]: ...
def routes(
    netlink: Netlink, version: Version = 4, *, table: int | None = RT_TABLE_MAIN
) -> Iterator[RouteSeen | RouteSeen6]:
    """The routes of a table (None: of all but the kernel's own), without those that IPv6 has on
    every link by itself."""
    asked = _ROUTE.pack(FAMILIES[version], 0, 0, 0, 0, 0, 0, 0, 0)
    for content in netlink.dump(RTM_GETROUTE, asked):
        prefix, kind = content[1], content[7]
        found = attributes(content, _ROUTE.size)
        listed = _number(found.get(RTA_TABLE))
        if listed != table and (table is not None or listed == RT_TABLE_LOCAL):
            continue
        destination = found.get(RTA_DST, b"\0" * (16 if version == 6 else 4))
        gateway = found.get(RTA_GATEWAY)
        # IPv6 hangs what leads nowhere on loopback.
        link = 0 if kind == RTN_UNREACHABLE else _number(found.get(RTA_OIF))
        if version == 4:
            yield RouteSeen(
                destination=IPv4Network((destination, prefix)),
                gateway=IPv4Address(gateway) if gateway else None,
                link=link,
                kind=kind,
            )
        elif not IPv6Network((destination, prefix)).is_link_local:
            yield RouteSeen6(
                destination=IPv6Network((destination, prefix)),
                gateway=IPv6Address(gateway) if gateway else None,
                link=link,
                kind=kind,
            )


def rules(netlink: Netlink, version: Version = 4) -> Iterator[RuleSeen]:
    """The rules that send packets of a single source to a table."""
    asked = _ROUTE.pack(FAMILIES[version], 0, 0, 0, 0, 0, 0, 0, 0)
    for content in netlink.dump(RTM_GETRULE, asked):
        found = attributes(content, _ROUTE.size)
        if (source := found.get(FRA_SRC)) and content[2] == 8 * len(source):
            yield RuleSeen(
                source=IPv6Address(source) if version == 6 else IPv4Address(source),
                table=_number(found.get(FRA_TABLE)),
                priority=_number(found.get(FRA_PRIORITY)),
            )


def _number(packed: bytes | None) -> int:
    return int.from_bytes(packed, sys.byteorder) if packed else 0
