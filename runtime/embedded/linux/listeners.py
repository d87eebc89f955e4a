"""Which TCP ports a container's processes listen on, read from its network namespace."""

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress

_LISTEN = "0A"  # include/net/tcp_states.h


def listening(pid: int) -> frozenset[int]:
    """TCP ports with a listener in the namespace of process ``pid``, IPv4 and IPv6,
    proc_net(5). Empty when the process is gone."""
    return frozenset(port for port, _ in _listeners(pid))


def own(pid: int, pids: Iterable[int]) -> frozenset[int]:
    """Of these ports those on which ``pids`` themselves listen: others may live in the same
    namespace."""
    opened = {target for each in pids for target in _opened(each)}
    return frozenset(port for port, inode in _listeners(pid) if f"socket:[{inode}]" in opened)


def _listeners(pid: int) -> Iterator[tuple[int, str]]:
    """Port and inode of each socket that listens."""
    for table in ("tcp", "tcp6"):
        try:
            with open(f"/proc/{pid}/net/{table}") as file:
                rows = [line.split() for line in file][1:]
        except OSError:
            continue
        yield from ((_port(row[1]), row[9]) for row in rows if row[3] == _LISTEN)


def _port(address: str) -> int:
    return int(address.rpartition(":")[2], 16)


def _opened(pid: int) -> Iterator[str]:
    """What the process has open; nothing when it is gone."""
    with suppress(OSError), os.scandir(f"/proc/{pid}/fd") as found:
        for entry in found:
            with suppress(OSError):
                yield os.readlink(entry.path)
