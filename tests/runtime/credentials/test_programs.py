"""Real programs that keep logins: well-behaved ones, and others."""

import json
import os
import pwd
import time
from pathlib import Path

import pytest

from runtime.credentials import programs
from runtime.credentials.faults import BadHelperName, HelperFailed, HelperMissing
from runtime.credentials.files import LoginsFile, Secret
from runtime.credentials.keeping import forget, keep
from runtime.credentials.lookup import Login, login_for
from runtime.credentials.programs import Helper
from tests.runtime.credentials.vault import Helpers, home

ANN = Secret(username="ann", password='p"w€')


def _config(folder: Path, **words: object) -> Path:
    path = folder / ".docker/config.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(words))
    return path


def test_what_is_stored_is_got_until_it_is_erased(helpers: Helpers) -> None:
    helper = Helper(helpers.install("vault"), "r.lab:5000", "config.json", {})
    assert helper.get() is None
    helper.store(ANN)
    assert helper.get() == ANN
    assert Helper("vault", "r.lab", "config.json", {}).get() is None
    helper.erase()
    assert helper.get() is None
    helper.erase()  # gone is gone


def test_an_identity_token_has_the_name_token(helpers: Helpers) -> None:
    helper = Helper(helpers.install("vault"), "r.lab", "config.json", {})
    helper.store(Secret(username="ann", identity_token="t0k"))
    assert helper.get() == Secret(username="<token>", identity_token="t0k")
    assert json.loads((helpers.vault / "r.lab").read_text()) == {
        "ServerURL": "r.lab", "Username": "<token>", "Secret": "t0k",
    }  # fmt: skip


def test_the_lookup_asks_the_program_of_the_host_else_that_of_all(
    helpers: Helpers, tmp_path: Path
) -> None:
    path = _config(tmp_path, credHelpers={"r.lab": helpers.install("one")}, credsStore="two")
    helpers.install("two", SAYS.format(answer='{"Username": "all", "Secret": "pw"}'))
    Helper("one", "r.lab", "", {}).store(ANN)
    environ = home(tmp_path)
    one = f"docker-credential-one, which {path} names"
    assert login_for("r.lab", "", environ) == Login(
        username="ann", password=ANN.password, place=one
    )
    assert (found := login_for("x.lab", "", environ))
    assert found.username == "all"


def test_docker_hub_is_known_to_a_program_by_its_old_address(
    helpers: Helpers, tmp_path: Path
) -> None:
    _config(tmp_path, credsStore=helpers.install("vault"))
    Helper("vault", "https://index.docker.io/v1/", "", {}).store(ANN)
    assert (found := login_for("docker.io", "library/x", home(tmp_path)))
    assert found.username == "ann"


def test_what_the_program_does_not_have_may_stand_in_the_file(
    helpers: Helpers, tmp_path: Path
) -> None:
    auths = {"r.lab": {"username": "ann", "password": "pw"}}
    _config(tmp_path, credsStore=helpers.install("vault"), auths=auths)
    assert (found := login_for("r.lab", "", home(tmp_path)))
    assert found.password == "pw"


def test_a_registry_without_a_program_has_its_login_in_the_file(
    helpers: Helpers, tmp_path: Path
) -> None:
    """Docker's way to except one from the program that keeps all others."""
    auths = {"r.lab": {"username": "ann", "password": "pw"}}
    helpers.install("vault", "#!/bin/sh\nexit 9\n")
    path = _config(tmp_path, credsStore="vault", credHelpers={"r.lab": ""}, auths=auths)
    environ = home(tmp_path)
    assert (found := login_for("r.lab", "", environ))
    assert (found.password, found.place) == ("pw", str(path))
    keep(LoginsFile(path=path), "r.lab", ANN, environ)
    assert (found := login_for("r.lab", "", environ))
    assert found.password == ANN.password
    assert forget([LoginsFile(path=path)], "r.lab", environ)
    with pytest.raises(HelperFailed):
        login_for("x.lab", "", environ)


def test_the_program_gets_what_leads_to_its_vault_and_no_more(helpers: Helpers) -> None:
    environ = {
        "HOME": "/h", "XDG_RUNTIME_DIR": "/r", "DISPLAY": ":0", "AWS_PROFILE": "lab",
        "LD_PRELOAD": "/evil.so", "PATH": "/evil", "DB_PASSWORD": "x", "PYTHONPATH": "/evil",
    }  # fmt: skip
    Helper(helpers.install("vault"), "r.lab", "", environ).get()
    lines = (helpers.vault / "env").read_text().splitlines()
    seen = dict(line.split("=", 1) for line in lines)
    assert {"HOME", "XDG_RUNTIME_DIR", "DISPLAY", "AWS_PROFILE"} <= seen.keys()
    assert not seen.keys() & {"LD_PRELOAD", "DB_PASSWORD", "PYTHONPATH"}
    assert "/evil" not in seen["PATH"]


