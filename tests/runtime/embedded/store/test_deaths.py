"""Many processes on one store, and processes that are killed."""

import multiprocessing
import os
import random
import shutil
import signal
import time
from pathlib import Path

import pytest

from runtime.embedded.store.images import ImageStore
from runtime.embedded.store.removing import Remover
from runtime.embedded.store.verify import Verifier
from runtime.reference import parse
from tests.conftest import Images
from tests.images import oci
from tests.images.layers import Layer, file
from tests.images.registry import Registry
from tests.runtime.embedded.layers.unpacking import tree
from tests.runtime.embedded.store.stocks import (
    layer_folders,
    nothing_is_left,
    silent,
)

pytestmark = pytest.mark.root


def _pull(root: Path, reference: str) -> None:
    ImageStore(root).pull(reference, (), silent)


def test_processes_that_pull_the_same_image(store: ImageStore, images: Images) -> None:
    context = multiprocessing.get_context("fork")
    running = [
        context.Process(target=_pull, args=(store.layout.root, reference))
        for reference in (images.nginx, images.python) * 3
    ]
    for process in running:
        process.start()
    for process in running:
        process.join(60)
        assert process.exitcode == 0
    assert len(layer_folders(store)) == 3
    assert os.listdir(store.layout.tmp) == []
    assert len(store.list()) == 2


@pytest.mark.slow
def test_a_pull_that_is_killed_is_finished_by_the_next(store: ImageStore, images: Images) -> None:
    context = multiprocessing.get_context("fork")
    for number in range(20):
        process = context.Process(target=_pull, args=(store.layout.root, images.nginx))
        process.start()
        time.sleep(0.01 + 0.02 * number)
        assert process.pid
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        for summary in store.list():
            assert store.layers(summary.id)
        if number % 4 == 3:
            store.pull(images.nginx, (), silent)
            assert tree(store.layers(store.list()[0].id)[0])
            shutil.rmtree(store.layout.root)
    store.pull(images.nginx, (), silent)
    assert os.listdir(store.layout.tmp) == os.listdir(store.layout.locks) == []
    assert len(layer_folders(store)) == 2


def _come_and_go(root: Path, references: tuple[str, ...]) -> None:
    """Pull, tag, remove by name and by id, prune, without end."""
    store = ImageStore(root)
    remover = Remover(store, dict)
    while True:
        for reference in references:
            store.pull(reference, (), silent)
            store.tag(reference, parse("elsewhere.example/box:1"))
        remover.remove(references[0], force=False)
        remover.prune(everything=False, chosen=lambda _: True)
        remover.remove(store.list()[0].id, force=True)
        remover.prune(everything=True, chosen=lambda _: True)


def _is_consistent(store: ImageStore) -> None:
    """What the index tells of is there."""
    with store.index.reading() as rows:
        assert rows is not None
        layers, blobs = rows.all_layers(), rows.blobs()
        images = [rows.image(id) for id in rows.ids()]
    kept = {layer.diff_id for layer in layers}
    for image in images:
        assert image is not None
        assert set(image.layers) <= kept
        assert store.image(image.id) == image
    assert [layer for layer in layers if not store.layout.layer(layer.diff_id).is_dir()] == []
    assert [blob for blob in blobs if not store.layout.blob(blob.digest).exists()] == []


@pytest.mark.slow
def test_whoever_comes_and_goes_may_be_killed_at_any_time(
    store: ImageStore, registry: Registry
) -> None:
    context, chance = multiprocessing.get_context("fork"), random.Random(1)
    tree: Layer = {f"file{number}": file(str(number)) for number in range(100)}
    references = tuple(
        registry.publish(oci.Image(layers=[tree, {"v": file(name)}]), f"deaths-{name}")
        for name in ("one", "two", "three")
    )
    store.pull(references[0], (), silent)
    for _ in range(40):
        process = context.Process(target=_come_and_go, args=(store.layout.root, references))
        process.start()
        time.sleep(chance.uniform(0.02, 0.3))
        assert process.is_alive()
        assert process.pid
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        _is_consistent(store)
    for reference in references:
        store.pull(reference, (), silent)
    assert Verifier(store, silent).verify(()) == ()
    Remover(store, dict).prune(everything=True, chosen=lambda _: True)
    nothing_is_left(store)
