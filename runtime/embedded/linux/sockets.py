"""Sockets as the kernel lists them: those of a network namespace, and those of a process."""

import os
from collections.abc import Iterator
from contextlib import suppress


def listed(place: str, protocol: str) -> Iterator[tuple[str, int, str, str]]:
    """Address (hex, little endian words), port, state and inode of each socket, IPv4 and IPv6, in
    the namespace of ``place``, a folder of /proc; proc_net_tcp(5)."""
    for table in (protocol, f"{protocol}6"):
        with suppress(FileNotFoundError), open(f"/proc/{place}/net/{table}") as file:
            next(file, None)  # the titles
            for line in file:
                words = line.split()
                address, _, port = words[1].rpartition(":")
                yield address, int(port, 16), words[3], words[9]


def opened(pid: int) -> Iterator[str]:
    """Inodes of the sockets that the process has open; nothing when it is gone."""
    with suppress(OSError), os.scandir(f"/proc/{pid}/fd") as found:
        for entry in found:
            with suppress(OSError):
                target = os.readlink(entry.path)
                if target.startswith("socket:["):
                    yield target[len("socket:[") : -1]
