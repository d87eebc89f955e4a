"""Sending blobs and manifests to registries that break, refuse, lead elsewhere and lie."""

import json
from urllib.parse import parse_qs, urlsplit

import pytest

from runtime.api import RegistryAccess
from runtime.embedded.registry.documents import Descriptor
from runtime.embedded.registry.faults import AccessDenied, RegistryFailed, RegistryUnreachable
from runtime.embedded.registry.upload import Uploader
from runtime.reference import Reference
from tests.runtime.embedded.registry.hostile import Answer, Asked, Script, Server, digest

BLOB = bytes(range(256)) * 1000
DESCRIPTOR = Descriptor(media_type="x", digest=digest(BLOB), size=len(BLOB))
UPLOADS = "/v2/app/blobs/uploads/"
MANIFEST = b'{"schemaVersion": 2}'
KIND = "application/vnd.oci.image.manifest.v1+json"


def reference(server: Server) -> Reference:
    return Reference(host=server.host, repository="app", tag="1")


def uploader(server: Server, password: str = "") -> Uploader:
    username = "ci" if password else ""
    access = RegistryAccess(host=server.host, username=username, password=password)
    return Uploader(access, sleep=lambda _: None)


def send(server: Server, *, source: str = "", password: str = "") -> bool:
    return uploader(server, password).send(reference(server), DESCRIPTOR, lambda: BLOB, source)


def takes(server: Server, location: str = "/upload/1?state=a%2Fb") -> None:
    """Serve as a registry that lacks the blob and takes it."""
    server.routes[UPLOADS] = Answer(status=202, headers={"Location": location})
    server.routes["/upload/1"] = Answer(status=201)


def methods(server: Server) -> list[str]:
    return [asked.method for asked in server.asked]


@pytest.mark.parametrize("location", ["/upload/1?state=a%2Fb", "../../../../upload/1", "whole"])
def test_a_blob_is_sent_to_where_the_registry_says(server: Server, location: str) -> None:
    takes(server, f"{server.url}/upload/1?state=x" if location == "whole" else location)
    assert send(server) is False
    put = server.asked[-1]
    assert (methods(server), put.body) == (["POST", "PUT"], BLOB)
    assert put.headers["Content-Length"] == str(len(BLOB))
    query = parse_qs(urlsplit(put.path).query)
    assert query.pop("digest") == [digest(BLOB)]
    assert query in ({}, {"state": ["a/b"]}, {"state": ["x"]})


def test_what_is_there_is_known_by_a_head_request(server: Server) -> None:
    asking = uploader(server)
    assert not asking.has(reference(server), DESCRIPTOR)
    server.routes[f"/v2/app/blobs/{digest(BLOB)}"] = Answer(body=BLOB)
    assert asking.has(reference(server), DESCRIPTOR)
    assert methods(server) == ["HEAD", "HEAD"]


def test_a_blob_of_another_repository_is_mounted(server: Server) -> None:
    server.routes[UPLOADS] = Answer(status=201)
    assert send(server, source="team/base") is True
    asked = parse_qs(urlsplit(server.asked[0].path).query)
    assert asked == {"mount": [digest(BLOB)], "from": ["team/base"]}


def test_what_cannot_be_mounted_is_sent(server: Server) -> None:
    takes(server)
    assert send(server, source="team/base") is False
    assert server.asked[-1].body == BLOB


@pytest.mark.parametrize("status", [400, 403, 404, 405])
def test_a_registry_that_will_not_mount_gets_the_bytes(server: Server, status: int) -> None:
    def ask(asked: Asked) -> Answer:
        if "mount=" in asked.path:
            return Answer(status=status)
        return Answer(status=202, headers={"Location": "/upload/1"})

    takes(server)
    server.routes[UPLOADS] = ask
    assert send(server, source="team/base") is False
    assert server.asked[-1].body == BLOB


def breaks(times: int) -> Script:
    left = iter(range(times))
    return lambda _: Answer(status=503) if next(left, None) is not None else Answer(status=201)


def test_an_upload_that_breaks_begins_anew(server: Server) -> None:
    takes(server)
    server.routes["/upload/1"] = breaks(2)
    assert send(server) is False
    assert methods(server) == ["POST", "PUT"] * 3
    assert server.asked[-1].body == BLOB


def test_an_upload_that_always_breaks_is_given_up(server: Server) -> None:
    takes(server)
    server.routes["/upload/1"] = breaks(100)
    with pytest.raises(RegistryFailed, match="503"):
        send(server)
    assert len(server.asked) == 10


@pytest.mark.parametrize(
    "location", ["", "ftp://x/y", "http://a:b@127.0.0.1/", "http://127.0.0.1:99999/", "file:/x"]
)
def test_strange_places_to_send_to_are_refused(server: Server, location: str) -> None:
    server.routes[UPLOADS] = Answer(status=202, headers={"Location": location} if location else {})
    with pytest.raises(RegistryFailed):
        send(server)
    assert methods(server) == ["POST"]


