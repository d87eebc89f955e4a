"""What becomes of a name while its image is on its way to the registry."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from runtime.api import Progress, RegistryAccess
from runtime.embedded.store.images import Image, ImageStore
from runtime.embedded.store.index import Index, Rows
from runtime.embedded.store.pushing import push
from runtime.reference import parse
from tests.images import layers, oci
from tests.images.registry import Registry
from tests.runtime.embedded.store.stocks import silent

pytestmark = pytest.mark.root


def _pulled(store: ImageStore, registry: Registry, text: str) -> Image:
    reference = registry.publish(oci.Image(layers=[{"v": layers.file(text)}]), f"to-push-{text}")
    return store.pull(reference, (), silent)


def test_a_tag_that_is_given_to_another_image_meanwhile_stays_there(
    store: ImageStore, registry: Registry
) -> None:
    one, other = (_pulled(store, registry, text) for text in "12")
    target = parse(f"{registry.address}/pushed-meanwhile:1")
    store.tag(one.id, target)
    given = threading.Event()

    def report(progress: Progress) -> None:
        if not given.is_set():
            given.set()
            store.tag(other.id, target)

    digest = push(store, target, RegistryAccess(host=registry.address), report)
    assert given.is_set()
    found = store.find(str(target))
    assert found is not None
    assert found.id == other.id
    store.tag(one.id, target)
    assert push(store, target, RegistryAccess(host=registry.address), silent) == digest
    with store.index.reading() as rows:
        assert rows is not None
        assert rows.reference(str(target)) == (one.id, digest)


class _Once(Index):
    """Refuses to be read by who reads it already: with a writer between the two that waits for the
    first, the second would wait for the writer."""

    _busy = False

    @contextmanager
    def reading(self) -> Iterator[Rows | None]:
        assert not self._busy
        self._busy = True
        try:
            with super().reading() as rows:
                yield rows
        finally:
            self._busy = False


def test_the_index_is_never_read_twice_at_once(store: ImageStore, registry: Registry) -> None:
    image = _pulled(store, registry, "1")
    target = parse(f"{registry.address}/pushed-once:1")
    store.tag(image.id, target)
    store.index = _Once(store.layout.index)
    push(store, target, RegistryAccess(host=registry.address), silent)
