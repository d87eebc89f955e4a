"""UDP flows to published ports that the kernel remembers: who sent before a port came owns an
untranslated flow, and who sent before it went owns a translated one.

A flow is deleted by its exact port, at 0.3 ms a port; of a long range only the ports that some
flow really has are.
"""

import socket
import struct
from collections.abc import Iterator, Sequence

from runtime.embedded.linux import conntrack
from runtime.embedded.linux.conntrack import Flows
from runtime.embedded.linux.netlink import Netlink, attributes
from runtime.embedded.ports.maps import host_address, versions
from runtime.embedded.router.wiring import PortWire

_UDP = socket.IPPROTO_UDP
_FEW = 16  # ports of a range that are deleted without looking whether they have flows
_IPCTNL_GET = 0x101  # NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_GET
_HEADER = 4  # bytes of struct nfgenmsg
_ORIGINAL, _PROTO, _PROTO_NUM, _DST_PORT = 1, 2, 1, 3  # CTA_*


def forget(tracking: Netlink, ports: Sequence[PortWire]) -> None:
    """Forget the UDP flows to these ports of the host."""
    asked = [port for port in ports if port.protocol == "udp"]
    known = set(_ports(tracking)) if any(port.count > _FEW for port in asked) else set()
    conntrack.forget(
        tracking,
        [
            flows
            for port in asked
            for number in port.host_ports
            if port.count <= _FEW or number in known
            for flows in _flows(port, number)
        ],
    )


def _flows(port: PortWire, number: int) -> Iterator[Flows]:
    if address := host_address(port.host_ip):
        yield conntrack.to_port(_UDP, number, address)
        return
    if 4 in versions(port.host_ip):
        yield conntrack.to_port(_UDP, number)
    if 6 in versions(port.host_ip):
        yield conntrack.to_port(_UDP, number, version=6)


def _ports(tracking: Netlink) -> Iterator[int]:
    """The destination ports of all UDP flows."""
    for body in tracking.dump(_IPCTNL_GET, struct.pack(">BBH", socket.AF_UNSPEC, 0, 0)):
        original = attributes(body, _HEADER).get(_ORIGINAL, b"")
        transport = attributes(attributes(original, 0).get(_PROTO, b""), 0)
        if transport.get(_PROTO_NUM) == bytes([_UDP]) and _DST_PORT in transport:
            yield struct.unpack(">H", transport[_DST_PORT])[0]
