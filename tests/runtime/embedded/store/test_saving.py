"""Archives of images: read again by us and by others, the same each time, and never silently less
than the images."""

import hashlib
import io
import json
import os
import subprocess
import tarfile
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from runtime.api import ArchiveForm, ImageDefaults
from runtime.embedded.registry.manifest import NoPlatform
from runtime.embedded.store.faults import ArchiveMissing, DamagedImage, ImageAbsent
from runtime.embedded.store.images import ImageStore
from runtime.embedded.store.importing import Importer
from runtime.embedded.store.loading import load
from runtime.embedded.store.saving import Saver
from runtime.reference import parse
from tests.conftest import Images
from tests.images import layers, oci
from tests.images.registry import Registry
from tests.runtime.embedded.layers import tars
from tests.runtime.embedded.store.stocks import silent

pytestmark = pytest.mark.root

FORMS = tuple(ArchiveForm)


def saved(store: ImageStore, names: Sequence[str], form: ArchiveForm, path: Path) -> Path:
    with path.open("wb") as out:
        Saver(store, out.fileno(), silent).save(names, form)
    return path


def loaded(path: Path, root: Path) -> ImageStore:
    store = ImageStore(root)
    with path.open("rb") as source:
        load(store, source.fileno(), str(path), silent)
    return store


def documents(path: Path) -> dict[str, bytes]:
    with tarfile.open(path) as archive:
        found = {each.name: archive.extractfile(each) for each in archive}
        return {name: file.read() for name, file in found.items() if file}


def digest(raw: bytes) -> str:
    return f"sha256:{hashlib.sha256(raw).hexdigest()}"


@pytest.fixture
def family(store: ImageStore, registry: Registry) -> tuple[str, str]:
    """Two images that share a layer; the second has another one twice."""
    base, more = {"v": layers.file("1")}, {"w": layers.file("2")}
    first = registry.publish(oci.Image(layers=[base]), "family", "one")
    second = registry.publish(oci.Image(layers=[base, more, more]), "family", "two")
    for reference in (first, second):
        store.pull(reference, (), silent)
    return first, second


@pytest.mark.parametrize("form", FORMS)
def test_images_come_back_as_they_were(
    store: ImageStore, family: tuple[str, str], tmp_path: Path, form: ArchiveForm
) -> None:
    other = loaded(saved(store, family, form, tmp_path / "a.tar"), tmp_path / "other")
    here, there = (
        {(each.id, tuple(r for r in each.references if "@" not in r)) for each in s.list()}
        for s in (store, other)
    )
    assert here == there
    for reference in family:
        mine, theirs = store.find(reference), other.find(reference)
        assert mine
        assert theirs
        assert mine.layers == theirs.layers


@pytest.mark.parametrize("form", FORMS)
def test_the_same_images_give_the_same_bytes(
    store: ImageStore, family: tuple[str, str], tmp_path: Path, form: ArchiveForm
) -> None:
    first = saved(store, family, form, tmp_path / "1.tar")
    assert saved(store, family, form, tmp_path / "2.tar").read_bytes() == first.read_bytes()
    with tarfile.open(first) as archive:
        assert {(each.mtime, each.uid, each.mode) for each in archive} == {(0, 0, 0o644)}


def test_the_form_of_docker(store: ImageStore, family: tuple[str, str], tmp_path: Path) -> None:
    found = documents(saved(store, family, ArchiveForm.DOCKER, tmp_path / "a.tar"))
    listed = json.loads(found["manifest.json"])
    assert [each["RepoTags"] for each in listed] == [[family[0]], [family[1]]]
    for each in listed:
        config = json.loads(found[each["Config"]])
        assert [digest(found[name]) for name in each["Layers"]] == config["rootfs"]["diff_ids"]
    top = listed[1]["Layers"][-1].partition("/")[0]
    repository = family[0].rpartition(":")[0]
    assert json.loads(found["repositories"])[repository]["two"] == top
    shared = {name for each in listed for name in each["Layers"]}
    assert len(found) == 2 + 2 + len(shared) == 6


def test_the_oci_form_keeps_every_digest(
    store: ImageStore, family: tuple[str, str], registry: Registry, tmp_path: Path
) -> None:
    found = documents(saved(store, family, ArchiveForm.OCI, tmp_path / "a.tar"))
    blobs = {name: raw for name, raw in found.items() if name.startswith("blobs/")}
    assert all(digest(raw)[7:] == name.rpartition("/")[2] for name, raw in blobs.items())
    entries = json.loads(found["index.json"])["manifests"]
    assert [each["digest"] for each in entries] == [
        registry.digest("family", tag) for tag in ("one", "two")
    ]
    assert [each["annotations"]["org.opencontainers.image.ref.name"] for each in entries] == [
        *family
    ]
    for each in json.loads(found["manifest.json"]):
        assert {each["Config"], *each["Layers"]} <= blobs.keys()


