"""Honest images, unpacked by us, docker, podman and umoci: the same tree, entry by entry."""

import gzip
import hashlib
import json
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from runtime.embedded.layers import overlay
from runtime.embedded.layers.faults import BadLayer
from tests.images import oci
from tests.peers import Docker, Podman
from tests.runtime.embedded.layers import tars
from tests.runtime.embedded.layers.tars import (
    directory,
    hardlink,
    member,
    pax,
    symlink,
    whiteout,
)
from tests.runtime.embedded.layers.unpacking import make_place, tree

pytestmark = [pytest.mark.root, pytest.mark.slow]

CAPABILITY = bytes.fromhex("0100000200040000000000000000000000000000")
LONG = b"/".join([b"long" * 20] * 4)
_HOUR = 3600 * 1_000_000_000
Tree = dict[str, tuple[object, ...]]


def timed(mtime: bytes, entry: bytes) -> bytes:
    return pax({b"mtime": mtime}) + entry


def everything(*names: bytes) -> bytes:
    return b"".join(member(name, body=b"low " + name) for name in names)


LOW = tars.archive(
    directory(b"./", mode=0o755),
    directory(b"sticky", mode=0o1777),
    directory(b"group", mode=0o2775, gid=50),
    member(b"group/file", uid=3, gid=4, mode=0o640, body=b"x"),
    member(b"setuid", mode=0o4755, body=b"x"),
    member(b"setgid", mode=0o2755, gid=7, body=b"x"),
    member(b"zero", mode=0),
    symlink(b"link", b"setuid"),
    symlink(b"dangling", b"/no/where"),
    symlink(b"absolute", b"/etc/passwd"),
    member(b"hard-1", body=b"linked"),
    hardlink(b"hard-2", b"hard-1"),
    hardlink(b"sticky/hard-3", b"/hard-2"),
    hardlink(b"hard-link-to-link", b"link"),
    member(b"pipe", kind=b"6", mode=0o620, uid=5),
    tars.device(b"null", b"3", 1, 3, mode=0o666, uid=5),
    tars.device(b"disk", b"4", 7, 200, mode=0o660, gid=6),
    pax({b"path": LONG + b"/pax", b"linkpath": LONG}) + member(b"x", body=b"x"),
    tars.long_name(LONG + b"/gnu") + member(b"x", body=b"x"),
    member(b"suffix", prefix=b"prefix/" + b"p" * 100, body=b"x"),
    pax({b"path": b"n" * 255}) + member(b"x"),
    pax({b"path": "ünï/日本".encode()}) + member(b"x"),
    member(b"latin-\xe9\xff", body=b"x"),
    member(b"new\nline"),
    member(b" blank and 'quotes' \"", body=b"x"),
    timed(b"-100.5", member(b"before-1970", body=b"x")),
    timed(b"1700000000.123456789", member(b"nanoseconds", body=b"x")),
    timed(b"1700000000.123456789", directory(b"nanoseconds-too")),
    timed(b"1234567890.5", symlink(b"link-with-a-time", b"x")),
    timed(b"4102444800", member(b"year-2100", body=b"x")),
    pax({b"SCHILY.xattr.user.a": b"1", b"SCHILY.xattr.user.b": b"\0\xff"}) + member(b"attributes"),
    pax({b"SCHILY.xattr.user.a": b"1"}) + directory(b"attributes-too"),
    pax({b"SCHILY.xattr.security.capability": CAPABILITY})
    + member(b"capable", mode=0o755, uid=9, body=b"x"),
    pax({b"uid": b"4000000000", b"gid": b"3999999999"}) + member(b"large-owner"),
    directory(b"closed", mode=0o700, uid=8),
    everything(b"closed/low", b"removed", b"removed-tree/a/b", b"opaque/old", b"opaque/both"),
    everything(b"merged/old", b"merged/both", b"again/old", b"to-directory", b"to-file/x"),
    everything(b"to-link/x", b"changed-mode", b"deep/a/b/c/old", b"both/marks/old"),
    directory(b"restyled", mode=0o755),
    symlink(b"way", b"merged"),
)
HIGH = tars.archive(
    whiteout(b".wh.removed"),
    whiteout(b".wh.removed-tree"),
    directory(b"opaque", mode=0o750),
    whiteout(b"opaque/.wh..wh..opq"),
    member(b"opaque/both", body=b"high"),
    member(b"opaque/new", body=b"high"),
    directory(b"merged"),
    member(b"merged/both", body=b"high"),
    member(b"merged/new", body=b"high"),
    whiteout(b".wh.again"),
    directory(b"again"),
    member(b"again/new", body=b"high"),
    directory(b"to-directory", mode=0o711),
    member(b"to-directory/x", body=b"high"),
    member(b"to-file", body=b"high"),
    symlink(b"to-link", b"merged"),
    member(b"changed-mode", mode=0o4711, body=b"low changed-mode"),
    directory(b"restyled", mode=0o1700, uid=6),
    directory(b"deep/a/b/c"),
    whiteout(b"deep/a/b/c/.wh.old"),
    member(b"new", body=b"high"),
    hardlink(b"newer", b"new"),
    member(b"missing/parents/file", body=b"high"),
)
LAYERS = (LOW, HIGH)
# docker and podman list a name in there that then is not there.
BOTH_MARKS = (
    LOW,
    tars.archive(
        directory(b"both"),
        directory(b"both/marks"),
        whiteout(b"both/marks/.wh..wh..opq"),
        whiteout(b"both/marks/.wh.old"),
        member(b"both/marks/new", body=b"high"),
    ),
)
# docker and podman refuse these as a whole.
TWICE = (
    LOW,
    tars.archive(
        member(b"twice", body=b"first", mode=0o600),
        member(b"twice", body=b"second", mode=0o644),
        member(b"file-to-directory", body=b"x"),
        directory(b"file-to-directory", mode=0o711),
        member(b"file-to-directory/in", body=b"x"),
        directory(b"directory-to-file"),
        member(b"directory-to-file/in", body=b"x"),
        member(b"directory-to-file", body=b"x"),
        symlink(b"link-to-file", b"twice"),
        member(b"link-to-file", body=b"x"),
        member(b"removed-again", body=b"x"),
        whiteout(b".wh.removed"),
    ),
)


