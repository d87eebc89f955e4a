"""`trueup pull` from registries that mean harm: it ends in seconds, says in one message what is
wrong, and leaves nothing on disk."""

import gzip
import json
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import COMMAND
from tests.eventually import PATIENCE
from tests.runtime.embedded.layers import bombs, tars
from tests.runtime.embedded.registry.hostile import (
    OCI_CONFIG,
    OCI_INDEX,
    OCI_LAYER,
    OCI_MANIFEST,
    Answer,
    Server,
    descriptor,
    digest,
    publish,
    serving,
)

pytestmark = [pytest.mark.root, pytest.mark.slow]

SECONDS = 30 * PATIENCE
SMALL = 1 << 20  # bytes that records of an empty store may take


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a pull ended: all that it wrote, and its seconds."""

    said: str
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Puller:
    """The command on an instance of its own, and the registry that it asks."""

    server: Server
    root: Path

    def refused(self) -> Ended:
        """Pull and fail, with one message and nothing left."""
        began = time.monotonic()
        done = self.pull()
        ended = Ended(said=done.stdout + done.stderr, seconds=time.monotonic() - began)
        assert done.returncode == 1, ended
        assert "Traceback" not in ended.said
        assert len(done.stderr.splitlines()) == 2, ended
        assert ended.seconds < SECONDS, ended
        assert self.listed() == ""
        assert self.left() < SMALL, sorted(map(str, self.root.rglob("*")))
        return ended

    def pull(self) -> subprocess.CompletedProcess[str]:
        return self._run("pull", "--quiet", f"{self.server.host}/app")

    def _run(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = [str(COMMAND), "--root", str(self.root), *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=10 * SECONDS)

    def listed(self) -> str:
        return self._run("images", "--quiet").stdout

    def left(self) -> int:
        """Bytes in layers, archives and half-made things."""
        files = [path for path in self.root.rglob("*") if path.is_file() and not path.is_symlink()]
        beside = ("index.db", "ballast")
        return sum(f.lstat().st_blocks * 512 for f in files if not f.name.startswith(beside))


@pytest.fixture
def puller(tmp_path: Path) -> Iterator[Puller]:
    with serving() as server:
        yield Puller(server=server, root=tmp_path / "instance")


def as_gzip() -> bytes:
    """A thousandth is the best that deflate can do: one and a half megabytes say a hundred
    gigabytes, and have one and a half."""
    zeros = b"".join(bombs.zeros(24 << 26, member=64 << 20))
    return gzip.compress(bombs.HUGE, mtime=0) + zeros


def as_zstd() -> bytes:
    """All of the hundred gigabytes in three megabytes."""
    return b"".join(bombs.zstd_blocks())


@pytest.mark.parametrize("made", [as_gzip, as_zstd])
def test_a_layer_that_unpacks_to_a_hundred_gigabytes(
    puller: Puller, made: Callable[[], bytes]
) -> None:
    blob = made()
    publish_blob(puller.server, blob)
    assert len(blob) < 4 << 20
    ended = puller.refused()
    assert "is too large" in ended.said


def publish_blob(server: Server, blob: bytes) -> None:
    """Serve an image of one layer; what it unpacks to is not known, nor ever asked for."""
    config = json.dumps({"rootfs": {"type": "layers", "diff_ids": [digest(blob)]}}).encode()
    layer = descriptor(OCI_LAYER, blob)
    manifest = {"schemaVersion": 2, "config": descriptor(OCI_CONFIG, config), "layers": [layer]}
    raw = json.dumps({**manifest, "mediaType": OCI_MANIFEST}).encode()
    for path in ("latest", digest(raw)):
        found = Answer(headers={"Content-Type": OCI_MANIFEST}, body=raw)
        server.routes[f"/v2/app/manifests/{path}"] = found
    for each in (config, blob):
        server.routes[f"/v2/app/blobs/{digest(each)}"] = Answer(body=each)


def test_an_archive_with_a_header_of_a_gigabyte(puller: Puller) -> None:
    """As much as a thousandth of it on the wire; the header says itself how long it is."""
    header = gzip.compress(tars.member(b"p", kind=b"x", size=tars.octal(1 << 30, 12)), mtime=0)
    publish_blob(puller.server, header + b"".join(bombs.zeros(1 << 30, member=64 << 20)))
    ended = puller.refused()
    assert "extended headers of 1,073,741,824 bytes" in ended.said


@pytest.mark.parametrize("where", ["latest", "digest"])
def test_a_manifest_that_refers_to_itself(puller: Puller, where: str) -> None:
    """By its digest it cannot (nobody can make such a hash), so the server lies about it; or the
    documents lead to each other for as long as anybody follows."""
    own = "sha256:" + "a" * 64
    entry = {"mediaType": OCI_INDEX, "digest": own, "size": 100}
    raw = json.dumps(
        {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry]}, indent=1
    ).encode()
    found = Answer(headers={"Content-Type": OCI_INDEX, "Docker-Content-Digest": own}, body=raw)
    puller.server.routes[f"/v2/app/manifests/{own}"] = found
    if where == "digest":
        found = Answer(headers={"Content-Type": OCI_INDEX}, body=raw)
    puller.server.routes["/v2/app/manifests/latest"] = found
    ended = puller.refused()
    assert len(puller.server.asked) < 10
    assert "content" in ended.said or "digest" in ended.said


def test_indexes_that_lead_to_each_other_for_ever(puller: Puller) -> None:
    raw = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []}).encode()
    for _ in range(50):
        answer = Answer(headers={"Content-Type": OCI_INDEX}, body=raw)
        puller.server.routes[f"/v2/app/manifests/{digest(raw)}"] = answer
        entry = descriptor(OCI_INDEX, raw)
        raw = json.dumps(
            {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry]}
        ).encode()
    answer = Answer(headers={"Content-Type": OCI_INDEX}, body=raw)
    puller.server.routes["/v2/app/manifests/latest"] = answer
    ended = puller.refused()
    assert "nested" in ended.said
    assert len(puller.server.asked) < 10


def trickle(raw: bytes) -> Iterator[bytes]:
    """A byte a second."""
    for position in range(len(raw)):
        yield raw[position : position + 1]
        time.sleep(1)


def test_a_registry_that_sends_a_byte_a_second(puller: Puller) -> None:
    plain = tars.archive(tars.member(b"a", body=b"x" * 5000))
    publish(puller.server, (plain, plain))
    for path, answer in list(puller.server.routes.items()):
        if "blobs" in path and isinstance(answer, Answer) and isinstance(answer.body, bytes):
            slow = Answer(
                headers=answer.headers, body=trickle(answer.body), length=len(answer.body)
            )
            puller.server.routes[path] = slow
    ended = puller.refused()
    assert "it sent only" in ended.said


def test_more_layers_than_docker_takes(puller: Puller) -> None:
    plains = [tars.archive(tars.member(b"f%d" % n)) for n in range(129)]
    publish(puller.server, *((plain, plain) for plain in plains))
    done = puller.pull()
    assert done.returncode == 0, done.stderr
    assert len(puller.listed().split()) == 1


def test_one_layer_more_than_the_kernel_stacks(puller: Puller) -> None:
    """Refused from the manifest: no layer is fetched."""
    plain = tars.archive(tars.member(b"f"))
    publish(puller.server, *[(plain, plain)] * 501)
    ended = puller.refused()
    assert "501 layers" in ended.said
    assert [path for path in puller.server.paths() if "/blobs/" in path] == []
