"""Certificates: fail closed, `insecure` for those who ask for it.

The registry has a name, so that it is not loopback's plain http; the name leads to loopback.
"""

import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from runtime.api import RegistryAccess
from runtime.embedded.registry import certificates
from runtime.embedded.registry.client import Client
from runtime.embedded.registry.documents import Descriptor
from runtime.embedded.registry.faults import (
    CertificateUnusable,
    RegistryFailed,
    RegistryUnreachable,
)
from runtime.embedded.registry.upload import Uploader
from runtime.reference import Reference
from tests.runtime.embedded.registry.authority import Authority, openssl
from tests.runtime.embedded.registry.hostile import Answer, Server, publish, serving
from tests.runtime.embedded.registry.hostile import digest as hashed

NAME = "registry.test"
BROKEN = b"-----BEGIN CERTIFICATE-----\nAAAA\n"


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


def digest(server: Server, **settings: Any) -> str:
    host = f"{NAME}:{server.port}"
    access = RegistryAccess(host=host, username="ci", password="secret", **settings)
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


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_registry_that_speaks_tls_is_not_asked_in_plain_http(
    server: Server, certificate: Path, status: int
) -> None:
    publish(server)
    server.use_tls(certificate)
    answers = iter([Answer(status=status)])
    server.routes["/v2/"] = lambda _: next(answers, Answer())
    assert digest(server, insecure=True).startswith("sha256:")
    assert server.paths() == ["/v2/", *["/v2/app/manifests/latest"] * 2]


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
def test_loopback_that_is_called_insecure_may_speak_tls_or_not(
    certificate: Path, name: str
) -> None:
    for secure in (True, False):
        with serving() as server:
            publish(server)
            if secure:
                server.use_tls(certificate)
            host = f"{name}:{server.port}"
            with closing(Client(RegistryAccess(host=host, insecure=True))) as client:
                assert client.digest(Reference(host=host, repository="app", tag="latest"))


def test_loopback_that_nobody_calls_insecure_is_asked_in_plain_http_alone(
    certificate: Path,
) -> None:
    with serving() as server:
        publish(server)
        server.use_tls(certificate)
        host = server.host
        with (
            closing(Client(RegistryAccess(host=host), tries=1)) as client,
            pytest.raises(RegistryUnreachable),
        ):
            client.digest(Reference(host=host, repository="app", tag="latest"))
        assert server.asked == []


