"""What is wrong is not kept: flipped bits, lies, bombs, a full disk."""

import gzip
import json
import os
import sqlite3
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from runtime.embedded.layers.faults import BadLayer, LayerTooLarge
from runtime.embedded.registry.documents import BadDocument
from runtime.embedded.registry.faults import WrongContent
from runtime.embedded.store.blobs import arrival
from runtime.embedded.store.faults import (
    DamagedStore,
    NewerStore,
    WrongLayer,
)
from runtime.embedded.store.images import ImageStore
from runtime.embedded.store.index import Index
from runtime.embedded.store.unpack import Budget, Unpacker
from runtime.errors import DeviceFailed, DiskFull, Fault
from tests.conftest import Images
from tests.runtime.embedded.layers import tars
from tests.runtime.embedded.layers.unpacking import pieces
from tests.runtime.embedded.registry.hostile import (
    Answer,
    Asked,
    Server,
    digest,
    publish,
)
from tests.runtime.embedded.store.stocks import (
    BLOB,
    PLAIN,
    flipped,
    layer_folders,
    nothing_is_left,
    silent,
)

pytestmark = pytest.mark.root


def test_a_flipped_bit_in_a_layer(store: ImageStore, server: Server) -> None:
    publish(server, (PLAIN, BLOB))
    server.routes[f"/v2/app/blobs/{digest(BLOB)}"] = Answer(body=flipped(BLOB))
    with pytest.raises((WrongContent, BadLayer)):
        store.pull(f"{server.host}/app", (), silent)
    nothing_is_left(store)


def test_a_flipped_bit_in_the_configuration(store: ImageStore, server: Server) -> None:
    published = publish(server, (PLAIN, BLOB))
    path = f"/v2/app/blobs/{digest(published.config)}"
    server.routes[path] = Answer(body=flipped(published.config))
    with pytest.raises(WrongContent):
        store.pull(f"{server.host}/app", (), silent)
    nothing_is_left(store)


def test_a_layer_that_the_configuration_does_not_mean(store: ImageStore, server: Server) -> None:
    publish(server, (PLAIN + bytes(512), BLOB))
    with pytest.raises(WrongLayer):
        store.pull(f"{server.host}/app", (), silent)
    nothing_is_left(store)


def test_more_layers_than_the_configuration_knows(store: ImageStore, server: Server) -> None:
    published = publish(server, (PLAIN, BLOB))
    document = json.loads(published.manifest)
    document["layers"] *= 2
    server.routes["/v2/app/manifests/latest"] = Answer(body=json.dumps(document).encode())
    with pytest.raises(BadDocument, match="2 layers"):
        store.pull(f"{server.host}/app", (), silent)
    nothing_is_left(store)


def test_who_waits_for_a_layer_that_another_makes_is_told_of_a_bad_one(
    store: ImageStore, server: Server
) -> None:
    other = tars.archive(tars.member(b"b"))
    bad = gzip.compress(other)
    publish(server, (PLAIN, BLOB), (other, bad))
    server.routes[f"/v2/app/blobs/{digest(bad)}"] = Answer(body=flipped(bad))
    failed: list[BaseException] = []

    def pull() -> None:
        try:
            store.pull(f"{server.host}/app", (), silent)
        except (WrongContent, BadLayer) as fault:
            failed.append(fault)

    pulling = threading.Thread(target=pull, daemon=True)
    with store.adding(), store.layout.making(digest(PLAIN)):
        pulling.start()
        pulling.join(20)
        assert failed
    pulling.join()
    nothing_is_left(store)


def test_a_bad_layer_tells_which_one_of_which_image_it_is(
    store: ImageStore, server: Server
) -> None:
    bad = tars.archive(tars.member(b"../out"))
    publish(server, (bad, gzip.compress(bad)))
    with pytest.raises(BadLayer) as caught:
        store.pull(f"{server.host}/app", (), silent)
    layer, image = digest(bad)[:19], f"{server.host}/app:latest"
    assert caught.value.what == f"layer {layer} of {image} cannot be unpacked"
    assert caught.value.why == "entry '../out': it leads out of the layer with '..'"


def test_a_good_layer_beside_a_bad_one_stays_for_the_next_pull(
    store: ImageStore, server: Server
) -> None:
    other = tars.archive(tars.member(b"b"))
    bad = gzip.compress(other)
    publish(server, (PLAIN, BLOB), (other, bad))

    def late(_: Asked) -> Answer:
        end = time.monotonic() + 10
        while not layer_folders(store) and time.monotonic() < end:
            time.sleep(0.02)
        return Answer(body=flipped(bad))

    server.routes[f"/v2/app/blobs/{digest(bad)}"] = late
    with pytest.raises((WrongContent, BadLayer)):
        store.pull(f"{server.host}/app", (), silent)
    assert layer_folders(store) == [digest(PLAIN)[7:]]
    assert store.list() == ()


def test_a_hostile_layer_leaves_the_host_alone(
    store: ImageStore, server: Server, tmp_path: Path
) -> None:
    canary = tmp_path / "canary"
    canary.write_text("untouched")
    evil = tars.archive(
        tars.symlink(b"x", os.fsencode(tmp_path)),
        tars.member(b"x/canary", body=b"evil"),
        tars.member(b"../" * 10 + os.fsencode(canary).lstrip(b"/"), body=b"evil"),
    )
    publish(server, (evil, gzip.compress(evil)))
    with pytest.raises(BadLayer):
        store.pull(f"{server.host}/app", (), silent)
    assert canary.read_text() == "untouched"
    nothing_is_left(store)


