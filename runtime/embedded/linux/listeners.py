"""Which TCP ports a container's processes listen on, read from its network namespace."""

from collections.abc import Iterable, Iterator
from contextlib import suppress

from runtime.embedded.linux import sockets

_LISTEN = "0A"  # include/net/tcp_states.h


def listening(pid: int) -> frozenset[int]:
    """TCP ports with a listener in the namespace of process ``pid``, IPv4 and IPv6,
    proc_net(5). Empty when the process is gone."""
    return frozenset(port for port, _ in _listeners(pid))


def own(pid: int, pids: Iterable[int]) -> frozenset[int]:
    """Of these ports those on which ``pids`` themselves listen: others may live in the same
    namespace."""
    opened = {inode for each in pids for inode in sockets.opened(each)}
    return frozenset(port for port, inode in _listeners(pid) if inode in opened)


def _listeners(pid: int) -> Iterator[tuple[int, str]]:
    """Port and inode of each socket that listens; none of a process that is gone."""
    with suppress(OSError):
        for _, port, state, inode in sockets.listed(str(pid), "tcp"):
            if state == _LISTEN:
                yield port, inode
