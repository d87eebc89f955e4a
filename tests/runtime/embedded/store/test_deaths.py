"""Many processes on one store, and processes that are killed."""

import multiprocessing
import os
import shutil
import signal
import time
from pathlib import Path

import pytest

from runtime.embedded.store.images import ImageStore
from tests.conftest import Images
from tests.runtime.embedded.layers.unpacking import tree
from tests.runtime.embedded.store.stocks import (
    layer_folders,
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


@pytest.mark.sweep
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
