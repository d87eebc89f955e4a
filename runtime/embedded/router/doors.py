"""Kept doors into one network namespace: routes, nftables, connection tracking.

A door keeps its namespace alive, with every link in it, until it is closed.
"""

import os
from contextlib import suppress
from pathlib import Path

from runtime.embedded.linux.namespaces import inside
from runtime.embedded.linux.netlink import NETLINK_NETFILTER, NETLINK_ROUTE, Netlink
from runtime.embedded.nft.apply import Nft


class Doors:
    """Opened at first use; ``namespace`` None is the one that we live in."""

    def __init__(self, namespace: Path | None) -> None:
        self._namespace = namespace
        self._identity = _identity(namespace)
        self._routes: Netlink | None = None
        self._tracking: Netlink | None = None
        self._nft: Nft | None = None

    @property
    def current(self) -> bool:
        """Whether the doors still lead to what the name means."""
        return self._identity == _identity(self._namespace)

    @property
    def routes(self) -> Netlink:
        if self._routes is None:
            self._routes = self._open(NETLINK_ROUTE)
        return self._routes

    @property
    def tracking(self) -> Netlink:
        """Connection tracking."""
        if self._tracking is None:
            self._tracking = self._open(NETLINK_NETFILTER)
        return self._tracking

    @property
    def nft(self) -> Nft:
        if self._nft is None:
            self._nft = Nft.within(self._namespace) if self._namespace else Nft()
        return self._nft

    def sysctl(self, values: dict[str, str]) -> None:
        """Write sysctls of the namespace, by their names below /proc/sys/net."""

        def write() -> None:
            for name, value in values.items():
                with open(f"/proc/sys/net/{name}", "w") as file:
                    file.write(value)

        if self._namespace:
            inside(self._namespace, write)
        else:
            write()

    def close(self) -> None:
        for door in (self._routes, self._tracking, self._nft):
            if door is not None:
                door.close()
        self._routes = self._tracking = self._nft = None

    def _open(self, protocol: int) -> Netlink:
        if self._namespace:
            return Netlink.within(self._namespace, protocol)
        return Netlink(protocol)


def _identity(namespace: Path | None) -> tuple[int, int]:
    with suppress(FileNotFoundError):
        status = os.stat(namespace or "/proc/thread-self/ns/net")
        return status.st_dev, status.st_ino
    return 0, 0
