"""Pulling from a real registry: files, shared layers, indexes, passwords."""

import gzip
import json
import os
import subprocess
from pathlib import Path

import msgspec
import pytest

from runtime.api import (
    ImageSpec,
    Progress,
    RegistryAccess,
    RegistrySource,
)
from runtime.embedded.registry.documents import BadDocument
from runtime.embedded.registry.faults import AccessDenied, NotInRegistry
from runtime.embedded.store.images import ImageStore
from tests.conftest import Images
from tests.images import layers, oci, recipes
from tests.images.registry import Registry
from tests.runtime.embedded.layers import tars
from tests.runtime.embedded.layers.unpacking import tree
from tests.runtime.embedded.registry.hostile import (
    Answer,
    Server,
    digest,
    publish,
)
from tests.runtime.embedded.store.stocks import (
    BLOB,
    PLAIN,
    Mounted,
    layer_folders,
    silent,
    state,
)

pytestmark = pytest.mark.root


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
    without_tag = images.busybox.removesuffix(":latest")
    for name in (images.busybox, without_tag, image.id, short, short[:3]):
        assert store.find(name) == image
    assert store.find(short[:2]) is None
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
    shared = nginx.layers[0][7:19]
    assert [each.doing for each in told if each.what == shared] == ["here already"]


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


def serve_two(server: Server) -> tuple[bytes, dict[str, bytes]]:
    """An index of an image for mips and one for this machine, and their layers."""
    kind = "application/vnd.oci.image.manifest.v1+json"
    plain = {
        name: tars.archive(tars.member(name.encode())) for name in ("mips", oci.architecture())
    }
    listed = []
    for name, archive in plain.items():
        published = publish(server, (archive, gzip.compress(archive)), architecture=name)
        found, platform = digest(published.manifest), {"os": "linux", "architecture": name}
        listed.append({"mediaType": kind, "digest": found, "size": 1, "platform": platform})
    index = json.dumps({"schemaVersion": 2, "manifests": listed}).encode()
    headers = {"Content-Type": "application/vnd.oci.image.index.v1+json"}
    for version in ("latest", digest(index)):
        server.routes[f"/v2/app/manifests/{version}"] = Answer(headers=headers, body=index)
    return index, plain


def test_one_digest_is_an_image_for_each_platform(store: ImageStore, server: Server) -> None:
    """Two projects want the same, each for its platform: neither takes it from the other."""
    index, _ = serve_two(server)
    exact = f"{server.host}/app:1@{digest(index)}"
    ours, mips = (
        ImageSpec(name=exact, source=RegistrySource(reference=exact, platform=platform))
        for platform in (None, "linux/mips")
    )
    made = store.ensure(ours, (), silent)
    other = store.ensure(mips, (), silent)
    assert made != other
    server.routes.clear()
    for spec, image in ((ours, made), (mips, other)):
        assert (state(store, spec).id, state(store, spec).stale) == (image.id, "")
        assert store.ensure(spec, (), silent).id == image.id
        assert state(store, spec).named


def test_another_variant_of_the_processor_is_another_image(
    store: ImageStore, server: Server
) -> None:
    published = publish(server, (PLAIN, BLOB), architecture="arm", variant="v7")
    image = store.pull(f"{server.host}/app", (), silent, "linux/arm/v7")
    exact = f"{server.host}/app:1@{digest(b'index')}"
    source = RegistrySource(
        reference=exact, variants=(digest(published.manifest),), platform="linux/arm/v7"
    )
    assert state(store, ImageSpec(name=exact, source=source)).id == image.id
    source = msgspec.structs.replace(source, platform="linux/arm/v6")
    assert state(store, ImageSpec(name=exact, source=source)).id is None


def test_another_platform_is_pulled_where_that_is_asked(store: ImageStore, server: Server) -> None:
    _, plain = serve_two(server)
    reference = f"{server.host}/app"

    def spec(platform: str | None) -> ImageSpec:
        return ImageSpec(
            name=reference, source=RegistrySource(reference=reference, platform=platform)
        )

    ours = store.ensure(spec(None), (), silent)
    assert ours.layers == (digest(plain[oci.architecture()]),)
    assert state(store, spec("linux/mips")).stale == f"it is for {ours.platform}, not linux/mips"
    other = store.ensure(spec("linux/mips"), (), silent)
    assert (other.layers, other.platform) == ((digest(plain["mips"]),), "linux/mips")
    assert state(store, spec("linux/mips")).stale == ""
    assert store.find(reference) == other
    assert state(store, spec(None)).stale == f"it is for linux/mips, not {ours.platform}"
    assert store.ensure(spec(None), (), silent) == ours


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
