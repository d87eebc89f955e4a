"""A host, its instance's network, and containers that are no more than a namespace and a server.

The server answers HTTP (keep-alive) and datagrams on one port with its name and the address
that it was called from: "web 192.0.2.2".
"""

import http.client
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any, TypeVar

from msgspec.structs import replace

from runtime.embedded.linux.namespaces import inside
from runtime.embedded.network.kernel import Network
from runtime.embedded.paths import Paths
from runtime.embedded.router.wiring import Link, NetworkWire, Wiring
from tests.hosts import Host
from tests.runtime.embedded.wires import SHOP

Result = TypeVar("Result")

SERVER = """
import http.server, socket, sys, threading
name, port, both = sys.argv[1], int(sys.argv[2]), sys.argv[3] == "both"
family, where = (socket.AF_INET6, "::") if both else (socket.AF_INET, "")
def own(peer):
    return peer[0].removeprefix("::ffff:")
class Answer(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        body = f"{name} {own(self.client_address)}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *words): pass
class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 512
    address_family = family
def datagrams():
    with socket.socket(family, socket.SOCK_DGRAM) as udp:
        udp.bind((where, port))
        while True:
            _, peer = udp.recvfrom(2048)
            udp.sendto(f"{name} {own(peer)}".encode(), peer)
threading.Thread(target=datagrams, daemon=True).start()
server = Server((where, port), Answer)
print("ready", flush=True)
server.serve_forever()
"""


@dataclass(slots=True, kw_only=True)
class Lab:
    """One instance on ``host``; the test's thread lives in the host's namespace."""

    host: Host
    paths: Paths
    net: Network
    wiring: Wiring = field(
        default_factory=lambda: replace(SHOP, networks=(), services=(), ports=())
    )
    links: list[Link] = field(default_factory=list)
    stack: ExitStack = field(default_factory=ExitStack)
    serial: int = 0

    def mend(self, **parts: Any) -> None:
        """Take ``parts`` as the wiring and mend."""
        self.wiring = replace(self.wiring, **parts)
        self.net.mend(self.wiring)

    def change(self, **parts: Any) -> None:
        after = replace(self.wiring, **parts)
        self.net.change(self.wiring, after)
        self.wiring = after

    def container(self, name: str, address: str, network: NetworkWire, port: int = 80) -> Link:
        """Connect a container that serves on ``port``."""
        link = self.link(name, address, network)
        self.net.connect(link)
        self.serve(name, link.namespace, port)
        return link

    def link(self, name: str, address: str, network: NetworkWire) -> Link:
        self.serial += 1
        link = Link(
            container=f"{name}-{self.serial}",
            namespace=self.paths.namespace(f"{name}-{self.serial}"),
            serial=self.serial,
            address=IPv4Address(address),
            network=network,
        )
        self.links.append(link)
        return link

    def serve(
        self, name: str, namespace: Path, port: int, *, both: bool = False
    ) -> subprocess.Popen[bytes]:
        """``both``: by IPv4 and IPv6."""
        words = (name, str(port), "both" if both else "4")
        command = [sys.executable, "-I", "-S", "-c", SERVER, *words]
        process = subprocess.Popen(
            ["nsenter", f"--net={namespace}", *command], stdout=subprocess.PIPE
        )
        self.stack.callback(_end, process)
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        return process

    def causes(self) -> list[str]:
        """All defects in words."""
        host, containers = self.net.defects(self.wiring, self.links)
        return [d.cause for d in (*host, *(d for one in containers.values() for d in one))]


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    if process.stdout is not None:
        process.stdout.close()


@contextmanager
def make_lab(host: Host, root: Path) -> Iterator[Lab]:
    paths = Paths.below(root)
    paths.run.mkdir(parents=True)
    with host.inside(), ExitStack() as stack:
        lab = Lab(host=host, paths=paths, net=Network(paths), stack=stack)
        try:
            yield lab
        finally:
            stack.callback(lab.net.close)
            stack.callback(lab.net.tear_down, lab.wiring)
            stack.callback(lab.net.disconnect, list(lab.links))


def fetch(namespace: Path, address: object, port: int = 80, *, timeout: float = 1.0) -> str:
    """What the server says to a client in ``namespace``; else how it failed: "refused",
    "silence", "unreachable"."""

    def call() -> str:
        with closing(http.client.HTTPConnection(str(address), port, timeout=timeout)) as client:
            client.request("GET", "/")
            return client.getresponse().read().decode()

    return _in_words(lambda: inside(namespace, call))


def send(namespace: Path, address: object, port: int = 80, *, timeout: float = 1.0) -> str:
    """The same by one datagram."""

    def call() -> str:
        family = socket.AF_INET6 if ":" in str(address) else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as own:
            own.settimeout(timeout)
            own.connect((str(address), port))
            own.send(b"?")
            return own.recv(2048).decode()

    return _in_words(lambda: inside(namespace, call))


def _in_words(call: Callable[[], str]) -> str:
    try:
        return call()
    except ConnectionRefusedError:
        return "refused"
    except TimeoutError:
        return "silence"
    except OSError as error:
        return "unreachable" if error.errno in (101, 113) else repr(error)


def resolve(namespace: Path, server: object, name: str, *, timeout: float = 1.0) -> list[str]:
    """The IPv4 addresses that a DNS server gives for ``name``; [] for none, and an OSError
    where it is silent."""
    question = b"".join(bytes([len(p)]) + p.encode() for p in name.split(".")) + b"\0\0\1\0\1"

    def call() -> bytes:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as own:
            own.settimeout(timeout)
            own.connect((str(server), 53))
            own.send(b"\0\7\1\0\0\1\0\0\0\0\0\0" + question)
            return own.recv(4096)

    reply = inside(namespace, call)
    count = int.from_bytes(reply[6:8], "big")
    answers = reply[12 + len(question) :]
    found = []
    for _ in range(count):
        while answers[0] and answers[0] < 0xC0:  # a name in labels
            answers = answers[answers[0] + 1 :]
        head = 2 if answers[0] else 1  # a pointer, or the end of the labels
        found.append(socket.inet_ntoa(answers[head + 10 : head + 14]))
        answers = answers[head + 14 :]
    return found


def processes_with(word: str) -> list[int]:
    """Living processes that name ``word`` in their arguments or environment."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with suppress(OSError):
            place = Path("/proc", pid)
            words = (place / "cmdline").read_bytes() + (place / "environ").read_bytes()
            if word.encode() in words and int(pid) != os.getpid():
                found.append(int(pid))
    return found