def test_without_home_the_program_gets_that_of_the_user_database(helpers: Helpers) -> None:
    """As a watch that systemd has started."""
    for environ in ({}, {"HOME": ""}):
        Helper(helpers.install("vault"), "r.lab", "", environ).get()
        lines = (helpers.vault / "env").read_text().splitlines()
        assert f"HOME={pwd.getpwuid(os.geteuid()).pw_dir}" in lines


SAYS = "#!/bin/sh\ncat >/dev/null\nprintf %s '{answer}'\n"
FAILURES: dict[str, tuple[str, str]] = {
    "it fails": ("#!/bin/sh\necho the vault is locked; exit 2\n", "the vault is locked"),
    "it fails in silence": ("#!/bin/sh\nexit 2\n", "it gave no reason"),
    "no JSON": (SAYS.format(answer="pw"), "its answer is not a login in JSON"),
    "a list": (SAYS.format(answer="[]"), "its answer is not a login in JSON"),
    "no secret": (SAYS.format(answer='{"Username": "a"}'), "its answer is not a login in JSON"),
    "a number": (
        SAYS.format(answer='{"Username": "a", "Secret": 1}'),
        "its answer is not a login in JSON",
    ),
    "half a character": (
        SAYS.format(answer='{"Username": "a", "Secret": "\\ud800"}'),
        "its answer is not a login in JSON",
    ),
    "it talks without end": ("#!/bin/sh\nexec cat /dev/zero\n", "more than 65,536 bytes"),
    "it is no program": ("not a script", "it cannot be started: Exec format error"),
}


@pytest.mark.parametrize("case", FAILURES)
def test_each_failure_is_told_and_no_secret_is(case: str, helpers: Helpers) -> None:
    script, why = FAILURES[case]
    helper = Helper(helpers.install("bad", script), "r.lab", "/etc/x/config.json", {})
    with pytest.raises(HelperFailed) as caught:
        helper.get()
    assert caught.value.what == "docker-credential-bad did not do its work"
    assert why in caught.value.why
    assert "/etc/x/config.json" in caught.value.hint


def test_a_program_that_does_not_end_is_killed_with_all_it_started(
    helpers: Helpers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(programs, "SECONDS", 0.3)
    script = "#!/bin/sh\nsleep 600 & echo $! >'VAULT/child'\nwait\n"
    helper = Helper(helpers.install("slow", script), "r.lab", "", {})
    with pytest.raises(HelperFailed, match="did not end within"):
        helper.get()
    child = int((helpers.vault / "child").read_text())
    end = time.monotonic() + 5
    while Path(f"/proc/{child}/stat").exists() and time.monotonic() < end:
        if Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
            return  # dead, and waits for whoever inherited it
        time.sleep(0.02)
    assert not Path(f"/proc/{child}").exists()


def test_a_keeper_that_stays_behind_with_the_pipe_keeps_nobody_waiting(helpers: Helpers) -> None:
    answer = '{"Username": "ann", "Secret": "pw"}'
    script = f"#!/bin/sh\nsleep 3 &\necho '{answer}'\n"
    helper = Helper(helpers.install("leaves", script), "r.lab", "", {})
    began = time.monotonic()
    assert helper.get() == Secret(username="ann", password="pw")
    assert time.monotonic() - began < 2.5


def test_a_missing_program_is_named_with_what_names_it(helpers: Helpers, tmp_path: Path) -> None:
    del helpers
    path = _config(tmp_path, credsStore="nowhere")
    with pytest.raises(HelperMissing) as caught:
        login_for("r.lab", "", home(tmp_path))
    assert str(caught.value) == (
        f"docker-credential-nowhere is not installed: {path} says that it keeps logins, and it is"
        " not in root's PATH\n"
        f"  install it in /usr/local/bin, or take it out of {path} and log in again"
    )


@pytest.mark.parametrize("name", ["../../tmp/x", "a b", "", "x;y", "/bin/sh", "a\0"])
def test_a_name_that_leads_elsewhere_starts_nothing(name: str) -> None:
    with pytest.raises(BadHelperName):
        Helper(name, "r.lab", "config.json", {})
