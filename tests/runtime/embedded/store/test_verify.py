"""Damage is found, counts as not here, and is repaired by the next pull."""

import errno
import os
import stat
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from runtime.api import ImageSpec, RegistrySource
from runtime.embedded.store import verify
from runtime.embedded.store.faults import ImageAbsent, NotEnoughRoom
from runtime.embedded.store.images import Image, ImageStore
from runtime.embedded.store.index import Blob
from runtime.embedded.store.layout import Stage
from runtime.embedded.store.outgoing import outgoing
from runtime.embedded.store.removing import Remover, Users
from runtime.embedded.store.unpack import Unpacker
from runtime.embedded.store.verify import Verifier
from tests.images import layers, oci
from tests.images.registry import Registry
from tests.runtime.embedded.layers.unpacking import tree
from tests.runtime.embedded.registry.hostile import Server, digest, publish
from tests.runtime.embedded.store.stocks import (
    BLOB,
    PLAIN,
    layer_folders,
    nothing_is_left,
    silent,
    state,
)

pytestmark = pytest.mark.root


@pytest.fixture
def image(store: ImageStore, server: Server) -> Image:
    publish(server, (PLAIN, BLOB))
    return store.pull(f"{server.host}/app", (), silent)


def whats(store: ImageStore, *names: str) -> list[str]:
    return [damage.what for damage in Verifier(store, silent).verify(names)]


def test_what_is_as_it_was_has_no_damage(store: ImageStore, image: Image, server: Server) -> None:
    assert whats(store) == whats(store, image.id, f"{server.host}/app") == []
    with pytest.raises(ImageAbsent):
        whats(store, "nobody")


def content(path: Path) -> None:
    status = path.stat()
    path.write_bytes(b"b" * status.st_size)
    os.utime(path, ns=(status.st_mtime_ns, status.st_mtime_ns))


def mode(path: Path) -> None:
    path.chmod(path.stat().st_mode ^ stat.S_IXUSR)


def another(path: Path) -> None:
    (path.parent / "b").touch()


def owner(path: Path) -> None:
    os.chown(path, 7, 7)


def attribute(path: Path) -> None:
    os.setxattr(path, "user.x", b"y")


def link(path: Path) -> None:
    path.unlink()
    path.symlink_to("/etc/passwd")


@pytest.mark.parametrize(
    ("harm", "told"),
    [
        (content, "a: its content differs"),
        (mode, "a: its mode differs"),
        (another, "b was not there"),
        (Path.unlink, "a is gone"),
        (owner, "a: its owner differs"),
        (attribute, "a: its attributes differ"),
        (link, "a is of another kind"),
        (lambda path: os.utime(path), "a: its time differs"),
    ],
)
def test_a_damaged_file_is_named_and_repaired_without_the_registry(
    store: ImageStore, image: Image, server: Server, harm: Callable[[Path], None], told: str
) -> None:
    folder = store.layers(image.id)[0]
    harm(folder / "a")
    held, left = os.open(folder, os.O_RDONLY), sorted(os.listdir(folder))
    damage = Verifier(store, silent).verify(())
    assert [each.what for each in damage] == [f"layer {digest(PLAIN)[:19]}: {told}"]
    assert damage[0].images == (image.id,)
    assert store.find(image.id) is None
    assert [each.id for each in store.list()] == [image.id]
    server.asked.clear()
    store.pull(f"{server.host}/app", (), silent)
    assert not any("blobs" in path and digest(BLOB) in path for path in server.paths())
    assert (store.layers(image.id)[0] / "a").stat().st_size == 200_000
    assert whats(store) == []
    assert sorted(os.listdir(held)) == left  # a container that stands on it keeps what it has
    os.close(held)
    Remover(store, dict).remove(image.id, force=False)
    nothing_is_left(store)


def test_what_was_put_aside_goes_when_no_container_stands_on_it(
    store: ImageStore, image: Image, server: Server
) -> None:
    content(store.layers(image.id)[0] / "a")
    whats(store)
    store.pull(f"{server.host}/app", (), silent)
    anew, aside = layer_folders(store)
    assert aside.startswith(f"{anew}.")
    stands = {image.id: {"shop/web": False}}
    users: list[tuple[Users, list[str]]] = [(lambda: stands, [anew, aside]), (dict, [anew])]
    for asked, left in users:
        remover = Remover(store, asked)
        remover.prune(everything=False, chosen=lambda _: True)
        assert layer_folders(store) == left
    assert whats(store) == []


