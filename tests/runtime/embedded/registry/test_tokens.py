"""A real registry that takes tokens only, for each of the verbs."""

import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from runtime.api import RegistryAccess
from runtime.embedded.registries import RegistryVerbs
from runtime.embedded.registry.documents import Descriptor
from runtime.embedded.registry.faults import AccessDenied
from runtime.embedded.registry.upload import Uploader
from runtime.embedded.store.images import ImageStore
from runtime.embedded.store.pushing import push
from runtime.reference import Reference, parse
from tests.conftest import Images
from tests.images.registry import Registry, free_port
from tests.runtime.embedded.registry.hostile import Server, digest
from tests.runtime.embedded.registry.tokens import TokenServer
from tests.runtime.embedded.store.stocks import silent

pytestmark = pytest.mark.root

VERBS = RegistryVerbs()
OURS = "Basic Y2k6c2VjcmV0"
BLOB = b"a blob" * 1000
DESCRIPTOR = Descriptor(media_type="x", digest=digest(BLOB), size=len(BLOB))


@pytest.fixture
def tokens(server: Server, tmp_path: Path) -> TokenServer:
    return TokenServer(server, tmp_path, customer=OURS)


@pytest.fixture
def there(tokens: TokenServer, tmp_path: Path) -> Iterator[Registry]:
    storage = tmp_path / "registry"
    storage.mkdir()
    made = Registry(storage, free_port(), tokens=tokens.open())
    with closing(made):
        made.serve()
        yield made


def access(registry: Registry, password: str = "secret") -> RegistryAccess:
    return RegistryAccess(host=registry.address, username="ci", password=password)


def test_push_pull_and_lists_ask_for_what_they_need(
    there: Registry, tokens: TokenServer, images: Images, tmp_path: Path
) -> None:
    store = ImageStore(tmp_path / "images")
    image = store.pull(images.busybox, (), silent)
    names = [f"{there.address}/{name}:1" for name in ("one", "team/two")]
    for name in names:
        store.tag(image.id, parse(name))
        push(store, parse(name), access(there), silent)
    own, other = "repository:one:pull,push", "repository:one:pull"
    assert [own] in tokens.scopes
    assert ["repository:team/two:pull,push", other] in tokens.scopes
    tokens.scopes.clear()
    elsewhere = ImageStore(tmp_path / "elsewhere")
    assert elsewhere.pull(names[1], [access(there)], silent).id == image.id
    assert tokens.scopes == [["repository:team/two:pull"]]
    assert VERBS.tags(names[0], [access(there)]) == ("1",)
    (hit,) = VERBS.search(there.address, "two", 5, [access(there)])
    assert (hit.name, hit.tags) == ("team/two", ("1",))
    assert ["registry:catalog:*"] in tokens.scopes


def test_who_has_no_right_is_told_which(
    there: Registry, tokens: TokenServer, images: Images, tmp_path: Path
) -> None:
    """The token server gives a token that is good for nothing."""
    store = ImageStore(tmp_path / "images")
    name = f"{there.address}/one:1"
    store.tag(store.pull(images.busybox, (), silent).id, parse(name))
    tokens.forbidden = ("repository:one:pull,push", "repository:one:pull")
    with pytest.raises(AccessDenied, match="no right to push to"):
        push(store, parse(name), access(there), silent)
    with pytest.raises(AccessDenied, match="no access to"):
        VERBS.tags(name, [access(there)])


def test_a_login_is_checked_by_the_token_server(there: Registry) -> None:
    VERBS.check_login(access(there))
    with pytest.raises(AccessDenied, match="refuses the username and password"):
        VERBS.check_login(access(there, "wrong"))


def test_a_token_that_runs_out_in_the_middle_is_bought_again(
    there: Registry, tokens: TokenServer
) -> None:
    tokens.seconds = 2
    reference = Reference(host=there.address, repository="one", tag="1")
    with closing(Uploader(access(there))) as uploader:
        assert not uploader.has(reference, DESCRIPTOR)
        time.sleep(3.1)
        assert uploader.send(reference, DESCRIPTOR, lambda: BLOB) is False
        assert uploader.has(reference, DESCRIPTOR)
    assert len(tokens.scopes) == 2
