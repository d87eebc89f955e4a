"""The client against registries that break, lie, trickle and ask for passwords."""

import gzip
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from runtime.api import RegistryAccess
from runtime.embedded.registry.client import Client
from runtime.embedded.registry.documents import BadDocument, Descriptor
from runtime.embedded.registry.faults import (
    AccessDenied,
    NotInRegistry,
    PasswordMissing,
    RegistryFailed,
    RegistryUnreachable,
    WrongContent,
)
from runtime.embedded.registry.transport import Pace
from runtime.errors import Fault
from runtime.reference import Reference
from tests.images.registry import free_port
from tests.runtime.embedded.registry.hostile import (
    Answer,
    Asked,
    Server,
    digest,
    publish,
    serving,
)

BLOB = bytes(range(256)) * 4000
BASIC = "Basic Y2k6c2VjcmV0"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def reference(server: Server, tag: str = "latest") -> Reference:
    return Reference(host=server.host, repository="app", tag=tag)


def client(server: Server, *, password: str = "", pace: Pace | None = None) -> Client:
    username = "ci" if password else ""
    access = RegistryAccess(host=server.host, username=username, password=password)
    return Client(access, sleep=lambda _: None, pace=pace)


def descriptor(blob: bytes = BLOB, *, size: int | None = None) -> Descriptor:
    known = len(blob) if size is None else size
    return Descriptor(media_type="x", digest=digest(blob), size=known)


def fetch(server: Server, *, size: int | None = None, pace: Pace | None = None) -> bytes:
    return b"".join(client(server, pace=pace).blob(reference(server), descriptor(size=size)))


BLOB_PATH = f"/v2/app/blobs/{digest(BLOB)}"


# --- content ----------------------------------------------------------------------------


def test_a_blob_and_a_manifest_are_fetched_and_verified(server: Server) -> None:
    published = publish(server, (b"plain", BLOB))
    fetched = client(server).manifest(reference(server))
    assert (fetched.raw, fetched.digest) == (published.manifest, digest(published.manifest))
    assert fetch(server) == BLOB


def test_a_wrong_blob_is_refused(server: Server) -> None:
    wrong = Answer(body=BLOB[:-1] + b"!", headers={"Docker-Content-Digest": digest(BLOB)})
    server.routes[BLOB_PATH] = wrong
    with pytest.raises(WrongContent):
        fetch(server)


def test_a_wrong_manifest_is_refused(server: Server) -> None:
    published = publish(server)
    path = f"/v2/app/manifests/{digest(published.manifest)}"
    server.routes[path] = Answer(body=published.manifest + b" ")
    with pytest.raises(WrongContent):
        client(server).manifest(reference(server), digest(published.manifest))


@pytest.mark.parametrize("said", [digest(b"another"), "sha256:../../x", "sha256:"])
def test_a_manifest_that_is_not_what_the_header_says_is_refused(server: Server, said: str) -> None:
    headers = {"Docker-Content-Digest": said}
    server.routes["/v2/app/manifests/latest"] = Answer(body=b"{}", headers=headers)
    with pytest.raises(WrongContent):
        client(server).manifest(reference(server))


@pytest.mark.parametrize("body", [BLOB + b"more", [BLOB, b"x" * 1000] * 1000])
def test_more_than_was_announced_is_not_read(server: Server, body: bytes | list[bytes]) -> None:
    server.routes[BLOB_PATH] = Answer(body=body)
    with pytest.raises(WrongContent, match="more than"):
        fetch(server)


def test_an_endless_manifest_is_not_read(server: Server) -> None:
    server.routes["/v2/app/manifests/latest"] = Answer(body=[bytes(1 << 20)] * 100)
    with pytest.raises(RegistryFailed, match="more than"):
        client(server).manifest(reference(server))


# --- transfers that break -----------------------------------------------------------------------


