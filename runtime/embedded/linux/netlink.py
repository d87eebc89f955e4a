"""Netlink by hand: messages, one socket, acknowledgements; netlink(7), rtnetlink(7).

A library would cost 130 ms to import and 10 ms a container; this costs half a millisecond. A
socket belongs to the network namespace of the thread that made it, for good, and keeps that
namespace and all its links alive until it is closed.
"""

import errno
import os
import socket
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from runtime.embedded.linux.namespaces import inside

_PATIENCE = 10.0  # seconds
_AT_ONCE = 64  # messages: they and the answers have to fit into the socket's buffers
NETLINK_ROUTE, NETLINK_NETFILTER = 0, 12

NLMSG_ERROR, NLMSG_DONE = 2, 3
NLM_F_REQUEST, NLM_F_ACK, NLM_F_DUMP = 0x1, 0x4, 0x300
NLM_F_REPLACE, NLM_F_EXCL, NLM_F_CREATE = 0x100, 0x200, 0x400
NLA_F_NESTED = 0x8000

_HEADER = struct.Struct("=IHHII")  # length, type, flags, sequence, port: struct nlmsghdr
_ATTRIBUTE = struct.Struct("=HH")  # length, type: struct nlattr


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """One request. ``accept`` are the errors that mean "it is so already"; ``doing`` words it."""

    kind: int
    body: bytes
    doing: str
    flags: int = 0
    accept: tuple[int, ...] = ()


class Netlink:
    """A netlink socket of the calling thread's network namespace."""

    def __init__(self, protocol: int = NETLINK_ROUTE) -> None:
        self._socket = socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol
        )
        self._socket.bind((0, 0))
        # The kernel answers at once: waiting longer means that somebody else took the answer.
        self._socket.settimeout(_PATIENCE)
        self._sequence = 0

    @classmethod
    def within(cls, namespace: Path, protocol: int = NETLINK_ROUTE) -> "Netlink":
        """A socket of the namespace that is bound at ``namespace``."""
        return inside(namespace, lambda: cls(protocol))

    def request(self, messages: Sequence[Message]) -> None:
        """Send all messages and wait for every acknowledgement.

        The kernel works through them in order and goes on after a failure. Raises ``OSError``
        for the first one that failed with an error that its message does not accept.
        """
        failures = [
            self._request(messages[start : start + _AT_ONCE])
            for start in range(0, len(messages), _AT_ONCE)
        ]
        if failure := next(filter(None, failures), None):
            raise failure

    def _request(self, messages: Sequence[Message]) -> OSError | None:
        first = self._sequence + 1
        frames = [self._frame(message, NLM_F_ACK) for message in messages]
        self._socket.send(b"".join(frames))
        failure: OSError | None = None
        waiting = len(messages)
        while waiting:
            for kind, sequence, body in _split(self._receive()):
                if kind != NLMSG_ERROR or sequence < first:
                    continue
                waiting -= 1
                message = messages[sequence - first]
                failure = failure or _failure(message, body)
        return failure

    def dump(self, kind: int, body: bytes) -> Iterator[bytes]:
        """Ask for everything of a kind and return the bodies of the answers."""
        message = Message(kind=kind, body=body, doing="list")
        self._socket.send(self._frame(message, NLM_F_DUMP))
        while True:
            for answer, sequence, content in _split(self._receive()):
                if sequence != self._sequence:
                    continue
                if answer == NLMSG_DONE:
                    return
                if answer == NLMSG_ERROR:
                    code = -struct.unpack_from("=i", content)[0]
                    raise OSError(code, f"netlink dump: {os.strerror(code)}")
                yield content

    def close(self) -> None:
        self._socket.close()

    def _frame(self, message: Message, flags: int) -> bytes:
        self._sequence += 1
        length = _HEADER.size + len(message.body)
        header = _HEADER.pack(
            length, message.kind, NLM_F_REQUEST | flags | message.flags, self._sequence, 0
        )
        return header + message.body + b"\0" * (-length % 4)

    def _receive(self) -> bytes:
        return self._socket.recv(1 << 18)


def attribute(kind: int, payload: bytes) -> bytes:
    """One attribute, padded to four bytes."""
    length = _ATTRIBUTE.size + len(payload)
    return _ATTRIBUTE.pack(length, kind) + payload + b"\0" * (-length % 4)


def nested(kind: int, *attributes: bytes) -> bytes:
    return attribute(kind | NLA_F_NESTED, b"".join(attributes))


def text(kind: int, value: str) -> bytes:
    return attribute(kind, value.encode() + b"\0")


def number(kind: int, value: int) -> bytes:
    return attribute(kind, struct.pack("=I", value))


def attributes(content: bytes, offset: int) -> dict[int, bytes]:
    """Read the attributes that stand in an answer from ``offset`` on."""
    found: dict[int, bytes] = {}
    while offset + _ATTRIBUTE.size <= len(content):
        length, kind = _ATTRIBUTE.unpack_from(content, offset)
        if length < _ATTRIBUTE.size:
            break
        found[kind & ~NLA_F_NESTED] = content[offset + _ATTRIBUTE.size : offset + length]
        offset += length + (-length % 4)
    return found


def _split(datagram: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Type, sequence and body of each message in a datagram."""
    offset = 0
    while offset + _HEADER.size <= len(datagram):
        length, kind, _, sequence, _ = _HEADER.unpack_from(datagram, offset)
        yield kind, sequence, datagram[offset + _HEADER.size : offset + length]
        offset += length + (-length % 4)


def _failure(message: Message, body: bytes) -> OSError | None:
    code = -struct.unpack_from("=i", body)[0]
    if code == 0 or code in message.accept:
        return None
    return OSError(code, f"{message.doing}: {os.strerror(code)}")


GONE = (errno.ENOENT, errno.ESRCH, errno.ENODEV, errno.EADDRNOTAVAIL)
