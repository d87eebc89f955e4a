"""Links, addresses and routes as netlink messages, and their lists; rtnetlink(7)."""

import errno
import socket
import struct
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

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

IFF_UP, IFF_LOWER_UP = 0x1, 0x10000
IFLA_IFNAME, IFLA_LINKINFO, IFLA_NET_NS_FD = 3, 18, 28
IFLA_INFO_KIND, IFLA_INFO_DATA, VETH_INFO_PEER = 1, 2, 1
IFA_ADDRESS, IFA_LOCAL = 1, 2
RTA_DST, RTA_OIF, RTA_GATEWAY, RTA_PREFSRC, RTA_TABLE = 1, 4, 5, 7, 15
RT_TABLE_MAIN, RTPROT_STATIC = 254, 4
RT_SCOPE_UNIVERSE, RT_SCOPE_LINK = 0, 253
RTN_UNICAST, RTN_UNREACHABLE = 1, 7
RTNH_F_ONLINK = 4

_LINK = struct.Struct("=BxHiII")  # family, type, index, flags, change: struct ifinfomsg
_ADDRESS = struct.Struct("=BBBBi")  # family, prefix, flags, scope, index: struct ifaddrmsg
_ROUTE = struct.Struct("=BBBBBBBBI")  # struct rtmsg

LOOPBACK = 1


class LinkSeen(msgspec.Struct, frozen=True, kw_only=True):
    """A link; ``carrier`` says that both ends of a veth are up."""

    index: int
    name: str
    up: bool
    carrier: bool


class RouteSeen(msgspec.Struct, frozen=True, kw_only=True):
    """A route of the main table; ``link`` is 0 for one that leads nowhere."""

    destination: IPv4Network
    gateway: IPv4Address | None
    link: int
    kind: int


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


def add_address(address: IPv4Address, prefix: int, index: int) -> Message:
    return Message(
        kind=RTM_NEWADDR,
        flags=NLM_F_CREATE | NLM_F_REPLACE,
        body=_address(address, prefix, index),
        doing=f"give link {index} the address {address}/{prefix}",
        accept=(errno.EEXIST,),
    )


def delete_address(address: IPv4Address, prefix: int, index: int) -> Message:
    return Message(
        kind=RTM_DELADDR,
        body=_address(address, prefix, index),
        doing=f"take the address {address}/{prefix} from link {index}",
        accept=GONE,
    )


def _address(address: IPv4Address, prefix: int, index: int) -> bytes:
    packed = address.packed
    head = _ADDRESS.pack(socket.AF_INET, prefix, 0, RT_SCOPE_UNIVERSE, index)
    return head + attribute(IFA_LOCAL, packed) + attribute(IFA_ADDRESS, packed)


def add_route(
    destination: IPv4Network,
    *,
    link: int,
    via: IPv4Address | None = None,
    source: IPv4Address | None = None,
) -> Message:
    """A route through ``link``; ``via`` needs no route of its own (onlink)."""
    return _route(RTM_NEWROUTE, RTN_UNICAST, destination, link, via, source)


def delete_route(destination: IPv4Network, *, link: int) -> Message:
    return _route(RTM_DELROUTE, RTN_UNICAST, destination, link)


def add_unreachable(destination: IPv4Network) -> Message:
    """Answer "unreachable" for what no longer route covers."""
    return _route(RTM_NEWROUTE, RTN_UNREACHABLE, destination, 0)


def delete_unreachable(destination: IPv4Network) -> Message:
    return _route(RTM_DELROUTE, RTN_UNREACHABLE, destination, 0)


def _route(
    kind: int,
    type_: int,
    destination: IPv4Network,
    link: int,
    via: IPv4Address | None = None,
    source: IPv4Address | None = None,
) -> Message:
    adding = kind == RTM_NEWROUTE
    scope = RT_SCOPE_LINK if link and via is None and adding else RT_SCOPE_UNIVERSE
    if not adding:
        scope = 255  # RT_SCOPE_NOWHERE: whatever the scope is
    flags = RTNH_F_ONLINK if via is not None else 0
    head = (socket.AF_INET, destination.prefixlen, 0, 0, RT_TABLE_MAIN, RTPROT_STATIC)
    body = _ROUTE.pack(*head, scope, type_, flags)
    body += attribute(RTA_DST, destination.network_address.packed)
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


def links(netlink: Netlink) -> Iterator[LinkSeen]:
    for content in netlink.dump(RTM_GETLINK, _LINK.pack(0, 0, 0, 0, 0)):
        _, _, index, flags, _ = _LINK.unpack_from(content)
        name = attributes(content, _LINK.size)[IFLA_IFNAME].rstrip(b"\0").decode()
        yield LinkSeen(
            index=index, name=name, up=bool(flags & IFF_UP), carrier=bool(flags & IFF_LOWER_UP)
        )


def addresses(netlink: Netlink) -> Iterator[tuple[int, IPv4Interface]]:
    """Link index and address of each IPv4 address."""
    for content in netlink.dump(RTM_GETADDR, _ADDRESS.pack(socket.AF_INET, 0, 0, 0, 0)):
        _, prefix, _, _, index = _ADDRESS.unpack_from(content)
        found = attributes(content, _ADDRESS.size)
        packed = found.get(IFA_LOCAL, found.get(IFA_ADDRESS))
        if packed:
            yield index, IPv4Interface((packed, prefix))


def routes(netlink: Netlink) -> Iterator[RouteSeen]:
    """The IPv4 routes of the main table."""
    asked = _ROUTE.pack(socket.AF_INET, 0, 0, 0, 0, 0, 0, 0, 0)
    for content in netlink.dump(RTM_GETROUTE, asked):
        _, prefix, _, _, table, _, _, kind, _ = _ROUTE.unpack_from(content)
        found = attributes(content, _ROUTE.size)
        if table != RT_TABLE_MAIN:
            continue
        gateway = found.get(RTA_GATEWAY)
        yield RouteSeen(
            destination=IPv4Network((found.get(RTA_DST, b"\0\0\0\0"), prefix)),
            gateway=IPv4Address(gateway) if gateway else None,
            link=struct.unpack("=I", found.get(RTA_OIF, b"\0\0\0\0"))[0],
            kind=kind,
        )
