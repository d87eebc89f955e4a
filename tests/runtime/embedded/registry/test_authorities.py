"""Which authorities are taken that homes and laboratories make for themselves, and what they may
vouch for. The registry has a name, which leads to loopback."""

import ssl
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from urllib3.util.ssl_ import create_urllib3_context

from runtime.api import RegistryAccess
from runtime.embedded.registry import connections
from runtime.embedded.registry.client import Client
from runtime.embedded.registry.faults import RegistryUnreachable
from runtime.reference import Reference
from tests.runtime.embedded.registry.authority import Authority
from tests.runtime.embedded.registry.hostile import publish, serving

NAME = "localhost"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authorities") / "root").found()


@pytest.fixture(autouse=True)
def strict(monkeypatch: pytest.MonkeyPatch) -> None:
    """As Python is from 3.13 on: it wants extensions that many authorities have not got."""

    def context(**settings: Any) -> ssl.SSLContext:
        made = create_urllib3_context(**settings)
        made.verify_flags |= ssl.VERIFY_X509_STRICT
        return made

    monkeypatch.setattr(connections, "create_urllib3_context", context)


def digest(trusted: Authority, shown: Path) -> str:
    """What a registry says that shows a certificate, to who trusts one authority."""
    with serving() as server:
        publish(server)
        server.use_tls(shown)
        host = f"{NAME}:{server.port}"
        access = RegistryAccess(host=host, ca=str(trusted.certificate))
        with closing(Client(access, tries=1)) as client:
            try:
                return client.digest(Reference(host=host, repository="app", tag="latest"))
            except RegistryUnreachable:
                assert server.asked == []
                raise


def test_an_authority_needs_no_more_extensions_than_docker_wants(root: Authority) -> None:
    assert digest(root, root.signed(NAME)).startswith("sha256:")


def test_an_authority_that_another_one_signed_can_be_trusted_alone(
    root: Authority, tmp_path: Path
) -> None:
    middle = root.below(tmp_path / "middle")
    assert digest(middle, middle.signed(NAME)).startswith("sha256:")


@pytest.mark.parametrize(("name", "days"), [("other.test", 1), (NAME, -1)])
def test_it_vouches_for_name_and_time_as_others_do(
    root: Authority, tmp_path: Path, name: str, days: int
) -> None:
    middle = root.below(tmp_path / "middle")
    with pytest.raises(RegistryUnreachable, match="certificate"):
        digest(middle, middle.signed(name, days=days))


def test_who_is_above_and_beside_it_is_not_trusted(root: Authority, tmp_path: Path) -> None:
    middle, beside = root.below(tmp_path / "middle"), root.below(tmp_path / "beside")
    for stranger in (root, beside):
        with pytest.raises(RegistryUnreachable, match="certificate"):
            digest(middle, stranger.signed(NAME))


def test_a_certificate_that_may_sign_nothing_vouches_for_nobody(
    root: Authority, tmp_path: Path
) -> None:
    leaf = root.below(tmp_path / "leaf", may_sign=False)
    with pytest.raises(RegistryUnreachable, match="certificate"):
        digest(leaf, leaf.signed(NAME))
