"""A registry that takes uploads over a bare socket, and treats the first body as a test says."""

import socket
import ssl
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from runtime.reference import Reference

# What is done with the first body: all its bytes are taken when it comes back with b"", else that
# is the answer, and the connection ends with it.
First = Callable[[BinaryIO], bytes]

_BEGUN = b"HTTP/1.1 202 Accepted\r\nLocation: /upload\r\nContent-Length: 0\r\n"
_STORED = b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n"
_LITTLE = 1 << 16  # that the kernel takes in before anybody reads


class Ending(Exception):
    """The connection ends without an answer."""


class Taker:
    """``certificate`` (with its key) makes it speak TLS; without ``keeps`` each request has a
    connection of its own. The first ``closed`` connections end before anything is said."""

    def __init__(self, first: First, certificate: Path | None, keeps: bool, closed: int) -> None:
        self.asked: Counter[str] = Counter()
        self._first, self._keeps, self._closed = first, keeps, closed
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER) if certificate else None
        if self._context and certificate:
            self._context.load_cert_chain(certificate)
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _LITTLE)
        self.host = f"localhost:{self.listening.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def reference(self) -> Reference:
        return Reference(host=self.host, repository="app", tag="latest")

    def _accept(self) -> None:
        with suppress(OSError):  # the test is over
            while True:
                connected, _ = self.listening.accept()
                if self._closed > 0:
                    self._closed -= 1
                    connected.recv(_LITTLE)  # all, else the kernel calls the end a reset
                    connected.close()
                    continue
                threading.Thread(target=self._serve, args=(connected,), daemon=True).start()

    def _serve(self, connected: socket.socket) -> None:
        with suppress(OSError, Ending):
            if self._context:
                connected = self._context.wrap_socket(connected, server_side=True)
            with connected, connected.makefile("rb") as stream:
                while line := stream.readline():
                    self._answer(line.split()[0].decode(), connected, stream)

    def _answer(self, method: str, connected: socket.socket, stream: BinaryIO) -> None:
        left = 0
        while header := stream.readline().strip():
            name, _, value = header.partition(b":")
            left = int(value) if name.lower() == b"content-length" else left
        self.asked[method] += 1
        if method == "POST":
            connected.sendall(_BEGUN + (b"\r\n" if self._keeps else b"Connection: close\r\n\r\n"))
            if not self._keeps:
                raise Ending
            return
        counted = _Counted(stream)
        if self.asked[method] == 1 and (said := self._first(counted)):  # type: ignore[arg-type]
            connected.sendall(said)
            raise Ending
        while counted.got < left:
            counted.read(min(1 << 20, left - counted.got))
        connected.sendall(_STORED)


class _Counted:
    def __init__(self, stream: BinaryIO) -> None:
        self._stream, self.got = stream, 0

    def read(self, size: int) -> bytes:
        piece = self._stream.read(size)
        self.got += len(piece)
        if not piece:
            raise Ending
        return piece


@contextmanager
def taking(
    first: First, *, certificate: Path | None = None, keeps: bool = True, closed: int = 0
) -> Iterator[Taker]:
    taker = Taker(first, certificate, keeps, closed)
    try:
        yield taker
    finally:
        taker.listening.close()
