"""What tells a waiting loop to look again: links of the router, rules of router and host.

An event says only that something may have changed. The sockets are raw netlink: the library
would cost 120 ms and 22 MB for what is one `poll` here.
"""

import select
import socket
from pathlib import Path

from runtime.embedded.linux.namespaces import exists, inside
from runtime.embedded.linux.netlink import NETLINK_NETFILTER, NETLINK_ROUTE

_RTMGRP_LINK, _RTMGRP_IPV4_IFADDR, _RTMGRP_IPV4_ROUTE = 0x1, 0x10, 0x40
_NFTABLES = 1 << 6  # group NFNLGRP_NFTABLES is the seventh
_GROUPS = {
    NETLINK_ROUTE: _RTMGRP_LINK | _RTMGRP_IPV4_IFADDR | _RTMGRP_IPV4_ROUTE,
    NETLINK_NETFILTER: _NFTABLES,
}


class Listener:
    """Hears changes from when it was made on; keeps the router alive until it is closed."""

    def __init__(self, router: Path) -> None:
        self._sockets = [_hear(NETLINK_NETFILTER), _hear(NETLINK_ROUTE)]
        if exists(router):
            self._sockets += inside(router, lambda: [_hear(protocol) for protocol in _GROUPS])

    def descriptors(self) -> list[int]:
        """Descriptors for a poll of the caller's own."""
        return [one.fileno() for one in self._sockets]

    def wait(self, timeout: float) -> bool:
        """Block at most ``timeout`` seconds; True when something changed since the last call."""
        ready, _, _ = select.select(self._sockets, [], [], timeout)
        for one in ready:
            _drain(one)
        return bool(ready)

    def close(self) -> None:
        for one in self._sockets:
            one.close()


def _hear(protocol: int) -> socket.socket:
    made = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
    made.bind((0, _GROUPS[protocol]))
    made.settimeout(0)
    return made


def _drain(one: socket.socket) -> None:
    """Forget what was said; ENOBUFS (some was lost) means no more than that, too."""
    while True:
        try:
            one.recv(1 << 16)
        except BlockingIOError:
            return
        except OSError:
            continue
