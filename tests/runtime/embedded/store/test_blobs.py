"""Archives that are kept, and fetches that go on where another one ended."""

import gzip
import multiprocessing
import os
import sqlite3
import subprocess
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from backports import zstd

from runtime.api import ArchiveSource, ImageDefaults, ImageSpec, RootfsSource
from runtime.embedded.layers.faults import BadLayer
from runtime.embedded.registry.faults import RegistryFailed, WrongContent
from runtime.embedded.store.images import ImageStore
from runtime.embedded.store.index import SCHEMA, Blob
from runtime.embedded.store.outgoing import outgoing
from runtime.embedded.store.removing import Remover
from tests.conftest import Images
from tests.images import layers, oci
from tests.images.registry import Registry
from tests.runtime.embedded.layers import tars
from tests.runtime.embedded.registry.hostile import Answer, Asked, Server, digest, publish
from tests.runtime.embedded.store.stocks import BLOB, PLAIN, flipped, silent

pytestmark = pytest.mark.root

HALF = len(BLOB) // 2
PATH = f"/v2/app/blobs/{digest(BLOB)}"


def kept(store: ImageStore, diff_id: str) -> Blob:
    with store.index.reading() as rows:
        assert rows is not None
        blob = rows.blob_of(diff_id)
    assert blob is not None
    raw = store.layout.blob(blob.digest).read_bytes()
    assert (digest(raw), len(raw)) == (blob.digest, blob.size)
    return blob


def breaking(start: int = HALF) -> Answer:
    """The first bytes, then the connection ends."""
    return Answer(body=iter([BLOB[:start]]), length=len(BLOB))


def ranged(asked: Asked) -> Answer:
    """The whole, or from where the client wants it."""
    wanted = asked.headers.get("Range", "")
    if not wanted:
        return Answer(body=BLOB)
    start = int(wanted.removeprefix("bytes=").rstrip("-"))
    said = f"bytes {start}-{len(BLOB) - 1}/{len(BLOB)}"
    return Answer(status=206, headers={"Content-Range": said}, body=BLOB[start:])


def wanted_ranges(server: Server) -> list[str]:
    return [asked.headers.get("Range", "") for asked in server.asked if asked.path == PATH]


@pytest.fixture
def half(store: ImageStore, server: Server, monkeypatch: pytest.MonkeyPatch) -> str:
    """A pull that broke off in the middle of its layer."""
    monkeypatch.setattr("runtime.embedded.registry.session._FIRST_WAIT", 0.0)
    publish(server, (PLAIN, BLOB))
    whole = iter([breaking()])
    server.routes[PATH] = lambda _: next(whole, Answer(status=503))
    with pytest.raises(RegistryFailed):
        store.pull(f"{server.host}/app", (), silent)
    assert store.layout.fetching(digest(BLOB), digest(PLAIN)).stat().st_size == HALF
    server.asked.clear()
    server.routes[PATH] = ranged
    return f"{server.host}/app"


def test_a_layers_archive_is_kept_as_the_registry_has_it(store: ImageStore, server: Server) -> None:
    publish(server, (PLAIN, BLOB))
    store.pull(f"{server.host}/app", (), silent)
    blob = kept(store, digest(PLAIN))
    assert (blob.digest, blob.plain_size) == (digest(BLOB), len(PLAIN))
    assert os.listdir(store.layout.partial) == []


@pytest.mark.parametrize("everything", [False, True])
def test_what_a_broken_pull_left_goes_with_all_images(
    store: ImageStore, half: str, everything: bool
) -> None:
    remover = Remover(store, users=dict)
    freed = remover.prune(everything=everything, chosen=lambda _: True).freed
    assert freed == (HALF if everything else 0)
    assert len(os.listdir(store.layout.partial)) == (not everything)


def test_a_pull_goes_on_where_another_one_broke_off(
    store: ImageStore, half: str, server: Server
) -> None:
    store.pull(half, (), silent)
    assert wanted_ranges(server) == [f"bytes={HALF}-"]
    assert kept(store, digest(PLAIN)).digest == digest(BLOB)
    assert os.listdir(store.layout.partial) == []


