"""Reservations: others are kept off, kept ports are never free, and a crash leaves nothing."""

import errno
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime.embedded.ports import strangers
from runtime.embedded.ports.claims import (
    AddressNotHere,
    Claim,
    PortTaken,
    claims,
    claims_of,
)
from runtime.embedded.ports.holder import Holder
from runtime.embedded.ports.strangers import holders
from tests.eventually import eventually
from tests.hosts import Host
from tests.runtime.embedded.lab import processes_with
from tests.runtime.embedded.wires import port

pytestmark = pytest.mark.root

WEB = {*claims_of(None, 8080, "tcp", 1), *claims_of("127.0.0.1", 5353, "udp", 1)}


@pytest.fixture
def holder(host: Host, tmp_path: Path) -> Iterator[Holder]:
    with host.inside():
        made = Holder(tmp_path / "holder.json")
        yield made
        made.release()
        assert processes_with(str(tmp_path / "holder.json")) == []


def _bind(address: str, number: int, kind: int = socket.SOCK_STREAM, *, reuse: bool = False) -> str:
    """ "" when another program could bind, else the error's name."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, kind) as own:
        if reuse:
            own.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            own.bind((address, number))
            if kind == socket.SOCK_STREAM:
                own.listen()
        except OSError as error:
            return errno.errorcode[error.errno or 0]
    return ""


def test_a_wildcard_is_two_claims_and_an_address_one() -> None:
    ports = (port(80, "10.0.0.1"), port(81, "10.0.0.1", protocol="udp", host_ip="127.0.0.1"))
    assert sorted(map(str, claims(ports))) == ["tcp 0.0.0.0 80", "tcp :: 80", "udp 127.0.0.1 81"]
    assert {Claim.parse(str(claim)) for claim in claims(ports)} == claims(ports)


def test_others_are_kept_off_and_callers_refused(holder: Holder) -> None:
    assert holder.hold(WEB) == {}
    assert holder.claims() == WEB
    for address in ("0.0.0.0", "127.0.0.1", "192.0.2.1", "::", "::1"):
        assert _bind(address, 8080) == "EADDRINUSE"
        assert _bind(address, 8080, reuse=True) == "EADDRINUSE"
    assert _bind("127.0.0.1", 5353, socket.SOCK_DGRAM, reuse=True) == "EADDRINUSE"
    assert _bind("192.0.2.1", 5353, socket.SOCK_DGRAM) == ""
    for address in ("127.0.0.1", "::1"):
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((address, 8080), timeout=1)


def test_nothing_piles_up_in_a_reserved_datagram_socket(holder: Holder) -> None:
    holder.hold(WEB)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as own:
        for _ in range(100):
            own.sendto(b"x" * 1000, ("127.0.0.1", 5353))
    table = Path("/proc/thread-self/net/udp").read_text().splitlines()
    (line,) = [one for one in table if ":14E9 " in one.split()[1] + " "]
    assert line.split()[4] == "00000000:00000000", "bytes queued"


def test_a_successor_keeps_what_stays(holder: Holder) -> None:
    holder.hold(WEB)
    first = holder.pid()
    more = {*WEB, *claims_of(None, 9090, "tcp")}
    assert holder.hold(more) == {}
    assert holder.pid() != first
    assert _bind("0.0.0.0", 8080) == _bind("0.0.0.0", 9090) == "EADDRINUSE"
    second = holder.pid()
    assert holder.hold(more) == {}
    assert holder.pid() == second, "nothing to do"
    assert holder.hold(set(claims_of(None, 9090, "tcp"))) == {}
    assert (_bind("0.0.0.0", 8080), _bind("0.0.0.0", 9090)) == ("", "EADDRINUSE")
    assert holder.hold(set()) == {}
    assert holder.pid() is None
    assert _bind("0.0.0.0", 9090) == ""


def test_a_port_widens_and_narrows(holder: Holder) -> None:
    """Our own old socket is not in our way."""
    narrow, wide = set(claims_of("127.0.0.1", 8080, "tcp")), set(claims_of(None, 8080, "tcp"))
    kept = set(claims_of(None, 9090, "udp"))
    for wanted in (narrow, wide, narrow):
        assert holder.hold({*wanted, *kept}) == {}
        assert holder.claims() == {*wanted, *kept}
    assert holder.missing({*narrow, *kept}) == set()
    assert holder.missing(wide) == wide


def test_what_somebody_else_has_fails_with_its_name(holder: Holder) -> None:
    command = ["busybox", "httpd", "-f", "-p", "127.0.0.1:8080"]
    stranger = subprocess.Popen(command)
    try:
        _await_listener(8080)
        failures = holder.hold({*WEB, *claims_of("198.51.100.1", 81, "tcp")})
        name = f"busybox[{stranger.pid}]"
        taken = failures[Claim(address="0.0.0.0", port=8080, protocol="tcp")]
        assert isinstance(taken, PortTaken)
        assert str(taken) == (
            f"port 8080/tcp cannot be published: {name} has it\n"
            "  stop that program, or publish another port"
        )
        away = failures[Claim(address="198.51.100.1", port=81, protocol="tcp")]
        assert isinstance(away, AddressNotHere)
        assert holder.claims() == WEB - {Claim(address="0.0.0.0", port=8080, protocol="tcp")}
        wanted = [
            (None, 8080, "tcp", 1),
            ("192.0.2.1", 8080, "tcp", 1),
            ("127.0.0.1", 5353, "udp", 1),
        ]
        ours = holder.claims()
        assert holders(wanted, ours, holder.pid()) == {(None, 8080, "tcp", 1): name}
    finally:
        stranger.kill()
        stranger.wait()


def _await_listener(number: int) -> None:
    eventually(lambda: _bind("127.0.0.1", number, reuse=True) == "EADDRINUSE")


def test_a_port_held_without_listening_is_taken_too(holder: Holder, tmp_path: Path) -> None:
    other = Holder(tmp_path / "other.json")
    try:
        other.hold(WEB)
        found = holders([(None, 8080, "tcp", 1), (None, 8081, "tcp", 1)], set(), None)
        assert list(found) == [(None, 8080, "tcp", 1)]
        assert found[None, 8080, "tcp", 1] == strangers.UNSEEN
        datagrams = holders([(None, 5353, "udp", 1)], set(), None)
        assert datagrams == {(None, 5353, "udp", 1): f"sleep[{other.pid()}]"}
    finally:
        other.release()


def test_a_holder_that_was_never_recorded_is_ended(holder: Holder, tmp_path: Path) -> None:
    """Its starter was killed between the start and the record."""
    holder.hold(WEB)
    (tmp_path / "holder.json").unlink()
    # A program shows its environment a moment after it was started.
    eventually(lambda: processes_with(str(tmp_path / "holder.json")))
    (stray,) = processes_with(str(tmp_path / "holder.json"))
    assert Holder(tmp_path / "holder.json").hold(WEB) == {}
    assert stray not in processes_with(str(tmp_path / "holder.json"))
    assert _bind("0.0.0.0", 8080) == "EADDRINUSE"


def test_a_holder_that_is_only_just_starting_is_waited_for(holder: Holder, tmp_path: Path) -> None:
    """Its starter was killed: until its exec it looks like any other program."""
    script = "import os, socket, sys, time\ns = socket.socket()\ns.bind(('0.0.0.0', 8080))\n"
    script += "s.set_inheritable(True)\nprint(flush=True)\ntime.sleep(0.1)\n"
    script += "os.execvpe('sleep', ['sleep', '1000'], {**os.environ, 'TRUEUP_HOLDER': sys.argv[1]})"
    command = [sys.executable, "-c", script, str(tmp_path / "holder.json")]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as starting:
        assert starting.stdout is not None
        assert starting.stdout.readline() == b"\n"
        assert holder.hold(WEB) == {}


def test_a_record_of_another_process_is_not_believed(holder: Holder, tmp_path: Path) -> None:
    (tmp_path / "holder.json").write_text('{"pid": 1, "start": 7, "sockets": {"tcp :: 80": 3}}')
    assert holder.claims() == set()
    assert holder.hold(WEB) == {}
    (tmp_path / "holder.json").write_text("half a rec")
    assert holder.claims() == set()


@pytest.mark.parametrize("reuse", [True, False])
def test_closed_connections(holder: Holder, reuse: bool) -> None:
    """Those of a server with SO_REUSEADDR, as all have it, are not in our way for the minute
    that the kernel remembers them; those of another are, and are named for what they are."""
    with socket.socket() as server:
        if reuse:
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        number = 8080 if reuse else 8089
        server.bind(("127.0.0.1", number))
        server.listen()
        with socket.create_connection(("127.0.0.1", number)) as client:
            server.accept()[0].close()
            client.recv(1)
    failures = holder.hold(set(claims_of(None, number, "tcp")))
    words = [] if reuse else ["a connection that was closed less than a minute ago"]
    assert [fault.holder for fault in failures.values() if isinstance(fault, PortTaken)] == words