def test_a_broken_transfer_goes_on_where_it_stopped(server: Server) -> None:
    starts: list[int] = []

    def flaky(asked: Asked) -> Answer:
        start = int(asked.headers.get("Range", "bytes=0-")[6:-1])
        starts.append(start)
        said = f"bytes {start}-{len(BLOB) - 1}/{len(BLOB)}"
        headers = {"Content-Range": said} if start else {}
        end = start + 300_000
        return Answer(
            status=206 if start else 200,
            headers=headers,
            body=BLOB[start:end],
            length=len(BLOB) - start,
        )

    server.routes[BLOB_PATH] = flaky
    assert fetch(server) == BLOB
    assert starts == [0, 300_000, 600_000, 900_000]


def test_a_registry_without_ranges_is_read_from_the_start(server: Server) -> None:
    answers = iter([Answer(body=BLOB[:500_000], length=len(BLOB)), Answer(body=BLOB)])
    server.routes[BLOB_PATH] = lambda _: next(answers)
    assert fetch(server) == BLOB


def test_the_wrong_range_is_not_taken(server: Server) -> None:
    def wrong(asked: Asked) -> Answer:
        if "Range" not in asked.headers:
            return Answer(body=BLOB[:1000], length=len(BLOB))
        return Answer(status=206, headers={"Content-Range": "bytes 0-9/10"}, body=BLOB)

    server.routes[BLOB_PATH] = wrong
    with pytest.raises(RegistryUnreachable, match="range"):
        fetch(server)


def test_a_byte_at_a_time_is_no_progress(server: Server) -> None:
    def miserly(asked: Asked) -> Answer:
        start = int(asked.headers.get("Range", "bytes=0-")[6:-1])
        headers = {"Content-Range": f"bytes {start}-"}
        status = 206 if start else 200
        body = BLOB[start : start + 1]
        return Answer(status=status, headers=headers, body=body, length=len(BLOB) - start)

    server.routes[BLOB_PATH] = miserly
    with pytest.raises(RegistryUnreachable):
        fetch(server)
    assert len(server.asked) == 5


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_busy_registry_is_asked_again(server: Server, status: int) -> None:
    answers = iter([Answer(status=status, headers={"Retry-After": "7"})] * 3 + [Answer(body=BLOB)])
    server.routes[BLOB_PATH] = lambda _: next(answers)
    waits: list[float] = []
    patient = Client(RegistryAccess(host=server.host), sleep=waits.append)
    assert b"".join(patient.blob(reference(server), descriptor())) == BLOB
    assert waits == [7.0] * 3


def test_a_registry_that_stays_broken_is_named_with_its_status(server: Server) -> None:
    server.routes["/v2/app/manifests/latest"] = Answer(status=503)
    with pytest.raises(RegistryFailed, match="503") as failed:
        client(server).manifest(reference(server))
    assert failed.value.status == 503
    assert len(server.asked) == 5


def test_a_registry_that_is_not_there() -> None:
    host = f"127.0.0.1:{free_port()}"
    nobody = Client(RegistryAccess(host=host), sleep=lambda _: None)
    with pytest.raises(RegistryUnreachable, match="Connection refused"):
        nobody.manifest(Reference(host=host, repository="app", tag="x"))


@pytest.mark.parametrize(
    "pace", [Pace(window=0.1, least=1000), Pace(trickle_window=0.1, trickle=1000)]
)
def test_one_byte_a_minute_is_no_progress(server: Server, pace: Pace) -> None:
    def trickle() -> Iterator[bytes]:
        for _ in range(1000):
            yield b"x"
            time.sleep(0.02)

    server.routes[BLOB_PATH] = lambda _: Answer(body=trickle(), length=len(BLOB))
    started = time.monotonic()
    with pytest.raises(RegistryUnreachable, match="bytes in"):
        fetch(server, pace=pace)
    assert time.monotonic() - started < 30


def test_a_server_that_falls_silent_is_given_up(server: Server) -> None:
    def silent() -> Iterator[bytes]:
        yield BLOB[:1000]
        time.sleep(2)

    server.routes[BLOB_PATH] = lambda _: Answer(body=silent(), length=len(BLOB))
    with pytest.raises(RegistryUnreachable):
        fetch(server, pace=Pace(silence=0.1))


