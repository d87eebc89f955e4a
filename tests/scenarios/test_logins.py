"""Logins against a real registry: checked, kept, used by pulls, and forgotten."""

import subprocess
from pathlib import Path

import pytest

from tests.conftest import COMMAND, Trueup
from tests.images.registry import Registry
from tests.runtime.credentials.vault import home

pytestmark = pytest.mark.root


def test_a_login_is_checked_kept_used_and_forgotten(
    trueup: Trueup, locked_registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DOCKER_CONFIG", raising=False)
    for name, value in home(tmp_path).items():
        monkeypatch.setenv(name, value)
    registry = locked_registry.address

    def login(password: str) -> subprocess.CompletedProcess[str]:
        words = ("login", "-u", "ci", "--password-stdin", registry)
        command = (COMMAND, "--root", trueup.root, *words)
        return trueup.host.run(*command, stdin=f"{password}\n", check=False)

    wrong = login("wrong")
    assert (wrong.returncode, wrong.stdout) == (1, "")
    assert "refuses the username and password" in wrong.stderr
    assert not (tmp_path / ".docker").exists()
    assert "it asks for a login" in trueup("pull", f"{registry}/busybox", code=1).stderr
    assert login("secret").stdout == "Login Succeeded\n"
    trueup("pull", f"{registry}/busybox")
    assert trueup("logout", registry).stdout == f"Removing login credentials for {registry}\n"
    assert "it asks for a login" in trueup("pull", f"{registry}/busybox", code=1).stderr
