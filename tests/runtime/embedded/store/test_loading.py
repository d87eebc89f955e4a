"""What archives hold, and what of it comes here: variants, nested indexes, both forms in one."""

import gzip
import json
import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from runtime.api import Loaded, Progress
from runtime.embedded.layers.faults import BadLayer
from runtime.embedded.registry.documents import BadDocument
from runtime.embedded.registry.manifest import NoPlatform, host_platform
from runtime.embedded.store.faults import BadArchive, WrongLayer
from runtime.embedded.store.images import ImageStore
from runtime.embedded.store.loading import load
from runtime.errors import DiskFull
from tests.runtime.embedded.layers import tars
from tests.runtime.embedded.registry.hostile import digest
from tests.runtime.embedded.store.stocks import layer_folders, nothing_is_left, silent

pytestmark = pytest.mark.root

LAYERS = {name: tars.archive(tars.member(name.encode(), body=b"x" * 300)) for name in "abc"}
HERE = {"os": "linux", "architecture": host_platform().architecture}
ELSEWHERE = {"os": "linux", "architecture": "s390x"}
NAMED = "org.opencontainers.image.ref.name"
Entry = dict[str, Any]


class Made:
    """An OCI archive in the making; each part put in is told as an entry for an index."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {"oci-layout": b'{"imageLayoutVersion": "1.0.0"}'}

    def blob(self, kind: str, raw: bytes) -> Entry:
        self.files[f"blobs/sha256/{digest(raw)[7:]}"] = raw
        kind = f"application/vnd.oci.image.{kind}"
        return {"mediaType": kind, "digest": digest(raw), "size": len(raw)}

    def config(self, author: str, layers: str, platform: Mapping[str, str] = HERE) -> bytes:
        ids = [digest(LAYERS[each]) for each in layers]
        return json.dumps({"author": author, **platform, "rootfs": {"diff_ids": ids}}).encode()

    def image(self, author: str, layers: str, platform: Mapping[str, str] = HERE) -> Entry:
        document = {
            "schemaVersion": 2,
            "config": self.blob("config.v1+json", self.config(author, layers, platform)),
            "layers": [self.blob("layer.v1.tar", LAYERS[each]) for each in layers],
        }
        return self.blob("manifest.v1+json", json.dumps(document).encode())

    def index(self, *entries: Entry) -> Entry:
        raw = json.dumps({"schemaVersion": 2, "manifests": entries}).encode()
        return self.blob("index.v1+json", raw)

    def archive(self, *entries: Entry, **others: bytes) -> bytes:
        top = json.dumps({"schemaVersion": 2, "manifests": entries}).encode()
        whole = {**self.files, "index.json": top, **others}
        members = [tars.member(name.encode(), body=raw) for name, raw in whole.items()]
        return tars.archive(*members)


def for_platform(entry: Entry, platform: Mapping[str, str]) -> Entry:
    return {**entry, "platform": platform}


def named(entry: Entry, name: str) -> Entry:
    return {**entry, "annotations": {NAMED: name}}


def loaded(
    store: ImageStore, tmp_path: Path, raw: bytes, report: Callable[[Progress], None] = silent
) -> tuple[Loaded, ...]:
    path = tmp_path / "archive.tar"
    path.write_bytes(raw)
    with path.open("rb") as source:
        return load(store, source.fileno(), str(path), report)


def authors(store: ImageStore, found: Sequence[Loaded]) -> list[str]:
    return [json.loads(store.layout.blob(each.id).read_bytes())["author"] for each in found]


def test_the_variant_for_this_machine_is_chosen(store: ImageStore, tmp_path: Path) -> None:
    """As builders write it: an index of platforms, with notes on how they were built."""
    made = Made()
    unknown = {"os": "unknown", "architecture": "unknown"}
    nested = made.index(
        for_platform(made.image("s390x", "b", ELSEWHERE), ELSEWHERE),
        for_platform(made.image("here", "a"), HERE),
        for_platform(made.image("notes", "c", unknown), unknown),
    )
    found = loaded(store, tmp_path, made.archive(named(nested, "r.example/a:1")))
    assert authors(store, found) == ["here"]
    assert found[0].references == ("r.example/a:1",)
    assert layer_folders(store) == [digest(LAYERS["a"])[7:]]


def test_variants_may_stand_in_the_top_index(store: ImageStore, tmp_path: Path) -> None:
    made = Made()
    one, other = made.image("s390x", "b", ELSEWHERE), made.image("here", "a")
    entries = [for_platform(one, ELSEWHERE), for_platform(other, HERE)]
    assert authors(store, loaded(store, tmp_path, made.archive(*entries))) == ["here"]
    entries = [named(entry, "r.example/a:1") for entry in entries]
    assert authors(store, loaded(store, tmp_path, made.archive(*entries))) == ["here"]


def test_images_without_names_and_platforms_are_several(store: ImageStore, tmp_path: Path) -> None:
    made = Made()
    raw = made.archive(made.image("one", "ab"), made.image("two", "bc"))
    found = loaded(store, tmp_path, raw)
    assert authors(store, found) == ["one", "two"]
    assert [each.references for each in found] == [(), ()]


def test_an_image_with_several_names(store: ImageStore, tmp_path: Path) -> None:
    made = Made()
    image = made.image("one", "a")
    names = ("r.example/a:1", "r.example/a:2", "r.example/a:1")
    (found,) = loaded(store, tmp_path, made.archive(*(named(image, name) for name in names), image))
    assert found.references == names[:2]
    assert store.image(found.id).references == names[:2]


@pytest.mark.parametrize("tag", ["", ":1"])
def test_a_digest_is_no_name_that_an_archive_can_give(
    store: ImageStore, tmp_path: Path, tag: str
) -> None:
    """Whoever pins an image by its digest would else run what any archive says that this is."""
    made = Made()
    name = f"r.example/a{tag}@{digest(b'another')}"
    (found,) = loaded(store, tmp_path, made.archive(named(made.image("one", "a"), name)))
    assert (found.references, store.find(name)) == ((), None)
    (config,) = (key for key, raw in made.files.items() if b"author" in raw)
    layer = f"blobs/sha256/{digest(LAYERS['a'])[7:]}"
    listed = [{"Config": config, "RepoTags": [name, "r.example/a:2"], "Layers": [layer]}]
    members = {**made.files, "manifest.json": json.dumps(listed).encode()}
    raw = tars.archive(*(tars.member(key.encode(), body=body) for key, body in members.items()))
    (found,) = loaded(store, tmp_path, raw)
    assert (found.references, store.find(name)) == (("r.example/a:2",), None)


def test_a_name_that_an_image_has_keeps_its_digest(store: ImageStore, tmp_path: Path) -> None:
    made, name = Made(), "r.example/a:1"
    raw = made.archive(named(made.image("one", "a"), name))
    (found,) = loaded(store, tmp_path, raw)
    known = (found.id, digest(b"in its registry"))
    with store.index.writing() as rows:
        rows.put_reference(name, *known)
    loaded(store, tmp_path, raw)
    with store.index.reading() as now:
        assert now is not None
        assert now.reference(name) == known


def test_documents_that_are_named_again_and_again(store: ImageStore, tmp_path: Path) -> None:
    """5 MB of archive, which would be 100 GB of memory."""
    config = json.dumps({"author": "x" * (1 << 20), **HERE, "rootfs": {"diff_ids": []}}).encode()
    listed = json.dumps([{"Config": "c"}] * 100_000).encode()
    members = tars.member(b"c", body=config), tars.member(b"manifest.json", body=listed)
    with pytest.raises(BadArchive, match="documents have more than"):
        loaded(store, tmp_path, tars.archive(*members))
    nothing_is_left(store)


def test_names_that_fill_memory(store: ImageStore, tmp_path: Path) -> None:
    members = (
        tars.pax({b"path": b"%d" % number + b"x" * 1_000_000}) + tars.member(b"x")
        for number in range(70)
    )
    with pytest.raises(BadArchive, match="fill memory"):
        loaded(store, tmp_path, tars.archive(*members))


def test_no_variant_for_this_machine(store: ImageStore, tmp_path: Path) -> None:
    made = Made()
    entries = [
        for_platform(made.image(name, "a", platform), platform)
        for name in ("ppc64le", "s390x")
        for platform in [{"os": "linux", "architecture": name}]
    ]
    offered = "archive.tar has no variant.*linux/ppc64le, linux/s390x"
    with pytest.raises(NoPlatform, match=offered):
        loaded(store, tmp_path, made.archive(*entries))
    nothing_is_left(store)


@pytest.mark.parametrize("depth", [2, 9])
def test_indexes_in_indexes(store: ImageStore, tmp_path: Path, depth: int) -> None:
    made = Made()
    entry = made.image("deep", "a")
    for _ in range(depth):
        entry = made.index(entry)
    raw = made.archive(entry)
    if depth < 3:
        assert authors(store, loaded(store, tmp_path, raw)) == ["deep"]
    else:
        with pytest.raises(BadArchive, match="lead to no image"):
            loaded(store, tmp_path, raw)


def both_forms(made: Made, entry: Entry) -> bytes:
    """As newer Dockers write it; `extra` stands only in Docker's own part."""
    config = made.config("both", "a")
    listed = [{
        "Config": f"blobs/sha256/{digest(config)[7:]}",
        "RepoTags": ["both:1"],
        "Layers": [f"blobs/sha256/{digest(LAYERS['a'])[7:]}"],
    }]  # fmt: skip
    return made.archive(named(entry, "both:1"), **{"manifest.json": json.dumps(listed).encode()})


