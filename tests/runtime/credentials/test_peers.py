"""docker and skopeo (which reads as podman does) and we share logins, both ways."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from runtime.credentials.files import LoginsFile, Secret
from runtime.credentials.keeping import forget, keep
from runtime.credentials.lookup import login_for
from runtime.credentials.places import files
from tests.images.registry import Registry
from tests.peers import Docker
from tests.runtime.credentials.vault import home

pytestmark = pytest.mark.root

CI = Secret(username="ci", password="secret")


def _skopeo(folder: Path, *words: str, **environ: str) -> int:
    """Its exit status; ``folder`` is its home."""
    return subprocess.run(
        ["skopeo", *words],
        env={"PATH": os.environ["PATH"], **home(folder), **environ},
        capture_output=True,
        timeout=60,
    ).returncode


def _found(folder: Path, host: str) -> str:
    login = login_for(host, "busybox", home(folder))
    return f"{login.username}:{login.password}" if login else ""


def test_skopeo_and_we_share_logins(locked_registry: Registry, tmp_path: Path) -> None:
    host, environ = locked_registry.address, home(tmp_path)
    image = ("inspect", "--tls-verify=false", f"docker://{host}/busybox")
    asked = ("login", "--tls-verify=false", "-u", "ci", "-p", "secret", host)
    (tmp_path / "run").mkdir()
    assert _skopeo(tmp_path, *image) != 0
    assert _skopeo(tmp_path, *asked) == 0
    assert _found(tmp_path, host) == "ci:secret"
    assert forget(files(environ), host, environ)
    assert _skopeo(tmp_path, *image) != 0
    for file in files(environ):
        keep(file, host, CI, environ)
        assert _skopeo(tmp_path, *image) == 0
        assert forget([file], host, environ)
    own = LoginsFile(path=tmp_path / "own.json", podman=True)
    keep(own, host, CI, environ)
    assert _skopeo(tmp_path, *image, REGISTRY_AUTH_FILE=str(own.path)) == 0
    assert _skopeo(tmp_path, "logout", "--authfile", str(own.path), host) == 0
    assert json.loads(own.path.read_text())["auths"] == {}


def test_docker_and_we_share_logins(
    locked_registry: Registry, docker: Docker, tmp_path: Path
) -> None:
    host, environ = locked_registry.address, home(tmp_path)
    file = files(environ)[0]
    docker.environment["DOCKER_CONFIG"] = str(file.path.parent)
    docker("login", "-u", "ci", "-p", "secret", host)
    assert _found(tmp_path, host) == "ci:secret"
    docker("logout", host)
    assert _found(tmp_path, host) == ""
    with pytest.raises(RuntimeError, match="no basic auth credentials"):
        docker("pull", f"{host}/busybox")
    keep(file, host, CI, environ)
    docker("pull", f"{host}/busybox")
    assert host in docker("logout", host)
    assert json.loads(file.path.read_text())["auths"] == {}
