"""What no image needs goes, what somebody uses stays."""

import os
import subprocess
import tarfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType

import pytest

from runtime.api import ImageSpec, Removal, RootfsSource
from runtime.embedded.store.faults import (
    ImageAbsent,
    ImageInUse,
    SeveralNames,
    StoreBusy,
)
from runtime.embedded.store.images import ImageStore
from runtime.embedded.store.layout import Layout
from runtime.embedded.store.removing import Remover
from runtime.reference import parse
from tests.conftest import Images
from tests.images.registry import Registry
from tests.runtime.embedded.layers import tars
from tests.runtime.embedded.store.stocks import (
    PLAIN,
    layer_folders,
    move,
    nothing_is_left,
    silent,
)

pytestmark = pytest.mark.root


def remove(
    store: ImageStore,
    name: str,
    *,
    force: bool = False,
    users: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> Removal:
    return Remover(store, lambda: users).remove(name, force=force)


def prune(store: ImageStore, *used: str, everything: bool = False) -> Removal:
    users = {id: ["shop/web"] for id in used}
    return Remover(store, lambda: users).prune(everything=everything, chosen=lambda _: True)


def test_with_its_last_name_an_image_goes_and_what_it_alone_needs(
    store: ImageStore, images: Images
) -> None:
    nginx, python = (store.pull(name, (), silent) for name in (images.nginx, images.python))
    removal = remove(store, images.nginx)
    assert (removal.untagged, removal.deleted) == ((images.nginx,), (nginx.id,))
    assert removal.freed > 0
    assert store.find(images.nginx) is None
    assert layer_folders(store) == sorted(layer[7:] for layer in python.layers)
    assert len(os.listdir(store.layout.blobs)) == 2 + len(python.layers)
    assert store.layers(python.id)
    remove(store, python.id)
    nothing_is_left(store)
    with pytest.raises(ImageAbsent):
        remove(store, images.nginx)


def test_of_several_names_one_goes(store: ImageStore, images: Images) -> None:
    image = store.pull(images.busybox, (), silent)
    other = images.busybox.replace(":latest", ":other")
    store.tag(images.busybox, parse(other))
    assert remove(store, other) == Removal(untagged=(other,))
    store.tag(image.id[7:19], parse(other))
    assert remove(store, image.id[7:19]).deleted == (image.id,)


def test_by_id_names_in_several_repositories_go_by_force_only(
    store: ImageStore, images: Images
) -> None:
    image = store.pull(images.busybox, (), silent)
    store.tag(images.busybox, parse("elsewhere.example/box:1"))
    with pytest.raises(SeveralNames, match="box:1"):
        remove(store, image.id)
    removal = remove(store, image.id, force=True)
    assert len(removal.untagged) == 2
    nothing_is_left(store)


def test_an_image_in_use_stays(store: ImageStore, images: Images) -> None:
    image = store.pull(images.busybox, (), silent)
    users = {image.id: ["shop/web", "shop/db"]}
    for name in (images.busybox, image.id):
        with pytest.raises(ImageInUse, match="shop/web, shop/db"):
            remove(store, name, users=users)
    assert store.find(images.busybox) == image
    assert remove(store, images.busybox, users=users, force=True).deleted == ()
    assert store.layers(image.id)
    assert prune(store, image.id) == Removal()
    assert prune(store).deleted == (image.id,)


def test_what_a_spec_calls_it_is_a_name(store: ImageStore, tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(PLAIN)
    source = RootfsSource(path=str(tmp_path / "a.tar"))
    image = store.ensure(ImageSpec(name="a@shop", source=source), (), silent)
    assert prune(store) == Removal()
    assert remove(store, "a@shop").deleted == (image.id,)
    nothing_is_left(store)


def test_an_image_without_a_name_stays_while_a_container_uses_it(
    store: ImageStore, registry: Registry, moving: str
) -> None:
    old = store.pull(moving, (), silent)
    move(registry, "3")
    new = store.pull(moving, (), silent)
    assert prune(store, old.id) == Removal()
    assert store.image(old.id).id == old.id
    assert prune(store).deleted == (old.id,)
    with pytest.raises(ImageAbsent):
        store.image(old.id)
    assert len(layer_folders(store)) == 1
    assert prune(store, everything=True).deleted == (new.id,)
    nothing_is_left(store)


def test_nothing_is_removed_while_somebody_pulls(
    store: ImageStore, images: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runtime.embedded.store.removing._PATIENCE", 0.1)
    store.pull(images.busybox, (), silent)
    (store.layout.tmp / "half").mkdir()
    with Layout(store.layout.root).adding():
        with pytest.raises(StoreBusy):
            prune(store)
        assert os.listdir(store.layout.tmp) == ["half"]
    prune(store)
    assert os.listdir(store.layout.tmp) == []


def test_who_removes_waits_for_who_pulls(store: ImageStore, images: Images) -> None:
    image = store.pull(images.busybox, (), silent)
    begun, done = threading.Event(), threading.Event()

    def hold() -> None:
        with Layout(store.layout.root).adding():
            begun.set()
            done.wait(0.3)

    thread = threading.Thread(target=hold)
    thread.start()
    begun.wait()
    assert remove(store, image.id).deleted == (image.id,)
    thread.join()


@pytest.fixture
def full(tmp_path: Path) -> Iterator[Path]:
    """A small disk of its own."""
    image, place = tmp_path / "disk", tmp_path / "small"
    place.mkdir()
    with image.open("wb") as file:
        file.truncate(16 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-m0", image], check=True)
    subprocess.run(["mount", "-o", "loop", image, place], check=True)
    yield place
    subprocess.run(["umount", place], check=True)


def fill(place: Path) -> None:
    with suppress(OSError), (place / "filler").open("wb", buffering=0) as file:
        for size in (1 << 16, 1 << 10, 1):
            with suppress(OSError):
                while True:
                    file.write(bytes(size))


def test_images_go_from_a_disk_without_a_free_byte(full: Path, tmp_path: Path) -> None:
    store = ImageStore(full / "images")
    for number in range(5):
        archive = tmp_path / f"{number}.tar"
        archive.write_bytes(tars.archive(tars.member(b"a", body=os.urandom(200_000))))
        source = RootfsSource(path=str(archive))
        store.ensure(ImageSpec(name=f"a{number}@x", source=source), (), silent)
    fill(full)
    assert os.statvfs(full).f_bavail == 0
    assert remove(store, "a0@x").deleted
    fill(full)
    assert len(prune(store, everything=True).deleted) == 4
    nothing_is_left(store)
    assert store.layout.ballast.stat().st_size == 1 << 20


def test_hand_made_archives_are_what_other_tools_read(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(PLAIN)
    with tarfile.open(tmp_path / "a.tar") as tar:
        assert tar.getnames() == ["a"]
