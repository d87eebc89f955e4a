"""What a registry says of places, times and itself, however strange: a fault, never a traceback."""

import json
import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from typing import Any

import pytest

from runtime.api import RegistryAccess
from runtime.embedded.registry.client import Client
from runtime.embedded.registry.documents import Descriptor
from runtime.embedded.registry.faults import RegistryFailed, RegistryUnreachable
from runtime.embedded.registry.transport import Pace
from runtime.reference import Reference
from tests.runtime.embedded.registry.hostile import Answer, Server, digest

MANIFEST = "/v2/app/manifests/latest"
NO_NAMES = ["http://a..b/x", f"http://{'a' * 64}.example/x", "http://.example/x"]


def reference(server: Server) -> Reference:
    return Reference(host=server.host, repository="app", tag="latest")


@pytest.fixture
def client(server: Server) -> Iterator[Client]:
    with closing(Client(RegistryAccess(host=server.host), sleep=lambda _: None)) as made:
        yield made


@pytest.mark.parametrize("place", NO_NAMES)
def test_a_place_whose_name_is_none_is_refused(server: Server, client: Client, place: str) -> None:
    server.routes[MANIFEST] = Answer(status=307, headers={"Location": place})
    with pytest.raises(RegistryFailed, match="no name of a host"):
        client.manifest(reference(server))
    assert len(server.asked) == 1


@pytest.mark.parametrize("place", NO_NAMES)
def test_a_token_server_whose_name_is_none_is_refused(
    server: Server, client: Client, place: str
) -> None:
    challenge = {"WWW-Authenticate": f'Bearer realm="{place}"'}
    server.routes[MANIFEST] = Answer(status=401, headers=challenge)
    with pytest.raises(RegistryFailed, match="no name of a host"):
        client.manifest(reference(server))


@pytest.mark.parametrize(
    "when",
    [
        "Mon, 01 Jan 2020 00:00:00 +99999999999999",
        "Mon, 01 Jan 0001 00:00:00 +2359",
        "Fri, 31 Dec 9999 23:59:59 -2359",
        "Mon, 01 Jan 99999999999999999999 00:00:00 GMT",
        "soon",
    ],
)
def test_a_time_to_come_again_that_is_none_is_passed_over(
    server: Server, client: Client, when: str
) -> None:
    server.routes[MANIFEST] = Answer(status=503, headers={"Retry-After": when})
    with pytest.raises(RegistryFailed, match="503"):
        client.manifest(reference(server))
    assert len(server.asked) == 5


# --- too many requests ----------------------------------------------------------------------------

LIMIT = "You have reached your unauthenticated pull rate limit. https://www.docker.com/limit"


def limited(server: Server, body: bytes | Iterable[bytes] = b"", **access: Any) -> RegistryFailed:
    """What is told when the registry gives no more."""
    server.routes[MANIFEST] = Answer(status=429, body=body)
    known = RegistryAccess(host=server.host, **access)
    with (
        closing(Client(known, tries=2, sleep=lambda _: None)) as client,
        pytest.raises(RegistryFailed, match="too many requests, HTTP status 429") as failed,
    ):
        client.manifest(reference(server))
    assert len(server.asked) == 2
    return failed.value


def words(text: str) -> bytes:
    return json.dumps({"errors": [{"code": "TOOMANYREQUESTS", "message": text}]}).encode()


def test_a_registry_that_gives_no_more_says_why_in_its_own_words(server: Server) -> None:
    failed = limited(server, words(LIMIT))
    assert failed.why == f"it gets too many requests, HTTP status 429, {LIMIT}"
    assert f"`trueup login {server.host}`" in failed.hint
    assert len(server.callers) == 1  # what it said was read to the end


def test_who_is_known_to_it_needs_a_mirror(server: Server) -> None:
    failed = limited(server, words(LIMIT), username="ci", password="secret")
    assert "login" not in failed.hint
    assert "mirror" in failed.hint
    assert server.authorizations() == []


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"<html>", b"[]", b'{"errors": [5]}', b"\xff", b"[" * 60_000]
)
def test_one_that_says_nothing_is_quoted_with_nothing(server: Server, body: bytes) -> None:
    assert limited(server, body).why == "it gets too many requests, HTTP status 429"


def test_words_are_printable_and_short(server: Server) -> None:
    failed = limited(server, words("\x1b[2Jno\r\n" + "x" * 1000))
    assert failed.why.endswith("429, [2Jno" + "x" * 195)


def test_words_without_an_end_are_not_read(server: Server) -> None:
    sent: list[int] = []

    def endless() -> Iterator[bytes]:
        for number in range(200):
            sent.append(number)
            yield bytes(1 << 20)

    assert limited(server, endless()).why == "it gets too many requests, HTTP status 429"
    assert len(sent) < 100


# --- whose time it is -----------------------------------------------------------------------------

BLOB = bytes(range(256)) * 4096  # 1 MiB: more than one piece
BLOB_PATH = f"/v2/app/blobs/{digest(BLOB)}"
LITTLE = bytes(400)
PACE = Pace(window=1, least=8192 * 60, trickle_window=0.5)


def fetch(server: Server, blob: bytes, pace: Pace, *stops: float) -> bytes:
    """The blob, whose first pieces take us so many seconds each; the registry has one try."""
    got, ours = b"", iter(stops)
    with closing(Client(RegistryAccess(host=server.host), tries=1, pace=pace)) as client:
        whole = Descriptor(media_type="x", digest=digest(blob), size=len(blob))
        for piece in client.blob(reference(server), whole):
            time.sleep(next(ours, 0))
            got += piece
    assert len(server.asked) == 1
    return got


def test_time_that_we_take_ourselves_is_not_the_registrys(server: Server) -> None:
    """Unpacking may stand still for longer than a registry might."""
    server.routes[BLOB_PATH] = Answer(body=BLOB)
    assert fetch(server, BLOB, PACE, 1.5) == BLOB


def test_nor_is_it_when_only_a_little_is_left(server: Server) -> None:
    def halves() -> Iterator[bytes]:
        yield LITTLE[:200]
        time.sleep(0.1)
        yield LITTLE[200:]

    answer = Answer(body=halves(), length=len(LITTLE))
    server.routes[f"/v2/app/blobs/{digest(LITTLE)}"] = answer
    assert fetch(server, LITTLE, Pace(silence=0.5), 2) == LITTLE


def test_a_registry_gains_nothing_by_time_that_we_take(server: Server) -> None:
    def trickle() -> Iterator[bytes]:
        for _ in range(1000):
            yield b"x"
            time.sleep(0.02)

    server.routes[BLOB_PATH] = Answer(body=trickle(), length=len(BLOB))
    with pytest.raises(RegistryUnreachable, match="bytes in"):
        fetch(server, BLOB, Pace(trickle_window=0.2), *[0.01] * 1000)
