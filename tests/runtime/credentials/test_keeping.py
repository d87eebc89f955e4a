"""Logins are kept and forgotten without harm to anything else in the file."""

import json
import os
import stat
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from runtime.credentials.faults import LoginsDamaged, LoginsUnwritable
from runtime.credentials.files import LoginsFile, Secret
from runtime.credentials.keeping import forget, keep
from runtime.credentials.lookup import login_for
from runtime.credentials.places import files
from runtime.durable import Locked
from tests.runtime.credentials.vault import Helpers, home

ANN = Secret(username="ann", password="pw")
BOB = Secret(username="bob", password="pw2")
FOREIGN = """{
	"HttpHeaders": {
		"User-Agent": "Docker-Client/20.10 (linux)"
	},
	"auths": {
		"x.lab": {
			"auth": "eDp5",
			"email": "ä@x.lab"
		}
	},
	"psFormat": "table {{.ID}}",
	"plugins": {
		"-x-cli-hints": {
			"enabled": "true"
		}
	},
	"big": 123456789012345678901234567890
}
"""


def _docker(folder: Path) -> LoginsFile:
    return files(home(folder))[0]


def _keep(folder: Path, host: str = "r.lab", secret: Secret = ANN) -> str:
    return keep(_docker(folder), host, secret, home(folder))


def _name(folder: Path, host: str = "r.lab") -> str:
    login = login_for(host, "", home(folder))
    return login.username if login else ""


def test_the_first_login_makes_the_folder_and_the_file_for_nobody_else(tmp_path: Path) -> None:
    path = tmp_path / ".docker/config.json"
    assert _keep(tmp_path) == str(path)
    assert (
        path.read_text()
        == '{\n\t"auths": {\n\t\t"r.lab": {\n\t\t\t"auth": "YW5uOnB3"\n\t\t}\n\t}\n}\n'
    )
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert os.listdir(path.parent) == ["config.json"]


def test_what_else_stands_there_stays_byte_for_byte(tmp_path: Path) -> None:
    path = tmp_path / ".docker/config.json"
    path.parent.mkdir()
    path.write_text(FOREIGN)
    _keep(tmp_path)
    ours = ',\n\t\t"r.lab": {\n\t\t\t"auth": "YW5uOnB3"\n\t\t}'
    assert path.read_text() == FOREIGN.replace(
        '\t\t}\n\t},\n\t"psF', f'\t\t}}{ours}\n\t}},\n\t"psF'
    )
    assert forget(files(home(tmp_path)), "r.lab", home(tmp_path))
    assert path.read_text() == FOREIGN


def test_a_second_login_replaces_the_first_under_whatever_key(tmp_path: Path) -> None:
    path = tmp_path / ".docker/config.json"
    path.parent.mkdir()
    auths = {"http://r.lab/v1/": {"auth": "YTpi"}, "r.lab/team": {"auth": "YTpi"}}
    path.write_text(json.dumps({"auths": auths}))
    _keep(tmp_path, secret=BOB)
    _keep(tmp_path)
    assert json.loads(path.read_text())["auths"] == {
        "r.lab/team": {"auth": "YTpi"},
        "r.lab": {"auth": "YW5uOnB3"},
    }


@pytest.mark.parametrize("podman", [False, True])
def test_docker_hub_has_the_key_that_the_files_owner_looks_for(
    podman: bool, tmp_path: Path
) -> None:
    file = LoginsFile(path=tmp_path / "auth.json", podman=podman)
    keep(file, "docker.io", ANN, {})
    (key,) = json.loads(file.path.read_text())["auths"]
    assert key == ("docker.io" if podman else "https://index.docker.io/v1/")
    assert forget([file], "docker.io", {})
    assert json.loads(file.path.read_text()) == {"auths": {}}


def test_a_link_is_followed_and_the_owner_stays(tmp_path: Path) -> None:
    real = tmp_path / "dotfiles/docker.json"
    real.parent.mkdir()
    real.write_text("{}")
    real.chmod(0o644)
    os.chown(real, 1234, 5678)
    (tmp_path / ".docker").mkdir()
    (tmp_path / ".docker/config.json").symlink_to(real)
    _keep(tmp_path)
    assert (tmp_path / ".docker/config.json").is_symlink()
    status = real.stat()
    assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (1234, 5678, 0o600)
    assert _name(tmp_path) == "ann"


def test_logins_at_the_same_time_are_all_kept(tmp_path: Path) -> None:
    hosts = [f"r{number}.lab" for number in range(12)]
    threads = [threading.Thread(target=_keep, args=(tmp_path, host)) for host in hosts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [_name(tmp_path, host) for host in hosts] == ["ann"] * 12
    assert os.listdir(tmp_path / ".docker") == ["config.json"]


def test_a_damaged_file_is_never_written_over(tmp_path: Path) -> None:
    path = tmp_path / ".docker/config.json"
    path.parent.mkdir()
    path.write_text('{"auths": ')
    actions: list[Callable[[], object]] = [
        lambda: _keep(tmp_path),
        lambda: forget(files(home(tmp_path)), "r.lab", home(tmp_path)),
    ]
    for action in actions:
        with pytest.raises(LoginsDamaged):
            action()
        assert path.read_text() == '{"auths": '


def test_a_place_that_cannot_be_written_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / ".docker").write_text("a file, not a folder")
    with pytest.raises(LoginsUnwritable) as caught:
        _keep(tmp_path)
    assert caught.value.what == f"{tmp_path}/.docker/config.json cannot be written"


def test_whoever_holds_the_lock_for_long_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from runtime import durable
    from runtime.credentials import files as module

    monkeypatch.setattr(module, "_LOCK_SECONDS", 0.1)
    _keep(tmp_path)
    path = tmp_path / ".docker/config.json"
    with (
        durable.lock(path.with_name(".config.json.lock"), what="x"),
        pytest.raises(Locked, match=rf"{path} is busy.*process {os.getpid()}"),
    ):
        _keep(tmp_path, secret=BOB)
    assert _name(tmp_path) == "ann"


def test_a_program_keeps_the_password_and_docker_sees_where_one_is_logged_in(
    helpers: Helpers, tmp_path: Path
) -> None:
    path = tmp_path / ".docker/config.json"
    path.parent.mkdir()
    path.write_text(json.dumps({"credsStore": helpers.install("vault")}))
    assert _keep(tmp_path) == ""
    document = {"credsStore": "vault", "auths": {"r.lab": {}}}
    assert json.loads(path.read_text()) == document
    assert _name(tmp_path) == "ann"
    assert forget(files(home(tmp_path)), "r.lab", home(tmp_path))
    assert json.loads(path.read_text()) == {"credsStore": "vault", "auths": {}}
    assert _name(tmp_path) == ""
    assert not forget(files(home(tmp_path)), "r.lab", home(tmp_path))


def test_forgetting_reaches_every_file_and_says_whether_there_was_anything(tmp_path: Path) -> None:
    environ = home(tmp_path)
    assert not forget(files(environ), "r.lab", environ)
    assert not any(tmp_path.iterdir())  # nothing was made for it
    for file in files(environ):
        keep(file, "r.lab", ANN, environ)
        keep(file, "x.lab", BOB, environ)
    assert forget(files(environ), "r.lab", environ)
    assert (_name(tmp_path, "r.lab"), _name(tmp_path, "x.lab")) == ("", "bob")
    for file in files(environ):
        assert list(json.loads(file.path.read_text())["auths"]) == ["x.lab"]