def test_skopeo_and_umoci_read_it(
    store: ImageStore, images: Images, registry: Registry, tmp_path: Path
) -> None:
    image = store.pull(images.nginx, (), silent)
    path = saved(store, [images.nginx], ArchiveForm.OCI, tmp_path / "a.tar")
    seen = subprocess.run(
        ["skopeo", "inspect", f"oci-archive:{path}"], capture_output=True, check=True
    )
    repository, _, tag = images.nginx.partition("/")[2].rpartition(":")
    assert json.loads(seen.stdout)["Digest"] == registry.digest(repository, tag)
    docker = saved(store, [images.nginx], ArchiveForm.DOCKER, tmp_path / "d.tar")
    config = subprocess.run(
        ["skopeo", "inspect", "--config", "--raw", f"docker-archive:{docker}"],
        capture_output=True, check=True,
    )  # fmt: skip
    assert digest(config.stdout) == image.id
    layout = tmp_path / "layout"
    layout.mkdir()
    subprocess.run(["tar", "-xf", path, "-C", layout], check=True)
    subprocess.run(
        ["umoci", "unpack", "--image", f"{layout}:{images.nginx}", tmp_path / "bundle"],
        capture_output=True, check=True,
    )  # fmt: skip
    assert (tmp_path / "bundle/rootfs/bin").exists()


@pytest.mark.parametrize("form", FORMS)
def test_names_are_those_that_were_given(
    store: ImageStore, family: tuple[str, str], tmp_path: Path, form: ArchiveForm
) -> None:
    image = store.find(family[0])
    assert image
    store.tag(family[0], parse("spare:1"))
    store.tag(family[0], parse("spare:2"))
    with store.index.writing() as rows:
        rows.put_name("site@shop", image.id)
    for number, (given, names) in enumerate(
        [
            ([image.id], ()),
            ([image.id[7:19]], ()),
            (["site@shop"], ()),
            (["spare:2", image.id, "docker.io/library/spare:2"], ("docker.io/library/spare:2",)),
            (["spare:1", "spare:2"], ("docker.io/library/spare:1", "docker.io/library/spare:2")),
        ]
    ):
        path = saved(store, given, form, tmp_path / "a.tar")
        (found,) = loaded(path, tmp_path / str(number)).list()
        assert (found.id, found.references) == (image.id, names)


@pytest.mark.parametrize("form", FORMS)
def test_an_image_for_another_processor_comes_back(
    store: ImageStore, tmp_path: Path, form: ArchiveForm
) -> None:
    (tmp_path / "tree.tar").write_bytes(tars.archive(tars.member(b"a")))
    for platform in ("linux/s390x", "windows/amd64"):
        with (tmp_path / "tree.tar").open("rb") as tree:
            importer = Importer(store=store, report=silent)
            id = importer.run(tree.fileno(), "tree", "", ImageDefaults(), "", platform)
        path = saved(store, [id], form, tmp_path / "a.tar")
        if platform == "linux/s390x":
            (image,) = loaded(path, tmp_path / "other").list()
            assert (image.id, image.platform) == (id, platform)
        else:
            with pytest.raises(NoPlatform):
                loaded(path, tmp_path / "other")


def test_what_is_not_here_cannot_be_saved(
    store: ImageStore, family: tuple[str, str], tmp_path: Path
) -> None:
    with pytest.raises(ImageAbsent):
        saved(store, [family[0], "nowhere"], ArchiveForm.DOCKER, tmp_path / "a.tar")
    assert (tmp_path / "a.tar").read_bytes() == b""


def test_images_of_a_time_without_archives_cannot_be_saved(
    store: ImageStore, family: tuple[str, str], tmp_path: Path
) -> None:
    with store.index.writing() as rows:
        for blob in rows.blobs():
            rows.remove_blob(blob.digest)
    for form in FORMS:
        with pytest.raises(ArchiveMissing):
            saved(store, family, form, tmp_path / "a.tar")


def flip(path: Path, at: int) -> None:
    raw = bytearray(path.read_bytes())
    raw[at] ^= 1
    path.write_bytes(raw)


HARMS: dict[str, Callable[[Path], object]] = {
    "gone": os.unlink,
    "cut": lambda path: os.truncate(path, path.stat().st_size - 20),
    "more": lambda path: path.write_bytes(path.read_bytes() * 2),
    "flipped": lambda path: flip(path, path.stat().st_size // 2),
    "its sum flipped": lambda path: flip(path, path.stat().st_size - 6),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("harm", HARMS)
@pytest.mark.parametrize("part", ["layer", "configuration"])
def test_damage_is_told_and_leaves_no_sound_archive(
    store: ImageStore,
    family: tuple[str, str],
    tmp_path: Path,
    form: ArchiveForm,
    harm: str,
    part: str,
) -> None:
    image = store.find(family[0])
    assert image
    with store.index.reading() as rows:
        assert rows
        blob = rows.blob_of(image.layers[0])
    assert blob
    HARMS[harm](store.layout.blob(blob.digest if part == "layer" else image.id))
    path = tmp_path / "a.tar"
    with pytest.raises((DamagedImage, ImageAbsent)):
        saved(store, [family[0]], form, path)
    assert bytes(1024) not in path.read_bytes()[-1024:]


def test_it_goes_into_a_pipe(store: ImageStore, family: tuple[str, str], tmp_path: Path) -> None:
    reader, writer = os.pipe()
    got = io.BytesIO()

    def read() -> None:
        while piece := os.read(reader, 1 << 16):
            got.write(piece)

    thread = threading.Thread(target=read)
    thread.start()
    Saver(store, writer, silent).save(family, ArchiveForm.DOCKER)
    os.close(writer)
    thread.join()
    os.close(reader)
    assert got.getvalue() == saved(store, family, ArchiveForm.DOCKER, tmp_path / "a").read_bytes()


def test_a_full_disk_is_told(store: ImageStore, family: tuple[str, str]) -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    try:
        with pytest.raises(OSError, match="No space left"):
            Saver(store, full, silent).save(family, ArchiveForm.DOCKER)
    finally:
        os.close(full)
