"""Certificates: fail closed, `insecure` for those who ask for it (R13).

The registry has a name, so that it is not loopback's plain http; the name leads to loopback.
"""

import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runtime.api import RegistryAccess
from runtime.embedded.registry.client import Client
from runtime.embedded.registry.faults import RegistryUnreachable
from runtime.reference import Reference
from tests.runtime.embedded.registry.hostile import Server, publish, serving

NAME = "registry.test"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A server that is found by its name, too."""
    real = socket.getaddrinfo

    def found(host: Any, *words: Any, **more: Any) -> Any:
        return real("127.0.0.1" if host == NAME else host, *words, **more)

    monkeypatch.setattr(socket, "getaddrinfo", found)
    with serving() as made:
        yield made


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Signed by itself, for the right name."""
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1"]
    command += ["-subj", f"/CN={NAME}", "-addext", f"subjectAltName=DNS:{NAME}"]
    command += ["-keyout", str(path), "-out", f"{path}.crt"]
    subprocess.run(command, check=True, capture_output=True)
    path.write_bytes(path.read_bytes() + Path(f"{path}.crt").read_bytes())
    return path


def digest(server: Server, *, insecure: bool) -> str:
    host = f"{NAME}:{server.port}"
    access = RegistryAccess(host=host, insecure=insecure, username="ci", password="secret")
    client = Client(access, sleep=lambda _: None)
    try:
        return client.digest(Reference(host=host, repository="app", tag="latest"))
    finally:
        client.close()


def test_a_certificate_that_nobody_signed_is_refused(server: Server, certificate: Path) -> None:
    publish(server)
    server.use_tls(certificate)
    with pytest.raises(RegistryUnreachable, match="certificate") as refused:
        digest(server, insecure=False)
    assert "insecure: true" in refused.value.hint
    assert server.asked == []


def test_it_is_taken_from_a_registry_that_is_called_insecure(
    server: Server, certificate: Path
) -> None:
    publish(server)
    server.use_tls(certificate)
    assert digest(server, insecure=True).startswith("sha256:")


def test_plain_http_is_spoken_only_where_it_was_allowed(server: Server) -> None:
    publish(server)
    with pytest.raises(RegistryUnreachable):
        digest(server, insecure=False)
    assert server.asked == []
    assert digest(server, insecure=True).startswith("sha256:")
    assert server.authorizations() == []
