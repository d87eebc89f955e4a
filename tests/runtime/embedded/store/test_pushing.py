"""What a registry gets of an image, and what becomes of a name meanwhile."""

import json
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from runtime.api import ImageDefaults, Progress, RegistryAccess
from runtime.embedded.registry.faults import AccessDenied
from runtime.embedded.store.faults import ArchiveMissing, ImageAbsent
from runtime.embedded.store.images import Image, ImageStore
from runtime.embedded.store.index import Index, Rows
from runtime.embedded.store.pushing import push
from runtime.reference import parse
from tests.images import layers, oci
from tests.images.registry import Registry
from tests.runtime.embedded.registry.hostile import (
    OCI_INDEX,
    OCI_MANIFEST,
    Answer,
    Server,
    descriptor,
    publish,
)
from tests.runtime.embedded.registry.hostile import digest as digest_of
from tests.runtime.embedded.store.stocks import BLOB, PLAIN, silent

pytestmark = pytest.mark.root


def _pulled(store: ImageStore, registry: Registry, text: str) -> Image:
    reference = registry.publish(oci.Image(layers=[{"v": layers.file(text)}]), f"to-push-{text}")
    return store.pull(reference, (), silent)


def test_a_tag_that_is_given_to_another_image_meanwhile_stays_there(
    store: ImageStore, registry: Registry
) -> None:
    one, other = (_pulled(store, registry, text) for text in "12")
    target = parse(f"{registry.address}/pushed-meanwhile:1")
    store.tag(one.id, target)
    given = threading.Event()

    def report(progress: Progress) -> None:
        if not given.is_set():
            given.set()
            store.tag(other.id, target)

    digest = push(store, target, RegistryAccess(host=registry.address), report)
    assert given.is_set()
    found = store.find(str(target))
    assert found is not None
    assert found.id == other.id
    store.tag(one.id, target)
    assert push(store, target, RegistryAccess(host=registry.address), silent) == digest
    with store.index.reading() as rows:
        assert rows is not None
        assert rows.reference(str(target)) == (one.id, digest)


class _Once(Index):
    """Refuses to be read by who reads it already: with a writer between the two that waits for the
    first, the second would wait for the writer."""

    _busy = False

    @contextmanager
    def reading(self) -> Iterator[Rows | None]:
        assert not self._busy
        self._busy = True
        try:
            with super().reading() as rows:
                yield rows
        finally:
            self._busy = False


def test_the_index_is_never_read_twice_at_once(store: ImageStore, registry: Registry) -> None:
    image = _pulled(store, registry, "1")
    target = parse(f"{registry.address}/pushed-once:1")
    store.tag(image.id, target)
    store.index = _Once(store.layout.index)
    push(store, target, RegistryAccess(host=registry.address), silent)


# --- what is sent ---------------------------------------------------------------------------------


def _family() -> oci.Image:
    """Three layers, one of them twice."""
    bottom, top = {"a": layers.file("a" * 5000)}, {"b": layers.file("b")}
    return oci.Image(layers=[bottom, top, bottom, {"c": layers.file("c")}])


def _push(store: ImageStore, target: str, **access: str) -> tuple[str, list[str]]:
    """Returns the digest, and how each part ended."""
    ends: list[str] = []

    def report(progress: Progress) -> None:
        if progress.over:
            ends.append(progress.doing)

    reference = parse(target)
    host = RegistryAccess(host=reference.host, username=access.get("username", ""),
                          password=access.get("password", ""))  # fmt: skip
    return push(store, reference, host, report), sorted(ends)


def test_another_registry_gets_all_bytes_once_and_the_digest_stays(
    store: ImageStore, registry: Registry, locked_registry: Registry, tmp_path: Path
) -> None:
    source = registry.publish(_family(), "family")
    image = store.pull(source, (), silent)
    target = f"{locked_registry.address}/there/family:1"
    store.tag(image.id, parse(target))
    digest, ends = _push(store, target, username="ci", password="secret")
    assert digest == registry.digest("family")
    assert ends == ["pushing"] * 4  # three layers and the configuration
    again = _push(store, target, username="ci", password="secret")
    assert again == (digest, ["already there"] * 4)
    elsewhere = ImageStore(tmp_path / "elsewhere")
    access = [RegistryAccess(host=locked_registry.address, username="ci", password="secret")]
    assert elsewhere.pull(target, access, silent).id == image.id