def test_of_both_forms_the_one_with_digests_is_read(store: ImageStore, tmp_path: Path) -> None:
    made = Made()
    entry = made.image("both", "a")
    (found,) = loaded(store, tmp_path, both_forms(made, entry))
    assert found.references == ("docker.io/library/both:1",)
    assert store.layout.blob(entry["digest"]).exists()


@pytest.mark.parametrize("harm", ["gone", "changed", "no image"])
def test_where_that_one_is_not_whole_the_other_is(
    store: ImageStore, tmp_path: Path, harm: str
) -> None:
    made = Made()
    entry = made.image("both", "a")
    name = f"blobs/sha256/{entry['digest'][7:]}"
    if harm == "gone":
        del made.files[name]
    elif harm == "changed":
        made.files[name] = b"{" + made.files[name][1:-1] + b" "
    else:
        entry = made.blob("manifest.v1+json", b'{"schemaVersion": 2, "layers": []}')
    (found,) = loaded(store, tmp_path, both_forms(made, entry))
    assert found.references == ("docker.io/library/both:1",)
    assert store.image(found.id).layers == (digest(LAYERS["a"]),)


def test_one_bad_image_keeps_all_of_them_out(store: ImageStore, tmp_path: Path) -> None:
    """And a name that meant something goes on to mean it."""
    made = Made()
    name = "r.example/a:1"
    (before,) = loaded(store, tmp_path, made.archive(named(made.image("before", "a"), name)))
    good, bad = made.image("good", "b"), made.image("bad", "c")
    made.files[f"blobs/sha256/{digest(LAYERS['c'])[7:]}"] = LAYERS["b"]
    with pytest.raises(WrongLayer):
        loaded(store, tmp_path, made.archive(named(good, name), named(bad, "r.example/b:1")))
    assert [image.id for image in store.list()] == [before.id]
    assert store.image(before.id).references == (name,)


