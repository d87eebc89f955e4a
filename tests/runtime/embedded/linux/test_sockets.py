"""Which sockets there are, and whose they are."""

import os
import socket
import subprocess
from collections.abc import Iterator

import pytest

from runtime.embedded.linux import listeners, sockets


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as made:
        yield made


@pytest.mark.parametrize("place", ["self", "thread-self", str(os.getpid())])
def test_a_listener_is_listed_by_address_and_state(listener: socket.socket, place: str) -> None:
    port, inode = listener.getsockname()[1], str(os.fstat(listener.fileno()).st_ino)
    assert ("0100007F", port, "0A", inode) in list(sockets.listed(place, "tcp"))
    assert inode in set(sockets.opened(os.getpid()))


def test_ports_are_told_apart_by_who_listens(listener: socket.socket) -> None:
    port = listener.getsockname()[1]
    with subprocess.Popen(["sleep", "60"]) as other:
        assert port in listeners.listening(other.pid)
        assert port not in listeners.own(other.pid, [other.pid])
        assert port in listeners.own(other.pid, [other.pid, os.getpid()])
        other.kill()


def test_a_process_that_is_gone_has_none(listener: socket.socket) -> None:
    with subprocess.Popen(["true"]) as gone:
        os.waitid(os.P_PID, gone.pid, os.WEXITED | os.WNOWAIT)
        assert listeners.listening(gone.pid) == frozenset()
        assert list(sockets.opened(gone.pid)) == []
    assert listeners.listening(gone.pid) == frozenset()
    assert list(sockets.opened(gone.pid)) == []
