"""Token servers of another domain: they get a password where the user says so, and only they."""

import json
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from runtime.api import RegistryAccess
from runtime.embedded.registries import RegistryVerbs
from runtime.embedded.registry import auth
from runtime.embedded.registry.client import Client
from runtime.embedded.registry.faults import AccessDenied, PasswordWithheld
from runtime.reference import Reference
from tests.runtime.embedded.registry.hostile import Answer, Asked, Server, publish

OURS = "Basic Y2k6c2VjcmV0"
LOGIN: dict[str, Any] = {"username": "ci", "password": "secret"}


@pytest.fixture(autouse=True)
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Docker's file of logins, which is not there yet; nobody has another."""
    for name in ("DOCKER_CONFIG", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.delenv("REGISTRY_AUTH_FILE", raising=False)
    return tmp_path / "config.json"


def guard(server: Server, header: str, known: str) -> None:
    """Serve ``app`` and the check of logins to who shows ``known``."""
    publish(server)
    for path in ("/v2/", "/v2/app/manifests/latest"):
        found = server.routes.get(path, Answer())
        assert isinstance(found, Answer)

        def ask(asked: Asked, found: Answer = found) -> Answer:
            if asked.headers.get("Authorization") == known:
                return found
            return Answer(status=401, headers={"WWW-Authenticate": header})

        server.routes[path] = ask


def apart(server: Server, tokens: Server, *, anonymous: Answer | None = None) -> None:
    """A registry whose token server is a host of its own, which gives who comes without a
    password what ``anonymous`` says."""

    def sell(asked: Asked) -> Answer:
        if asked.headers.get("Authorization") == OURS:
            return Answer(body=b'{"token": "t"}')
        return anonymous or Answer(status=401)

    tokens.routes["/token"] = sell
    guard(server, f'Bearer realm="{tokens.url}/token",service="s"', "Bearer t")


def pull(server: Server, **settings: Any) -> bytes:
    there = Reference(host=server.host, repository="app", tag="latest")
    with closing(Client(RegistryAccess(host=server.host, **settings))) as client:
        return client.manifest(there).raw


def check(server: Server, **settings: Any) -> None:
    RegistryVerbs().check_login(RegistryAccess(host=server.host, **LOGIN, **settings))


# --- withheld -------------------------------------------------------------------------------------


@pytest.mark.parametrize("anonymous", [None, Answer(body=b'{"token": "for-nothing"}')])
def test_a_password_that_was_not_sent_is_not_called_wrong(
    server: Server, other: Server, anonymous: Answer | None
) -> None:
    apart(server, other, anonymous=anonymous)
    with pytest.raises(PasswordWithheld) as withheld:
        pull(server, **LOGIN)
    assert str(withheld.value) == (
        f"the password for {server.host} was not sent: its token server {other.host} is under"
        " another domain\n"
        f"  if that acts for {server.host}, write `partners: [{other.host}]` for it under"
        " `registries:`, in the spec or, for `trueup login` as well, in"
        " /etc/trueup/registries.yaml"
    )
    assert other.authorizations() == []


def test_so_it_is_with_a_login_that_is_kept(server: Server, other: Server, kept: Path) -> None:
    apart(server, other)
    kept.write_text(json.dumps({"auths": {server.host: {"auth": "Y2k6c2VjcmV0"}}}))
    with pytest.raises(PasswordWithheld):
        pull(server)
    assert other.authorizations() == []
    kept.write_text(json.dumps({"auths": {server.host: {"identitytoken": "long-lived"}}}))
    with pytest.raises(PasswordWithheld):
        pull(server)
    assert {(asked.method, asked.body) for asked in other.asked} == {("GET", b"")}


def test_who_has_no_password_is_asked_for_a_login(server: Server, other: Server) -> None:
    apart(server, other)
    with pytest.raises(AccessDenied, match="asks for a login") as denied:
        pull(server)
    assert not isinstance(denied.value, PasswordWithheld)


def test_what_is_public_comes_without_the_password(server: Server, other: Server) -> None:
    apart(server, other, anonymous=Answer(body=b'{"token": "t"}'))
    assert pull(server, **LOGIN)
    assert other.authorizations() == []


def test_a_login_is_not_taken_for_checked(server: Server, other: Server) -> None:
    apart(server, other, anonymous=Answer(body=b'{"token": "t"}'))
    with pytest.raises(PasswordWithheld):
        check(server)
    assert other.asked == []


def test_the_realm_of_basic_is_only_a_text(server: Server, other: Server) -> None:
    guard(server, f'Basic realm="{other.url}/"', OURS)
    check(server)
    assert other.asked == []
    assert server.authorizations() == [OURS]


# --- partners -------------------------------------------------------------------------------------


def test_a_partner_gets_the_password(server: Server, other: Server, kept: Path) -> None:
    apart(server, other)
    for partner in (other.host, "127.0.0.2"):
        check(server, partners=(partner,))
        assert pull(server, partners=(partner,), **LOGIN)
    kept.write_text(json.dumps({"auths": {server.host: {"auth": "Y2k6c2VjcmV0"}}}))
    assert pull(server, partners=(other.host,))
    assert set(other.authorizations()) == {OURS}
    assert set(server.authorizations()) == {"Bearer t"}


def test_a_partner_gets_an_identity_token_and_may_not_pass_it_on(
    server: Server, other: Server, kept: Path
) -> None:
    apart(server, other)
    other.routes["/token"] = Answer(body=b'{"access_token": "t"}')
    kept.write_text(json.dumps({"auths": {server.host: {"identitytoken": "long-lived"}}}))
    assert pull(server, partners=(other.host,))
    assert [b"long-lived" in asked.body for asked in other.asked] == [True]
    other.routes["/token"] = Answer(status=307, headers={"Location": f"{server.url}/token"})
    with pytest.raises(Exception, match="with a secret"):
        pull(server, partners=(other.host,))
    assert not any(asked.body for asked in server.asked)


@pytest.mark.parametrize("partner", ["127.0.0.3", "127.0.0.2:1", "x127.0.0.2", "127.0.0"])
def test_another_partner_opens_nothing(server: Server, other: Server, partner: str) -> None:
    apart(server, other)
    with pytest.raises(PasswordWithheld):
        pull(server, partners=(partner,), **LOGIN)
    assert other.authorizations() == []


def test_a_partner_that_refuses_the_password_is_told_of(server: Server, other: Server) -> None:
    apart(server, other)
    with pytest.raises(AccessDenied, match="refuses the username and password") as denied:
        pull(server, username="ci", password="wrong", partners=(other.host,))
    assert not isinstance(denied.value, PasswordWithheld)


@pytest.mark.parametrize(
    ("realm", "partner", "allowed"),
    [
        ("https://auth.example/token", "auth.example", True),
        ("https://auth.example/token", "AUTH.example", True),
        ("https://auth.example:8443/token", "auth.example", True),
        ("https://auth.example/token", "auth.example:443", True),
        ("https://auth.example:8443/token", "auth.example:8443", True),
        ("https://[fd00::1]:8443/token", "[fd00::1]:8443", True),
        ("https://auth.example:8443/token", "auth.example:443", False),
        ("https://auth.example/token", "auth.example:80", False),
        ("https://evil.auth.example/token", "auth.example", False),
        ("https://auth.example.evil.test/token", "auth.example", False),
        ("https://evil.test/auth.example", "auth.example", False),
        ("https://auth.example/token", "auth.example:99999", False),
        ("https://auth.example/token", "example", False),
    ],
)
def test_a_partner_is_a_host_and_its_port_if_it_names_one(
    realm: str, partner: str, allowed: bool
) -> None:
    assert auth.may_know_password(realm, "https://registry.lab", (partner,)) is allowed


@pytest.mark.parametrize(
    "realm",
    [
        "http://auth.example/token",
        "https://ci@auth.example/token",
        "https://evil.test\\.auth.example/token",
        "https://evil.test\\@auth.example/token",
        "https://auth.example\x1b[1m/token",
        "https://auth.example%2eevil.test/token",
        "https://auth.example:0/token",
        "https://auth.example:99999/token",
    ],
)
def test_a_realm_that_is_two_things_is_not_asked(realm: str) -> None:
    """Some libraries end a host at a backslash, some do not."""
    assert not auth.may_ask(realm, "https://registry.lab")