def test_bytes_that_were_spoilt_meanwhile_are_fetched_again(
    store: ImageStore, half: str, server: Server
) -> None:
    partial = store.layout.fetching(digest(BLOB), digest(PLAIN))
    partial.write_bytes(flipped(partial.read_bytes()))
    store.pull(half, (), silent)
    assert wanted_ranges(server)[-1] == ""
    assert kept(store, digest(PLAIN)).digest == digest(BLOB)


def test_more_bytes_than_the_blob_has_are_thrown_away(
    store: ImageStore, half: str, server: Server
) -> None:
    partial = store.layout.fetching(digest(BLOB), digest(PLAIN))
    partial.write_bytes(bytes(len(BLOB) + 1))
    store.pull(half, (), silent)
    assert wanted_ranges(server) == [""]


def test_all_bytes_may_be_here_already(store: ImageStore, half: str, server: Server) -> None:
    store.layout.fetching(digest(BLOB), digest(PLAIN)).write_bytes(BLOB)
    store.pull(half, (), silent)
    assert wanted_ranges(server) == []


def _pull(root: Path, reference: str) -> None:
    ImageStore(root).pull(reference, (), silent)


def test_processes_fetch_a_layer_once(store: ImageStore, server: Server) -> None:
    publish(server, (PLAIN, BLOB))
    context = multiprocessing.get_context("fork")
    arguments = (store.layout.root, f"{server.host}/app")
    running = [context.Process(target=_pull, args=arguments) for _ in range(4)]
    for process in running:
        process.start()
    for process in running:
        process.join(60)
        assert process.exitcode == 0
    assert server.paths().count(PATH) == 1


def test_nobody_else_writes_into_a_blob_that_was_verified(
    store: ImageStore, server: Server
) -> None:
    """An image that claims another one's blob for a layer of its own, and gets other bytes."""
    claimed, verified = threading.Event(), threading.Event()

    def slowly() -> Iterator[bytes]:
        yield BLOB[:HALF]
        claimed.set()
        verified.wait(20)
        yield bytes(len(BLOB) - HALF)

    publish(server, (b"another layer", BLOB), name="evil")
    server.routes[f"/v2/evil/blobs/{digest(BLOB)}"] = Answer(body=slowly(), length=len(BLOB))
    publish(server, (PLAIN, BLOB))
    failed: list[BaseException] = []

    def pull_evil() -> None:
        try:
            store.pull(f"{server.host}/evil", (), silent)
        except (BadLayer, WrongContent) as error:
            failed.append(error)

    thread = threading.Thread(target=pull_evil)
    thread.start()
    assert claimed.wait(20)
    store.pull(f"{server.host}/app", (), silent)
    verified.set()
    thread.join(20)
    assert failed
    kept(store, digest(PLAIN))


def test_a_file_system_is_kept_deflated_and_always_alike(store: ImageStore, tmp_path: Path) -> None:
    (tmp_path / "base.tar").write_bytes(PLAIN)
    source = RootfsSource(path=str(tmp_path / "base.tar"), config=ImageDefaults(cmd=("sh",)))
    store.ensure(ImageSpec(name="base@x", source=source), (), silent)
    blob = kept(store, digest(PLAIN))
    assert gzip.decompress(store.layout.blob(blob.digest).read_bytes()) == PLAIN
    other = ImageStore(tmp_path / "other")
    other.ensure(ImageSpec(name="base@x", source=source), (), silent)
    assert kept(other, digest(PLAIN)) == blob


TWO = gzip.compress(PLAIN[:1000]), gzip.compress(PLAIN[1000:])


@pytest.mark.parametrize(
    ("raw", "as_it_comes"),
    [
        (b"".join(TWO), True),
        (b"".join(TWO) + bytes(1024), False),
        ((bytes(3)).join(TWO), False),
        (zstd.compress(PLAIN), True),
        (zstd.compress(PLAIN) + bytes(1024), False),
    ],
)
def test_an_archive_with_padding_is_kept_without_it(
    store: ImageStore, tmp_path: Path, raw: bytes, as_it_comes: bool
) -> None:
    """Tapes and dd(1) pad; what registries' clients inflate with takes that for damage."""
    (tmp_path / "base.tar").write_bytes(raw)
    store.import_rootfs(str(tmp_path / "base.tar"), ImageDefaults(), silent)
    blob = kept(store, digest(PLAIN))
    assert (blob.digest == digest(raw)) == as_it_comes
    if not as_it_comes:
        content = store.layout.blob(blob.digest).read_bytes()
        inflater = zlib.decompressobj(wbits=31)
        assert inflater.decompress(content) == PLAIN
        assert (inflater.eof, inflater.unused_data) == (True, b"")
    assert os.listdir(store.layout.tmp) == []