@pytest.mark.parametrize("beginning", [b"HTTP/1.1 200 OK\r\nX: ", CHUNKED])
def test_headers_and_sizes_of_chunks_may_not_trickle_either(beginning: bytes) -> None:
    """A byte every now and then resets a socket's own timeout."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=trickling, args=(listening, beginning), daemon=True).start()
        host = f"127.0.0.1:{listening.getsockname()[1]}"
        asking = Client(RegistryAccess(host=host), tries=1, pace=Pace(silence=0.2))
        started = time.monotonic()
        with pytest.raises(RegistryUnreachable, match="bytes in"):
            asking.manifest(Reference(host=host, repository="app", tag="x"))
        assert 0.3 < time.monotonic() - started < 5


def trickling(listening: socket.socket, beginning: bytes) -> None:
    connection, _ = listening.accept()
    with connection, suppress(OSError):
        connection.recv(4096)
        connection.sendall(beginning)
        for _ in range(1000):
            time.sleep(0.02)
            connection.sendall(b"0")


# --- codings --------------------------------------------------------------------------------


def test_no_content_coding_is_asked_for_or_undone(server: Server) -> None:
    coded = gzip.compress(b"{}")
    headers = {"Content-Encoding": "gzip, gzip, gzip"}
    server.routes["/v2/app/manifests/latest"] = Answer(body=coded, headers=headers)
    assert client(server).manifest(reference(server)).raw == coded
    assert server.asked[0].headers["Accept-Encoding"] == "identity"


@pytest.mark.parametrize("status", [302, 401, 404, 503])
def test_the_body_of_a_refusal_or_redirect_is_not_read(server: Server, status: int) -> None:
    """It may be endless, or inflate without an end."""
    sent: list[int] = []

    def endless() -> Iterator[bytes]:
        for number in range(200):
            sent.append(number)
            yield bytes(1 << 20)

    headers = {"Content-Encoding": "gzip, gzip, gzip", "Location": f"{server.url}/x"}
    server.routes[BLOB_PATH] = lambda _: Answer(status=status, headers=headers, body=endless())
    server.routes["/x"] = Answer(status=400)
    with pytest.raises(Fault):
        fetch(server)
    assert len(sent) < 100


def test_connections_are_used_again(server: Server) -> None:
    said = {"Location": BLOB_PATH}
    server.routes["/v2/app/manifests/latest"] = Answer(headers={"Docker-Content-Digest": "x"})
    server.routes[BLOB_PATH] = Answer(body=BLOB)
    server.routes["/v2/app/blobs/" + digest(b"")] = Answer(status=307, headers=said, body=b"x" * 99)
    asking = client(server)
    empty = Descriptor(media_type="x", digest=digest(b""), size=len(BLOB))
    with pytest.raises(WrongContent):
        b"".join(asking.blob(reference(server), empty))
    assert b"".join(asking.blob(reference(server), descriptor())) == BLOB
    with pytest.raises(NotInRegistry):
        asking.manifest(reference(server, "none"))
    assert len(server.callers) == 1


# --- who learns what ---------------------------------------------------------------------


def protected(server: Server, answer: Answer, header: str = 'Basic realm="x"') -> None:
    """Serve ``answer`` as the blob to those who show the password or a token."""

    def ask(asked: Asked) -> Answer:
        if asked.headers.get("Authorization") in (BASIC, "Bearer token"):
            return answer
        return Answer(status=401, headers={"WWW-Authenticate": header})

    server.routes[BLOB_PATH] = ask


def fetch_with_password(server: Server, password: str = "secret") -> bytes:
    blob = client(server, password=password).blob(reference(server), descriptor())
    return b"".join(blob)


def test_the_password_is_shown_only_after_it_was_asked_for(server: Server) -> None:
    protected(server, Answer(body=BLOB))
    assert fetch_with_password(server) == BLOB
    assert [a.headers.get("Authorization") for a in server.asked] == [None, BASIC]


@pytest.mark.parametrize("password", ["", "wrong"])
def test_who_has_no_right_password_is_told_what_to_check(server: Server, password: str) -> None:
    protected(server, Answer(body=BLOB))
    with pytest.raises(AccessDenied, match="auth"):
        fetch_with_password(server, password)


def test_a_password_that_is_missing_is_an_error_once_it_is_asked_for(server: Server) -> None:
    access = RegistryAccess(host=server.host, username="ci", missing="PW is not set (shop.yaml:3)")
    server.routes[BLOB_PATH] = Answer(body=BLOB)
    assert b"".join(Client(access).blob(reference(server), descriptor())) == BLOB
    protected(server, Answer(body=BLOB))
    with pytest.raises(PasswordMissing, match="is missing: PW is not set"):
        b"".join(Client(access).blob(reference(server), descriptor()))
    assert server.authorizations() == []


def test_a_redirect_to_another_host_takes_no_password_along(server: Server, other: Server) -> None:
    other.routes["/blob"] = Answer(body=BLOB)
    protected(server, Answer(status=307, headers={"Location": f"{other.url}/blob"}))
    assert fetch_with_password(server) == BLOB
    assert other.authorizations() == []


def test_not_even_to_another_port_or_back_again(server: Server, other: Server) -> None:
    with serving() as neighbour:
        neighbour.routes["/a"] = Answer(status=302, headers={"Location": f"{other.url}/b"})
        other.routes["/b"] = Answer(status=302, headers={"Location": f"{server.url}/c"})
        server.routes["/c"] = Answer(body=BLOB)
        protected(server, Answer(status=302, headers={"Location": f"{neighbour.url}/a"}))
        assert fetch_with_password(server) == BLOB
        assert neighbour.authorizations() == other.authorizations() == []
        assert len(server.authorizations()) == 1


def test_a_redirect_target_cannot_ask_for_the_password(server: Server, other: Server) -> None:
    other.routes["/blob"] = Answer(status=401, headers={"WWW-Authenticate": "Basic realm=x"})
    server.routes[BLOB_PATH] = Answer(status=307, headers={"Location": f"{other.url}/blob"})
    with pytest.raises(AccessDenied):
        fetch_with_password(server)
    assert other.authorizations() == []


def test_cookies_are_not_kept(server: Server) -> None:
    answers = iter([Answer(status=503, headers={"Set-Cookie": "a=b"}), Answer(body=BLOB)])
    server.routes[BLOB_PATH] = lambda _: next(answers)
    assert fetch(server) == BLOB
    assert "Cookie" not in server.asked[1].headers


@pytest.mark.parametrize(
    "location",
    [
        "http://user:pass@127.0.0.2/x",
        "file:///etc/passwd",
        "ftp://127.0.0.2/x",
        "http://",
        "http://127.0.0.2:99999/x",
        "gopher:x",
        "http://[/",
        "",
    ],
)
def test_redirects_to_strange_places_are_refused(server: Server, location: str) -> None:
    server.routes[BLOB_PATH] = Answer(status=302, headers={"Location": location})
    with pytest.raises(RegistryFailed):
        fetch(server)


def test_five_redirects_are_enough(server: Server) -> None:
    server.routes[BLOB_PATH] = Answer(status=302, headers={"Location": BLOB_PATH})
    with pytest.raises(RegistryFailed, match="redirects"):
        fetch(server)
    assert len(server.asked) == 6


def test_netrc_is_not_read(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login x password y\n")
    (tmp_path / ".netrc").chmod(0o600)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.2:1")
    server.routes[BLOB_PATH] = Answer(body=BLOB)
    assert fetch(server) == BLOB
    assert server.authorizations() == []


def token_realm(server: Server, where: Server, token: object = "token") -> str:
    where.routes["/token"] = Answer(body=json.dumps({"token": token}).encode())
    return f'Bearer realm="{where.url}/token",service="s",scope="repository:app:push,delete"'


def test_a_token_is_bought_with_the_password(server: Server) -> None:
    protected(server, Answer(body=BLOB), token_realm(server, server))
    assert fetch_with_password(server) == BLOB
    assert server.paths()[1] == "/token?service=s&scope=repository%3Aapp%3Apull"
    assert server.authorizations() == [BASIC, "Bearer token"]


def test_a_token_server_elsewhere_sees_no_password(server: Server, other: Server) -> None:
    protected(server, Answer(body=BLOB), token_realm(server, other))
    assert fetch_with_password(server) == BLOB
    assert other.authorizations() == []


def test_a_token_server_may_not_pass_the_password_on(server: Server, other: Server) -> None:
    protected(server, Answer(body=BLOB), f'Bearer realm="{server.url}/token"')
    server.routes["/token"] = Answer(status=302, headers={"Location": f"{other.url}/token"})
    other.routes["/token"] = Answer(body=b'{"token": "token"}')
    assert fetch_with_password(server) == BLOB
    assert other.authorizations() == []


def test_a_token_that_expired_is_bought_again(server: Server) -> None:
    tokens = iter(["old", "token"])
    server.routes["/token"] = lambda _: Answer(body=json.dumps({"token": next(tokens)}).encode())
    uses = iter([True, False])

    def ask(asked: Asked) -> Answer:
        known = asked.headers.get("Authorization")
        if known == "Bearer token" or (known == "Bearer old" and next(uses)):
            return Answer(body=BLOB)
        return Answer(
            status=401, headers={"WWW-Authenticate": f'Bearer realm="{server.url}/token"'}
        )

    server.routes[BLOB_PATH] = ask
    asking = client(server)
    for _ in range(2):
        assert b"".join(asking.blob(reference(server), descriptor())) == BLOB


@pytest.mark.parametrize(
    "realm",
    ["file:///etc/passwd", "http://u:p@127.0.0.2/", "", "ftp://x/", "http://[/", "http://x:99999/"],
)
def test_strange_realms_are_refused(server: Server, realm: str) -> None:
    protected(server, Answer(body=BLOB), f'Bearer realm="{realm}"')
    with pytest.raises(RegistryFailed, match="token"):
        fetch_with_password(server)


@pytest.mark.parametrize("token", [None, 5, "", "two words", "line\r\nX-Evil: 1", "ünicode"])
def test_strange_tokens_are_refused(server: Server, token: object) -> None:
    protected(server, Answer(body=BLOB), token_realm(server, server, token))
    with pytest.raises(BadDocument):
        fetch_with_password(server)


def test_a_token_answer_is_bounded(server: Server) -> None:
    protected(server, Answer(body=BLOB), f'Bearer realm="{server.url}/token"')
    server.routes["/token"] = Answer(body=[bytes(1 << 18)] * 100)
    with pytest.raises(RegistryFailed, match="more than"):
        fetch_with_password(server)


# --- asking -------------------------------------------------------------------------------------


def test_an_image_that_does_not_exist(server: Server) -> None:
    with pytest.raises(NotInRegistry):
        client(server).manifest(reference(server))


def test_a_tags_digest_is_one_head_request(server: Server) -> None:
    known = digest(b"x")
    server.routes["/v2/app/manifests/latest"] = Answer(headers={"Docker-Content-Digest": known})
    assert client(server).digest(reference(server)) == known
    assert [asked.method for asked in server.asked] == ["HEAD"]


@pytest.mark.parametrize("said", ["", "md5:1", "sha512:" + "0" * 128])
def test_without_a_usable_digest_the_manifest_is_fetched(server: Server, said: str) -> None:
    published = publish(server)
    headers = {"Docker-Content-Digest": said} if said else {}
    server.routes["/v2/app/manifests/latest"] = Answer(body=published.manifest, headers=headers)
    assert client(server).digest(reference(server)) == digest(published.manifest)