def test_who_pushes_the_same_at_the_same_time_sends_nothing_twice(
    store: ImageStore, locked_registry: Registry, registry: Registry
) -> None:
    """Nor does a registry see two uploads of one blob at once."""
    host = locked_registry.address
    image = store.pull(registry.publish(_family(), "family"), (), silent)
    targets = [f"{host}/side/{name}:{tag}" for name in "ab" for tag in (1, 2)]
    for target in targets:
        store.tag(image.id, parse(target))

    def work(target: str) -> list[str]:
        return _push(store, target, username="ci", password="secret")[1]

    with ThreadPoolExecutor(len(targets)) as pool:
        ends = [end for each in pool.map(work, targets) for end in each]
    assert ends.count("already there") == 8, "both repositories got each of the four once"


def test_layers_of_another_repository_there_are_not_sent_again(
    store: ImageStore, registry: Registry
) -> None:
    image = store.pull(registry.publish(_family(), "mounted-from"), (), silent)
    target = f"{registry.address}/mounted/to:1"
    store.tag(image.id, parse(target))
    digest, ends = _push(store, target)
    assert digest == registry.digest("mounted-from") == registry.digest("mounted/to", "1")
    assert ends.count("mounted from mounted-from") == 3


@pytest.mark.parametrize("login", [{}, {"username": "ci", "password": "wrong"}])
def test_who_may_not_push_is_told_so_and_nothing_is_sent(
    store: ImageStore, registry: Registry, locked_registry: Registry, login: dict[str, str]
) -> None:
    image = _pulled(store, registry, "3")
    target = f"{locked_registry.address}/mine:1"
    store.tag(image.id, parse(target))
    with pytest.raises(AccessDenied, match="no right to push to"):
        _push(store, target, **login)
    assert not list(locked_registry.storage.rglob("mine"))


def test_what_is_not_here_cannot_be_pushed(store: ImageStore, registry: Registry) -> None:
    for name in (f"{registry.address}/nothing:1", f"{registry.address}/busybox:latest"):
        with pytest.raises(ImageAbsent):
            _push(store, name)


def test_layers_without_their_archives_are_named(store: ImageStore, registry: Registry) -> None:
    """As an older trueup left them."""
    image = _pulled(store, registry, "4")
    target = f"{registry.address}/no-archives:1"
    store.tag(image.id, parse(target))
    with store.index.writing() as rows:
        for diff_id in image.layers:
            blob = rows.blob_of(diff_id)
            assert blob
            rows.remove_blob(blob.digest)
    with pytest.raises(ArchiveMissing) as refused:
        _push(store, target)
    assert "pull or load it once more" in refused.value.hint


def test_of_an_index_only_what_is_here_is_pushed(
    store: ImageStore, server: Server, registry: Registry
) -> None:
    published = publish(server, (PLAIN, BLOB))
    own = descriptor(OCI_MANIFEST, published.manifest)
    platforms = [{"os": "linux", "architecture": oci.architecture()}, {"os": "linux",
                 "architecture": "s390x"}]  # fmt: skip
    other = {**own, "digest": digest_of(b"another")}
    index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [
        {**own, "platform": platforms[0]}, {**other, "platform": platforms[1]}]}  # fmt: skip
    raw = json.dumps(index).encode()
    server.routes["/v2/app/manifests/latest"] = Answer(
        headers={"Content-Type": OCI_INDEX}, body=raw
    )
    image = store.pull(f"{server.host}/app:latest", (), silent)
    target = f"{registry.address}/of-an-index:1"
    store.tag(image.id, parse(target))
    pushed, _ = _push(store, target)
    assert pushed == digest_of(published.manifest) == registry.digest("of-an-index", "1")


def test_skopeo_reads_what_is_pushed_of_a_bare_file_system(
    store: ImageStore, registry: Registry, tmp_path: Path
) -> None:
    """Its manifest is made here; what leaves twice is the same."""
    tree = tmp_path / "tree.tar"
    tree.write_bytes(PLAIN)
    image = store.import_rootfs(str(tree), ImageDefaults(cmd=("run",)), silent)
    names = [f"{registry.address}/bare:{tag}" for tag in "12"]
    digests = set()
    for name in names:
        store.tag(image.id, parse(name))
        digests.add(_push(store, name)[0])
    assert digests == {registry.digest("bare", "1")} == {registry.digest("bare", "2")}
    words = ["skopeo", "copy", "--quiet", "--src-tls-verify=false", f"docker://{names[0]}"]
    subprocess.run([*words, f"oci:{tmp_path / 'layout'}:x"], check=True, capture_output=True)
    shown = subprocess.run(
        ["skopeo", "inspect", "--config", f"oci:{tmp_path / 'layout'}:x"],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert json.loads(shown.stdout)["config"]["Cmd"] == ["run"]
