"""Mirrors are asked first, and what they do not give comes from the registry itself."""

import gzip
from collections.abc import Sequence
from pathlib import Path

import pytest

from runtime.api import RegistryAccess
from runtime.embedded.registry import endpoints
from runtime.embedded.registry.client import Client
from runtime.embedded.registry.endpoints import first_answer
from runtime.embedded.registry.faults import NotInRegistry, RegistryUnreachable
from runtime.embedded.store.images import ImageStore
from runtime.reference import Reference
from tests.images.registry import free_port
from tests.runtime.embedded.layers import tars
from tests.runtime.embedded.registry.hostile import Answer, Asked, Server, digest, publish
from tests.runtime.embedded.store.stocks import silent

PLAIN = tars.archive(tars.member(b"a", body=b"x" * 5000))
BLOB = gzip.compress(PLAIN)


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits before another try."""

    def client(access: RegistryAccess, **settings: object) -> Client:
        return Client(access, sleep=lambda _: None, **settings)  # type: ignore[arg-type]

    monkeypatch.setattr(endpoints, "Client", client)


def reference(server: Server) -> Reference:
    return Reference(host=server.host, repository="app", tag="latest")


def mirrored(server: Server, *mirrors: str, password: str = "") -> list[RegistryAccess]:
    username = "ci" if password else ""
    return [RegistryAccess(host=server.host, mirrors=mirrors, username=username, password=password)]


def digest_of(server: Server, access: Sequence[RegistryAccess]) -> str:
    return first_answer(reference(server), access, Client.manifest).digest


def test_the_mirror_is_asked_first_and_alone(server: Server, other: Server) -> None:
    older = publish(other, name="app", made="older")
    publish(server, name="app", made="newer")
    assert digest_of(server, mirrored(server, other.host)) == digest(older.manifest)
    assert server.asked == []


def test_a_mirror_may_keep_its_copies_under_a_prefix(server: Server, other: Server) -> None:
    publish(other, name="hub/copies/app")
    digest_of(server, mirrored(server, f"{other.host}/hub/copies"))
    assert other.paths() == ["/v2/hub/copies/app/manifests/latest"]
    assert server.asked == []


@pytest.mark.parametrize(
    "answer",
    [
        Answer(status=404),
        Answer(status=401, headers={"WWW-Authenticate": 'Basic realm="x"'}),
        Answer(status=403),
        Answer(status=500),
        Answer(status=503),
        Answer(status=418),
        Answer(body=b"{}", headers={"Docker-Content-Digest": digest(b"another")}),
        Answer(status=302, headers={"Location": "http://169.254.169.254/"}),
    ],
    ids=lambda answer: str(answer.status),
)
def test_what_the_mirror_does_not_give_comes_from_the_registry(
    server: Server, other: Server, answer: Answer
) -> None:
    published = publish(server)
    other.routes["/v2/app/manifests/latest"] = answer
    fetched = first_answer(reference(server), mirrored(server, other.host), Client.manifest)
    assert fetched.digest == digest(published.manifest)
    assert other.asked


def test_a_mirror_that_is_not_there_is_passed_over(server: Server) -> None:
    published = publish(server)
    gone = f"127.0.0.2:{free_port()}"
    assert digest_of(server, mirrored(server, gone)) == digest(published.manifest)


def test_mirrors_are_asked_in_their_order(server: Server, other: Server) -> None:
    published = publish(server)
    publish(other, name="b/app", made="by the second")
    access = mirrored(server, f"{other.host}/a", f"{other.host}/b")
    assert digest_of(server, access) != digest(published.manifest)
    assert other.paths() == ["/v2/a/app/manifests/latest", "/v2/b/app/manifests/latest"]


def test_what_the_registry_itself_says_is_final(server: Server, other: Server) -> None:
    with pytest.raises(NotInRegistry, match=server.host):
        digest_of(server, mirrored(server, other.host))
    gone = Reference(host=f"127.0.0.1:{free_port()}", repository="app", tag="latest")
    access = [RegistryAccess(host=gone.host, mirrors=(other.host,))]
    with pytest.raises(RegistryUnreachable, match=gone.host):
        first_answer(gone, access, Client.digest)


def locked(server: Server, known: str) -> None:
    """Serve ``app`` to who shows ``known``."""
    found = server.routes["/v2/app/manifests/latest"]
    assert isinstance(found, Answer)
    answer = found

    def ask(asked: Asked) -> Answer:
        if asked.headers.get("Authorization") == known:
            return answer
        return Answer(status=401, headers={"WWW-Authenticate": 'Basic realm="x"'})

    server.routes["/v2/app/manifests/latest"] = ask


def test_a_mirror_learns_no_login_but_its_own(server: Server, other: Server) -> None:
    publish(server)
    publish(other, made="by the mirror")
    locked(other, "Basic bTptaXJyb3I=")
    access = mirrored(server, other.host, password="secret")
    digest_of(server, access)
    assert other.authorizations() == []
    own = RegistryAccess(host=other.host, username="m", password="mirror")
    digest_of(server, [*access, own])
    assert other.authorizations() == ["Basic bTptaXJyb3I="]
    assert server.authorizations() == []


@pytest.mark.root
@pytest.mark.parametrize(
    "broken", [Answer(status=404), Answer(body=BLOB[:-9] + bytes(9)), Answer(body=BLOB[:90])]
)
def test_layers_that_the_mirror_lacks_or_spoils_come_from_the_registry(
    server: Server, other: Server, tmp_path: Path, broken: Answer
) -> None:
    store = ImageStore(tmp_path)
    publish(other, (PLAIN, BLOB))
    publish(server, (PLAIN, BLOB))
    other.routes[f"/v2/app/blobs/{digest(BLOB)}"] = broken
    image = store.pull(str(reference(server)), mirrored(server, other.host), silent)
    assert f"/v2/app/blobs/{digest(BLOB)}" in server.paths()
    assert image.references == (str(reference(server)),)
    (layer,) = store.layers(image.id)
    assert (layer / "a").read_bytes() == b"x" * 5000


@pytest.mark.root
def test_all_of_an_image_comes_from_the_mirror_under_the_registrys_name(
    server: Server, other: Server, tmp_path: Path
) -> None:
    publish(other, (PLAIN, BLOB))
    store = ImageStore(tmp_path)
    image = store.pull(str(reference(server)), mirrored(server, other.host), silent)
    assert image.references == (str(reference(server)),)
    assert server.asked == []
