"""Archives and bare file systems, and what changes in them."""

import bz2
import gzip
import json
import lzma
import os
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from backports import zstd

from runtime.api import (
    ArchiveSource,
    ImageDefaults,
    ImageSpec,
    Loaded,
    Progress,
    RootfsSource,
)
from runtime.embedded.layers.faults import BadLayer
from runtime.embedded.registry.documents import BadDocument
from runtime.embedded.store import archives, loading
from runtime.embedded.store.faults import (
    BadArchive,
    BadTree,
    FileUnreadable,
    SeveralImages,
    WrongLayer,
)
from runtime.embedded.store.images import ImageStore
from tests.conftest import Images
from tests.images import recipes
from tests.runtime.embedded.layers import tars
from tests.runtime.embedded.registry.hostile import (
    digest,
)
from tests.runtime.embedded.store.stocks import (
    PLAIN,
    flipped,
    layer_folders,
    nothing_is_left,
    silent,
    state,
)

pytestmark = pytest.mark.root


def archive_spec(path: Path, name: str = "site") -> ImageSpec:
    return ImageSpec(name=name, source=ArchiveSource(path=str(path)))


def copied(tmp_path: Path, kind: str, source: str = "busybox") -> Path:
    """An archive as skopeo writes it: docker-archive or oci-archive."""
    path = tmp_path / f"{source}.{kind}.tar"
    layout = f"oci:{recipes.layouts()[source]}:latest"
    subprocess.run(
        ["skopeo", "copy", "--quiet", layout, f"{kind}:{path}:{source}:latest"], check=True
    )
    return path


@pytest.mark.parametrize("kind", ["docker-archive", "oci-archive"])
@pytest.mark.parametrize("compressed", [False, True])
def test_archives_are_loaded(
    store: ImageStore, images: Images, tmp_path: Path, kind: str, compressed: bool
) -> None:
    path = copied(tmp_path, kind, "nginx")
    if compressed:
        subprocess.run(["gzip", "-1", path], check=True)
        path = path.with_suffix(".tar.gz")
    image = store.ensure(archive_spec(path), (), silent)
    assert image.defaults.stop_signal == "SIGQUIT"
    assert store.find("site") == image
    assert store.pull(images.nginx, (), silent).layers == image.layers
    assert os.listdir(store.layout.tmp) == []
    assert state(store, archive_spec(path)).id == image.id


def test_an_archive_of_several_images_is_refused(store: ImageStore, tmp_path: Path) -> None:
    path = tmp_path / "several.tar"
    configs = {name: config(name) for name in ("a", "b")}
    listed = [
        {"Config": name, "RepoTags": [tag]} for name, tag in (("a", "a:1"), ("b", "quay.io/b:2"))
    ]
    members = [tars.member(name.encode(), body=raw) for name, raw in configs.items()]
    manifest = tars.member(b"manifest.json", body=json.dumps(listed).encode())
    path.write_bytes(tars.archive(*members, manifest))
    with pytest.raises(SeveralImages, match=r"2 images: docker\.io/library/a:1, quay\.io/b:2"):
        store.load(str(path), silent)
    with path.open("rb") as file:
        found = loading.load(store, file.fileno(), "several.tar", silent)
    assert [image.references for image in found] == [
        ("docker.io/library/a:1",),
        ("quay.io/b:2",),
    ]
    assert [image.id for image in found] == [digest(raw) for raw in configs.values()]
    assert store.find("a:1") != store.find("quay.io/b:2")


def config(name: str) -> bytes:
    """Of an image without layers."""
    return json.dumps({"author": name, "rootfs": {"diff_ids": []}}).encode()


def through_pipe(store: ImageStore, raw: bytes) -> tuple[Loaded, ...]:
    reading, writing = os.pipe()

    def write() -> None:
        with os.fdopen(writing, "wb") as file:
            file.write(raw)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        return loading.load(store, reading, "stdin", silent)
    finally:
        thread.join()
        os.close(reading)


@pytest.mark.parametrize("pack", [bytes, gzip.compress, bz2.compress, lzma.compress, zstd.compress])
def test_a_pipe_under_any_compression(store: ImageStore, pack: Callable[[bytes], bytes]) -> None:
    raw = oci_archive()
    found = through_pipe(store, pack(raw))
    assert [image.references for image in found] == [()]
    assert store.image(found[0].id).layers == (digest(PLAIN),)
    assert os.listdir(store.layout.tmp) == []


