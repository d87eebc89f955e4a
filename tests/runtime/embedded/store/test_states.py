"""What is asked of registries for a look, and how long for."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec
import pytest

from runtime.api import ImageSpec, PullPolicy, RegistryAccess, RegistrySource
from runtime.embedded.store.images import ImageStore
from runtime.embedded.store.states import states
from runtime.reference import parse
from tests.images import oci
from tests.runtime.embedded.registry.hostile import (
    OCI_INDEX,
    OCI_MANIFEST,
    Answer,
    Asked,
    Server,
    descriptor,
    digest,
    publish,
    serving,
)
from tests.runtime.embedded.store.stocks import BLOB, PLAIN, from_registry, silent, state

pytestmark = pytest.mark.root


@pytest.fixture
def pushing(store: ImageStore, server: Server) -> ImageSpec:
    """An image that is here, whose tag may move, and that is pushed under two names."""
    publish(server, (PLAIN, BLOB))
    image = store.pull(f"{server.host}/app:latest", (), silent)
    tags = (f"{server.host}/mine:1", f"{server.host}/mine:2")
    for tag in tags:
        store.tag(image.id, parse(tag))
    spec = from_registry(f"{server.host}/app:latest", PullPolicy.ALWAYS)
    return msgspec.structs.replace(spec, tags=tags, push=tags)


ASKED = ("app/manifests/latest", "mine/manifests/1", "mine/manifests/2")


@contextmanager
def silent_meanwhile(server: Server) -> Iterator[None]:
    """It takes what a look asks and does not answer."""
    over = threading.Event()

    def wait(_: Asked) -> Answer:
        over.wait(60)
        return Answer(status=503)

    server.routes |= {f"/v2/{path}": wait for path in ASKED}
    yield
    over.set()


def test_a_registry_that_says_nothing_is_asked_all_at_once_and_soon_left(
    store: ImageStore, server: Server, pushing: ImageSpec
) -> None:
    began = time.monotonic()
    with silent_meanwhile(server):
        found = state(store, pushing)
    assert time.monotonic() - began < 20, "three silences of 30 s would be more"
    assert {f"/v2/{path}" for path in ASKED} <= set(server.paths())
    assert (found.stale, found.tags, found.pushed) == ("", pushing.tags, ())
    asked = (f"{server.host}/app:latest", *pushing.tags)
    assert found.unheard == dict.fromkeys(asked, "no answer within 3 s")


def test_offline_nobody_is_asked_and_all_is_taken_for_granted(
    store: ImageStore, server: Server, pushing: ImageSpec
) -> None:
    before = server.paths()
    found = states(store, [pushing], (), offline=True)[pushing.name]
    assert (found.stale, found.pushed) == ("", pushing.tags)
    assert server.paths() == before


def test_a_tag_that_has_moved_is_heard_of_behind_a_silent_mirror(
    store: ImageStore, server: Server, pushing: ImageSpec
) -> None:
    publish(server, (PLAIN, BLOB), architecture="amd64")
    with serving() as mirror, silent_meanwhile(mirror):
        access = [RegistryAccess(host=server.host, mirrors=(mirror.host,))]
        found = states(store, [pushing], access)[pushing.name]
    assert found.stale.startswith("the registry has sha256:")


def test_whether_a_tag_is_pushed_is_not_for_mirrors_to_say(
    store: ImageStore, server: Server, pushing: ImageSpec
) -> None:
    """One has an older image, another one has what the registry has lost."""
    one, two = (f"/v2/mine/manifests/{number}" for number in (1, 2))
    ours = server.routes["/v2/app/manifests/latest"]
    with serving() as mirror:
        publish(mirror, (PLAIN, BLOB), architecture="mips")
        server.routes[one] = mirror.routes[two] = ours
        mirror.routes[one] = mirror.routes.pop("/v2/app/manifests/latest")
        access = [RegistryAccess(host=server.host, mirrors=(mirror.host,))]
        found = states(store, [pushing], access)[pushing.name]
    assert found.pushed == (f"{server.host}/mine:1",)


def test_why_a_registry_does_not_tell_what_a_tag_is_now(
    store: ImageStore, server: Server, pushing: ImageSpec
) -> None:
    """That it has not got what is pushed is an answer."""
    app, one, _ = (f"/v2/{path}" for path in ASKED)
    server.routes[app], server.routes[one] = Answer(status=404), Answer(status=401)
    found = state(store, pushing)
    assert found.astray == {f"{server.host}/mine:2": "its registry has not got it"}
    assert found.unheard == {
        f"{server.host}/app:latest": f"{server.host}/app:latest does not exist in its registry",
        f"{server.host}/mine:1": f"no access to {server.host}/mine: it asks for a login, or there"
        " is no such repository",
    }


def test_what_a_registry_has_in_place_of_what_is_pushed(
    store: ImageStore, server: Server, pushing: ImageSpec
) -> None:
    other = digest(publish(server, (PLAIN, BLOB), name="mine", architecture="mips").manifest)
    server.routes["/v2/mine/manifests/1"] = server.routes["/v2/mine/manifests/latest"]
    found = state(store, pushing)
    assert found.astray[f"{server.host}/mine:1"] == f"its registry has {other[:19]} now"


@pytest.mark.parametrize("others", [(), ("unknown",), ("s390x", "unknown")])
def test_of_several_platforms_only_the_one_that_is_here_is_pushed(
    store: ImageStore, server: Server, pushing: ImageSpec, others: tuple[str, ...]
) -> None:
    ours = oci.architecture()
    made = publish(server, (PLAIN, BLOB), architecture=ours).manifest
    own, other = descriptor(OCI_MANIFEST, made), descriptor(OCI_MANIFEST, b"another")
    platforms = [(own, "linux", ours)]
    platforms += [(other, "unknown" if each == "unknown" else "linux", each) for each in others]
    entries = [
        {**each, "platform": {"os": system, "architecture": machine}}
        for each, system, machine in platforms
    ]
    raw = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}).encode()
    index = Answer(headers={"Content-Type": OCI_INDEX}, body=raw)
    server.routes["/v2/app/manifests/latest"] = index
    store.pull(f"{server.host}/app:latest", (), silent)
    assert state(store, pushing).alone == (f"linux/{ours}" if "s390x" in others else "")
    unpushed = msgspec.structs.replace(pushing, push=())
    assert state(store, unpushed).alone == ""


def test_what_is_settled_is_not_asked(store: ImageStore, server: Server) -> None:
    published = publish(server, (PLAIN, BLOB), architecture=oci.architecture())
    reference = f"{server.host}/app:latest"
    exact = f"{reference}@{digest(published.manifest)}"
    store.pull(reference, (), silent)
    before = server.paths()
    for source in (
        RegistrySource(reference=reference),
        RegistrySource(reference=exact, pull=PullPolicy.ALWAYS),
        RegistrySource(reference=reference, pull=PullPolicy.ALWAYS, platform="linux/s390x"),
        RegistrySource(reference=f"{server.host}/other:1", pull=PullPolicy.ALWAYS),
    ):
        state(store, ImageSpec(name="app", source=source))
    assert server.paths() == before
