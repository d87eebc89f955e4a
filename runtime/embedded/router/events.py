"""What tells a waiting loop to look again: links of the router, the uplink, and our two tables.

An event says only that something of ours may have changed. Changes that the host makes to what
is not ours are no events: a busy firewall must not keep the loop busy.
"""

import os
import select
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

from pyroute2.netlink.rtnl.marshal import MarshalRtnl

from runtime.embedded.linux.namespaces import exists, inside
from runtime.embedded.linux.netlink import NETLINK_NETFILTER, NETLINK_ROUTE

_RTMGRP_LINK = 0x1
_NFTABLES = 1 << 6  # group NFNLGRP_NFTABLES is the seventh


class Listener:
    """Hears changes from when it was made on. It keeps the router alive until it is closed.

    ``uplink`` is the host's link to the router, ``host_table`` and ``router_table`` are names of
    nftables tables.
    """

    def __init__(self, router: Path, *, uplink: str, host_table: str, router_table: str) -> None:
        self._router = router
        self._inode = _inode(router)
        self._close: list[Callable[[], None]] = []
        self._ours: dict[int, Callable[[], bool]] = {}
        self._hear_uplink(uplink)
        self._hear(_heard(NETLINK_NETFILTER, _NFTABLES), host_table)
        if exists(router):
            # Not by IPRoute(netns=…): it forks, and this process has threads.
            self._hear(inside(router, lambda: _heard(NETLINK_ROUTE, _RTMGRP_LINK)), "")
            self._hear(inside(router, lambda: _heard(NETLINK_NETFILTER, _NFTABLES)), router_table)

    @property
    def current(self) -> bool:
        """Whether the router is still the one that was there when this was made."""
        return self._inode == _inode(self._router)

    def wait(self, timeout: float) -> bool:
        """Block at most ``timeout`` seconds; True when something of ours changed since the last
        call, or when so much was said that some of it was lost."""
        ready, _, _ = select.select(list(self._ours), [], [], timeout)
        heard = [self._ours[descriptor]() for descriptor in ready]
        return any(heard)

    def close(self) -> None:
        for close in self._close:
            close()

    def _hear_uplink(self, name: str) -> None:
        # Not by IPRoute: it belongs to the thread that made it, and another one may close us.
        told, marshal = _heard(NETLINK_ROUTE, _RTMGRP_LINK), MarshalRtnl()
        self._close.append(told.close)
        self._ours[told.fileno()] = lambda: any(
            data is None or any(each.get("ifname") == name for each in marshal.parse(data))
            for data in list(_said(told))
        )

    def _hear(self, told: socket.socket, name: str) -> None:
        self._close.append(told.close)
        self._ours[told.fileno()] = lambda: _mentioned(told, name)


def _heard(protocol: int, groups: int) -> socket.socket:
    made = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
    made.bind((0, groups))
    made.settimeout(0)
    return made


def _mentioned(told: socket.socket, name: str) -> bool:
    """Whether what was said names our table (each message of nf_tables carries the name, closed
    by a zero byte); with no name, whether anything was said."""
    mark = name.encode() + b"\0" if name else b""
    return any(data is None or mark in data for data in list(_said(told)))


def _said(told: socket.socket) -> Iterator[bytes | None]:
    """What was said since the last call; None where some of it was lost (ENOBUFS)."""
    while True:
        try:
            yield told.recv(1 << 16)
        except BlockingIOError:
            return
        except OSError:
            yield None


def _inode(path: Path) -> int | None:
    """Which namespace is bound there."""
    return os.stat(path).st_ino if exists(path) else None