def test_a_registrys_archive_with_padding_stays_as_it_is(store: ImageStore, server: Server) -> None:
    padded = BLOB + bytes(512)
    publish(server, (PLAIN, padded))
    store.pull(f"{server.host}/app", (), silent)
    assert kept(store, digest(PLAIN)).digest == digest(padded)


def test_a_layer_leaves_with_the_archive_that_came_first(store: ImageStore, server: Server) -> None:
    publish(server, (PLAIN, BLOB))
    store.pull(f"{server.host}/app", (), silent)
    other = publish(server, (PLAIN, zstd.compress(PLAIN)), name="other", author="another")
    image = store.pull(f"{server.host}/other", (), silent)
    found = outgoing(store.index, store.layout, image.id)
    assert [layer.digest for layer in found.layers] == [digest(BLOB)]
    assert (found.config, found.digest != digest(other.manifest)) == (other.config, True)


def archive(tmp_path: Path, image: oci.Image, kind: str) -> ImageSpec:
    """The image as an archive that skopeo writes."""
    path, layout = tmp_path / f"{kind}.tar", tmp_path / f"{kind}.layout"
    oci.write(image, layout)
    words = ["skopeo", "copy", "--quiet", f"oci:{layout}:latest", f"{kind}:{path}:kept:latest"]
    subprocess.run(words, check=True)
    return ImageSpec(name="kept@x", source=ArchiveSource(path=str(path)))


def test_an_archives_layers_are_kept_as_they_are_or_deflated(
    store: ImageStore, registry: Registry, tmp_path: Path
) -> None:
    layout = oci.Image(layers=[{"v": layers.file("kept")}])
    reference = registry.publish(layout, "kept")
    pulled = store.pull(reference, (), silent)
    blob = kept(store, pulled.layers[0])
    other = ImageStore(tmp_path / "other")
    other.ensure(archive(tmp_path, layout, "oci-archive"), (), silent)
    assert kept(other, pulled.layers[0]) == blob
    third = ImageStore(tmp_path / "third")
    third.ensure(archive(tmp_path, layout, "docker-archive"), (), silent)
    assert kept(third, pulled.layers[0]).plain_size == blob.plain_size


def test_a_store_of_an_older_trueup_is_brought_up_when_it_is_written(
    store: ImageStore, images: Images, server: Server
) -> None:
    image = store.pull(images.busybox, (), silent)
    with sqlite3.connect(store.layout.index) as connection:
        connection.execute("DROP TABLE blobs")
        connection.execute("ALTER TABLE layers DROP COLUMN damaged")
        connection.execute("PRAGMA user_version=1")
    connection.close()
    before = store.layout.index.read_bytes()
    assert store.find(images.busybox) == image
    with store.index.reading() as rows:
        assert rows is not None
        assert rows.blob_of(image.layers[0]) is None
    assert store.layout.index.read_bytes() == before
    publish(server, (PLAIN, BLOB))
    store.pull(f"{server.host}/app", (), silent)
    assert kept(store, digest(PLAIN)).size == len(BLOB)
    with sqlite3.connect(store.layout.index) as connection:
        assert connection.execute("PRAGMA user_version").fetchone()[0] == SCHEMA
    connection.close()
    assert store.find(images.busybox) == image


def test_what_is_no_archive_of_any_kind_is_not_kept(store: ImageStore, tmp_path: Path) -> None:
    archive = tars.archive(tars.member(b"../x", body=b"evil"))
    (tmp_path / "evil.tar").write_bytes(archive)
    source = RootfsSource(path=str(tmp_path / "evil.tar"))
    with pytest.raises(Exception, match="cannot be imported"):
        store.ensure(ImageSpec(name="evil@x", source=source), (), silent)
    assert os.listdir(store.layout.blobs) == os.listdir(store.layout.tmp) == []
