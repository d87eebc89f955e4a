"""The end of what waits for a registry that says nothing."""

import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from runtime.api import RegistryAccess
from runtime.embedded.registry import connections
from runtime.embedded.registry.client import Client
from runtime.embedded.registry.endpoints import first_answer
from runtime.embedded.registry.session import PUSH, Session
from runtime.embedded.registry.stop import Stop
from runtime.embedded.registry.transport import Interrupted, Pace
from runtime.errors import Stopped
from runtime.reference import Reference
from tests.runtime.embedded.registry.authority import Authority
from tests.runtime.embedded.registry.hostile import Answer, Asked, Server


@pytest.fixture
def asked(server: Server) -> Iterator[threading.Event]:
    """Set once the server was asked for its manifest, which it does not give before the test is
    over."""
    reached, over = threading.Event(), threading.Event()

    def silent(_asked: Asked) -> Answer:
        reached.set()
        over.wait()
        return Answer(status=500)

    server.routes["/v2/app/manifests/1"] = silent
    yield reached
    over.set()


def reference(server: Server) -> Reference:
    return Reference(host=server.host, repository="app", tag="1")


def end_later(stop: Stop, asked: threading.Event) -> None:
    def end() -> None:
        asked.wait()
        stop.end()

    threading.Thread(target=end, daemon=True).start()


def ended(server: Server, asked: threading.Event, access: RegistryAccess) -> None:
    """Somebody else ends it while it waits for the answer: it waits no longer."""
    stop = Stop()
    end_later(stop, asked)
    with pytest.raises(Stopped):
        first_answer(reference(server), [access], Client.digest, stop=stop)


def test_who_waits_for_an_answer_is_let_go_and_asks_no_more(
    server: Server, asked: threading.Event
) -> None:
    ended(server, asked, RegistryAccess(host=server.host))
    assert len(server.asked) == 1


def test_no_other_endpoint_is_asked_after_the_end(server: Server, asked: threading.Event) -> None:
    access = RegistryAccess(host=server.host, mirrors=(server.host,))
    ended(server, asked, access)
    assert len(server.asked) == 1


def test_over_tls_as_well(server: Server, asked: threading.Event, tmp_path: Path) -> None:
    server.use_tls(Authority(tmp_path / "authority").found().signed("somebody"))
    base, stop = f"https://{server.host}", Stop()
    session = Session(RegistryAccess(host=server.host, insecure=True), base=base, stop=stop)
    end_later(stop, asked)
    with pytest.raises(Stopped), stop.heeded():
        session.get(f"{base}/v2/app/manifests/1", 1000)
    assert len(server.asked) == 1


@pytest.mark.parametrize("length", [100_000, None])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_an_answer_that_is_the_last_of_its_connection_ends(
    server: Server, tmp_path: Path, scheme: str, length: int | None
) -> None:
    """The connection itself is closed by then; of a body without a length no part is a whole."""
    over = threading.Event()

    def body() -> Iterator[bytes]:
        yield bytes(2000)
        over.wait()

    headers = {"Connection": "close"}
    server.routes["/v2/app/blobs/x"] = Answer(headers=headers, body=body(), length=length)
    if scheme == "https":
        server.use_tls(Authority(tmp_path / "authority").found().signed("somebody"))
    access, stop = RegistryAccess(host=server.host, insecure=True), Stop()
    base, pace = f"{scheme}://{server.host}", Pace(silence=10)
    with closing(Session(access, base=base, pace=pace, stop=stop)) as session:
        with session.ask("GET", reference(server), "blobs/x", {}) as answer:
            pieces = session.pieces(answer)
            assert next(pieces)
            began = time.monotonic()
            stop.end()
            with pytest.raises(Stopped if length is None else Interrupted):
                for _ in pieces:
                    pass
        assert time.monotonic() - began < 5
    over.set()


@pytest.fixture
def slow(tmp_path: Path) -> Iterator["Slow"]:
    made = Slow(Authority(tmp_path / "authority").found().signed("somebody"))
    yield made
    made.go_on.set()
    made.listening.close()


class Slow:
    """It takes its time for the one handshake that it makes."""

    def __init__(self, certificate: Path) -> None:
        self.reached, self.go_on, self.over = (threading.Event() for _ in range(3))
        self.heard = b""
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate)
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.host = f"127.0.0.1:{self.listening.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with suppress(OSError):
            connected, _ = self.listening.accept()
            connected.recv(1, socket.MSG_PEEK)  # the handshake has begun
            self.reached.set()
            self.go_on.wait()
            with self._context.wrap_socket(connected, server_side=True) as secure:
                self.heard = secure.recv(1 << 16)
        self.over.set()

    def move_a_tag(self, stop: Stop) -> None:
        access = RegistryAccess(host=self.host, insecure=True)
        session = Session(access, base=f"https://{self.host}", actions=PUSH, stop=stop)
        there = Reference(host=self.host, repository="app", tag="1")
        with (
            closing(session),
            session.ask("PUT", there, "manifests/1", {}, accept=(201,), body=lambda: b"{}"),
        ):
            pass


def test_a_handshake_ends(slow: Slow) -> None:
    stop, began = Stop(), time.monotonic()
    end_later(stop, slow.reached)
    with pytest.raises(Stopped), stop.heeded():
        slow.move_a_tag(stop)
    assert time.monotonic() - began < 5


def test_nothing_is_asked_after_a_handshake_that_the_end_has_not_reached(
    slow: Slow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "_shut", lambda _: None)
    stop = Stop()

    def end() -> None:
        slow.reached.wait()
        stop.end()
        slow.go_on.set()

    threading.Thread(target=end, daemon=True).start()
    with pytest.raises(Stopped):
        slow.move_a_tag(stop)
    assert slow.over.wait(5)
    assert slow.heard == b""


def test_nothing_begins_after_the_end(server: Server) -> None:
    stop = Stop()
    client = Client(RegistryAccess(host=server.host), stop=stop)
    stop.end()
    with pytest.raises(Stopped):
        client.digest(reference(server))
    with pytest.raises(Stopped):
        Client(RegistryAccess(host=server.host), stop=stop)
    assert server.asked == []


def test_a_wait_before_another_try_ends(server: Server) -> None:
    busy = threading.Event()

    def later(_asked: Asked) -> Answer:
        busy.set()
        return Answer(status=503, headers={"Retry-After": "30"})

    server.routes["/v2/app/manifests/1"] = later
    ended(server, busy, RegistryAccess(host=server.host))
    assert len(server.asked) == 1


def test_the_end_of_one_is_not_that_of_all() -> None:
    above = Stop()
    one, other = Stop(above), Stop(above)
    one.end()
    with pytest.raises(Stopped):
        one.still()
    other.still()
    above.still()


def test_what_fails_after_the_end_fails_because_of_it() -> None:
    stop = Stop()
    with pytest.raises(ValueError, match="before"), stop.heeded():
        raise ValueError("before")
    stop.end()
    with pytest.raises(Stopped), stop.heeded():
        raise ValueError("after")
