"""Looking writes nothing; policies; what counts as here."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from runtime.api import (
    Damage,
    PullPolicy,
    Removal,
)
from runtime.embedded.store.faults import (
    AmbiguousImage,
    ImageAbsent,
)
from runtime.embedded.store.images import Image, ImageStore
from runtime.embedded.store.index import Index
from runtime.embedded.store.removing import Remover
from runtime.embedded.store.verify import Verifier
from tests.conftest import Images
from tests.images.registry import Registry
from tests.runtime.embedded.layers.unpacking import tree
from tests.runtime.embedded.registry.hostile import (
    Server,
    digest,
    publish,
)
from tests.runtime.embedded.store.stocks import (
    BLOB,
    PLAIN,
    everything,
    from_registry,
    move,
    silent,
    state,
)

pytestmark = pytest.mark.root


def test_an_empty_store_is_looked_at_without_making_it(store: ImageStore) -> None:
    assert store.list() == ()
    assert store.find("nginx") is None
    assert state(store, from_registry("127.0.0.1:1/x:latest")).id is None
    assert Remover(store, dict).prune(everything=True, chosen=lambda _: True) == Removal()
    with pytest.raises(ImageAbsent):
        Remover(store, dict).remove("nginx", force=True)
    with pytest.raises(ImageAbsent):
        store.image("sha256:" + "0" * 64)
    assert not store.layout.root.exists()


def test_an_index_whose_writer_was_killed_before_its_first_commit(
    store: ImageStore, images: Images
) -> None:
    store.layout.root.mkdir(parents=True)
    (store.layout.root / "index.db").touch()
    assert store.list() == ()
    assert store.find("nginx") is None
    assert store.pull(images.busybox, (), silent).references == (images.busybox,)


def test_looking_writes_nothing(store: ImageStore, images: Images) -> None:
    image = store.pull(images.busybox, (), silent)
    before = everything(store.layout.root)
    fresh = ImageStore(store.layout.root)
    for policy in PullPolicy:
        assert state(fresh, from_registry(images.busybox, policy)).id == image.id
    fresh.list()
    fresh.find("nginx")
    fresh.layers(image.id)
    fresh.ensure(from_registry(images.busybox), (), silent)
    after = everything(store.layout.root)
    lock = str(store.layout.root / "lock")
    assert {k: v for k, v in after.items() if k != lock} == {
        k: v for k, v in before.items() if k != lock
    }


def test_an_image_counts_as_here_only_while_its_layers_are(
    store: ImageStore, images: Images
) -> None:
    image = store.pull(images.busybox, (), silent)
    shutil.rmtree(store.layers(image.id)[0])
    assert store.find(images.busybox) is None
    assert state(store, from_registry(images.busybox)).id is None
    assert store.ensure(from_registry(images.busybox), (), silent).id == image.id
    assert store.layers(image.id)[0].is_dir()


def test_a_store_whose_index_was_lost_makes_its_layers_anew_and_leaves_the_old_ones_to_containers(
    store: ImageStore, images: Images
) -> None:
    image = store.pull(images.busybox, (), silent)
    folder = store.layers(image.id)[0]
    right = tree(folder)
    (folder / "bin/busybox").write_bytes(b"broken meanwhile")
    held, left = os.open(folder, os.O_RDONLY), tree(folder)
    store.layout.index.unlink()
    assert store.list() == ()
    store.pull(images.busybox, (), silent)
    assert tree(store.layers(image.id)[0]) == right
    assert Verifier(store, silent).verify(()) == ()
    assert tree(Path(f"/proc/self/fd/{held}/.")) == left
    os.close(held)


def spoil(store: ImageStore, id: str, row: bytes) -> None:
    with store.index.writing() as rows:
        rows._connection.execute("UPDATE images SET image = ? WHERE id = ?", (row, id))


@pytest.mark.parametrize("row", [b"", b"\xff\xfe", b'{"id": "x", "size": true}', b'{"id": "\xff"}'])
def test_an_image_whose_row_cannot_be_read_takes_no_other_along(
    store: ImageStore, images: Images, row: bytes
) -> None:
    image, other = (store.pull(name, (), silent) for name in (images.busybox, images.nginx))
    verifier, remover = Verifier(store, silent), Remover(store, dict)
    told = Damage(what=f"entry {image.id[:19]} of the index cannot be read", images=(image.id,))
    ways: list[Callable[[], Removal]] = [
        lambda: remover.remove(images.busybox, force=True),
        lambda: remover.remove(image.id, force=True),
        lambda: remover.prune(everything=True, chosen=lambda each: each.id == image.id),
    ]
    for way in ways:
        spoil(store, image.id, row)
        listed = {each.id: each.references for each in store.list()}
        assert listed.keys() == {image.id, other.id}
        assert images.busybox in listed[image.id]
        assert store.find(images.busybox) is None
        assert store.find(images.nginx) == other
        assert verifier.verify(()) == (told,)
        assert way().deleted == (image.id,)
        assert verifier.verify(()) == ()
        assert store.find(images.nginx) == other
        assert store.pull(images.busybox, (), silent) == image
    spoil(store, image.id, row)
    assert store.pull(images.busybox, (), silent) == image
    assert verifier.verify(()) == ()


def test_the_beginning_of_an_id(store: ImageStore) -> None:
    store.layout.prepare()
    with Index(store.layout.index).writing() as rows:
        for digits in ("abcdef1", "abcdef2"):
            id = f"sha256:{digits:0<64}"
            store.layout.write_blob(id, b"{}")
            rows.put_image(Image(id=id), ())
    for begin in ("abc", "abcdef"):
        with pytest.raises(AmbiguousImage):
            store.find(begin)
    found = store.find("abcdef1")
    assert found is not None
    assert found.id.startswith("sha256:abcdef1")
    assert store.find("ab") is None


def test_a_tag_that_moved_is_stale_where_the_policy_asks(
    store: ImageStore, registry: Registry, moving: str
) -> None:
    old = store.ensure(from_registry(moving), (), silent)
    move(registry, "2")
    for policy in (PullPolicy.MISSING, PullPolicy.NEVER):
        assert state(store, from_registry(moving, policy)).stale == ""
        assert store.ensure(from_registry(moving, policy), (), silent) == old
    for policy in (PullPolicy.ALWAYS, PullPolicy.NEWER):
        found = state(store, from_registry(moving, policy))
        assert (found.id, found.stale[:24]) == (old.id, "the registry has sha256:")
    new = store.ensure(from_registry(moving, PullPolicy.NEWER), (), silent)
    assert new.id != old.id
    assert state(store, from_registry(moving, PullPolicy.ALWAYS)).stale == ""
    assert store.image(old.id).references == ()


def test_without_its_registry_an_image_stays_what_it_is(store: ImageStore, server: Server) -> None:
    publish(server, (PLAIN, BLOB))
    reference = f"{server.host}/app:latest"
    image = store.ensure(from_registry(reference), (), silent)
    server.close()
    for policy in PullPolicy:
        found = state(store, from_registry(reference, policy))
        assert (found.id, found.stale) == (image.id, "")
    assert store.ensure(from_registry(reference), (), silent) == image


def test_a_digest_is_never_asked_for_again(store: ImageStore, server: Server) -> None:
    published = publish(server, (PLAIN, BLOB))
    reference = f"{server.host}/app@{digest(published.manifest)}"
    store.ensure(from_registry(reference, PullPolicy.ALWAYS), (), silent)
    before = len(server.asked)
    store.ensure(from_registry(reference, PullPolicy.ALWAYS), (), silent)
    assert state(store, from_registry(reference, PullPolicy.ALWAYS)).stale == ""
    assert len(server.asked) == before


def test_never_means_never(store: ImageStore, images: Images) -> None:
    with pytest.raises(ImageAbsent, match="never"):
        store.ensure(from_registry(images.busybox, PullPolicy.NEVER), (), silent)
