"""What no image needs goes, what somebody uses stays."""

import errno
import os
import shutil
import subprocess
import tarfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any
from unittest.mock import ANY

import pytest

from runtime.api import ImageDefaults, ImageSpec, RegistrySource, Removal, RootfsSource
from runtime.embedded.store.details import details
from runtime.embedded.store.faults import (
    ImageAbsent,
    ImageForgotten,
    ImageInUse,
    SeveralNames,
    StoreBusy,
)
from runtime.embedded.store.images import Image, ImageStore
from runtime.embedded.store.layout import Layout
from runtime.embedded.store.removing import Remover
from runtime.reference import parse
from tests.conftest import Images
from tests.images.registry import Registry
from tests.runtime.embedded.layers import tars
from tests.runtime.embedded.registry.hostile import digest
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
    users: Mapping[str, Mapping[str, bool]] = MappingProxyType({}),
) -> Removal:
    return Remover(store, lambda: users).remove(name, force=force)


def prune(store: ImageStore, *used: str, everything: bool = False) -> Removal:
    users = {id: {"shop/web": False} for id in used}
    return Remover(store, lambda: users).prune(everything=everything, chosen=lambda _: True)


def test_with_its_last_name_an_image_goes_and_what_it_alone_needs(
    store: ImageStore, images: Images, registry: Registry
) -> None:
    nginx, python = (store.pull(name, (), silent) for name in (images.nginx, images.python))
    removal = remove(store, images.nginx)
    by_digest = f"{images.nginx.removesuffix(':latest')}@{registry.digest('nginx')}"
    assert (removal.untagged, removal.deleted) == ((images.nginx, by_digest), (nginx.id,))
    assert removal.freed > 0
    assert store.find(images.nginx) is None
    assert layer_folders(store) == sorted(layer[7:] for layer in python.layers)
    assert len(os.listdir(store.layout.blobs)) == 2 + len(python.layers)
    assert store.layers(python.id)
    remove(store, python.id)
    nothing_is_left(store)
    with pytest.raises(ImageAbsent):
        remove(store, images.nginx)


def digest_name(store: ImageStore, name: str) -> str:
    (found,) = details(store, name).digests
    return found


def test_of_several_names_one_goes(store: ImageStore, images: Images) -> None:
    image = store.pull(images.busybox, (), silent)
    other = images.busybox.replace(":latest", ":other")
    store.tag(images.busybox, parse(other))
    assert remove(store, other) == Removal(untagged=(other,))
    assert remove(store, image.id[7:19]).deleted == (image.id,)


def test_by_id_an_image_with_several_names_goes_by_force_only(
    store: ImageStore, images: Images
) -> None:
    image, other = store.pull(images.busybox, (), silent), images.busybox.replace("latest", "other")
    for second in (other, "elsewhere.example/box:1"):
        store.tag(images.busybox, parse(second))
        with pytest.raises(SeveralNames, match=second):
            remove(store, image.id)
        by_digest = digest_name(store, image.id)
        removal = remove(store, image.id, force=True)
        assert set(removal.untagged) == {images.busybox, second, by_digest}
        nothing_is_left(store)
        store.pull(images.busybox, (), silent)


def test_a_tag_of_the_same_repository_keeps_the_digest_and_takes_it_along(
    store: ImageStore, images: Images
) -> None:
    store.pull(images.busybox, (), silent)
    by_digest = digest_name(store, images.busybox)
    second = images.busybox.replace(":latest", ":second")
    for name in (second, "elsewhere.example/box:1", images.busybox):
        store.tag(images.busybox, parse(name))
    assert remove(store, images.busybox).untagged == (images.busybox,)
    assert digest_name(store, "elsewhere.example/box:1") == by_digest
    assert remove(store, second).untagged == (second, by_digest)
    assert details(store, "elsewhere.example/box:1").digests == ()
    assert remove(store, "elsewhere.example/box:1").deleted
    nothing_is_left(store)


def test_an_image_for_another_platform_keeps_the_digest_that_both_have(
    store: ImageStore, images: Images, moving: str
) -> None:
    index, ids = digest(b"index"), [store.pull(n, (), silent).id for n in (images.busybox, moving)]
    names = ["r.example/a:amd64", "r.example/a:arm64"]
    with store.index.writing() as rows:
        for name, id in zip(names, ids, strict=True):
            rows.put_reference(name, id, index)
    assert remove(store, names[0]).untagged == (names[0], f"r.example/a@{index}")
    assert details(store, ids[0]).digests == (digest_name(store, images.busybox),)
    assert f"r.example/a@{index}" in details(store, ids[1]).digests


