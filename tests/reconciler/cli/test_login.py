"""login and logout: nothing is kept that the registry does not take, and no password is shown."""

import io
import json
import os
import select
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from runtime.api import RegistryAccess
from runtime.credentials.lookup import login_for
from runtime.errors import Fault
from tests.reconciler.cli.conftest import Ran, World
from tests.runtime.credentials.vault import home

PASSWORD = "hunter2"


class Denied(Fault):
    """What a registry says to a wrong password."""

    def __init__(self) -> None:
        super().__init__("no access to the registry", why="it refuses the username and password")


class Lab:
    """A registry that lets ann in; ``asked`` is how it was reached."""

    def __init__(self, world: World, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.world, self.folder, self._monkeypatch = world, folder, monkeypatch
        self.asked: list[RegistryAccess] = []
        monkeypatch.setattr(world.runtime.registries, "check_login", self._check)
        for name in ("REGISTRY_AUTH_FILE", "DOCKER_CONFIG", "XDG_CONFIG_HOME"):
            monkeypatch.delenv(name, raising=False)
        for name, value in home(folder).items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("TRUEUP_CONFIG_DIR", str(folder / "etc"))

    @property
    def docker(self) -> Path:
        return self.folder / ".docker/config.json"

    def login(self, *words: str, stdin: bytes = f"{PASSWORD}\n".encode()) -> Ran:
        self._monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        return self.world.run("login", *words)

    def kept(self, host: str = "r.lab:5000") -> tuple[str, str] | None:
        login = login_for(host, "", home(self.folder))
        return (login.username, login.password) if login else None

    def _check(self, access: RegistryAccess) -> None:
        self.asked.append(access)
        if (access.username, access.password) != ("ann", PASSWORD):
            raise Denied


@pytest.fixture
def lab(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    folder = tmp_path / "home"
    folder.mkdir()
    return Lab(world, folder, monkeypatch)


ANN = ("r.lab:5000", "-u", "ann", "--password-stdin")


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_a_login_is_checked_then_kept_where_docker_keeps_it(end: str, lab: Lab) -> None:
    ran = lab.login(*ANN, stdin=f"{PASSWORD}{end}".encode())
    assert (ran.code, ran.out) == (0, "Login Succeeded\n")
    assert ran.err == (
        f"warning: the password is kept unencrypted in {lab.docker}; a program named there under"
        " `credsStore` keeps it better\n"
    )
    assert lab.asked == [RegistryAccess(host="r.lab:5000", username="ann", password=PASSWORD)]
    assert lab.kept() == ("ann", PASSWORD)


def test_a_wrong_password_is_told_at_once_and_nothing_is_kept(lab: Lab) -> None:
    ran = lab.login(*ANN, stdin=b"wrong\n")
    assert (ran.code, ran.out) == (1, "")
    assert ran.err == "no access to the registry: it refuses the username and password\n"
    assert not lab.docker.exists()
    lab.login(*ANN)
    assert lab.login(*ANN, stdin=b"wrong\n").code == 1
    assert lab.kept() == ("ann", PASSWORD)


def test_docker_hub_is_meant_where_no_registry_is_named(lab: Lab) -> None:
    for words in ((), ("docker.io",), ("https://index.docker.io/v1/",)):
        assert lab.login(*words, "-u", "ann", "--password-stdin").code == 0
    assert {each.host for each in lab.asked} == {"docker.io"}
    assert list(json.loads(lab.docker.read_text())["auths"]) == ["https://index.docker.io/v1/"]
    assert lab.world.run("logout").out == "Removing login credentials for docker.io\n"
    assert lab.kept("docker.io") is None


@pytest.mark.parametrize("form", ["r.lab:5000/", "https://r.lab:5000", "http://r.lab:5000/v2/"])
def test_a_registry_may_be_given_as_a_url(form: str, lab: Lab) -> None:
    assert lab.login(form, *ANN[1:]).code == 0
    assert lab.kept() == ("ann", PASSWORD)
    assert lab.world.run("logout", form).out == "Removing login credentials for r.lab:5000\n"


def test_logging_out_twice_is_no_failure(lab: Lab) -> None:
    lab.login(*ANN)
    first, second = (lab.world.run("logout", "r.lab:5000") for _ in range(2))
    assert (first.code, first.out) == (0, "Removing login credentials for r.lab:5000\n")
    assert (second.code, second.out) == (0, "Not logged in to r.lab:5000\n")
    assert lab.kept() is None


@pytest.mark.parametrize("given", ["flag", "variable"])
def test_the_file_may_be_podmans(
    given: str, lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "auth.json"
    words = ("--authfile", str(path)) if given == "flag" else ()
    if given == "variable":
        monkeypatch.setenv("REGISTRY_AUTH_FILE", str(path))
    assert lab.login(*words, "-u", "ann", "--password-stdin").code == 0
    assert list(json.loads(path.read_text())["auths"]) == ["docker.io"]
    assert not lab.docker.exists()
    assert "Removing" in lab.world.run("logout", *words).out
    assert json.loads(path.read_text()) == {"auths": {}}


def test_what_spec_and_machine_say_of_the_registry_holds_here_too(lab: Lab) -> None:
    (lab.folder / "etc").mkdir()
    (lab.folder / "etc/registries.yaml").write_text("registries: {'r.lab:5000': {ca: lab.pem}}\n")
    spec = "registries: {'r.lab:5000': {insecure: true, auth: {username: u, password: {env: X}}}}\n"
    lab.world.spec.write_text(lab.world.spec.read_text() + spec)
    lab.login(*ANN)
    assert lab.asked == [
        RegistryAccess(
            host="r.lab:5000", insecure=True, ca=f"{lab.folder}/etc/lab.pem",
            username="ann", password=PASSWORD,
        )
    ]  # fmt: skip


def test_a_login_that_is_kept_is_tried_first(lab: Lab) -> None:
    lab.login(*ANN)
    ran = lab.login("r.lab:5000", stdin=b"")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out == (
        "Authenticating with existing credentials... [Username: ann]\nLogin Succeeded\n"
    )


REFUSED: dict[str, tuple[tuple[str, ...], str]] = {
    "-p with a value": (("-u", "ann", "-p", PASSWORD), "-p would show the password to everybody"),
    "--password=": (("-u", "ann", f"--password={PASSWORD}"), "-p would show the password"),
    "-p alone": (("-u", "ann", "-p"), "-p would show the password to everybody"),
    "no name": (("--password-stdin",), "--password-stdin goes with --username"),
    "a colon": (("-u", "a:b", "--password-stdin"), "it has a colon"),
    "nobody to ask": (("-u", "ann"), "there is no terminal to ask"),
    "a repository": (("r.lab/team", *ANN[1:]), "`r.lab/team` is more than a registry"),
    "no host": (("lab", *ANN[1:]), "`lab` is no registry"),
    "no host at all": (("http://", *ANN[1:]), "`http://` is no registry"),
    "a name in bytes": (("r.lab", "-u", "\udce4", "--password-stdin"), "it is not text"),
    "a bad host": (("r_lab.x", *ANN[1:]), "`r_lab.x` is no registry"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bad_usage_is_told_and_asks_no_registry(case: str, lab: Lab) -> None:
    words, told = REFUSED[case]
    ran = lab.login(*words)
    assert (ran.code, ran.out, lab.asked) == (64, "", [])
    assert told in ran.err
    assert PASSWORD not in ran.err
    assert not lab.docker.exists()


@pytest.mark.parametrize(
    ("stdin", "told"),
    [
        (b"", "the password is empty"),
        (b"\n", "the password is empty"),
        (b"\xff\xfe", "the password is not UTF-8"),
        (b"x" * 40_000, "the password has more than 32,768 bytes"),
    ],
)
def test_what_is_no_password_is_refused(stdin: bytes, told: str, lab: Lab) -> None:
    ran = lab.login(*ANN, stdin=stdin)
    assert (ran.code, lab.asked) == (64, [])
    assert told in ran.err


def test_a_damaged_file_is_told_before_anything_is_kept(lab: Lab) -> None:
    lab.docker.parent.mkdir()
    lab.docker.write_text("{")
    actions: list[Callable[[], Ran]] = [
        lambda: lab.login(*ANN),
        lambda: lab.world.run("logout", "r.lab:5000"),
    ]
    for action in actions:
        ran = action()
        assert (ran.code, ran.out) == (1, "")
        assert f"the logins in {lab.docker} cannot be read" in ran.err
    assert lab.docker.read_text() == "{"


def test_not_root_is_told(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(lab.folder))
    for ran in (lab.login(*ANN), lab.world.run("logout")):
        assert ran.code == 1
        assert "trueup works as root only" in ran.err
    assert not lab.docker.exists()


ON_A_TERMINAL = """\
import sys
from reconciler.cli import console
from reconciler.cli.main import main
from tests.fake_runtime import FakeRuntime

runtime = FakeRuntime()
runtime.registries.check_login = lambda access: None
console.open_runtime = lambda _root: runtime
sys.exit(main(["login", "r.lab:5000"]))
"""


def test_on_a_terminal_it_asks_and_shows_no_password(tmp_path: Path) -> None:
    environ = {**home(tmp_path), "PATH": os.environ["PATH"], "PYTHONPATH": os.getcwd()}
    environ["TRUEUP_CONFIG_DIR"] = str(tmp_path)
    ours, theirs = os.openpty()
    terminal = os.ttyname(theirs)
    # A new session takes the first terminal that it opens as its own.
    script = f"import os; [os.dup2(os.open({terminal!r}, os.O_RDWR), fd) for fd in (0, 1, 2)]\n"
    process = subprocess.Popen(
        [sys.executable, "-c", script + ON_A_TERMINAL], env=environ, start_new_session=True
    )
    seen = _until(ours, "Username: ")
    os.write(ours, b"ann\n")
    seen += _until(ours, "Password: ")
    os.write(ours, f"{PASSWORD}\n".encode())
    seen += _until(ours, "Login Succeeded")
    assert process.wait(30) == 0
    os.close(theirs)
    os.close(ours)
    assert PASSWORD not in seen
    login = login_for("r.lab:5000", "", environ)
    assert login
    assert (login.username, login.password) == ("ann", PASSWORD)


def _until(terminal: int, text: str) -> str:
    """What is shown up to ``text``; a minute without anything fails."""
    seen = ""
    while text not in seen:
        assert select.select([terminal], [], [], 60)[0], seen
        seen += os.read(terminal, 4096).decode()
    return seen
