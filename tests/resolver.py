"""A name server for tests, which knows one answer."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tests.hosts import Namespace

# Like systemd-resolved, it answers loopback sources only where it listens on loopback. A question
# for an IPv6 address gets an answer without addresses.
_PROGRAM = """
import socket, sys
own = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
own.bind((sys.argv[1], 53))
print("ready", flush=True)
while True:
    asked, peer = own.recvfrom(4096)
    if sys.argv[1].startswith("127.") and not peer[0].startswith("127."):
        continue
    end = asked.index(0, 12) + 5
    known = asked[end - 4:end - 2] == bytes([0, 1])
    head = asked[:2] + bytes.fromhex("8180 0001 000%d 0000 0000" % known)
    answer = bytes.fromhex("c00c 0001 0001 0000000a 0004") + socket.inet_aton(sys.argv[2])
    own.sendto(head + asked[12:end] + answer * known, peer)
"""


@contextmanager
def answering(place: Namespace, address: str, answer: str = "203.0.113.7") -> Iterator[None]:
    """A name server at ``address`` of ``place`` that has ``answer`` for every name."""
    command = [*place.within, sys.executable, "-I", "-S", "-c", _PROGRAM, address, answer]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            yield
        finally:
            process.kill()
