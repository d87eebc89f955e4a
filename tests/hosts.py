"""Network namespaces that play hosts, so that no test touches the machine's own network.

A ``Host`` has loopback and a link to a second namespace that plays another host. Programs are
started inside with nsenter(1), which leaves mounts alone (`ip netns exec` would remount /sys and
hide the cgroup hierarchies).
"""

import ctypes
import os
import subprocess
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.eventually import PATIENCE

CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Namespace:
    """A named network namespace and the address that it has on the link to its peer."""

    name: str
    address: str
    address6: str

    @property
    def path(self) -> Path:
        return Path("/run/netns") / self.name

    @property
    def within(self) -> list[str]:
        """The words to put before a command that shall run inside."""
        return ["nsenter", f"--net={self.path}"]

    def run(
        self,
        *command: str | Path,
        check: bool = True,
        timeout: float = 60,
        stdin: str | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run a program inside; its output is captured as text, a failure raises with it."""
        words = [*self.within, *map(str, command)]
        timeout *= PATIENCE
        done = subprocess.run(words, capture_output=True, text=True, timeout=timeout, input=stdin)
        if check and done.returncode:
            raise AssertionError(
                f"{' '.join(words)}: exit {done.returncode}\n{done.stdout}{done.stderr}"
            )
        return done

    def start(self, *command: str | Path) -> subprocess.Popen[bytes]:
        """Start a program inside; the caller ends it. nsenter execs, so the pid is its own."""
        return subprocess.Popen([*self.within, *map(str, command)], stdin=subprocess.DEVNULL)

    @contextmanager
    def inside(self) -> Iterator[None]:
        """Move the calling thread inside for the block: its sockets and children live there."""
        with ExitStack() as stack:
            home = stack.enter_context(Path("/proc/thread-self/ns/net").open("rb"))
            there = stack.enter_context(self.path.open("rb"))
            _setns(there.fileno())
            try:
                yield
            finally:
                _setns(home.fileno())

    def fetch(self, url: str, *, timeout: float = 2) -> str:
        """The body at ``url`` as a client in this namespace gets it; OSError where it fails."""
        with self.inside(), _direct.open(url, timeout=timeout * PATIENCE) as answer:
            body: bytes = answer.read()
        return body.decode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Host(Namespace):
    """The namespace that plays the host, linked to ``other``."""

    other: Namespace


_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def _setns(descriptor: int) -> None:
    """setns(2); Python has it from 3.12 on."""
    if _libc.setns(descriptor, CLONE_NEWNET):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), "setns")


def remove_strays(prefix: str) -> None:
    """Remove the hosts `PREFIX<pid>` of earlier runs that were killed."""
    for path in Path("/run/netns").glob(f"{prefix}*"):
        owner = path.name.removeprefix(prefix).partition("-")[0]
        if owner.isdigit() and not Path("/proc", owner).exists():
            _ip("netns", "del", path.name)


@contextmanager
def make_host(name: str) -> Iterator[Host]:
    """A host and another host: 192.0.2.1 and 192.0.2.2, 2001:db8::1 and 2001:db8::2."""
    other = Namespace(name=f"{name}-o", address="192.0.2.2", address6="2001:db8::2")
    host = Host(name=name, address="192.0.2.1", address6="2001:db8::1", other=other)
    with ExitStack() as stack:
        for space in (host, other):
            _ip("netns", "add", space.name)
            stack.callback(_ip, "netns", "del", space.name)
            _ip("-n", space.name, "link", "set", "lo", "up")
        peer = ["peer", "name", "eth0", "netns", other.name]
        _ip("link", "add", "eth0", "netns", host.name, "type", "veth", *peer)
        for space in (host, other):
            _give_addresses(space)
        yield host


def _give_addresses(space: Namespace) -> None:
    _ip("-n", space.name, "address", "add", f"{space.address}/24", "dev", "eth0")
    _ip("-n", space.name, "address", "add", f"{space.address6}/64", "dev", "eth0", "nodad")
    _ip("-n", space.name, "link", "set", "eth0", "up")


def _ip(*words: str) -> None:
    command: Sequence[str] = ["ip", *words]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")
