"""Ctrl-C while a registry says nothing more: the command ends, nothing is half done, and what has
come is not fetched again."""

import gzip
import os
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest

from tests.conftest import COMMAND, Trueup
from tests.eventually import PATIENCE, eventually
from tests.hosts import Host
from tests.runtime.embedded.layers import tars
from tests.runtime.embedded.registry.hostile import (
    Answer,
    Asked,
    Published,
    Server,
    digest,
    publish,
    serving,
)

pytestmark = pytest.mark.root

SECONDS = 8 * PATIENCE  # far less than one time-out of ours, and we would try again
HALF = 1 << 20
PLAIN = tars.member(b"big", body=os.urandom(2 * HALF))
LAYER = gzip.compress(PLAIN, 0)
OTHER = tars.member(b"small", body=b"x")
SPEC = """\
project: interrupted
images:
  app: {from: "HOST/app:latest", tags: ["HOST/copy:1"], push: true}
containers:
  web: {image: app}
"""


@dataclass(slots=True)
class Silent:
    """A registry on the host with an image of two layers, which at some point says no more."""

    server: Server
    image: Published
    reached: threading.Event = field(default_factory=threading.Event)
    over: threading.Event = field(default_factory=threading.Event)
    sent: int = 0

    def after_half_of_the_layer(self) -> None:
        self.sent = HALF

        def half() -> Iterator[bytes]:
            yield LAYER[:HALF]
            self._wait()

        path = f"/v2/app/blobs/{digest(LAYER)}"
        self.server.routes[path] = Answer(body=half(), length=len(LAYER))

    def leads_to(self, other: str) -> None:
        """For the layer, which is not to be had there."""

        def leads(_asked: Asked) -> Answer:
            self.reached.set()
            return Answer(status=302, headers={"Location": f"http://{other}/layer"})

        self.server.routes[f"/v2/app/blobs/{digest(LAYER)}"] = leads

    def at(self, path: str) -> None:
        """Nobody gets an answer there."""

        def silent(_asked: Asked) -> Answer:
            self._wait()
            return Answer(status=500)

        self.server.routes[path] = silent

    def speak_again(self) -> None:
        path = f"/v2/app/blobs/{digest(LAYER)}"
        self.server.routes[path] = rest
        self.server.asked.clear()

    def takes_uploads(self) -> None:
        self.server.routes["/v2/copy/blobs/uploads/"] = Answer(
            status=202, headers={"Location": "/upload"}
        )

    def _wait(self) -> None:
        self.reached.set()
        self.over.wait()


def rest(asked: Asked) -> Answer:
    """The layer, from where it is asked for."""
    start = int(asked.headers.get("Range", "bytes=0-")[6:-1])
    said = {"Content-Range": f"bytes {start}-{len(LAYER) - 1}/{len(LAYER)}"} if start else {}
    return Answer(status=206 if start else 200, headers=said, body=LAYER[start:])


@pytest.fixture
def silent(host: Host) -> Iterator[Silent]:
    with host.inside():
        made = serving()
        server = made.__enter__()
    image = publish(server, (PLAIN, LAYER), (OTHER, gzip.compress(OTHER)))
    registry = Silent(server=server, image=image)
    yield registry
    registry.over.set()
    made.__exit__(None, None, None)


@pytest.fixture
def spec(trueup: Trueup, silent: Silent, tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "trueup.yaml"
    path.write_text(SPEC.replace("HOST", silent.server.host))
    yield path
    trueup("down", path)


@pytest.fixture
def hole(host: Host) -> Iterator[str]:
    """An address on the host that takes no connection, and refuses none."""
    with host.inside(), socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        waiting = [socket.socket() for _ in range(4)]
        for each in waiting:
            each.setblocking(False)
            each.connect_ex(listening.getsockname())
        yield f"127.0.0.1:{listening.getsockname()[1]}"
        for each in waiting:
            each.close()


def interrupted(trueup: Trueup, silent: Silent, *words: str | Path) -> None:
    """Run it, and press Ctrl-C once when the registry has fallen silent."""
    command = [*trueup.host.within, str(COMMAND), "--root", str(trueup.root), *map(str, words)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL) as process:
        assert silent.reached.wait(SECONDS)
        eventually(partial(has_come, trueup, silent.sent))
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=SECONDS)
    assert process.returncode == 130, said
    assert b"Traceback" not in said
    store = store_of(trueup)
    assert not [*(store / "tmp").iterdir()]
    assert not [*(store / "locks").iterdir()]


def has_come(trueup: Trueup, size: int) -> bool:
    """Whether so many bytes of layers that are not whole lie in the store."""
    folders = trueup.root.rglob("partial")
    return sum(path.stat().st_size for each in folders for path in each.iterdir()) == size


def store_of(trueup: Trueup) -> Path:
    (found,) = {path.parent for path in trueup.root.rglob("partial")}
    return found


@pytest.mark.parametrize("command", ["pull", "apply"])
def test_a_pull_ends_and_the_next_one_goes_on(
    trueup: Trueup, silent: Silent, spec: Path, command: str
) -> None:
    silent.after_half_of_the_layer()
    words = ["apply", spec] if command == "apply" else ["pull", f"{silent.server.host}/app"]
    interrupted(trueup, silent, *words)
    assert has_come(trueup, HALF)
    silent.speak_again()
    trueup("pull", f"{silent.server.host}/app")
    assert [each.headers.get("Range") for each in silent.server.asked if "Range" in each.headers]
    assert not [*(store_of(trueup) / "partial").iterdir()]


@pytest.mark.parametrize("command", ["pull", "apply"])
def test_a_pull_ends_that_has_no_manifest_yet(
    trueup: Trueup, silent: Silent, spec: Path, command: str
) -> None:
    silent.at("/v2/app/manifests/latest")
    words = ["apply", spec] if command == "apply" else ["pull", f"{silent.server.host}/app"]
    interrupted(trueup, silent, *words)
    assert trueup("images", "--quiet").stdout == ""


@pytest.mark.parametrize("path", ["/v2/copy/blobs/uploads/", "/upload", "/v2/copy/manifests/1"])
@pytest.mark.parametrize("command", ["push", "apply"])
def test_a_push_ends(trueup: Trueup, silent: Silent, spec: Path, command: str, path: str) -> None:
    silent.takes_uploads()
    silent.server.routes["/upload"] = Answer(status=201)
    silent.at(path)
    host = silent.server.host
    if command == "push":
        trueup("pull", f"{host}/app")
        trueup("tag", f"{host}/app", f"{host}/copy:1")
    words = ["apply", spec] if command == "apply" else ["push", f"{host}/copy:1"]
    interrupted(trueup, silent, *words)


@pytest.mark.parametrize("command", ["pull", "apply"])
def test_a_pull_ends_whose_layer_lies_where_nobody_takes_the_connection(
    trueup: Trueup, silent: Silent, spec: Path, hole: str, command: str
) -> None:
    silent.leads_to(hole)
    words = ["apply", spec] if command == "apply" else ["pull", f"{silent.server.host}/app"]
    interrupted(trueup, silent, *words)


def test_apply_ends_whose_registry_takes_no_connection(
    trueup: Trueup, silent: Silent, spec: Path, hole: str
) -> None:
    spec.write_text(f"{SPEC.replace('HOST', silent.server.host)}  other: {{image: {hole}/app}}\n")
    silent.at("/v2/app/manifests/latest")
    interrupted(trueup, silent, "apply", spec)
