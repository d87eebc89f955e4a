"""Connections that break and that stand still while something is sent, in plain http and by TLS."""

import socket
import threading
import time
from contextlib import closing
from typing import Any, BinaryIO

import pytest

from runtime.api import RegistryAccess
from runtime.embedded.registry.documents import Descriptor
from runtime.embedded.registry.faults import RegistryFailed, RegistryUnreachable
from runtime.embedded.registry.transport import Pace
from runtime.embedded.registry.upload import Uploader
from runtime.reference import Reference
from tests.runtime.embedded.registry.authority import Authority
from tests.runtime.embedded.registry.hostile import digest
from tests.runtime.embedded.registry.taking import Ending, First, Taker, taking

BLOB = bytes(16 << 20)  # more than two kernels keep for a connection
DESCRIPTOR = Descriptor(media_type="x", digest=digest(BLOB), size=len(BLOB))
SCHEMES = ["http", "https"]


class Sent:
    """What an upload reads, piece by piece."""

    def __init__(self) -> None:
        self._at = 0

    def __len__(self) -> int:
        return len(BLOB)

    def read(self, size: int = -1, /) -> bytes:
        piece = BLOB[self._at : self._at + size]
        self._at += len(piece)
        return piece


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("connections") / "ca").found()


def sent(
    authority: Authority, scheme: str, first: First, *, pace: Pace | None = None, **how: Any
) -> Taker:
    """Who has taken the blob, the first time as ``first`` does."""
    secure = scheme == "https"
    certificate = authority.signed("localhost") if secure else None
    with taking(first, certificate=certificate, **how) as taker:
        access = RegistryAccess(host=taker.host, ca=str(authority.certificate) if secure else "")
        with closing(Uploader(access, pace=pace, sleep=lambda _: None)) as uploader:
            uploader.send(taker.reference, DESCRIPTOR, Sent)
        return taker


@pytest.mark.parametrize("scheme", SCHEMES)
def test_an_upload_that_breaks_off_is_begun_anew(authority: Authority, scheme: str) -> None:
    def breaks(body: BinaryIO) -> bytes:
        body.read(100_000)
        raise Ending

    assert sent(authority, scheme, breaks).asked == {"POST": 2, "PUT": 2}


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_refusal_that_comes_before_all_is_sent_is_told(authority: Authority, scheme: str) -> None:
    def refuses(_: BinaryIO) -> bytes:
        return b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"

    with pytest.raises(RegistryFailed, match="413"):
        sent(authority, scheme, refuses)


@pytest.mark.parametrize("closed", [1, 2])
def test_a_handshake_that_breaks_off_is_tried_again(authority: Authority, closed: int) -> None:
    def all_of(_: BinaryIO) -> bytes:
        return b""

    taker = sent(authority, "https", all_of, closed=closed)
    assert taker.asked == {"POST": 1, "PUT": 1}


def test_nobody_is_told_to_trust_a_registry_that_breaks_off(authority: Authority) -> None:
    def never(_: BinaryIO) -> bytes:
        raise Ending

    with pytest.raises(RegistryUnreachable, match="closed the connection") as failed:
        sent(authority, "https", never, closed=100)
    assert "insecure" not in failed.value.hint


def test_who_speaks_no_tls_at_all_can_be_called_insecure(authority: Authority) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer() -> None:
            connected, _ = listening.accept()
            with connected:
                connected.recv(1 << 16)
                connected.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        threading.Thread(target=answer, daemon=True).start()
        host = f"localhost:{listening.getsockname()[1]}"
        access = RegistryAccess(host=host, ca=str(authority.certificate))
        with closing(Uploader(access, tries=1)) as uploader:
            reference = Reference(host=host, repository="app", tag="latest")
            with pytest.raises(RegistryUnreachable) as failed:
                uploader.has(reference, DESCRIPTOR)
        assert "insecure: true" in failed.value.hint


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("keeps", [True, False])
def test_a_registry_may_stand_still_for_longer_than_it_takes_to_connect(
    authority: Authority, scheme: str, keeps: bool
) -> None:
    """It stores what it has before it reads on."""

    def pauses(body: BinaryIO) -> bytes:
        body.read(1 << 20)
        time.sleep(2)
        return b""

    taker = sent(authority, scheme, pauses, pace=Pace(connect=0.5), keeps=keeps)
    assert taker.asked["PUT"] == 1


@pytest.mark.parametrize("scheme", SCHEMES)
def test_one_that_stands_still_for_good_is_given_up(authority: Authority, scheme: str) -> None:
    done = threading.Event()

    def stands(body: BinaryIO) -> bytes:
        body.read(1 << 20)
        done.wait(60)
        raise Ending

    taker = sent(authority, scheme, stands, pace=Pace(connect=600, storing=1))
    done.set()
    assert taker.asked["PUT"] >= 2