# --- authorities and certificates of one's own ----------------------------------------------------


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls") / "ca").found()


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where files of certificates are looked for by themselves."""
    places = (tmp_path / "first", tmp_path / "second")
    monkeypatch.setattr(certificates, "FOLDERS", tuple(map(str, places)))
    return places[1]


def lay(folder: Path, server: Server, **files: Path) -> Path:
    """Put files there for the server, ``ca_crt`` as ca.crt."""
    place = folder / f"{NAME}:{server.port}"
    place.mkdir(parents=True)
    for name, source in files.items():
        shutil.copy(source, place / name.replace("_", "."))
    return place


def test_an_authority_that_is_set_is_trusted(server: Server, authority: Authority) -> None:
    publish(server)
    server.use_tls(authority.signed(NAME))
    assert digest(server, ca=str(authority.certificate)).startswith("sha256:")


@pytest.mark.usefixtures("folders")
def test_an_authority_that_nobody_set_is_not(server: Server, authority: Authority) -> None:
    publish(server)
    server.use_tls(authority.signed(NAME))
    with pytest.raises(RegistryUnreachable, match="certificate"):
        digest(server)
    assert server.asked == []


def test_an_authority_lies_where_docker_has_it(
    server: Server, authority: Authority, folders: Path
) -> None:
    publish(server)
    server.use_tls(authority.signed(NAME))
    lay(folders, server, ca_crt=authority.certificate)
    assert digest(server).startswith("sha256:")


@pytest.mark.parametrize(("name", "days"), [("other.test", 1), (NAME, -1)])
def test_an_authority_of_ones_own_signs_for_name_and_time(
    server: Server, authority: Authority, name: str, days: int
) -> None:
    publish(server)
    server.use_tls(authority.signed(name, days=days))
    with pytest.raises(RegistryUnreachable, match="certificate"):
        digest(server, ca=str(authority.certificate))
    assert server.asked == []


def test_an_authority_is_trusted_by_its_own_registry_only(
    server: Server, authority: Authority, folders: Path
) -> None:
    publish(server)
    server.use_tls(authority.signed(NAME))
    place = lay(folders, server, ca_crt=authority.certificate)
    place.rename(folders / "neighbour.test")
    with pytest.raises(RegistryUnreachable, match="certificate"):
        digest(server)


def test_a_client_certificate_is_shown_where_one_is_wanted(
    server: Server, authority: Authority, folders: Path
) -> None:
    publish(server)
    us = authority.signed("us.test")
    server.use_tls(authority.signed(NAME), clients=authority.certificate)
    ca = str(authority.certificate)
    with pytest.raises((RegistryUnreachable, RegistryFailed)):
        digest(server, ca=ca)
    assert server.asked == []
    own, key = us.with_name("us.test.cert"), us.with_name("us.test.key")
    assert digest(server, ca=ca, certificate=str(own), key=str(key)).startswith("sha256:")
    assert digest(server, ca=ca, certificate=str(us)).startswith("sha256:")
    lay(folders, server, ca_crt=authority.certificate, us_cert=own, us_key=key)
    assert digest(server).startswith("sha256:")


@pytest.mark.parametrize("realm", [NAME, "localhost"])
def test_a_client_certificate_is_shown_to_no_token_server_elsewhere(
    server: Server, authority: Authority, realm: str
) -> None:
    us, theirs = authority.signed("us.test"), authority.certificate
    with serving() as other:
        place = f'Bearer realm="https://{realm}:{other.port}/token"'
        server.use_tls(authority.signed(NAME), clients=theirs)
        other.use_tls(authority.signed(realm), clients=theirs)
        other.routes["/token"] = Answer(body=b'{"token": "token"}')
        published = publish(server).manifest
        path, known = (
            "/v2/app/manifests/latest",
            Answer(headers={"Docker-Content-Digest": hashed(published)}),
        )
        server.routes[path] = lambda asked: (
            known
            if "Authorization" in asked.headers
            else Answer(status=401, headers={"WWW-Authenticate": place})
        )
        if realm == NAME:
            assert digest(server, ca=str(theirs), certificate=str(us)) == hashed(published)
            assert other.paths()
        else:
            with pytest.raises((RegistryUnreachable, RegistryFailed)):
                digest(server, ca=str(theirs), certificate=str(us))
            assert other.asked == []
        assert server.paths()


def test_a_certificate_without_its_key_is_named(
    server: Server, authority: Authority, folders: Path
) -> None:
    us = authority.signed("us.test")
    lay(folders, server, us_cert=us.with_name("us.test.cert"))
    with pytest.raises(CertificateUnusable, match=r"us\.cert") as refused:
        digest(server)
    assert "us.key is not beside it" in refused.value.why


@pytest.mark.parametrize("setting", ["ca", "certificate", "key"])
@pytest.mark.parametrize("content", [None, b"", BROKEN, b"\x00\xff"])
def test_a_file_that_is_missing_or_none_of_certificates_is_named(
    server: Server, authority: Authority, tmp_path: Path, setting: str, content: bytes | None
) -> None:
    path = tmp_path / "broken.pem"
    if content is not None:
        path.write_bytes(content)
    good = authority.signed("us.test")
    settings = {"ca": str(authority.certificate), "certificate": str(good)}
    with pytest.raises(CertificateUnusable) as refused:
        digest(server, **{**settings, setting: str(path)})
    assert str(path) in refused.value.what
    assert refused.value.why
    assert server.asked == []


def test_loopback_with_certificates_speaks_tls(authority: Authority) -> None:
    with serving() as server:
        publish(server)
        server.use_tls(authority.signed("localhost"))
        host = f"localhost:{server.port}"
        client = Client(RegistryAccess(host=host, ca=str(authority.certificate)))
        assert client.digest(Reference(host=host, repository="app", tag="latest"))
        client.close()


def test_nobody_is_asked_for_the_password_of_a_key(
    server: Server, authority: Authority, tmp_path: Path
) -> None:
    us, key = authority.signed("us.test"), tmp_path / "locked.key"
    openssl("ec", f"-in={us}", f"-out={key}", "-aes256", "-passout=pass:secret")
    with pytest.raises(CertificateUnusable, match=r"locked\.key"):
        digest(server, certificate=str(us), key=str(key))


def test_images_are_not_sent_in_plain_http_where_the_registry_speaks_tls(
    server: Server, authority: Authority
) -> None:
    with serving() as plain:
        server.use_tls(authority.signed(NAME))
        there = {"Location": f"http://{NAME}:{plain.port}/upload"}
        server.routes["/v2/app/blobs/uploads/"] = Answer(status=202, headers=there)
        access = RegistryAccess(host=f"{NAME}:{server.port}", ca=str(authority.certificate))
        blob = Descriptor(media_type="x", digest=hashed(b"blob"), size=4)
        reference = Reference(host=access.host, repository="app", tag="latest")
        with (
            closing(Uploader(access)) as uploader,
            pytest.raises(RegistryFailed, match="plain http"),
        ):
            uploader.send(reference, blob, lambda: b"blob")
        assert plain.asked == []
