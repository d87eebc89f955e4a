"""What registries are asked: on a real one, and on one that answers as the test says."""

import json
import time
from pathlib import Path

import pytest

from runtime.api import RegistryAccess
from runtime.embedded.registries import RegistryVerbs
from runtime.embedded.registry.documents import BadDocument
from runtime.embedded.registry.faults import (
    AccessDenied,
    NotInRegistry,
    RegistryFailed,
    RegistryUnreachable,
)
from runtime.embedded.registry.manifest import NoPlatform
from runtime.errors import Fault
from tests.conftest import Images
from tests.images import layers, oci
from tests.images.registry import Registry, free_port
from tests.runtime.embedded.registry.hostile import (
    OCI_INDEX,
    OCI_MANIFEST,
    Answer,
    Server,
    descriptor,
    digest,
    publish,
    serving,
)

VERBS = RegistryVerbs()


def serve_index(server: Server, entries: list[dict[str, object]], tag: str = "latest") -> str:
    raw = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}).encode()
    for version in (tag, digest(raw)):
        server.routes[f"/v2/app/manifests/{version}"] = Answer(
            headers={"Content-Type": OCI_INDEX}, body=raw
        )
    return digest(raw)


def entry(
    raw: bytes, platform: dict[str, str] | None, kind: str = OCI_MANIFEST
) -> dict[str, object]:
    return {**descriptor(kind, raw), **({"platform": platform} if platform else {})}


# --- resolving ------------------------------------------------------------------------------------


def test_a_tag_leads_to_an_index_and_its_platforms() -> None:
    with serving() as server:
        ours = publish(server, architecture="arm64", created="2024-05-06T07:08:09Z").manifest
        other = publish(server, architecture="s390x").manifest
        top = serve_index(
            server,
            [
                entry(ours, {"os": "linux", "architecture": "arm64", "variant": "v8"}),
                entry(other, {"os": "linux", "architecture": "s390x"}),
                entry(b"an attestation", {"os": "unknown", "architecture": "unknown"}),
                entry(b"an artifact", None, "application/vnd.example"),
            ],
        )
        found = VERBS.resolve(f"{server.host}/app:latest", (), "linux/arm64")
    assert (found.reference, found.digest) == (f"{server.host}/app:latest", top)
    assert found.platforms == {
        "linux/arm64/v8": digest(ours),
        "linux/s390x": digest(other),
    }
    assert found.created == 1714979289.0


def test_a_single_image_has_one_platform() -> None:
    with serving() as server:
        published = publish(server, architecture="arm64")
        found = VERBS.resolve(f"{server.host}/app:latest", (), None)
    assert found.platforms == {"linux/arm64": digest(published.manifest)}
    assert (found.digest, found.created) == (digest(published.manifest), 0.0)


def test_no_layer_is_fetched() -> None:
    with serving() as server:
        published = publish(server, (b"plain", b"blob"))
        VERBS.resolve(f"{server.host}/app:latest", (), None)
        assert server.paths() == [
            "/v2/app/manifests/latest",
            f"/v2/app/blobs/{digest(published.config)}",
        ]


def test_a_platform_that_is_not_offered_is_told_of() -> None:
    with serving() as server:
        other = publish(server, architecture="s390x").manifest
        serve_index(server, [entry(other, {"os": "linux", "architecture": "s390x"})])
        told = r"app:latest has no variant for linux/arm64: it offers linux/s390x"
        with pytest.raises(NoPlatform, match=told):
            VERBS.resolve(f"{server.host}/app:latest", (), "linux/arm64")


def test_indexes_that_are_nested_too_deep_are_left() -> None:
    with serving() as server:
        inner = publish(server).manifest
        platform = {"os": "linux", "architecture": oci.architecture()}
        kind = OCI_MANIFEST
        for _ in range(10):
            serve_index(server, [entry(inner, platform, kind)])
            answer = server.routes["/v2/app/manifests/latest"]
            assert isinstance(answer, Answer)
            assert isinstance(answer.body, bytes)
            inner, kind = answer.body, OCI_INDEX
        with pytest.raises(BadDocument, match="nested"):
            VERBS.resolve(f"{server.host}/app:latest", (), None)
        assert len(server.asked) < 6


def test_a_mirror_resolves_too() -> None:
    with serving() as server, serving("127.0.0.2") as mirror:
        published = publish(mirror)
        access = [RegistryAccess(host=server.host, mirrors=(mirror.host,))]
        found = VERBS.resolve(f"{server.host}/app:latest", access, None)
        assert found.digest == digest(published.manifest)
        assert VERBS.digest(f"{server.host}/app:latest", access) == found.digest
        assert server.asked == []


def test_a_mirror_that_has_it_for_others_is_passed_over() -> None:
    with serving() as server, serving("127.0.0.2") as mirror:
        access = [RegistryAccess(host=server.host, mirrors=(mirror.host,))]
        for there, kind in ((server, "arm64"), (mirror, "s390x")):
            only = publish(there, architecture=kind).manifest
            serve_index(there, [entry(only, {"os": "linux", "architecture": kind})])
        found = VERBS.resolve(f"{server.host}/app:latest", access, "linux/arm64")
        assert list(found.platforms) == ["linux/arm64"]
        assert mirror.asked
        with pytest.raises(NoPlatform, match="it offers linux/arm64"):
            VERBS.resolve(f"{server.host}/app:latest", access, "linux/386")


