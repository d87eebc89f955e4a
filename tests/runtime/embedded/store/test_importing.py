"""Images of one layer, from a tar that comes as a file or out of a pipe."""

import bz2
import gzip
import json
import lzma
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from backports import zstd

from runtime.api import ImageDefaults, Progress
from runtime.embedded.layers.faults import LayerTooLarge
from runtime.embedded.registry.manifest import host_platform
from runtime.embedded.store.details import details
from runtime.embedded.store.faults import BadTree
from runtime.embedded.store.images import ImageStore
from runtime.embedded.store.importing import Importer
from runtime.embedded.store.unpack import Budget, Unpacker
from runtime.embedded.store.verify import Verifier
from tests.runtime.embedded.layers import tars
from tests.runtime.embedded.store.stocks import Mounted, layer_folders, nothing_is_left, silent

pytestmark = pytest.mark.root

NAME = "example.org/tree:1"
TREE = tars.archive(
    tars.directory(b"dev"),
    tars.member(b"dev/null", kind=b"3", mode=0o666, device=(1, 3)),
    tars.member(b"bin/tool", body=b"#!/bin/sh\n" * 50_000, mode=0o4755, uid=3, gid=4),
    tars.hardlink(b"bin/again", b"bin/tool"),
    tars.pax({b"SCHILY.xattr.user.note": b"1"}),
    tars.member(b"noted"),
)


def imported(store: ImageStore, path: Path, **asked: Any) -> str:
    words = {"reference": NAME, "defaults": ImageDefaults(), "message": "", "platform": None}
    fd = os.open(path, os.O_RDONLY)
    try:
        importer = Importer(store=store, report=silent, now=lambda: 1_700_000_000.25)
        return importer.run(fd, str(path), **{**words, **asked})
    finally:
        os.close(fd)


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    path = tmp_path / "tree.tar"
    path.write_bytes(TREE)
    return path


def document(store: ImageStore, id: str) -> Any:
    return json.loads(store.layout.blob(id).read_bytes())


def test_what_was_packed_is_there(store: ImageStore, plain: Path, tmp_path: Path) -> None:
    image = store.image(imported(store, plain))
    with Mounted(store, image, tmp_path / "mount") as root:
        tool, null = (root / "bin/tool").stat(), (root / "dev/null").stat()
        assert (oct(tool.st_mode), tool.st_uid, tool.st_gid) == ("0o104755", 3, 4)
        assert tool.st_nlink == 2
        assert (root / "bin/again").read_bytes() == b"#!/bin/sh\n" * 50_000
        assert os.getxattr(root / "noted", "user.note") == b"1"
        assert null.st_rdev == os.makedev(1, 3)
    assert Verifier(store, silent).verify(()) == ()


def test_what_an_image_says_of_itself(store: ImageStore, plain: Path) -> None:
    found = details(store, imported(store, plain))
    assert found.references == (NAME,)
    assert (found.created, found.platform) == (1_700_000_000.25, str(host_platform()))
    (step,) = found.history
    assert (step.created, step.comment) == (1_700_000_000.25, f"Imported from {plain}")
    assert step.size == found.size == 500_000
    assert document(store, found.id)["created"] == "2023-11-14T22:13:20.250000Z"


def test_what_is_asked_for_is_what_it_says(store: ImageStore, plain: Path) -> None:
    defaults = ImageDefaults(cmd=("/bin/tool",), env=("A=1",), labels={"by": "hand"})
    id = imported(store, plain, defaults=defaults, message="from afar", platform="linux/arm64/v8")
    found = details(store, id)
    assert (found.defaults, found.platform) == (defaults, "linux/arm64/v8")
    assert (found.comment, found.history[0].comment) == ("from afar", "from afar")


def test_without_a_name_it_has_none(store: ImageStore, plain: Path) -> None:
    assert details(store, imported(store, plain, reference="")).references == ()


def test_a_name_goes_over_to_the_next_image(store: ImageStore, plain: Path) -> None:
    first, second = (imported(store, plain, message=text) for text in ("1", "2"))
    assert first != second
    assert details(store, NAME).id == second
    assert store.image(first).references == ()
    assert len(layer_folders(store)) == 1


@pytest.mark.parametrize("squeeze", [gzip.compress, zstd.compress, lzma.compress, bz2.compress])
def test_compressed_it_is_the_same_layer(
    store: ImageStore, plain: Path, squeeze: Callable[[bytes], bytes]
) -> None:
    first = store.image(imported(store, plain))
    plain.write_bytes(squeeze(TREE))
    assert store.image(imported(store, plain)).layers == first.layers


def test_out_of_a_pipe(store: ImageStore, plain: Path) -> None:
    told: list[Progress] = []
    reading, writing = os.pipe()

    def feed() -> None:
        with os.fdopen(writing, "wb") as pipe:
            pipe.write(TREE)

    thread = threading.Thread(target=feed)
    thread.start()
    importer = Importer(store=store, report=told.append)
    id = importer.run(reading, "the standard input", "", ImageDefaults(), "", None)
    thread.join()
    os.close(reading)
    assert store.image(id).layers == store.image(imported(store, plain)).layers
    assert told
    assert {progress.total for progress in told} == {None}


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "empty"),
        (b"#!/bin/sh\nexit 1\n", "ends inside a header"),
        (b"x" * 4096, "a number that is none"),
        (TREE[:5000], "ends inside a file"),
        (gzip.compress(TREE)[:-9], "too early"),
        (tars.archive(tars.member(b"../out")), "leads out"),
    ],
)
def test_what_is_no_tar_leaves_nothing(
    store: ImageStore, plain: Path, content: bytes, why: str
) -> None:
    plain.write_bytes(content)
    with pytest.raises(BadTree, match=why) as caught:
        imported(store, plain)
    assert str(plain) in caught.value.what
    nothing_is_left(store)


def test_a_tree_that_is_too_large_is_named(store: ImageStore, plain: Path) -> None:
    store.unpacker = Unpacker(store.layout, store.index, Budget(entries=3))
    limit = f"the layer of {plain} is too large: it has too many entries, and the limit is 3"
    with pytest.raises(LayerTooLarge, match=limit):
        imported(store, plain)
    with pytest.raises(LayerTooLarge, match=limit):
        store.import_rootfs(str(plain), ImageDefaults(), silent)
    nothing_is_left(store)
