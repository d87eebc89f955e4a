"""The image store with a real registry, real archives and other tools as judges."""

import gzip
import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime.api import (
    ArchiveSource,
    ImageDefaults,
    ImageSpec,
    Progress,
    PullPolicy,
    RegistryAccess,
    RegistrySource,
    RootfsSource,
)
from runtime.embedded.layers import overlay
from runtime.embedded.layers.faults import BadLayer, LayerTooLarge
from runtime.embedded.registry.documents import BadDocument
from runtime.embedded.registry.faults import AccessDenied, NotInRegistry, WrongContent
from runtime.embedded.store.faults import (
    AmbiguousImage,
    BadArchive,
    FileUnreadable,
    ImageAbsent,
    WrongLayer,
)
from runtime.embedded.store.images import Image, ImageStore
from runtime.embedded.store.index import Index
from runtime.embedded.store.layout import Layout
from runtime.embedded.store.unpack import Budget, Unpacker
from runtime.errors import DiskFull
from tests.conftest import Images
from tests.images import layers, oci, recipes
from tests.images.registry import Registry
from tests.runtime.embedded.layers import tars
from tests.runtime.embedded.layers.unpacking import pieces, tree
from tests.runtime.embedded.registry.hostile import (
    Answer,
    Asked,
    Server,
    digest,
    publish,
    serving,
)

pytestmark = pytest.mark.root


@pytest.fixture
def store(tmp_path: Path) -> ImageStore:
    return ImageStore(tmp_path / "images")


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as made:
        yield made


def silent(progress: Progress) -> None:
    """A report that nobody reads."""


def from_registry(reference: str, pull: PullPolicy = PullPolicy.MISSING) -> ImageSpec:
    return ImageSpec(name=reference, source=RegistrySource(reference=reference, pull=pull))


def layer_folders(store: ImageStore) -> list[str]:
    return sorted(os.listdir(store._layout.layers))


def everything(root: Path) -> dict[str, tuple[int, int, int, int]]:
    """Each file and folder with inode, times and size: what a look must not change."""
    paths = [root, *root.rglob("*")] if root.exists() else []
    found = {str(path): path.lstat() for path in paths}
    return {p: (s.st_ino, s.st_mtime_ns, s.st_ctime_ns, s.st_size) for p, s in found.items()}


class Mounted:
    """An image's root file system."""

    def __init__(self, store: ImageStore, image: Image, base: Path) -> None:
        self.target = base / "target"
        folders = [base / "upper", base / "work", self.target]
        for folder in folders:
            folder.mkdir(parents=True)
        overlay.mount(store.layers(image.id), *folders)

    def __enter__(self) -> Path:
        return self.target

    def __exit__(self, *_: object) -> None:
        overlay.unmount(self.target)


# --- pulling ------------------------------------------------------------------------------------


def test_an_image_is_pulled_found_and_mounted(
    store: ImageStore, images: Images, tmp_path: Path
) -> None:
    told: list[Progress] = []
    image = store.pull(images.busybox, (), told.append)
    assert image.references == (images.busybox,)
    assert image.defaults.cmd[0] == "httpd"
    assert image.platform == f"linux/{oci.architecture()}"
    assert told[-1].done == told[-1].total
    short = image.id.removeprefix("sha256:")[:12]
    for name in (images.busybox, images.busybox.removesuffix(":latest"), image.id, short):
        assert store.find(name) == image
    with Mounted(store, image, tmp_path / "mount") as root:
        command = ["chroot", str(root), "/bin/sh", "-c", "cat /www/index.html"]
        assert subprocess.run(command, capture_output=True, text=True).stdout == recipes.PAGE
    assert [each.id for each in store.list()] == [image.id]


@pytest.mark.parametrize("kind", ["oci", "v2s2"])
def test_both_kinds_of_manifest_give_the_same_files(
    store: ImageStore, registry: Registry, kind: str
) -> None:
    reference = registry.push(recipes.layouts()["busybox"], f"kind-{kind}", kind=kind)
    image = store.pull(reference, (), silent)
    assert layer_folders(store) == [image.layers[0][7:]]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["busybox", "nginx", "python"])
def test_the_files_are_those_that_umoci_unpacks(
    store: ImageStore, images: Images, tmp_path: Path, name: str
) -> None:
    layout = f"{recipes.layouts()[name]}:latest"
    subprocess.run(["umoci", "unpack", "--image", layout, tmp_path / "umoci"], check=True)
    image = store.pull(getattr(images, name), (), silent)
    with Mounted(store, image, tmp_path / "mount") as root:
        ours, theirs = tree(root), tree(tmp_path / "umoci" / "rootfs")
    assert without_folder_times(ours) == without_folder_times(theirs)


