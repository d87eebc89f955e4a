"""One command to redis, https://redis.io/docs/reference/protocol-spec: what the shop needs."""

import socket

TIMEOUT = 3.0  # seconds


class Refused(Exception):
    """Redis answered with an error."""


def call(host: str, port: int, *words: str) -> str:
    """Send a command and return its simple answer: a status, a number or a short string."""
    parts = [word.encode() for word in words]
    request = b"*%d\r\n" % len(parts)
    request += b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)
    with socket.create_connection((host, port), TIMEOUT) as connection:
        connection.sendall(request)
        with connection.makefile("rb") as answers:
            line = answers.readline().decode().strip()
            if line.startswith("-"):
                raise Refused(line[1:])
            if not line:
                raise Refused("the connection ended")
            return answers.readline().decode().strip() if line[0] == "$" else line[1:]