def protected(server: Server, *paths: str) -> None:
    """Let what stands at the paths be for those alone who have a token, which the password
    buys."""

    def guarded(answer: Answer | Script) -> Script:
        def ask(asked: Asked) -> Answer:
            if asked.headers.get("Authorization", "").startswith("Bearer "):
                return answer if isinstance(answer, Answer) else answer(asked)
            realm = f'Bearer realm="{server.url}/token",service="s"'
            return Answer(status=401, headers={"WWW-Authenticate": realm})

        return ask

    for path in paths:
        server.routes[path] = guarded(server.routes[path])
    server.routes["/token"] = Answer(body=json.dumps({"token": "t"}).encode())


def test_a_token_allows_to_push_and_to_read_what_is_mounted(server: Server) -> None:
    takes(server)
    protected(server, UPLOADS, "/upload/1")
    assert send(server, source="team/base", password="secret") is False
    scopes = [parse_qs(urlsplit(path).query).get("scope") for path in server.paths()]
    wanted = ["repository:app:pull,push", "repository:team/base:pull"]
    assert [scope for scope in scopes if scope] == [wanted]


def test_another_host_that_takes_the_bytes_learns_no_token(server: Server, other: Server) -> None:
    takes(server, f"{other.url}/upload/1")
    protected(server, UPLOADS)
    other.routes["/upload/1"] = Answer(status=201)
    assert send(server, password="secret") is False
    assert other.asked[0].body == BLOB
    assert other.authorizations() == []


def test_another_host_cannot_ask_for_the_password(server: Server, other: Server) -> None:
    takes(server, f"{other.url}/upload/1")
    other.routes["/upload/1"] = Answer(status=401, headers={"WWW-Authenticate": 'Basic realm="x"'})
    with pytest.raises(AccessDenied):
        send(server, password="secret")
    assert other.authorizations() == []


def test_a_token_that_runs_out_while_pushing_is_renewed(server: Server) -> None:
    takes(server)
    seen: list[str] = []

    def ask(asked: Asked) -> Answer:
        """Each token is good for one request."""
        token = asked.headers.get("Authorization", "")
        if token and token not in seen:
            seen.append(token)
            return (
                Answer(status=202, headers={"Location": "/upload/1"})
                if (asked.method == "POST")
                else Answer(status=201)
            )
        realm = f'Bearer realm="{server.url}/token"'
        return Answer(status=401, headers={"WWW-Authenticate": realm})

    numbers = iter(range(100))
    server.routes["/token"] = lambda _: Answer(body=b'{"token": "%d"}' % next(numbers))
    server.routes[UPLOADS] = server.routes["/upload/1"] = ask
    sending = uploader(server)
    for _ in range(2):
        assert sending.send(reference(server), DESCRIPTOR, lambda: BLOB) is False
    assert len(seen) == 4
    assert {asked.body for asked in server.asked if asked.method == "PUT"} == {BLOB}


@pytest.mark.parametrize("status", [401, 403])
def test_who_may_not_push_is_told_so(server: Server, status: int) -> None:
    server.routes[UPLOADS] = Answer(status=status)
    with pytest.raises(AccessDenied, match="no right to push"):
        send(server)


def test_a_repository_that_must_be_made_first(server: Server) -> None:
    with pytest.raises(RegistryFailed, match="no repository app"):
        send(server)


def test_a_registrys_own_words_are_told(server: Server) -> None:
    said = {"errors": [{"code": "DENIED", "message": "quota of\x1b 1 GB"}]}
    server.routes[UPLOADS] = Answer(status=413, body=json.dumps(said).encode())
    with pytest.raises(RegistryFailed, match="413, quota of 1 GB"):
        send(server)


def test_a_registry_that_goes_away(server: Server) -> None:
    takes(server, "http://127.0.0.1:1/upload")
    with pytest.raises(RegistryUnreachable):
        send(server)


def put(server: Server) -> None:
    uploader(server).put_manifest(reference(server), MANIFEST, KIND, digest(MANIFEST))


def test_a_manifest_is_sent_as_what_it_is(server: Server) -> None:
    headers = {"Docker-Content-Digest": digest(MANIFEST)}
    server.routes["/v2/app/manifests/1"] = Answer(status=201, headers=headers)
    put(server)
    (asked,) = server.asked
    assert (asked.method, asked.body, asked.headers["Content-Type"]) == ("PUT", MANIFEST, KIND)


def test_a_manifest_that_became_another_one_is_told_of(server: Server) -> None:
    headers = {"Docker-Content-Digest": digest(b"another")}
    server.routes["/v2/app/manifests/1"] = Answer(status=201, headers=headers)
    with pytest.raises(RegistryFailed, match="took the manifest"):
        put(server)
