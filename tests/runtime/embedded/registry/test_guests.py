"""A host of one's own that redirects to the real registry: what that gives to anybody comes, and
nobody learns a password or another's token."""

import json
import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from runtime.api import RegistryAccess
from runtime.embedded.registry.addresses import Guard
from runtime.embedded.registry.client import Client
from runtime.embedded.registry.documents import Descriptor
from runtime.embedded.registry.faults import AccessDenied, NotInRegistry, RegistryFailed
from runtime.embedded.registry.session import PUSH, Session
from runtime.reference import Reference
from tests.runtime.embedded.registry.hostile import (
    Answer,
    Asked,
    Script,
    Server,
    digest,
    publish,
    serving,
)

BLOB = os.urandom(300_000)
DESCRIPTOR = Descriptor(media_type="x", digest=digest(BLOB), size=len(BLOB))
OURS = "Basic Y2k6c2VjcmV0"


@pytest.fixture(autouse=True)
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A login for every host that a test has."""
    for name in ("DOCKER_CONFIG", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.delenv("REGISTRY_AUTH_FILE", raising=False)


@pytest.fixture
def store() -> Iterator[Server]:
    """Where the real registry has its blobs."""
    with serving("127.0.0.3") as made:
        yield made


def guarded(server: Server, answer: Answer, known: str, realm: str) -> Script:
    header = f'Bearer realm="{realm}",service="s",scope="repository:private/all:pull,push"'

    def ask(asked: Asked) -> Answer:
        if asked.headers.get("Authorization") == known:
            return answer
        return Answer(status=401, headers={"WWW-Authenticate": header})

    return ask


def lead(own: Server, real: Server, *, realm: str = "") -> bytes:
    """``own`` redirects ``app`` to ``team/app`` of ``real``, which sells tokens to anybody; returns
    the manifest."""
    manifest = publish(real, name="team/app").manifest
    real.routes[f"/v2/team/app/blobs/{DESCRIPTOR.digest}"] = Answer(body=BLOB)
    for path, answer in list(real.routes.items()):
        assert isinstance(answer, Answer)
        real.routes[path] = guarded(real, answer, "Bearer guest", realm or f"{real.url}/token")
        there = Answer(status=302, headers={"Location": f"{real.url}{path}"})
        own.routes[path.replace("/team/", "/")] = there
    real.routes["/token"] = Answer(body=b'{"token": "guest"}')
    return manifest


def reference(server: Server) -> Reference:
    return Reference(host=server.host, repository="app", tag="latest")


def client(server: Server) -> Client:
    access = RegistryAccess(host=server.host, username="ci", password="secret")
    return Client(access, sleep=lambda _: None)


def manifest(server: Server) -> bytes:
    with closing(client(server)) as made:
        return made.manifest(reference(server)).raw


def test_all_of_an_image_comes_from_where_we_are_led(server: Server, other: Server) -> None:
    raw = lead(server, other)
    with closing(client(server)) as made:
        assert made.manifest(reference(server)).raw == raw
        assert made.digest(reference(server)) == digest(raw)
        assert b"".join(made.blob(reference(server), DESCRIPTOR)) == BLOB
    assert [path for path in other.paths() if path.startswith("/token")] == [
        "/token?service=s&scope=repository%3Ateam%2Fapp%3Apull"
    ]
    assert set(other.authorizations()) == {"Bearer guest"}
    assert server.authorizations() == []


TAGS = "/v2/team/app/tags/list"


def lead_to_tags(own: Server, real: Server, following: str, *, with_query: bool = True) -> None:
    """The real registry's list has two pages, the second at ``following``."""
    lead(own, real)
    first = Answer(
        body=b'{"tags": ["1", "2"]}', headers={"Link": f'<{following}?n=2&last=2>; rel="next"'}
    )
    rest = Answer(body=b'{"tags": ["3"]}')

    def page(asked: Asked) -> Answer:
        answer = rest if "last=2" in asked.path else first
        return guarded(real, answer, "Bearer guest", f"{real.url}/token")(asked)

    def there(asked: Asked) -> Answer:
        query = asked.path.partition("?")[2] if with_query else ""
        return Answer(status=307, headers={"Location": f"{real.url}{TAGS}?{query}"})

    real.routes[TAGS] = page
    own.routes["/v2/app/tags/list"] = there


@pytest.mark.parametrize("whole", [True, False])
def test_every_page_of_a_list_comes_from_where_we_are_led(
    server: Server, other: Server, whole: bool
) -> None:
    lead_to_tags(server, other, f"{other.url}{TAGS}" if whole else TAGS)
    with closing(client(server)) as made:
        assert made.tags(reference(server)) == ["1", "2", "3"]
    ours = "/v2/app/tags/list"
    assert server.paths() == [f"{ours}?n=1000", f"{ours}?n=2&last=2"]
    assert server.authorizations() == []
    assert set(other.authorizations()) == {"Bearer guest"}


def test_the_next_page_is_not_fetched_from_a_third(
    server: Server, other: Server, store: Server
) -> None:
    lead_to_tags(server, other, f"{store.url}{TAGS}")
    with closing(client(server)) as made, pytest.raises(RegistryFailed, match="goes on at"):
        made.tags(reference(server))
    assert store.asked == []


def test_who_leads_to_the_first_page_alone_is_left(server: Server, other: Server) -> None:
    lead_to_tags(server, other, TAGS, with_query=False)
    with closing(client(server)) as made, pytest.raises(RegistryFailed, match="nothing new"):
        made.tags(reference(server))
    assert len(server.asked) == 2