def unpack(store: ImageStore, budget: Budget, diff_id: str, archive: bytes) -> None:
    store.layout.prepare()
    unpacker = Unpacker(store.layout, store.index, budget)
    unpacker.add(diff_id, lambda: arrival(store.layout, pieces(archive, 65536)))


@pytest.mark.parametrize("what", ["a file", "a tail"])
def test_a_bomb_is_stopped_within_its_budget(store: ImageStore, what: str) -> None:
    zeros = bytes(64 << 20)
    plain = tars.member(b"a", body=zeros) if what == "a file" else tars.archive() + zeros
    bomb = gzip.compress(plain, 9)
    started = time.monotonic()
    with pytest.raises(LayerTooLarge):
        unpack(store, Budget(free=1 << 20, growth=10), digest(plain), bomb)
    assert time.monotonic() - started < 10
    nothing_is_left(store)


def test_a_full_disk_is_named_and_nothing_half_stays(tmp_path: Path) -> None:
    place = tmp_path / "small"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "none", place], check=True)
    try:
        store = ImageStore(place / "images")
        plain = tars.archive(tars.member(b"a", body=os.urandom(8 << 20)))
        with pytest.raises(DiskFull):
            unpack(store, Budget(), digest(plain), plain)
        nothing_is_left(store)
    finally:
        subprocess.run(["umount", place], check=True)


def test_nobody_but_root_enters_the_store(store: ImageStore, images: Images) -> None:
    store.pull(images.busybox, (), silent)
    seen = subprocess.run(
        ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "ls", store.layout.root],
        capture_output=True,
    )
    assert seen.returncode != 0
    assert store.layout.root.stat().st_mode & 0o777 == 0o700


def test_a_damaged_index_is_named_and_touched_by_nobody(store: ImageStore) -> None:
    store.layout.prepare()
    store.layout.index.write_bytes(b"this is no database, whatever its name" * 100)
    before = store.layout.index.read_bytes()
    with pytest.raises(DamagedStore, match="not a database"):
        store.list()
    assert store.layout.index.read_bytes() == before


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A small disk of its own."""
    place = tmp_path / "small"
    place.mkdir()
    options = "size=1m,nr_inodes=30"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", place], check=True)
    yield place
    subprocess.run(["umount", place], check=True)


def entered(folder: Path) -> Index:
    index = Index(folder / "index.db")
    with index.writing() as rows:
        rows.put_name("a", "b")
    return index


def test_without_a_free_inode_the_disk_is_full(small: Path) -> None:
    index = entered(small)
    with suppress(OSError):
        for number in range(30):
            (small / f"filler{number}").touch()
    with pytest.raises(DiskFull), index.writing() as rows:
        rows.put_name("a", "c")


def test_a_file_system_that_became_read_only_is_named(small: Path) -> None:
    index = entered(small)
    subprocess.run(["mount", "-o", "remount,ro", small], check=True)
    told = r"index\.db cannot be read or written"
    with pytest.raises(DeviceFailed, match=told), index.writing() as rows:
        rows.put_name("a", "c")
    with index.reading() as found:
        assert found is not None
        assert found.named("a") == "b"


@pytest.mark.parametrize(
    ("code", "fault"),
    [
        ("SQLITE_IOERR_READ", DeviceFailed),
        ("SQLITE_IOERR_FSYNC", DeviceFailed),
        ("SQLITE_CANTOPEN", DeviceFailed),
        ("SQLITE_READONLY_ROLLBACK", DeviceFailed),
        ("SQLITE_FULL", DiskFull),
        ("SQLITE_CORRUPT_INDEX", DamagedStore),
        ("SQLITE_NOTADB", DamagedStore),
    ],
)
def test_what_the_device_does_is_no_damage_of_the_index(
    store: ImageStore, monkeypatch: pytest.MonkeyPatch, code: str, fault: type[Fault]
) -> None:
    def fails(*_: object, **__: object) -> None:
        error = sqlite3.OperationalError("what SQLite says")
        error.sqlite_errorname = code
        raise error

    store.layout.prepare()
    store.layout.index.touch()
    monkeypatch.setattr(sqlite3, "connect", fails)
    with pytest.raises(fault, match=r"index\.db"):
        store.list()


def test_an_index_of_a_newer_trueup_is_left_alone(store: ImageStore, server: Server) -> None:
    publish(server, (PLAIN, BLOB))
    store.pull(f"{server.host}/app", (), silent)
    with sqlite3.connect(store.layout.index) as connection:
        connection.execute("PRAGMA user_version=99")
    connection.close()
    with pytest.raises(NewerStore, match="99"):
        store.list()


def test_a_disk_that_is_full_when_the_image_is_entered(small: Path) -> None:
    index = entered(small)
    with suppress(OSError):
        (small / "filler").write_bytes(bytes(1 << 20))
    with pytest.raises(DiskFull), index.writing() as rows:
        rows.put_name("long" * 100_000, "b")
    with index.reading() as found:
        assert found is not None
        assert found.named("a") == "b"
