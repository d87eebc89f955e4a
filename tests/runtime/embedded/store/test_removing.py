"""What no image needs goes, what somebody uses stays."""

import os
import tarfile
from pathlib import Path

import pytest

from runtime.embedded.store.faults import (
    ImageAbsent,
)
from runtime.embedded.store.images import ImageStore
from runtime.embedded.store.layout import Layout
from tests.conftest import Images
from tests.images.registry import Registry
from tests.runtime.embedded.store.stocks import (
    PLAIN,
    layer_folders,
    move,
    silent,
)

pytestmark = pytest.mark.root


def test_what_no_image_needs_is_collected(store: ImageStore, images: Images) -> None:
    nginx, python = (store.pull(name, (), silent) for name in (images.nginx, images.python))
    store.remove(nginx.id)
    store.remove(nginx.id)
    assert store.find(images.nginx) is None
    store.collect(())
    assert layer_folders(store) == sorted(layer[7:] for layer in python.layers)
    assert len(os.listdir(store.layout.blobs)) == 2 + len(python.layers)
    assert store.layers(python.id)


def test_an_image_without_a_name_stays_while_a_container_uses_it(
    store: ImageStore, registry: Registry, moving: str
) -> None:
    old = store.pull(moving, (), silent)
    move(registry, "3")
    store.pull(moving, (), silent)
    store.collect([old.id])
    assert store.image(old.id).id == old.id
    store.collect([])
    with pytest.raises(ImageAbsent):
        store.image(old.id)
    assert len(layer_folders(store)) == 1


def test_nothing_is_collected_while_somebody_pulls(store: ImageStore, images: Images) -> None:
    store.pull(images.busybox, (), silent)
    (store.layout.tmp / "half").mkdir()
    with Layout(store.layout.root).adding():
        store.collect(())
        assert os.listdir(store.layout.tmp) == ["half"]
    store.collect(())
    assert os.listdir(store.layout.tmp) == []


def test_hand_made_archives_are_what_other_tools_read(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(PLAIN)
    with tarfile.open(tmp_path / "a.tar") as tar:
        assert tar.getnames() == ["a"]
