"""Logins: checked at once, taken from where others keep them, shown to nobody else."""

import base64
import json
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest

from runtime.api import RegistryAccess
from runtime.embedded.registries import RegistryVerbs
from runtime.embedded.registry.client import Client
from runtime.embedded.registry.faults import (
    AccessDenied,
    NotInRegistry,
    PasswordWithheld,
    RegistryFailed,
    RegistryUnreachable,
)
from runtime.embedded.registry.session import PULL, PUSH, Session
from runtime.errors import Fault
from runtime.reference import DEFAULT_HOST, Reference
from tests.images.registry import Registry, free_port
from tests.runtime.embedded.registry.hostile import Answer, Asked, Script, Server, publish

OURS = "Basic Y2k6c2VjcmV0"


@pytest.fixture(autouse=True)
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Docker's file of logins, which is not there yet; nobody has another."""
    for name in ("DOCKER_CONFIG", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.delenv("REGISTRY_AUTH_FILE", raising=False)
    return tmp_path / "config.json"


def keep(kept: Path, host: str, login: str = "ci:secret", **more: str) -> None:
    auth = base64.b64encode(login.encode()).decode()
    kept.write_text(json.dumps({"auths": {host: {"auth": auth, **more}}}))


def access(server: Server, password: str = "secret") -> RegistryAccess:
    return RegistryAccess(host=server.host, username="ci", password=password)


def check(server: Server, password: str = "secret") -> None:
    RegistryVerbs().check_login(access(server, password))


def asks(server: Server, header: str, known: str = OURS) -> None:
    """A registry that answers those alone who show ``known``."""

    def guarded(answer: Answer | Script) -> Script:
        def ask(asked: Asked) -> Answer:
            if asked.headers.get("Authorization") == known:
                return answer if isinstance(answer, Answer) else answer(asked)
            return Answer(status=401, headers={"WWW-Authenticate": header})

        return ask

    server.routes["/v2/"] = Answer()
    for path, answer in list(server.routes.items()):
        if path.startswith("/v2/"):
            server.routes[path] = guarded(answer)


def sells(server: Server, customer: str = OURS) -> str:
    """A token server for those alone who show ``customer``; returns the challenge."""

    def sell(asked: Asked) -> Answer:
        if asked.headers.get("Authorization") == customer:
            return Answer(body=b'{"token": "t"}')
        return Answer(status=401)

    server.routes["/token"] = sell
    return f'Bearer realm="{server.url}/token",service="s"'


def pull(server: Server, **settings: Any) -> bytes:
    there = Reference(host=server.host, repository="app", tag="latest")
    with closing(Client(RegistryAccess(host=server.host, **settings))) as client:
        return client.manifest(there).raw


# --- checked --------------------------------------------------------------------------------------


def test_the_right_password_is_taken_and_a_wrong_one_is_told_at_once(server: Server) -> None:
    asks(server, 'Basic realm="x"')
    check(server)
    with pytest.raises(AccessDenied, match="refuses the username and password"):
        check(server, "wrong")
    assert len(server.asked) == 4


def test_a_token_server_says_whether_the_password_is_right(server: Server) -> None:
    asks(server, sells(server), "Bearer t")
    check(server)
    assert "scope" not in "".join(server.paths())
    with pytest.raises(AccessDenied, match="refuses the username and password"):
        check(server, "wrong")


def test_a_registry_that_asks_for_nothing_takes_any(server: Server) -> None:
    server.routes["/v2/"] = Answer()
    check(server, "whatever")
    assert server.authorizations() == []


def test_a_token_server_of_somebody_else_checks_nothing(server: Server, other: Server) -> None:
    """It would be asked without the password, and sell a token to anybody."""
    asks(server, sells(other), "Bearer t")
    with pytest.raises(PasswordWithheld):
        check(server)
    assert other.asked == []


@pytest.mark.parametrize("header", ["", "Digest realm=x", "Bearer", 'Bearer realm="http://[/"'])
def test_a_challenge_that_nobody_understands(server: Server, header: str) -> None:
    asks(server, header)
    with pytest.raises((AccessDenied, RegistryFailed)):
        check(server)
    assert server.authorizations() == []


def test_what_is_no_registry_and_what_is_not_there(server: Server) -> None:
    with pytest.raises(RegistryFailed, match="404"):
        check(server)
    gone = RegistryAccess(host=f"127.0.0.1:{free_port()}", username="ci", password="x")
    with pytest.raises(RegistryUnreachable):
        RegistryVerbs().check_login(gone)


def test_a_real_registry_checks_passwords(locked_registry: Registry) -> None:
    RegistryVerbs().check_login(
        RegistryAccess(host=locked_registry.address, username="ci", password="secret")
    )
    with pytest.raises(AccessDenied):
        RegistryVerbs().check_login(
            RegistryAccess(host=locked_registry.address, username="ci", password="wrong")
        )


# --- kept by others -------------------------------------------------------------------------------


def test_a_login_that_docker_keeps_is_found_when_it_is_asked_for(
    server: Server, kept: Path
) -> None:
    published = publish(server)
    asks(server, 'Basic realm="x"')
    keep(kept, server.host)
    assert pull(server) == published.manifest
    assert [asked.headers.get("Authorization") for asked in server.asked] == [None, OURS]


def test_files_of_logins_are_not_read_while_nobody_asks(server: Server, kept: Path) -> None:
    publish(server)
    kept.write_text("this is no JSON")
    assert pull(server)
    assert server.authorizations() == []


def test_what_the_spec_says_goes_before_what_is_kept(server: Server, kept: Path) -> None:
    publish(server)
    asks(server, 'Basic realm="x"')
    keep(kept, server.host, "somebody:else")
    assert pull(server, username="ci", password="secret")
    assert server.authorizations() == [OURS]


def test_a_login_for_another_registry_is_not_shown(server: Server, kept: Path) -> None:
    publish(server)
    asks(server, 'Basic realm="x"')
    keep(kept, "127.0.0.2:5000")
    with pytest.raises(AccessDenied, match="asks for a login"):
        pull(server)
    assert server.authorizations() == []


def test_a_kept_login_buys_tokens_from_the_registrys_own_server(
    server: Server, other: Server, kept: Path
) -> None:
    publish(server)
    asks(server, sells(server), "Bearer t")
    keep(kept, server.host)
    assert pull(server)
    assert server.authorizations() == [OURS, "Bearer t"]
    asks(server, sells(other), "Bearer u")
    with pytest.raises(PasswordWithheld):
        pull(server)
    assert other.asked
    assert other.authorizations() == []


def test_an_identity_token_buys_tokens_as_oauth_has_it(server: Server, kept: Path) -> None:
    publish(server)
    asks(server, f'Bearer realm="{server.url}/token",service="s"', "Bearer t")
    server.routes["/token"] = Answer(body=b'{"access_token": "t", "expires_in": 300}')
    keep(kept, server.host, "00000000-0000-0000-0000-000000000000:", identitytoken="long-lived")
    assert pull(server)
    (bought,) = [asked for asked in server.asked if asked.path == "/token"]
    assert bought.method == "POST"
    assert parse_qs(bought.body.decode()) == {
        "grant_type": ["refresh_token"],
        "client_id": ["trueup"],
        "service": ["s"],
        "scope": ["repository:app:pull"],
        "refresh_token": ["long-lived"],
    }
    assert server.authorizations() == ["Bearer t"]


def test_an_identity_token_is_given_to_nobody_else(
    server: Server, other: Server, kept: Path
) -> None:
    publish(server)
    asks(server, f'Bearer realm="{other.url}/token"', "Bearer t")
    other.routes["/token"] = Answer(body=b'{"token": "t"}')
    keep(kept, server.host, "x:", identitytoken="long-lived")
    assert pull(server)
    assert [(asked.method, asked.body) for asked in other.asked] == [("GET", b"")]
    assert other.authorizations() == []


def test_an_identity_token_does_not_follow_a_redirect(
    server: Server, other: Server, kept: Path
) -> None:
    publish(server)
    asks(server, f'Bearer realm="{server.url}/token"', "Bearer t")
    server.routes["/token"] = Answer(status=307, headers={"Location": f"{other.url}/token"})
    other.routes["/token"] = Answer(body=b'{"token": "t"}')
    keep(kept, server.host, "x:", identitytoken="long-lived")
    with pytest.raises(RegistryFailed, match="with a secret"):
        pull(server)
    assert other.asked == []


# --- what is hidden -------------------------------------------------------------------------------


def refused(server: Server, host: str, actions: str = PULL) -> Fault:
    """What a registry's answer 401 means that comes in spite of a token."""
    header = f'Bearer realm="{server.url}/token",service="s"'
    server.routes["/v2/app/manifests/latest"] = Answer(
        status=401, headers={"WWW-Authenticate": header}
    )
    server.routes["/token"] = Answer(body=b'{"token": "t"}')
    there = Reference(host=host, repository="app", tag="latest")
    with (
        closing(Session(RegistryAccess(host=host), base=server.url, actions=actions)) as session,
        pytest.raises(Fault) as raised,
        session.ask("GET", there, "manifests/latest", {}),
    ):
        pass
    assert server.paths()[-1] == "/v2/app/manifests/latest"
    assert server.authorizations()[-1] == "Bearer t"
    return raised.value


def test_docker_hub_says_of_nothing_what_it_says_of_private_images(server: Server) -> None:
    fault = refused(server, DEFAULT_HOST)
    assert isinstance(fault, NotInRegistry)
    assert "private" in fault.why
    assert "trueup login docker.io" in fault.hint


def test_who_is_logged_in_there_or_pushes_is_refused(server: Server, kept: Path) -> None:
    assert isinstance(refused(server, DEFAULT_HOST, PUSH), AccessDenied)
    keep(kept, "https://index.docker.io/v1/")
    assert isinstance(refused(server, DEFAULT_HOST), AccessDenied)


def test_another_registry_means_what_it_says(server: Server) -> None:
    assert isinstance(refused(server, "registry.test"), AccessDenied)