def test_the_registry_itself_learns_no_token_of_a_guest(server: Server, other: Server) -> None:
    """It asks for a login of its own before it leads us elsewhere."""
    raw = lead(server, other)
    for path, answer in list(server.routes.items()):
        assert isinstance(answer, Answer)
        server.routes[path] = guarded(server, answer, "Bearer ours", f"{server.url}/token")
    server.routes["/token"] = Answer(body=b'{"token": "ours"}')
    assert manifest(server) == raw
    assert set(server.authorizations()) == {OURS, "Bearer ours"}
    assert set(other.authorizations()) == {"Bearer guest"}


def test_a_store_behind_it_learns_nothing(server: Server, other: Server, store: Server) -> None:
    lead(server, other)
    store.routes["/blob"] = Answer(body=BLOB)
    path = f"/v2/team/app/blobs/{DESCRIPTOR.digest}"
    led = Answer(status=307, headers={"Location": f"{store.url}/blob"})
    other.routes[path] = guarded(other, led, "Bearer guest", f"{other.url}/token")
    with closing(client(server)) as made:
        assert b"".join(made.blob(reference(server), DESCRIPTOR)) == BLOB
    assert store.authorizations() == []


def test_a_token_server_elsewhere_is_asked_as_anybody(
    server: Server, other: Server, store: Server
) -> None:
    raw = lead(server, other, realm=f"{store.url}/token")
    store.routes["/token"] = Answer(body=b'{"token": "guest"}')
    assert manifest(server) == raw
    assert store.authorizations() == []
    lead(server, other, realm=f"{server.url}/token")
    server.routes["/token"] = Answer(body=b'{"token": "guest"}')
    assert manifest(server) == raw
    assert server.authorizations() == []


def test_a_token_that_ran_out_is_bought_again(server: Server, other: Server) -> None:
    raw = lead(server, other)
    with closing(client(server)) as made:
        assert made.manifest(reference(server)).raw == raw
        for path, answer in list(other.routes.items()):
            if path.endswith("/latest"):
                found = answer(
                    Asked(method="GET", path=path, headers={"Authorization": "Bearer guest"})
                )  # type: ignore[operator]
                other.routes[path] = guarded(other, found, "Bearer newer", f"{other.url}/token")
        other.routes["/token"] = Answer(body=b'{"token": "newer"}')
        assert made.manifest(reference(server)).raw == raw


def test_who_sells_nothing_to_anybody_is_named(server: Server, other: Server) -> None:
    lead(server, other)
    for refused in (Answer(status=401), Answer(status=403), Answer(body=b'{"token": "none"}')):
        other.routes["/token"] = refused
        with pytest.raises(AccessDenied) as denied:
            manifest(server)
        assert str(denied.value) == (
            f"no access to {server.host}/app: it leads to {other.host}, which asks for a login, or"
            " there is no such repository\n"
            f"  name the image as {other.host} does, and log in there: no login follows a redirect"
        )
    assert OURS not in other.authorizations()


def test_what_is_not_there_is_told_as_such(server: Server, other: Server) -> None:
    lead(server, other)
    path = "/v2/team/app/manifests/latest"
    gone = guarded(other, Answer(status=404), "Bearer guest", f"{other.url}/token")
    other.routes[path] = gone
    with pytest.raises(NotInRegistry):
        manifest(server)


@pytest.mark.parametrize(
    "header",
    [
        "",
        'Basic realm="x"',
        'Bearer realm="file:///etc/passwd"',
        'Bearer realm="http://ci:secret@127.0.0.2/token"',
        'Bearer realm="/token"',
    ],
)
def test_a_strange_challenge_from_there_is_a_refusal(
    server: Server, other: Server, header: str
) -> None:
    lead(server, other)
    other.routes["/v2/team/app/manifests/latest"] = Answer(
        status=401, headers={"WWW-Authenticate": header}
    )
    with pytest.raises(AccessDenied, match="asks for a login"):
        manifest(server)
    assert not [path for path in other.paths() if "token" in path]
    assert other.authorizations() == []


def test_no_token_is_fetched_for_what_is_no_registry(server: Server, other: Server) -> None:
    lead(server, other)
    server.routes["/v2/app/manifests/latest"] = Answer(
        status=302, headers={"Location": f"{other.url}/store/latest"}
    )
    other.routes["/store/latest"] = guarded(other, Answer(), "x", f"{other.url}/token")
    with pytest.raises(AccessDenied):
        manifest(server)
    assert other.paths() == ["/store/latest"]


def test_a_realm_where_we_may_not_be_led_is_not_asked(
    server: Server, other: Server, store: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    def check(guard: Guard, host: str, address: str, **_: object) -> None:
        if address == "127.0.0.3":
            raise RegistryFailed(guard.own, "a cloud's secrets")

    monkeypatch.setattr(Guard, "check", check)
    lead(server, other, realm=f"{store.url}/token")
    with pytest.raises(RegistryFailed, match="a cloud's secrets"):
        manifest(server)
    assert store.asked == []


def test_who_pushes_is_no_guest(server: Server, other: Server) -> None:
    lead(server, other)
    with (
        closing(Session(RegistryAccess(host=server.host), actions=PUSH)) as session,
        pytest.raises(AccessDenied),
        session.ask("HEAD", reference(server), "manifests/latest", {}),
    ):
        pass
    assert other.paths() == ["/v2/team/app/manifests/latest"]


def test_logins_for_the_real_registry_stay_where_they_are(
    server: Server, other: Server, tmp_path: Path
) -> None:
    raw = lead(server, other)
    auths = {each.host: {"auth": "Y2k6c2VjcmV0"} for each in (server, other)}
    (tmp_path / "config.json").write_text(json.dumps({"auths": auths}))
    with closing(Client(RegistryAccess(host=server.host))) as made:
        assert made.manifest(reference(server)).raw == raw
    assert set(other.authorizations()) == {"Bearer guest"}
