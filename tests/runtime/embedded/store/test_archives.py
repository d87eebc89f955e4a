"""Archives and bare file systems, and what changes in them."""

import gzip
import json
import os
import subprocess
import time
from pathlib import Path

import pytest

from runtime.api import (
    ArchiveSource,
    ImageDefaults,
    ImageSpec,
    Progress,
    RootfsSource,
)
from runtime.embedded.layers.faults import BadLayer
from runtime.embedded.registry.documents import BadDocument
from runtime.embedded.store.faults import (
    BadArchive,
    FileUnreadable,
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
    assert store.state(archive_spec(path), ()).id == image.id


def test_an_archive_of_several_images_is_refused(store: ImageStore, tmp_path: Path) -> None:
    path = tmp_path / "several.tar"
    listed = [{"Config": "a", "RepoTags": ["a:1"]}, {"Config": "b", "RepoTags": ["b:2"]}]
    path.write_bytes(tars.archive(tars.member(b"manifest.json", body=json.dumps(listed).encode())))
    with pytest.raises(BadArchive, match="2 images: a:1, b:2"):
        store.load(str(path), silent)


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


def oci_archive(**changes: bytes) -> bytes:
    """An OCI archive by hand; ``changes`` replace blobs: config, manifest, layer."""
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
    index = {"schemaVersion": 2, "manifests": [described("manifest.v1+json", manifest)]}
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
    path.write_bytes(oci_archive(**{name: blobs[name]}))
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
        oci_archive()[:2000],
        gzip.compress(oci_archive())[:-500],
        b"\x28\xb5\x2f\xfd" + bytes(2000),
    ],
)
def test_what_is_no_archive_is_refused(store: ImageStore, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "archive.tar"
    path.write_bytes(content)
    with pytest.raises((BadArchive, BadDocument, BadLayer, WrongLayer)):
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
    assert store.state(archive_spec(path), ()).stale == ""
    assert store.ensure(archive_spec(path), (), silent) == image
    assert [each.names for each in store.list()] == [(archive_spec(path).name,)]
    path.write_bytes(oci_archive())
    state = store.state(archive_spec(path), ())
    assert (state.id, state.stale) == (image.id, f"{path.name} changed")
    assert store.ensure(archive_spec(path), (), silent).id != image.id
    path.unlink()
    assert store.state(archive_spec(path), ()).stale == ""


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
    assert store.state(spec, ()).id is None
    image = store.ensure(spec, (), silent)
    assert (image.layers, image.defaults.cmd) == ((digest(PLAIN),), ("/bin/sh",))
    assert image.created == pytest.approx(time.time(), abs=60)
    assert store.state(spec, ()).id == store.ensure(spec, (), silent).id == image.id


def test_other_defaults_make_another_image_of_the_same_layer(
    store: ImageStore, tmp_path: Path
) -> None:
    path = tmp_path / "rootfs.tar"
    path.write_bytes(PLAIN)
    first = store.ensure(rootfs_spec(path, cmd=("a",)), (), silent)
    changed = rootfs_spec(path, cmd=("b",))
    assert store.state(changed, ()).id is None
    told: list[Progress] = []
    assert store.ensure(changed, (), told.append).id != first.id
    assert told == []
    assert len(layer_folders(store)) == 1
    path.write_bytes(tars.archive(tars.member(b"new")))
    assert store.state(changed, ()).stale == "rootfs.tar changed"
