"""One query to postgres, https://www.postgresql.org/docs/15/protocol.html: what the shop needs.

The password goes in the clear, therefore only over the internal network, and every query has a
connection of its own. A real application uses a driver.
"""

import socket
import struct
from collections.abc import Iterator

TIMEOUT = 5.0  # seconds
PROTOCOL = 3 << 16
OK, CLEARTEXT = 0, 3  # kinds of authentication


class Refused(Exception):
    """Postgres answered with an error, or asks for what is not known here."""


def quoted(text: str) -> str:
    """A string literal of SQL."""
    return "'" + text.replace("\0", "").replace("'", "''") + "'"


def query(
    host: str, port: int, user: str, password: str, database: str, sql: str
) -> list[list[str]]:
    """The rows that the query gives, every value as text."""
    with socket.create_connection((host, port), TIMEOUT) as connection:
        words = "".join(f"{word}\0" for word in ("user", user, "database", database, ""))
        start = struct.pack(">i", PROTOCOL) + words.encode()
        connection.sendall(struct.pack(">i", len(start) + 4) + start)
        rows: list[list[str]] = []
        ready = 0
        for kind, body in _messages(connection):
            match kind:
                case b"E":
                    raise Refused(_text(body))
                case b"R":
                    _authenticate(connection, struct.unpack_from(">i", body)[0], password)
                case b"D":
                    rows.append(list(_values(body)))
                case b"Z" if not ready:  # ready for the query
                    ready = 1
                    connection.sendall(_message(b"Q", sql))
                case b"Z":
                    connection.sendall(_message(b"X", None))
                    return rows
        raise Refused("the connection ended")


def _authenticate(connection: socket.socket, kind: int, password: str) -> None:
    if kind == CLEARTEXT:
        connection.sendall(_message(b"p", password))
    elif kind != OK:
        raise Refused(f"authentication {kind} is not known here, only `password`")


def _message(kind: bytes, text: str | None) -> bytes:
    body = b"" if text is None else text.encode() + b"\0"
    return kind + struct.pack(">i", len(body) + 4) + body


def _messages(connection: socket.socket) -> Iterator[tuple[bytes, bytes]]:
    """Kind and content of each message until the other side ends."""
    with connection.makefile("rb") as answers:
        while len(head := answers.read(5)) == 5:
            yield head[:1], answers.read(struct.unpack_from(">i", head, 1)[0] - 4)


def _values(body: bytes) -> Iterator[str]:
    """The columns of a row; NULL is an empty string."""
    (count,), offset = struct.unpack_from(">h", body), 2
    for _ in range(count):
        (length,) = struct.unpack_from(">i", body, offset)
        offset += 4
        yield body[offset : offset + max(length, 0)].decode()
        offset += max(length, 0)


def _text(body: bytes) -> str:
    """The message (field M) of an error."""
    fields = body.split(b"\0")
    return next((each[1:].decode() for each in fields if each[:1] == b"M"), "an error")