def without_folder_times(shown: dict[str, tuple[object, ...]]) -> dict[str, tuple[object, ...]]:
    """The recipes leave unchanged directories out of a layer; then nobody knows their time."""
    return {p: f[:5] if str(f[0]).startswith("0o4") else f for p, f in shown.items()}


def test_layers_that_replace_each_other_give_what_umoci_gives(
    store: ImageStore, registry: Registry, tmp_path: Path
) -> None:
    """L16: every kind of entry over every other, and whiteouts, in two layers."""
    low = tars.archive(
        *(
            made
            for number, kind in enumerate("fdl")
            for other in "fdlw"
            for made in _entry(f"{kind}{other}".encode(), kind, number)
        ),
        tars.directory(b"opaque"),
        tars.member(b"opaque/old"),
        tars.directory(b"kept", mode=0o700, uid=5),
        tars.member(b"kept/old", body=b"old"),
        tars.hardlink(b"kept/hard", b"kept/old"),
    )
    high = tars.archive(
        *(
            made
            for kind in "fdl"
            for number, other in enumerate("fdlw")
            for made in _entry(f"{kind}{other}".encode(), other, 10 + number)
        ),
        tars.whiteout(b"opaque/.wh..wh..opq"),
        tars.member(b"opaque/new"),
        tars.directory(b"kept", mode=0o755, uid=6),
        tars.whiteout(b"kept/.wh.hard"),
    )
    layout = tmp_path / "layout"
    _write_layout(layout, low, high)
    subprocess.run(
        ["umoci", "unpack", "--image", f"{layout}:latest", tmp_path / "umoci"], check=True
    )
    image = store.pull(registry.push(layout, "replaced"), (), silent)
    with Mounted(store, image, tmp_path / "mount") as root:
        ours, theirs = tree(root), tree(tmp_path / "umoci" / "rootfs")
    # A hard link whose other name was removed counts one link there and two here.
    assert {p: f[:3] for p, f in ours.items()} == {p: f[:3] for p, f in theirs.items()}


def _entry(name: bytes, kind: str, number: int) -> list[bytes]:
    body = b"%d" % number
    return {
        "f": [tars.member(name, body=body)],
        "d": [tars.directory(name), tars.member(name + b"/in%d" % number, body=body)],
        "l": [tars.symlink(name, b"target" + body)],
        "w": [tars.whiteout(b".wh." + name)],
    }[kind]


def _write_layout(layout: Path, *archives: bytes) -> None:
    """An OCI layout of layers made by hand."""
    image = oci.Image(layers=[{f"x{n}": layers.file("")} for n in range(len(archives))])
    waiting = iter(archives)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layers, "pack", lambda _: next(waiting))
        oci.write(image, layout)


def test_a_shared_layer_is_stored_once(store: ImageStore, images: Images) -> None:
    nginx = store.pull(images.nginx, (), silent)
    told: list[Progress] = []
    python = store.pull(images.python, (), told.append)
    assert nginx.layers[0] == python.layers[0]
    assert len(layer_folders(store)) == 3
    assert nginx.layers[0][7:19] not in {each.what for each in told}


def test_a_second_pull_fetches_no_layer(store: ImageStore, server: Server) -> None:
    plain = tars.archive(tars.member(b"a", body=b"x"))
    published = publish(server, (plain, gzip.compress(plain)))
    for _ in range(2):
        store.pull(f"{server.host}/app", (), silent)
    blob = f"/v2/app/blobs/{digest(published.layers[0])}"
    assert server.paths().count(blob) == 1


def test_the_same_layer_twice_in_an_image(
    store: ImageStore, registry: Registry, tmp_path: Path
) -> None:
    layer = {"file": layers.file("x")}
    image = oci.Image(layers=[layer, {"other": layers.file("y")}, layer])
    found = store.pull(registry.publish(image, "twice"), (), silent)
    assert len(found.layers) == 3
    with Mounted(store, found, tmp_path / "mount") as root:
        assert sorted(os.listdir(root)) == ["file", "other"]


def test_an_image_without_layers_is_an_empty_directory(
    store: ImageStore, registry: Registry, tmp_path: Path
) -> None:
    image = store.pull(registry.publish(oci.Image(layers=[]), "empty"), (), silent)
    with Mounted(store, image, tmp_path / "mount") as root:
        assert os.listdir(root) == []