def write(layout: Path, layers: tuple[bytes, ...]) -> Path:
    """An OCI layout of archives that are given as they are."""
    blobs = layout / "blobs/sha256"
    blobs.mkdir(parents=True)

    def blob(kind: str, data: bytes) -> dict[str, object]:
        name = hashlib.sha256(data).hexdigest()
        (blobs / name).write_bytes(data)
        return {"mediaType": kind, "digest": f"sha256:{name}", "size": len(data)}

    ids = [f"sha256:{hashlib.sha256(data).hexdigest()}" for data in layers]
    rootfs = {"type": "layers", "diff_ids": ids}
    config = {"architecture": oci.architecture(), "os": "linux", "rootfs": rootfs}
    manifest = {
        "schemaVersion": 2,
        "mediaType": oci.MANIFEST,
        "config": blob(oci.CONFIG, json.dumps({**config, "config": {"Cmd": ["x"]}}).encode()),
        "layers": [blob(oci.LAYER, gzip.compress(data, mtime=0)) for data in layers],
    }
    top = blob(oci.MANIFEST, json.dumps(manifest).encode())
    index = {"schemaVersion": 2, "manifests": [{**top, "annotations": {oci.TAG: "latest"}}]}
    (layout / "index.json").write_text(json.dumps(index))
    (layout / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    return layout


@contextmanager
def mounted(lowers: list[Path], place: Path) -> Iterator[Path]:
    folders = [place / name for name in ("upper", "work", "target")]
    for folder in folders:
        folder.mkdir(parents=True)
    overlay.mount(lowers, *folders)
    try:
        yield folders[2]
    finally:
        overlay.unmount(folders[2])


def ours(layers: tuple[bytes, ...], folder: Path) -> Tree:
    lowers: list[Path] = []
    for number, data in enumerate(layers):
        place = make_place(folder / f"layer{number}")
        place.unpack(data)
        lowers.insert(0, place.root)
    with mounted(lowers, folder / "ours") as root:
        return tree(root, exact=True)


def archive_of(layout: Path) -> Path:
    """As `docker save` writes it."""
    path = layout.with_suffix(".tar")
    words = ["skopeo", "copy", "--quiet", f"oci:{layout}:latest", f"docker-archive:{path}:peers:1"]
    subprocess.run(words, check=True, capture_output=True)
    return path


def dockers(docker: Docker, archive: Path, folder: Path) -> Tree:
    docker("load", "--input", archive)
    form = "{{.GraphDriver.Data.UpperDir}}:{{.GraphDriver.Data.LowerDir}}"
    lowers = docker("image", "inspect", "--format", form, "peers:1").strip().split(":")
    with mounted([Path(path) for path in lowers if path.startswith("/")], folder) as root:
        return tree(root, exact=True)


def podmans(podman: Podman, archive: Path) -> Tree:
    podman("load", "--input", archive)
    root = Path(podman("image", "mount", "peers:1").strip())
    try:
        return tree(root, exact=True)
    finally:
        podman("image", "unmount", "peers:1")


def umocis(layout: Path, folder: Path) -> Tree:
    folder.mkdir()
    words = ["umoci", "raw", "unpack", "--image", f"{layout}:latest", str(folder / "root")]
    subprocess.run(words, check=True, capture_output=True)
    return tree(folder / "root", exact=True)


FACTS = ("mode", "owner", "content", "links", "attributes", "time")


def differences(one: Tree, other: Tree) -> dict[str, str]:
    """Path -> which facts differ."""
    found = {}
    for path in sorted(one.keys() | other.keys()):
        if path not in one or path not in other:
            found[path] = "only here" if path in one else "only there"
        elif one[path] != other[path]:
            facts = zip(FACTS, one[path], other[path], strict=True)
            found[path] = ", ".join(name for name, a, b in facts if a != b)
    return found


@pytest.fixture
def settled() -> Callable[[Tree], Tree]:
    """Times from now on (of directories that no entry describes) count as equal."""
    began = time.time_ns()

    def settle(found: Tree) -> Tree:
        def known(time: object) -> object:
            return "now" if isinstance(time, int) and began <= time < began + _HOUR else time

        return {path: (*facts[:-1], known(facts[-1])) for path, facts in found.items()}

    return settle


Settled = Callable[[Tree], Tree]
# Where docker and podman differ from us, from umoci, and from the image-spec.
OF_DOCKER_AND_PODMAN = {
    # A whiteout and a directory of that name: what the layer below has in it comes back there.
    "/again/old": "only there",
    # They know no time before 1970 and write the epoch.
    "/before-1970": "time",
}


def test_umoci_makes_the_same_tree(tmp_path: Path, settled: Settled) -> None:
    layout = write(tmp_path / "layout", LAYERS)
    mine = settled(ours(LAYERS, tmp_path / "ours"))
    assert differences(mine, settled(umocis(layout, tmp_path / "umoci"))) == {}
    assert len(mine) > 60


def test_docker_makes_the_same_tree(docker: Docker, tmp_path: Path, settled: Settled) -> None:
    archive = archive_of(write(tmp_path / "layout", LAYERS))
    theirs = settled(dockers(docker, archive, tmp_path / "docker"))
    mine = settled(ours(LAYERS, tmp_path / "ours"))
    assert differences(mine, theirs) == OF_DOCKER_AND_PODMAN


def test_podman_makes_the_same_tree(podman: Podman, tmp_path: Path, settled: Settled) -> None:
    archive = archive_of(write(tmp_path / "layout", LAYERS))
    theirs = settled(podmans(podman, archive))
    mine = settled(ours(LAYERS, tmp_path / "ours"))
    assert differences(mine, theirs) == OF_DOCKER_AND_PODMAN


def test_names_that_stand_twice_are_as_with_umoci(tmp_path: Path, settled: Settled) -> None:
    """The last entry wins; docker and podman refuse such an image."""
    layout = write(tmp_path / "layout", TWICE)
    mine = settled(ours(TWICE, tmp_path / "ours"))
    assert differences(mine, settled(umocis(layout, tmp_path / "umoci"))) == {}


def test_docker_and_podman_refuse_names_that_stand_twice(
    docker: Docker, podman: Podman, tmp_path: Path
) -> None:
    archive = archive_of(write(tmp_path / "layout", TWICE))
    for peer in (docker, podman):
        with pytest.raises(RuntimeError, match="duplicates of file paths"):
            peer("load", "--input", archive)


def test_a_whiteout_in_an_opaque_directory_is_as_with_umoci(
    tmp_path: Path, settled: Settled
) -> None:
    """docker and podman show a name there that cannot be looked at."""
    layout = write(tmp_path / "layout", BOTH_MARKS)
    mine = settled(ours(BOTH_MARKS, tmp_path / "ours"))
    assert differences(mine, settled(umocis(layout, tmp_path / "umoci"))) == {}
    assert [path for path in mine if path.startswith("/both/marks/")] == ["/both/marks/new"]


ACROSS = (tars.archive(member(b"a", body=b"x")), tars.archive(hardlink(b"b", b"a")))


def test_a_hard_link_into_the_layer_below_is_refused_by_docker_podman_and_us(
    docker: Docker, podman: Podman, tmp_path: Path
) -> None:
    """A layer's own names are all that it may link to: below may be anything."""
    archive = archive_of(write(tmp_path / "layout", ACROSS))
    for peer in (docker, podman):
        with pytest.raises(RuntimeError, match="no such file"):
            peer("load", "--input", archive)
    with pytest.raises(BadLayer, match="No such file"):
        ours(ACROSS, tmp_path / "ours")