def test_a_name_by_digest_means_it_and_goes_alone(store: ImageStore, images: Images) -> None:
    image = store.pull(images.busybox, (), silent)
    by_digest = digest_name(store, images.busybox)
    assert store.find(by_digest) == image
    assert store.find(by_digest[:-1] + ("0" if by_digest[-1] != "0" else "1")) is None
    assert remove(store, by_digest) == Removal(untagged=(by_digest,))
    assert [each.references for each in store.list()] == [(images.busybox,)]
    assert store.find(by_digest) is None
    store.pull(by_digest, (), silent)
    store.tag(by_digest, parse("elsewhere.example/box:1"))
    remove(store, images.busybox)  # its digest goes with the tag
    assert store.find(by_digest) is None
    store.pull(by_digest, (), silent)
    remove(store, "elsewhere.example/box:1")
    assert [each.references for each in store.list()] == [(by_digest,)]
    assert remove(store, image.id) == Removal(untagged=(by_digest,), deleted=(image.id,), freed=ANY)


def test_a_name_by_digest_alone_keeps_no_image_from_being_pruned(
    store: ImageStore, images: Images
) -> None:
    """As docker has it; so what a lock file has meant before can go."""
    image = store.pull(images.busybox, (), silent)
    locked = f"{images.busybox}@{images.registry.digest('busybox')}"
    spec = ImageSpec(name=locked, source=RegistrySource(reference=locked))
    assert store.ensure(spec, (), silent).id == image.id
    assert prune(store) == Removal()
    remove(store, images.busybox)
    assert prune(store, image.id) == Removal()
    assert locked in prune(store).untagged
    nothing_is_left(store)


@pytest.mark.parametrize("runs", [False, True])
def test_of_an_image_in_use_the_last_name_goes_by_force_and_the_image_stays(
    store: ImageStore, images: Images, runs: bool
) -> None:
    image = store.pull(images.busybox, (), silent)
    by_digest = digest_name(store, images.busybox)
    users = {image.id: {"shop/web": runs, "shop/db": False}}
    told = f"shop/db \\(stopped\\), shop/web \\({'running' if runs else 'stopped'}\\)"
    for name in (images.busybox, image.id):
        with pytest.raises(ImageInUse, match=told):
            remove(store, name, users=users)
    assert store.find(images.busybox) == image
    store.tag(image.id, parse("elsewhere.example/box:1"))
    assert remove(store, "elsewhere.example/box:1", users=users).deleted == ()
    removal = remove(store, images.busybox, users=users, force=True)
    assert removal == Removal(untagged=(images.busybox, by_digest))
    assert store.layers(image.id)
    assert prune(store, image.id) == Removal()
    assert prune(store).deleted == (image.id,)


def test_by_id_no_force_takes_an_image_under_what_runs(store: ImageStore, images: Images) -> None:
    image = store.pull(images.busybox, (), silent)
    with pytest.raises(ImageInUse) as refused:
        remove(store, image.id, force=True, users={image.id: {"shop/web": True}})
    assert "--force" not in str(refused.value.hint)
    stopped = {image.id: {"shop/web": False}}
    removal = remove(store, image.id, force=True, users=stopped)
    assert (len(removal.untagged), removal.deleted) == (2, ())
    with pytest.raises(ImageInUse):  # there is no name left to take
        remove(store, image.id, force=True, users=stopped)
    assert store.layers(image.id)


@pytest.mark.parametrize(
    "way", [lambda store, name: remove(store, name), lambda store, _: prune(store, everything=True)]
)
def test_what_is_not_whole_any_more_is_listed_and_can_go(
    store: ImageStore, images: Images, way: Callable[[ImageStore, str], Removal]
) -> None:
    image = store.pull(images.busybox, (), silent)
    shutil.rmtree(store.layers(image.id)[0])
    store.layout.blob(image.id).unlink()
    assert [each.id for each in store.list()] == [image.id]
    assert details(store, images.busybox).id == image.id
    with pytest.raises(ImageAbsent):
        store.tag(images.busybox, parse("elsewhere.example/box:1"))
    assert way(store, images.busybox).deleted == (image.id,)
    nothing_is_left(store)


def lose_the_index(store: ImageStore) -> None:
    os.rename(store.layout.index, f"{store.layout.index}.bad")


@pytest.mark.parametrize(
    "way",
    [
        lambda store, other, users: prune(store, *users),
        lambda store, other, users: prune(store, *users, everything=True),
        lambda store, other, users: remove(store, other, users=users),
    ],
)
def test_without_the_index_what_containers_stand_on_stays(
    store: ImageStore, images: Images, way: Callable[[ImageStore, str, Any], Removal]
) -> None:
    image = store.pull(images.nginx, (), silent)
    users = {image.id: {"shop/web": True}}
    lose_the_index(store)
    assert prune(store, image.id).deleted == ()
    store.pull(images.python, (), silent)  # it shares a layer
    for _ in range(2):
        way(store, images.python, users)
        assert {digest[7:] for digest in image.layers} <= set(layer_folders(store))
        store.pull(images.python, (), silent)
    assert store.pull(images.nginx, (), silent) == image
    prune(store, everything=True)
    nothing_is_left(store)