# --- lists ----------------------------------------------------------------------------------------

LISTED = Answer(body=b'{"tags": ["1", "2"]}')


def test_a_mirror_is_not_asked_for_tags_that_the_registry_tells() -> None:
    with serving() as server, serving("127.0.0.2") as mirror:
        server.routes["/v2/app/tags/list"] = LISTED
        mirror.routes["/v2/app/tags/list"] = Answer(body=b'{"tags": ["1"]}')
        access = [RegistryAccess(host=server.host, mirrors=(mirror.host,))]
        assert VERBS.tags(f"{server.host}/app:latest", access) == ("1", "2")
        assert mirror.asked == []


@pytest.mark.parametrize("status", [401, 403, 404, 503])
def test_a_mirror_tells_tags_where_the_registry_does_not(status: int) -> None:
    with serving() as server, serving("127.0.0.2") as mirror:
        server.routes["/v2/app/tags/list"] = Answer(status=status, headers={"Retry-After": "0"})
        mirror.routes["/v2/two/app/tags/list"] = LISTED
        mirrors = (f"{mirror.host}/one", f"{mirror.host}/two")
        access = [RegistryAccess(host=server.host, mirrors=mirrors)]
        assert VERBS.tags(f"{server.host}/app:latest", access) == ("1", "2")
        access = [RegistryAccess(host=server.host, mirrors=mirrors[:1])]
        with pytest.raises(Fault, match=server.host):
            VERBS.tags(f"{server.host}/app:latest", access)


def test_a_mirror_tells_tags_for_a_registry_that_is_not_there() -> None:
    gone = f"127.0.0.1:{free_port()}"
    with serving("127.0.0.2") as mirror:
        mirror.routes["/v2/app/tags/list"] = LISTED
        access = [RegistryAccess(host=gone, mirrors=(mirror.host,))]
        assert VERBS.tags(f"{gone}/app:latest", access) == ("1", "2")


# --- in passing -----------------------------------------------------------------------------------


def test_a_digest_is_asked_once_and_briefly() -> None:
    with serving() as server:
        server.routes["/v2/app/manifests/latest"] = Answer(status=503)
        with pytest.raises(RegistryFailed, match="503"):
            VERBS.digest(f"{server.host}/app:latest", ())
        assert len(server.asked) == 1


def test_a_registry_that_is_silent_holds_nobody_up_for_long() -> None:
    def sleeps(_: object) -> Answer:
        time.sleep(8)
        return Answer()

    with serving() as server:
        server.routes["/v2/app/manifests/latest"] = sleeps
        started = time.monotonic()
        with pytest.raises(RegistryUnreachable):
            VERBS.digest(f"{server.host}/app:latest", ())
        assert time.monotonic() - started < 7.5


# --- on a real registry ---------------------------------------------------------------------------


@pytest.mark.root
def test_a_real_registry_tells_tags_digests_and_repositories(
    registry: Registry, images: Images
) -> None:
    reference = f"{registry.address}/team/listed:v11"
    for number in range(12):
        image = oci.Image(layers=[{"v": layers.file(str(number))}])
        registry.publish(image, "team/listed", f"v{number}")
    everything = VERBS.tags(reference, ())
    assert sorted(everything) == sorted(f"v{number}" for number in range(12))
    assert VERBS.digest(reference, ()) == registry.digest("team/listed", "v11")
    (hit,) = VERBS.search(registry.address, "LISTED", 25, ())
    assert (hit.name, sorted(hit.tags)) == ("team/listed", sorted(everything))
    found = VERBS.resolve(images.busybox, (), None)
    assert found.digest == registry.digest("busybox")
    assert found.created == 1700000000.0
    assert found.platforms == {f"linux/{oci.architecture()}": found.digest}
    with pytest.raises(NotInRegistry):
        VERBS.resolve(f"{registry.address}/team/none:1", (), None)
    with pytest.raises(NotInRegistry):
        VERBS.tags(f"{registry.address}/team/none:1", ())


@pytest.mark.root
def test_a_real_registry_asks_for_a_login_for_each_of_these(
    locked_registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    reference = f"{locked_registry.address}/busybox:latest"
    access = [RegistryAccess(host=locked_registry.address, username="ci", password="secret")]
    assert VERBS.tags(reference, access) == ("latest",)
    assert VERBS.search(locked_registry.address, "busy", 5, access)[0].tags == ("latest",)
    assert VERBS.digest(reference, access) == VERBS.resolve(reference, access, None).digest
    for ask in (
        lambda: VERBS.tags(reference, ()),
        lambda: VERBS.digest(reference, ()),
        lambda: VERBS.resolve(reference, (), None),
        lambda: VERBS.search(locked_registry.address, "busy", 5, ()),
    ):
        with pytest.raises(AccessDenied):
            ask()