def test_an_opaque_root_hides_the_layers_below(
    store: ImageStore, registry: Registry, tmp_path: Path
) -> None:
    above = {"new": layers.file("x"), ".wh..wh..opq": layers.file("")}
    image = oci.Image(layers=[{"old": layers.file("x")}, above, {"top": layers.file("")}])
    found = store.pull(registry.publish(image, "opaque"), (), silent)
    with Mounted(store, found, tmp_path / "mount") as root:
        assert sorted(os.listdir(root)) == ["new", "top"]


def test_an_index_leads_to_this_machines_image(store: ImageStore, server: Server) -> None:
    plain = tars.archive(tars.member(b"a"))
    published = publish(server, (plain, gzip.compress(plain)))
    kind = "application/vnd.oci.image.manifest.v1+json"

    def entry(architecture: str, found: str) -> dict[str, object]:
        platform = {"os": "linux", "architecture": architecture}
        return {"mediaType": kind, "digest": found, "size": 1, "platform": platform}

    listed = [entry("mips", digest(b"x")), entry(oci.architecture(), digest(published.manifest))]
    index = json.dumps({"schemaVersion": 2, "manifests": listed}).encode()
    headers = {"Content-Type": "application/vnd.oci.image.index.v1+json"}
    server.routes["/v2/app/manifests/latest"] = Answer(headers=headers, body=index)
    assert store.pull(f"{server.host}/app", (), silent).layers == (digest(plain),)


def test_an_index_that_leads_to_itself_is_left(store: ImageStore, server: Server) -> None:
    kind = "application/vnd.oci.image.index.v1+json"
    levels = [b"{}"]
    for _ in range(6):
        below = {"mediaType": kind, "digest": digest(levels[-1]), "size": 1}
        levels.append(json.dumps({"schemaVersion": 2, "manifests": [below]}).encode())
        answer = Answer(headers={"Content-Type": kind}, body=levels[-1])
        server.routes[f"/v2/app/manifests/{digest(levels[-1])}"] = answer
        server.routes["/v2/app/manifests/latest"] = answer
    with pytest.raises(BadDocument, match="nested"):
        store.pull(f"{server.host}/app", (), silent)


def test_a_tag_that_moves_meanwhile_does_not_mix_images(store: ImageStore, server: Server) -> None:
    """R11: after the first answer everything goes by digest."""
    plain = tars.archive(tars.member(b"a"))
    published = publish(server, (plain, gzip.compress(plain)))
    first = server.routes["/v2/app/manifests/latest"]
    answers = iter([first])
    server.routes["/v2/app/manifests/latest"] = lambda _: next(answers)  # type: ignore[assignment, return-value]
    image = store.pull(f"{server.host}/app", (), silent)
    assert image.id == digest(published.config)


def test_a_password_is_needed_and_taken(store: ImageStore, locked_registry: Registry) -> None:
    reference = f"{locked_registry.address}/busybox:latest"
    with pytest.raises(AccessDenied):
        store.pull(reference, (), silent)
    wrong = RegistryAccess(host=locked_registry.address, username="ci", password="x")
    with pytest.raises(AccessDenied):
        store.pull(reference, (wrong,), silent)
    access = RegistryAccess(host=locked_registry.address, username="ci", password="secret")
    assert store.pull(reference, (access,), silent).size > 0


def test_an_image_that_does_not_exist(store: ImageStore, registry: Registry) -> None:
    with pytest.raises(NotInRegistry):
        store.pull(f"{registry.address}/no/such:image", (), silent)


# --- what is wrong is not kept ------------------------------------------------------------------


def nothing_is_left(store: ImageStore) -> None:
    assert store.list() == ()
    assert layer_folders(store) == []
    assert os.listdir(store._layout.tmp) == []
    assert os.listdir(store._layout.locks) == []


PLAIN = tars.archive(tars.member(b"a", body=os.urandom(200_000)))
BLOB = gzip.compress(PLAIN, 1)


def flipped(raw: bytes) -> bytes:
    return raw[:-40] + bytes([raw[-40] ^ 1]) + raw[-39:]


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


def unpacker(store: ImageStore, budget: Budget) -> Unpacker:
    store._layout.prepare()
    return Unpacker(store._layout, store._index, budget)