@pytest.mark.parametrize("harm", [Path.unlink, lambda path: path.write_bytes(b"{}")])
def test_nothing_goes_while_nobody_knows_what_a_container_stands_on(
    store: ImageStore, images: Images, harm: Callable[[Path], None]
) -> None:
    image = store.pull(images.nginx, (), silent)
    lose_the_index(store)
    harm(store.layout.blob(image.id))
    other = store.pull(images.busybox, (), silent)
    before = layer_folders(store)
    users = {image.id: {"shop/web": True, "shop/db": False}}
    for go in (partial(prune, store, image.id), partial(remove, store, other.id, users=users)):
        with pytest.raises(ImageForgotten, match=r"shop/web .* layers of the image sha256:"):
            go()
    assert layer_folders(store) == before
    assert store.find(images.busybox) == other
    remove(store, other.id)
    nothing_is_left(store)


def test_of_a_store_that_was_only_begun_nothing_goes(store: ImageStore) -> None:
    assert prune(store) == Removal()
    store.layout.root.mkdir()
    assert prune(store) == Removal()


def test_whoever_removed_a_layer_may_have_been_killed_and_the_layer_come_again(
    store: ImageStore, images: Images
) -> None:
    image = store.pull(images.busybox, (), silent)
    for name in layer_folders(store):
        for left in (name, f"gone-{name}"):
            (store.layout.tmp / left / "half").mkdir(parents=True)
    remove(store, image.id)
    nothing_is_left(store)


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
        with pytest.raises(StoreBusy, match=rf"process {os.getpid()} \(.*pytest"):
            prune(store)
        assert os.listdir(store.layout.tmp) == ["half"]
    prune(store)
    assert os.listdir(store.layout.tmp) == []


def test_an_image_of_a_file_is_nobodys_prey_before_it_has_its_name(
    store: ImageStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runtime.embedded.store.removing._PATIENCE", 0.1)
    (tmp_path / "a.tar").write_bytes(PLAIN)
    bring = ImageStore.import_rootfs

    def bring_and_prune(*words: Any) -> Image:
        image = bring(*words)
        with pytest.raises(StoreBusy):
            prune(store)
        return image

    monkeypatch.setattr(ImageStore, "import_rootfs", bring_and_prune)
    source = RootfsSource(path=str(tmp_path / "a.tar"))
    image = store.ensure(ImageSpec(name="a@shop", source=source), (), silent)
    assert store.find("a@shop") == image


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


def test_images_go_from_a_disk_without_a_free_inode(tmp_path: Path) -> None:
    place, archive = tmp_path / "small", tmp_path / "a.tar"
    place.mkdir()
    archive.write_bytes(PLAIN)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "nr_inodes=60", "none", place], check=True)
    try:
        store = ImageStore(place / "images")
        for name in ("a@x", "b@x"):
            source = RootfsSource(path=str(archive), config=ImageDefaults(user=name))
            store.ensure(ImageSpec(name=name, source=source), (), silent)
        for kept, way in (("a@x", remove), ("", lambda *_: prune(store, everything=True))):
            with suppress(OSError):
                for number in range(60):
                    (place / f"filler{number}").touch()
            assert os.statvfs(place).f_favail == 0
            assert way(store, "b@x").deleted
            assert (store.find(kept) is not None) == bool(kept)
        nothing_is_left(store)
        assert store.layout.ballast.stat().st_size == 1 << 20
    finally:
        subprocess.run(["umount", place], check=True)


def test_a_disk_found_full_when_the_names_have_gone(
    store: ImageStore, images: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = store.pull(images.busybox, (), silent)
    keep_only, tries = Layout.keep_only, list[bool]()

    def at_the_second_try(layout: Layout, *kept: Any, begun: bool) -> int:
        tries.append(layout.ballast.exists())
        if len(tries) == 1:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return keep_only(layout, *kept, begun=begun)

    monkeypatch.setattr(Layout, "keep_only", at_the_second_try)
    assert remove(store, images.busybox).deleted == (image.id,)
    assert tries == [True, False]
    nothing_is_left(store)


def test_hand_made_archives_are_what_other_tools_read(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(PLAIN)
    with tarfile.open(tmp_path / "a.tar") as tar:
        assert tar.getnames() == ["a"]