def test_layers_that_are_here_are_not_unpacked_again(store: ImageStore, tmp_path: Path) -> None:
    made = Made()
    loaded(store, tmp_path, made.archive(made.image("one", "ab")))
    inodes = {name: os.stat(store.layout.layers / name).st_ino for name in layer_folders(store)}
    told: list[Progress] = []
    loaded(store, tmp_path, made.archive(made.image("two", "bc")), told.append)
    assert {progress.what for progress in told} == {digest(LAYERS["c"])[7:19]}
    for name, inode in inodes.items():
        assert os.stat(store.layout.layers / name).st_ino == inode


@pytest.mark.parametrize(
    "top",
    [
        b"[]",
        b'{"schemaVersion": 2}',
        b'{"schemaVersion": 2, "manifests": [5]}',
        b'{"schemaVersion": 2, "manifests": [{"digest": "sha256:../../etc/passwd"}]}',
        b'{"schemaVersion": 2, "manifests": {"digest": 1}}',
        b'{"schemaVersion": 2, "schemaVersion": 2, "manifests": []}',
    ],
)
def test_an_index_that_is_none(store: ImageStore, tmp_path: Path, top: bytes) -> None:
    with pytest.raises((BadDocument, BadArchive)):
        loaded(store, tmp_path, Made().archive(**{"index.json": top}))
    nothing_is_left(store)


def test_a_bad_layer_tells_which_one_of_which_archive_it_is(
    store: ImageStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(LAYERS, "z", LAYERS["a"][:600])
    made = Made()
    raw = made.archive(made.image("cut", "z"))
    with pytest.raises(BadLayer) as caught:
        loaded(store, tmp_path, raw)
    place = tmp_path / "archive.tar"
    assert caught.value.what == f"layer {digest(LAYERS['z'])[:19]} of {place} cannot be unpacked"
    with pytest.raises(BadLayer) as caught:
        store.load(str(place), silent)
    assert caught.value.what == f"layer {digest(LAYERS['z'])[:19]} of {place} cannot be unpacked"
    nothing_is_left(store)


def test_an_archive_without_images(store: ImageStore, tmp_path: Path) -> None:
    with pytest.raises(BadArchive, match="no image"):
        loaded(store, tmp_path, Made().archive())
    with pytest.raises(BadArchive, match="no image"):
        loaded(store, tmp_path, tars.archive(tars.member(b"manifest.json", body=b"[]")))
    with pytest.raises(BadArchive, match="it is empty"):
        loaded(store, tmp_path, b"")


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
@pytest.mark.parametrize("program", ["cat", "true"])
def test_a_disk_without_room_for_it(
    tmp_path: Path,
    pack: Callable[[bytes], bytes],
    program: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Out of a pipe (``cat``) or inflated, the archive needs room as a whole, too."""
    monkeypatch.setitem(LAYERS, "z", tars.archive(tars.member(b"z", body=os.urandom(8 << 20))))
    made, path, small = Made(), tmp_path / "archive.tar", tmp_path / "small"
    path.write_bytes(pack(made.archive(made.image("large", "z"))))
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m", "none", small], check=True)
    try:
        store = ImageStore(small / "images")
        with (
            subprocess.Popen([program, path], stdout=subprocess.PIPE) as feeder,
            path.open("rb") as file,
        ):
            source = feeder.stdout if program == "cat" else file
            assert source
            with pytest.raises(DiskFull):
                load(store, source.fileno(), "it", silent)
            feeder.kill()
        nothing_is_left(store)
    finally:
        subprocess.run(["umount", small], check=True)
