"""Which login is found, in files as Docker and podman write them."""

import base64
import json
import os
import pwd
from collections.abc import Mapping
from pathlib import Path

import pytest

from runtime.credentials.faults import LoginsDamaged
from runtime.credentials.lookup import Login, login_for
from runtime.credentials.places import files
from tests.runtime.credentials.vault import home


def _auth(username: str, password: str) -> dict[str, str]:
    return {"auth": base64.b64encode(f"{username}:{password}".encode()).decode()}


def _write(path: Path, document: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return path


def _found(folder: Path, host: str, repository: str = "") -> tuple[str, str, str] | None:
    login = login_for(host, repository, home(folder))
    return (login.username, login.password, login.identity_token) if login else None


ENTRIES: dict[str, tuple[Mapping[str, object], tuple[str, str, str] | None]] = {
    "name and password in base64": (_auth("ann", "pw"), ("ann", "pw", "")),
    "a password with colons": (_auth("ann", "p:w:"), ("ann", "p:w:", "")),
    "letters beyond ASCII": (_auth("änn", "p€"), ("änn", "p€", "")),
    "padded with zero bytes": (_auth("ann", "pw\0\0"), ("ann", "pw", "")),
    "in clear text": ({"username": "ann", "password": "pw"}, ("ann", "pw", "")),
    "an identity token beside the name": (
        {**_auth("ann", ""), "identitytoken": "t0k"},
        ("ann", "", "t0k"),
    ),
    "an identity token alone": ({"identitytoken": "t0k"}, ("", "", "t0k")),
    "nothing: a program keeps it": ({}, None),
    "an email of old": ({"email": "ann@x.example", **_auth("ann", "pw")}, ("ann", "pw", "")),
}


@pytest.mark.parametrize("case", ENTRIES)
def test_each_form_of_an_entry_is_read(case: str, tmp_path: Path) -> None:
    entry, expected = ENTRIES[case]
    _write(tmp_path / ".docker/config.json", {"auths": {"r.lab:5000": entry}})
    assert _found(tmp_path, "r.lab:5000", "team/app") == expected


HOSTS = [
    # key in the file, host asked for, found
    ("r.lab", "r.lab", True),
    ("r.lab:5000", "r.lab:5000", True),
    ("r.lab", "r.lab:5000", False),
    ("r.lab:5000", "r.lab", False),
    ("https://r.lab", "r.lab", True),
    ("http://r.lab:5000/v2/", "r.lab:5000", True),
    ("https://r.lab/v1/", "r.lab", True),
    ("r.lab/v1/", "r.lab", True),
    ("R.Lab", "r.lab", True),
    ("evil.r.lab", "r.lab", False),
    ("r.lab.evil", "r.lab", False),
    ("ftp://r.lab", "r.lab", False),
    ("https://index.docker.io/v1/", "docker.io", True),
    ("docker.io", "docker.io", True),
    ("index.docker.io", "docker.io", True),
    ("registry-1.docker.io", "docker.io", True),
    ("https://index.docker.io/v1/", "r.lab", False),
]


@pytest.mark.parametrize(("key", "host", "expected"), HOSTS)
def test_a_key_is_for_one_registry_however_it_is_written(
    key: str, host: str, expected: bool, tmp_path: Path
) -> None:
    _write(tmp_path / ".docker/config.json", {"auths": {key: _auth("ann", "pw")}})
    assert (_found(tmp_path, host, "library/x") is not None) == expected


@pytest.mark.parametrize(
    ("repository", "expected"),
    [
        ("team/app", "app"),
        ("team/app/sub", "app"),
        ("team/apple", "team"),
        ("team", "team"),
        ("teams/app", "all"),
        ("", "all"),
    ],
)
def test_the_longest_namespace_that_holds_the_repository_counts(
    repository: str, expected: str, tmp_path: Path
) -> None:
    keys = {"r.lab/team": "team", "r.lab": "all", "r.lab/team/app": "app", "r.lab/x": "x"}
    auths = {key: _auth(name, "pw") for key, name in keys.items()}
    _write(tmp_path / "run/containers/auth.json", {"auths": auths})
    assert _found(tmp_path, "r.lab", repository) == (expected, "pw", "")


def test_a_login_for_a_namespace_is_not_used_outside_it(tmp_path: Path) -> None:
    _write(tmp_path / "run/containers/auth.json", {"auths": {"r.lab/team": _auth("ann", "pw")}})
    assert _found(tmp_path, "r.lab", "other/app") is None
    assert _found(tmp_path, "r.lab") is None


def test_dockers_own_key_counts_before_the_tokens_beside_it(tmp_path: Path) -> None:
    hub = "https://index.docker.io/v1/"
    auths = {f"{hub}access-token": _auth("ann", "short"), hub: _auth("ann", "pw")}
    _write(tmp_path / ".docker/config.json", {"auths": auths})
    assert _found(tmp_path, "docker.io", "library/nginx") == ("ann", "pw", "")


def test_files_are_asked_in_order_and_an_absent_one_is_no_error(tmp_path: Path) -> None:
    environ = home(tmp_path)
    assert login_for("r.lab", "", environ) is None
    places = [
        tmp_path / ".config/containers/auth.json",
        tmp_path / "run/containers/auth.json",
        tmp_path / ".docker/config.json",
        tmp_path / "own.json",
    ]
    environ["REGISTRY_AUTH_FILE"] = str(places[-1])
    assert [file.path for file in files(environ)] == places[::-1]
    for number, place in enumerate(places):
        _write(place, {"auths": {"r.lab": _auth(f"u{number}", "pw")}})
        assert login_for("r.lab", "", environ) == Login(
            username=f"u{number}", password="pw", place=str(place)
        )


def test_variables_move_the_folders() -> None:
    environ = {
        "HOME": "/h", "DOCKER_CONFIG": "/d", "XDG_RUNTIME_DIR": "/r", "XDG_CONFIG_HOME": "/c",
    }  # fmt: skip
    assert [str(file.path) for file in files(environ)] == [
        "/d/config.json",
        "/r/containers/auth.json",
        "/c/containers/auth.json",
    ]


def test_without_home_the_folder_is_that_of_the_user_database() -> None:
    own, uid = pwd.getpwuid(os.geteuid()).pw_dir, os.geteuid()
    assert [str(file.path) for file in files({})] == [
        f"{own}/.docker/config.json",
        f"/run/containers/{uid}/auth.json",
        f"{own}/.config/containers/auth.json",
    ]


DAMAGES: dict[str, tuple[object, str]] = {
    "no JSON": ("{", "it is not JSON"),
    "a list": ([], "it is not a JSON object"),
    "very deep": ("[" * 200_000, "it is not JSON"),
    "auths is a list": ({"auths": ["r.lab"]}, "`auths` is not a map"),
    "an entry is a text": ({"auths": {"r.lab": "ann:pw"}}, "'r.lab' is no login"),
    "no base64": ({"auths": {"r.lab": {"auth": "ann:pw"}}}, "'r.lab' is no login"),
    "no colon": ({"auths": {"r.lab": {"auth": "YW5u"}}}, "'r.lab' is no login"),
    "a number": ({"auths": {"r.lab": {"username": 1}}}, "'r.lab' is no login"),
    "half a character": (
        {"auths": {"r.lab": {"username": "ann", "password": "\ud800"}}},
        "'r.lab' is no login",
    ),
    "half a character of a token": (
        {"auths": {"r.lab": {"identitytoken": "\udce4"}}},
        "'r.lab' is no login",
    ),
    "helpers are a list": ({"credHelpers": ["pass"]}, "`credHelpers` is not a map"),
    "the store is a map": ({"credsStore": {"a": 1}}, "`credsStore` is not the name"),
    "not UTF-8": (b"{\xff}", "it is not JSON"),
    "too long": (" " * (5 << 20), "it has more than"),
}


@pytest.mark.parametrize("case", DAMAGES)
def test_a_damaged_file_is_named_and_left_alone(case: str, tmp_path: Path) -> None:
    document, why = DAMAGES[case]
    path = tmp_path / ".docker/config.json"
    if isinstance(document, bytes):
        path.parent.mkdir()
        path.write_bytes(document)
    else:
        _write(path, document)
    before = path.read_bytes()
    with pytest.raises(LoginsDamaged) as caught:
        login_for("r.lab", "", home(tmp_path))
    assert caught.value.what == f"the logins in {path} cannot be read"
    assert why in caught.value.why
    assert path.read_bytes() == before


def test_a_bad_entry_of_another_registry_hinders_nobody(tmp_path: Path) -> None:
    auths = {"x.lab": {"auth": "!"}, "r.lab": _auth("ann", "pw")}
    _write(tmp_path / ".docker/config.json", {"auths": auths})
    assert _found(tmp_path, "r.lab") == ("ann", "pw", "")


def test_a_pipe_or_a_folder_in_its_place_is_a_clear_error(tmp_path: Path) -> None:
    path = tmp_path / ".docker/config.json"
    path.mkdir(parents=True)
    with pytest.raises(LoginsDamaged, match="cannot be read"):
        login_for("r.lab", "", home(tmp_path))
    path.rmdir()
    os.mkfifo(path)
    assert login_for("r.lab", "", home(tmp_path)) is None  # nobody writes: it is empty


def test_no_secret_is_in_a_repr(tmp_path: Path) -> None:
    _write(tmp_path / ".docker/config.json", {"auths": {"r.lab": _auth("ann", "hunter2")}})
    assert "hunter2" not in repr(login_for("r.lab", "", home(tmp_path)))
