"""Answers every datagram with its own words, the port it came to and the player's address.

`server.py FIRST LAST` serves these ports, `server.py check PORT` asks one of them, as the health
check does.
"""

import selectors
import signal
import socket
import sys
from collections.abc import Sequence

LARGEST = 1400  # bytes of a datagram


def serve(first: int, last: int) -> None:
    with selectors.DefaultSelector() as ports:
        for port in range(first, last + 1):
            one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            one.bind(("", port))
            ports.register(one, selectors.EVENT_READ, port)
        print(f"waiting for players on {first} to {last}", flush=True)
        while True:
            for key, _ in ports.select():
                assert isinstance(key.fileobj, socket.socket)
                words, player = key.fileobj.recvfrom(LARGEST)
                answer = f"{words.decode(errors='replace')} (port {key.data}, you are {player[0]})"
                key.fileobj.sendto(answer.encode(), player)


def check(port: int) -> None:
    """Raises TimeoutError when nobody answers."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as player:
        player.settimeout(2)
        player.sendto(b"ping", ("127.0.0.1", port))
        print(player.recv(LARGEST).decode())


def main(words: Sequence[str]) -> None:
    if words[0] == "check":
        check(int(words[1]))
    else:
        # The first process of a container gets no default signal handlers.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit())
        serve(int(words[0]), int(words[1]))


main(sys.argv[1:])