def test_names_of_an_oci_archive(store: ImageStore) -> None:
    names: tuple[tuple[Mapping[str, str], tuple[str, ...]], ...] = (
        ({"org.opencontainers.image.ref.name": "r.example/a:1"}, ("r.example/a:1",)),
        ({"org.opencontainers.image.ref.name": "latest"}, ()),
        (
            {"io.containerd.image.name": "docker.io/library/b:2",
             "org.opencontainers.image.ref.name": "2"},
            ("docker.io/library/b:2",),
        ),
    )  # fmt: skip
    for said, meant in names:
        found = through_pipe(store, oci_archive(said))
        assert [image.references for image in found] == [meant]
    bad = {"org.opencontainers.image.ref.name": "r.example/A:1"}
    with pytest.raises(BadArchive, match="not an image reference"):
        through_pipe(store, oci_archive(bad))


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress, zstd.compress])
def test_a_bomb_around_an_archive_does_not_fill_the_disk(
    store: ImageStore, pack: Callable[[bytes], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "FREE_GROWTH", 1 << 20)
    written: list[int] = []
    monkeypatch.setattr(archives, "write_all", lambda _, piece: written.append(len(piece)))
    with pytest.raises(BadArchive, match="too many bytes when unpacked"):
        through_pipe(store, pack(bytes(64 << 20)))
    assert sum(written) < 32 << 20
    nothing_is_left(store)


def test_nothing_is_entered_of_an_archive_that_breaks_off(store: ImageStore) -> None:
    raw = oci_archive()
    with pytest.raises(BadArchive):
        through_pipe(store, raw[: len(raw) // 2])
    nothing_is_left(store)


@pytest.mark.parametrize("raw", [b"no tar" * 1000, gzip.compress(PLAIN)[:-9], b""])
def test_what_is_no_tar_is_no_file_system(store: ImageStore, tmp_path: Path, raw: bytes) -> None:
    path = tmp_path / "rootfs.tar"
    path.write_bytes(raw)
    with pytest.raises(BadTree, match=f"{path} cannot be imported"):
        store.import_rootfs(str(path), ImageDefaults(), silent)
    nothing_is_left(store)


def test_layers_of_old_archives_are_links(store: ImageStore, tmp_path: Path) -> None:
    config = json.dumps({"rootfs": {"diff_ids": [digest(PLAIN)]}}).encode()
    listed = [{"Config": "c.json", "RepoTags": None, "Layers": ["two/layer.tar"]}]
    path = tmp_path / "old.tar"
    path.write_bytes(
        tars.archive(
            tars.member(b"one/layer.tar", body=PLAIN),
            tars.symlink(b"two/layer.tar", b"../one/layer.tar"),
            tars.member(b"c.json", body=config),
            tars.member(b"manifest.json", body=json.dumps(listed).encode()),
        )
    )
    assert store.load(str(path), silent).layers == (digest(PLAIN),)


def test_more_layers_than_can_be_mounted(store: ImageStore, tmp_path: Path) -> None:
    empty = tars.archive()
    config = json.dumps({"rootfs": {"diff_ids": [digest(empty)] * 501}}).encode()
    listed = [{"Config": "c.json", "RepoTags": None, "Layers": ["l.tar"] * 501}]
    path = tmp_path / "high.tar"
    path.write_bytes(
        tars.archive(
            tars.member(b"l.tar", body=empty),
            tars.member(b"c.json", body=config),
            tars.member(b"manifest.json", body=json.dumps(listed).encode()),
        )
    )
    with pytest.raises(BadDocument, match="501 layers; overlayfs takes 500"):
        store.load(str(path), silent)
    nothing_is_left(store)


def oci_archive(notes: Mapping[str, str] | None = None, **changes: bytes) -> bytes:
    """An OCI archive by hand; ``changes`` replace blobs: config, manifest, layer; ``notes`` are
    the annotations of its only entry."""
    config = json.dumps({"rootfs": {"diff_ids": [digest(PLAIN)]}}).encode()

    def described(kind: str, raw: bytes) -> dict[str, object]:
        return {
            "mediaType": f"application/vnd.oci.image.{kind}",
            "digest": digest(raw),
            "size": len(raw),
        }

    document = {
        "schemaVersion": 2,
        "config": described("config.v1+json", config),
        "layers": [described("layer.v1.tar", PLAIN)],
    }
    manifest = json.dumps(document).encode()
    entry = {**described("manifest.v1+json", manifest), "annotations": dict(notes or {})}
    index = {"schemaVersion": 2, "manifests": [entry]}
    blobs = {"config": config, "manifest": manifest, "layer": PLAIN}
    return tars.archive(
        tars.member(b"index.json", body=json.dumps(index).encode()),
        *(
            tars.member(f"blobs/sha256/{digest(raw)[7:]}".encode(), body=changes.get(name, raw))
            for name, raw in blobs.items()
        ),
    )


@pytest.mark.parametrize("name", ["config", "manifest", "layer"])
def test_a_flipped_bit_in_an_archive(store: ImageStore, tmp_path: Path, name: str) -> None:
    path = tmp_path / "archive.tar"
    path.write_bytes(oci_archive())
    assert store.load(str(path), silent).layers == (digest(PLAIN),)
    fresh = ImageStore(tmp_path / "fresh")
    blobs = {
        "config": json.dumps({"rootfs": {"diff_ids": [digest(PLAIN)]}}).encode() + b" ",
        "manifest": b"{}",
        "layer": flipped(PLAIN),
    }
    path.write_bytes(oci_archive(None, **{name: blobs[name]}))
    with pytest.raises((WrongLayer, BadLayer)):
        fresh.load(str(path), silent)
    nothing_is_left(fresh)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no archive at all" * 100,
        tars.archive(tars.member(b"file")),
        tars.archive(tars.member(b"manifest.json", body=b"{}")),
        tars.archive(tars.member(b"manifest.json", body=b'[{"Config": 5}]')),
        tars.archive(tars.member(b"manifest.json", body=b'[{"Config": "x", "Layers": []}]')),
        tars.archive(tars.member(b"index.json", body=b"{}")),
        tars.archive(tars.symlink(b"manifest.json", b"manifest.json")),
        tars.archive(tars.symlink(b"manifest.json", b"../../../../etc/passwd")),
        *(
            tars.archive(tars.member(b"v", kind=b"V", size=tars.base256(size, 12)))
            for size in ((1 << 63) - 1, (1 << 63) - 2048, 1 << 62)
        ),
        oci_archive()[:2000],
        gzip.compress(oci_archive())[:-500],
        b"\x28\xb5\x2f\xfd" + bytes(2000),
    ],
)
def test_what_is_no_archive_is_refused(store: ImageStore, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "archive.tar"
    path.write_bytes(content)
    with pytest.raises((BadArchive, BadDocument, WrongLayer)):
        store.load(str(path), silent)
    nothing_is_left(store)


def test_a_file_that_is_none_is_refused(store: ImageStore, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name in ("missing", "pipe", "."):
        with pytest.raises(FileUnreadable):
            store.load(str(tmp_path / name), silent)


def test_an_archive_that_changed_is_stale_one_that_was_touched_is_not(
    store: ImageStore, tmp_path: Path
) -> None:
    path = copied(tmp_path, "docker-archive")
    image = store.ensure(archive_spec(path), (), silent)
    os.utime(path, (1, 1))
    assert state(store, archive_spec(path)).stale == ""
    assert store.ensure(archive_spec(path), (), silent) == image
    assert [each.names for each in store.list()] == [(archive_spec(path).name,)]
    path.write_bytes(oci_archive())
    found = state(store, archive_spec(path))
    assert (found.id, found.stale) == (image.id, f"{path.name} changed")
    assert store.ensure(archive_spec(path), (), silent).id != image.id
    path.unlink()
    assert state(store, archive_spec(path)).stale == ""


def rootfs_spec(path: Path, **defaults: tuple[str, ...]) -> ImageSpec:
    source = RootfsSource(path=str(path), config=ImageDefaults(**defaults))  # type: ignore[arg-type]
    return ImageSpec(name="base", source=source)


@pytest.mark.parametrize("compressed", [False, True])
def test_a_bare_file_system_is_imported(
    store: ImageStore, tmp_path: Path, compressed: bool
) -> None:
    path = tmp_path / "rootfs.tar"
    path.write_bytes(gzip.compress(PLAIN) if compressed else PLAIN)
    spec = rootfs_spec(path, cmd=("/bin/sh",))
    assert state(store, spec).id is None
    image = store.ensure(spec, (), silent)
    assert (image.layers, image.defaults.cmd) == ((digest(PLAIN),), ("/bin/sh",))
    assert image.created == pytest.approx(time.time(), abs=60)
    assert state(store, spec).id == store.ensure(spec, (), silent).id == image.id


def test_other_defaults_make_another_image_of_the_same_layer(
    store: ImageStore, tmp_path: Path
) -> None:
    path = tmp_path / "rootfs.tar"
    path.write_bytes(PLAIN)
    first = store.ensure(rootfs_spec(path, cmd=("a",)), (), silent)
    changed = rootfs_spec(path, cmd=("b",))
    assert state(store, changed).id is None
    told: list[Progress] = []
    assert store.ensure(changed, (), told.append).id != first.id
    assert told == []
    assert len(layer_folders(store)) == 1
    path.write_bytes(tars.archive(tars.member(b"new")))
    assert state(store, changed).stale == "rootfs.tar changed"