@pytest.mark.parametrize("what", ["a file", "a tail"])
def test_a_bomb_is_stopped_within_its_budget(store: ImageStore, what: str) -> None:
    zeros = bytes(64 << 20)
    plain = tars.member(b"a", body=zeros) if what == "a file" else tars.archive() + zeros
    bomb = gzip.compress(plain, 9)
    started = time.monotonic()
    with pytest.raises(LayerTooLarge):
        unpacker(store, Budget(free=1 << 20, growth=10)).add(digest(plain), pieces(bomb, 65536))
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
            unpacker(store, Budget()).add(digest(plain), pieces(plain, 65536))
        nothing_is_left(store)
    finally:
        subprocess.run(["umount", place], check=True)


def test_nobody_but_root_enters_the_store(store: ImageStore, images: Images) -> None:
    store.pull(images.busybox, (), silent)
    seen = subprocess.run(
        ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "ls", store._layout.root],
        capture_output=True,
    )
    assert seen.returncode != 0
    assert store._layout.root.stat().st_mode & 0o777 == 0o700


# --- many at a time, and deaths -----------------------------------------------------------------


def _pull(root: Path, reference: str) -> None:
    ImageStore(root).pull(reference, (), silent)


def test_processes_that_pull_the_same_image(store: ImageStore, images: Images) -> None:
    context = multiprocessing.get_context("fork")
    running = [
        context.Process(target=_pull, args=(store._layout.root, reference))
        for reference in (images.nginx, images.python) * 3
    ]
    for process in running:
        process.start()
    for process in running:
        process.join(60)
        assert process.exitcode == 0
    assert len(layer_folders(store)) == 3
    assert os.listdir(store._layout.tmp) == []
    assert len(store.list()) == 2


@pytest.mark.sweep
def test_a_pull_that_is_killed_is_finished_by_the_next(store: ImageStore, images: Images) -> None:
    context = multiprocessing.get_context("fork")
    for number in range(20):
        process = context.Process(target=_pull, args=(store._layout.root, images.nginx))
        process.start()
        time.sleep(0.01 + 0.02 * number)
        assert process.pid
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        for summary in store.list():
            assert store.layers(summary.id)
        if number % 4 == 3:
            store.pull(images.nginx, (), silent)
            assert tree(store.layers(store.list()[0].id)[0])
            shutil.rmtree(store._layout.root)
    store.pull(images.nginx, (), silent)
    assert os.listdir(store._layout.tmp) == os.listdir(store._layout.locks) == []
    assert len(layer_folders(store)) == 2


# --- looking ------------------------------------------------------------------------------------


def test_an_empty_store_is_looked_at_without_making_it(store: ImageStore) -> None:
    assert store.list() == ()
    assert store.find("nginx") is None
    assert store.state(from_registry("127.0.0.1:1/x:latest"), ()).id is None
    store.collect(())
    with pytest.raises(ImageAbsent):
        store.image("sha256:" + "0" * 64)
    assert not store._layout.root.exists()


def test_looking_writes_nothing(store: ImageStore, images: Images) -> None:
    image = store.pull(images.busybox, (), silent)
    before = everything(store._layout.root)
    fresh = ImageStore(store._layout.root)
    for policy in PullPolicy:
        assert fresh.state(from_registry(images.busybox, policy), ()).id == image.id
    fresh.list()
    fresh.find("nginx")
    fresh.layers(image.id)
    fresh.ensure(from_registry(images.busybox), (), silent)
    after = everything(store._layout.root)
    lock = str(store._layout.root / "lock")
    assert {k: v for k, v in after.items() if k != lock} == {
        k: v for k, v in before.items() if k != lock
    }


def test_an_image_counts_as_here_only_while_its_layers_are(
    store: ImageStore, images: Images
) -> None:
    image = store.pull(images.busybox, (), silent)
    shutil.rmtree(store.layers(image.id)[0])
    assert store.find(images.busybox) is None
    assert store.state(from_registry(images.busybox), ()).id is None
    assert store.ensure(from_registry(images.busybox), (), silent).id == image.id
    assert store.layers(image.id)[0].is_dir()


def test_a_store_whose_index_was_lost_keeps_its_layers(store: ImageStore, images: Images) -> None:
    image = store.pull(images.busybox, (), silent)
    inode = store.layers(image.id)[0].stat().st_ino
    store._layout.index.unlink()
    assert store.list() == ()
    store.pull(images.busybox, (), silent)
    assert store.layers(image.id)[0].stat().st_ino == inode


