"""Forget connections that the kernel remembers: filtered deletion, ctnetlink (Linux 5.8).

A UDP flow keeps its translation for as long as packets come; after a map changed, the entry
has to go or the client stays with what was.
"""

import errno
import socket
import struct
from typing import Literal

from runtime.embedded.linux.netlink import Message, attribute, nested
from runtime.embedded.linux.rtnetlink import Address

_IPCTNL_DELETE = 0x102  # NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_DELETE
_ORIGINAL, _REPLY, _FILTER = 1, 2, 25  # CTA_TUPLE_ORIG, CTA_TUPLE_REPLY, CTA_FILTER
_IP, _PROTO = 1, 2  # CTA_TUPLE_IP, CTA_TUPLE_PROTO
_PROTO_NUM, _DST_PORT = 1, 3  # CTA_PROTO_*
# Family, and the kinds of source and destination: CTA_IP_V4_SRC and so on.
_FAMILIES = {4: (socket.AF_INET, 1, 2), 6: (socket.AF_INET6, 3, 4)}
# CTA_FILTER_F_*: which fields of the tuple count.
_F_SRC, _F_DST, _F_PROTO, _F_DST_PORT = 1, 2, 8, 32


def forget_replies_from(address: Address, protocol: int | None = None) -> Message:
    """Forget the flows that ``address`` answers."""
    return _delete(_REPLY, source=address, protocol=protocol)


def forget_calls_from(address: Address) -> Message:
    """Forget the flows that ``address`` began."""
    return _delete(_ORIGINAL, source=address)


def forget_port(
    protocol: int, port: int, address: Address | None = None, *, version: Literal[4, 6] = 4
) -> Message:
    """Forget the flows to ``port``, at ``address`` or at any of IP ``version``."""
    return _delete(_ORIGINAL, protocol=protocol, port=port, destination=address, version=version)


def _delete(
    direction: int,
    *,
    source: Address | None = None,
    destination: Address | None = None,
    protocol: int | None = None,
    port: int | None = None,
    version: int = 4,
) -> Message:
    """A delete with a tuple and its filter; without either the kernel would flush all."""
    family, v_source, v_destination = _FAMILIES[
        next((a.version for a in (source, destination) if a is not None), version)
    ]
    flags, addresses, transport = 0, b"", b""
    if source is not None:
        flags, addresses = flags | _F_SRC, addresses + attribute(v_source, source.packed)
    if destination is not None:
        flags, addresses = flags | _F_DST, addresses + attribute(v_destination, destination.packed)
    if protocol is not None:
        flags, transport = flags | _F_PROTO, attribute(_PROTO_NUM, bytes([protocol]))
    if port is not None:
        flags, transport = (
            flags | _F_DST_PORT,
            transport + attribute(_DST_PORT, struct.pack(">H", port)),
        )
    assert flags
    parts = [nested(_IP, addresses)] if addresses else []
    parts += [nested(_PROTO, transport)] if transport else []
    masks = (flags, 0) if direction == _ORIGINAL else (0, flags)
    chosen = b"".join(attribute(n + 1, struct.pack("=I", mask)) for n, mask in enumerate(masks))
    return Message(
        kind=_IPCTNL_DELETE,
        body=struct.pack(">BBH", family, 0, 0)
        + nested(direction, *parts)
        + nested(_FILTER, chosen),
        doing="forget connections",
        accept=(errno.ENOENT,),
    )