def test_who_makes_a_layer_anew_while_it_is_verified_has_it_whole(
    store: ImageStore, image: Image, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    content(store.layers(image.id)[0] / "a")
    assert whats(store) == [f"layer {digest(PLAIN)[:19]}: a: its content differs"]
    unpack_kept = Unpacker.unpack_kept
    pull = threading.Thread(target=lambda: store.pull(f"{server.host}/app", (), silent))

    def beside_a_pull(unpacker: Unpacker, blob: Blob, stage: Stage) -> None:
        unpack_kept(unpacker, blob, stage)
        pull.start()
        pull.join(0.5)  # it waits for us

    monkeypatch.setattr(Unpacker, "unpack_kept", beside_a_pull)
    whats(store)
    pull.join()
    monkeypatch.undo()
    assert store.find(image.id) == image
    assert whats(store) == []


def test_a_damaged_archive_is_fetched_again(
    store: ImageStore, image: Image, server: Server
) -> None:
    path = store.layout.blob(digest(BLOB))
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    assert whats(store) == [f"layer {digest(PLAIN)[:19]}: its archive is not what it was"]
    assert whats(store) == [f"layer {digest(PLAIN)[:19]}: it was found damaged before"]
    server.asked.clear()
    store.pull(f"{server.host}/app", (), silent)
    assert any(digest(BLOB) in asked for asked in server.paths())
    assert whats(store) == []


def test_a_damaged_configuration_is_written_again(
    store: ImageStore, image: Image, server: Server
) -> None:
    store.layout.blob(image.id).write_bytes(b"{}")
    assert whats(store) == [f"configuration {image.id[:19]} is not what it was"]
    assert store.find(image.id) is None
    store.pull(f"{server.host}/app", (), silent)
    assert whats(store) == []
    assert store.find(image.id) is not None


def test_an_image_whose_manifest_is_damaged_does_not_leave_under_another_digest(
    store: ImageStore, image: Image, server: Server
) -> None:
    own = outgoing(store.index, store.layout, image.id)
    store.layout.blob(own.digest).write_bytes(b"{}")
    assert whats(store) == [f"manifest {own.digest[:19]} is not what it was"]
    with pytest.raises(ImageAbsent):
        outgoing(store.index, store.layout, image.id)
    source = RegistrySource(reference=f"{server.host}/app")
    spec = ImageSpec(name="app", source=source, tags=image.references, push=image.references)
    assert state(store, spec).pushed == ()
    store.pull(f"{server.host}/app", (), silent)
    assert outgoing(store.index, store.layout, image.id) == own
    assert state(store, spec).pushed == image.references
    assert whats(store) == []


def test_damage_that_nobody_has_looked_for_does_not_leave(
    store: ImageStore, image: Image, server: Server
) -> None:
    """A manifest with another byte in it may still be one."""
    own = outgoing(store.index, store.layout, image.id)
    for id, raw in ((own.digest, own.raw), (image.id, own.config)):
        store.layout.blob(id).write_bytes(raw + b" ")
        with pytest.raises(ImageAbsent):
            outgoing(store.index, store.layout, image.id)
        store.layout.blob(id).write_bytes(raw)
    assert outgoing(store.index, store.layout, image.id) == own


@pytest.mark.parametrize(
    ("what", "told"),
    [
        ("file_pieces", f"layer {digest(PLAIN)[:19]}: its archive cannot be read"),
        ("first_difference", f"layer {digest(PLAIN)[:19]}: one of its files cannot be read"),
        ("digest_of", "manifest sha256"),
    ],
)
def test_bad_sectors_are_damage(
    store: ImageStore,
    image: Image,
    server: Server,
    monkeypatch: pytest.MonkeyPatch,
    what: str,
    told: str,
) -> None:
    def bad(*_: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patched:
        patched.setattr(verify, what, bad)
        found = whats(store)
        assert [each for each in found if each.startswith(told)]
        assert all(each.endswith("cannot be read (Input/output error)") for each in found)
        assert store.find(image.id) is None
    store.pull(f"{server.host}/app", (), silent)
    assert whats(store) == []


def test_another_error_is_no_damage(
    store: ImageStore, image: Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    def busy(*_: object) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    with monkeypatch.context() as patched:
        patched.setattr(verify, "file_pieces", busy)
        with pytest.raises(OSError, match="open files"):
            whats(store)
    assert store.find(image.id) == image


def test_a_folder_that_somebody_removed(store: ImageStore, registry: Registry) -> None:
    made = oci.Image(layers=[{"d/e": layers.file("1")}, {"f": layers.file("2")}])
    reference = registry.publish(made, "two")
    image = store.pull(reference, (), silent)
    before = [tree(folder) for folder in store.layers(image.id)]
    os.rename(store.layers(image.id)[0], store.layout.root / "away")
    assert whats(store) == [f"layer {image.layers[1][:19]}: its files are gone"]
    store.pull(reference, (), silent)
    assert [tree(folder) for folder in store.layers(image.id)] == before
    assert whats(store) == []


def test_what_cannot_fit_is_refused_before_it_is_fetched(
    store: ImageStore, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(server, (PLAIN, BLOB))
    real = os.statvfs

    def little(path: Path) -> os.statvfs_result:
        found = list(real(path))
        found[4] = 2 * len(BLOB) // found[1] - 1  # f_bavail
        return os.statvfs_result(found)

    monkeypatch.setattr("os.statvfs", little)
    with pytest.raises(NotEnoughRoom, match=r"takes at least 0\.5 MB, and 0\.3 MB"):
        store.pull(f"{server.host}/app", (), silent)
    assert not any(digest(BLOB) in path for path in server.paths())
    nothing_is_left(store)