def test_the_beginning_of_an_id(store: ImageStore) -> None:
    store._layout.prepare()
    with Index(store._layout.index).writing() as rows:
        for digits in ("abcdef1", "abcdef2"):
            rows.put_image(Image(id=f"sha256:{digits:0<64}"), ())
    with pytest.raises(AmbiguousImage):
        store.find("abcdef")
    found = store.find("abcdef1")
    assert found is not None
    assert found.id.startswith("sha256:abcdef1")
    assert store.find("abc") is None


# --- policies -----------------------------------------------------------------------------------


@pytest.fixture
def moving(registry: Registry) -> str:
    """A tag of its own that a test may move."""
    return registry.publish(oci.Image(layers=[{"v": layers.file("1")}]), "moving")


def move(registry: Registry, text: str) -> None:
    registry.publish(oci.Image(layers=[{"v": layers.file(text)}]), "moving")


def test_a_tag_that_moved_is_stale_where_the_policy_asks(
    store: ImageStore, registry: Registry, moving: str
) -> None:
    old = store.ensure(from_registry(moving), (), silent)
    move(registry, "2")
    for policy in (PullPolicy.MISSING, PullPolicy.NEVER):
        assert store.state(from_registry(moving, policy), ()).stale == ""
        assert store.ensure(from_registry(moving, policy), (), silent) == old
    for policy in (PullPolicy.ALWAYS, PullPolicy.NEWER):
        state = store.state(from_registry(moving, policy), ())
        assert (state.id, state.stale[:24]) == (old.id, "the registry has sha256:")
    new = store.ensure(from_registry(moving, PullPolicy.NEWER), (), silent)
    assert new.id != old.id
    assert store.state(from_registry(moving, PullPolicy.ALWAYS), ()).stale == ""
    assert store.image(old.id).references == ()


def test_without_its_registry_an_image_stays_what_it_is(store: ImageStore, server: Server) -> None:
    publish(server, (PLAIN, BLOB))
    reference = f"{server.host}/app:latest"
    image = store.ensure(from_registry(reference), (), silent)
    server.close()
    for policy in PullPolicy:
        state = store.state(from_registry(reference, policy), ())
        assert (state.id, state.stale) == (image.id, "")
    assert store.ensure(from_registry(reference), (), silent) == image


def test_a_digest_is_never_asked_for_again(store: ImageStore, server: Server) -> None:
    published = publish(server, (PLAIN, BLOB))
    reference = f"{server.host}/app@{digest(published.manifest)}"
    store.ensure(from_registry(reference, PullPolicy.ALWAYS), (), silent)
    before = len(server.asked)
    store.ensure(from_registry(reference, PullPolicy.ALWAYS), (), silent)
    assert store.state(from_registry(reference, PullPolicy.ALWAYS), ()).stale == ""
    assert len(server.asked) == before


def test_never_means_never(store: ImageStore, images: Images) -> None:
    with pytest.raises(ImageAbsent, match="never"):
        store.ensure(from_registry(images.busybox, PullPolicy.NEVER), (), silent)


# --- archives and bare file systems -------------------------------------------------------------


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
    assert os.listdir(store._layout.tmp) == []
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


# --- removing -----------------------------------------------------------------------------------


def test_what_no_image_needs_is_collected(store: ImageStore, images: Images) -> None:
    nginx, python = (store.pull(name, (), silent) for name in (images.nginx, images.python))
    store.remove(nginx.id)
    store.remove(nginx.id)
    assert store.find(images.nginx) is None
    store.collect(())
    assert layer_folders(store) == sorted(layer[7:] for layer in python.layers)
    assert len(os.listdir(store._layout.blobs)) == 2
    assert store.layers(python.id)


def test_an_image_without_a_name_stays_while_a_container_uses_it(
    store: ImageStore, registry: Registry, moving: str
) -> None:
    old = store.pull(moving, (), silent)
    move(registry, "3")
    store.pull(moving, (), silent)
    store.collect([old.id])
    assert store.image(old.id).id == old.id
    store.collect([])
    with pytest.raises(ImageAbsent):
        store.image(old.id)
    assert len(layer_folders(store)) == 1


def test_nothing_is_collected_while_somebody_pulls(store: ImageStore, images: Images) -> None:
    store.pull(images.busybox, (), silent)
    (store._layout.tmp / "half").mkdir()
    with Layout(store._layout.root).adding():
        store.collect(())
        assert os.listdir(store._layout.tmp) == ["half"]
    store.collect(())
    assert os.listdir(store._layout.tmp) == []


def test_hand_made_archives_are_what_other_tools_read(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(PLAIN)
    with tarfile.open(tmp_path / "a.tar") as tar:
        assert tar.getnames() == ["a"]
