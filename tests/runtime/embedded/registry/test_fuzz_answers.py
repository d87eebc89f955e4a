"""What a registry sends, damaged and made up: only faults in words come of it, and soon."""

import json
import time
from collections.abc import Callable
from contextlib import suppress
from urllib.parse import urlsplit

import pytest
from hypothesis import strategies as st

from runtime.embedded.registry import auth, image_config, manifest
from runtime.embedded.registry.auth import Challenge, challenge
from runtime.embedded.registry.manifest import Index, Manifest, Platform
from runtime.errors import Fault
from tests.eventually import PATIENCE
from tests.fuzzing import depths, tried
from tests.runtime.embedded.registry.hostile import OCI_CONFIG, OCI_INDEX, OCI_LAYER, OCI_MANIFEST

HERE = Platform(os="linux", architecture="amd64")
DIGEST = "sha256:" + "ab" * 32
LAYER = {"mediaType": OCI_LAYER, "digest": DIGEST, "size": 7}
CONFIG = {"mediaType": OCI_CONFIG, "digest": DIGEST, "size": 7}
DOCUMENTS: dict[str, dict[str, object]] = {
    "manifest": {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": CONFIG,
        "layers": [LAYER, LAYER],
        "annotations": {"a": "b"},
    },
    "index": {
        "schemaVersion": 2,
        "mediaType": OCI_INDEX,
        "manifests": [
            {
                "mediaType": OCI_MANIFEST,
                "digest": DIGEST,
                "size": 7,
                "platform": {"os": "linux", "architecture": "amd64", "variant": "v8"},
            }
        ],
    },
    "config": {
        "os": "linux",
        "architecture": "amd64",
        "created": "2023-11-14T22:13:20Z",
        "rootfs": {"type": "layers", "diff_ids": [DIGEST]},
        "config": {
            "Env": ["A=b"],
            "Cmd": ["sh"],
            "Entrypoint": ["x"],
            "User": "1:2",
            "Labels": {"a": "b"},
            "Volumes": {"/data": {}},
            "ExposedPorts": {"80/tcp": {}},
            "StopSignal": "SIGTERM",
            "WorkingDir": "/x",
            "Healthcheck": {"Test": ["CMD", "x"], "Interval": 1000000000, "Retries": 3},
        },
    },
}
ODD: list[object] = [
    None, True, 0, -1, 1 << 63, 1 << 200, 1.5, 1e308, "", "x" * 300, "\0", "\x1b[31m", "sha256:",
    DIGEST, "sha512:" + "ab" * 64, "../x", [], {}, [[]], {"": ""}, [None], ["x"] * 600,
    OCI_INDEX, OCI_MANIFEST, "application/vnd.docker.distribution.manifest.v1+json",
]  # fmt: skip
json_values = st.recursive(
    st.one_of(st.sampled_from(ODD), st.text(max_size=8), st.integers(), st.floats()),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)


def places(value: object, at: tuple[object, ...] = ()) -> list[tuple[object, ...]]:
    """Where something stands in a document."""
    found = [at]
    if isinstance(value, dict):
        for key, below in value.items():
            found += places(below, (*at, key))
    elif isinstance(value, list):
        for number, below in enumerate(value):
            found += places(below, (*at, number))
    return found


def changed(value: object, at: tuple[object, ...], put: object) -> object:
    """A copy with ``put`` at that place; ``places`` has it."""
    if not at:
        return put
    first, *rest = at
    if isinstance(value, dict):
        return {k: changed(v, tuple(rest), put) if k == first else v for k, v in value.items()}
    assert isinstance(value, list)
    return [changed(v, tuple(rest), put) if n == first else v for n, v in enumerate(value)]


@st.composite
def documents(draw: st.DrawFn) -> bytes:
    """A good document with some of its parts replaced, and perhaps some bytes after that."""
    value: object = draw(st.sampled_from(list(DOCUMENTS.values())))
    for _ in range(draw(st.integers(0, 3))):
        value = changed(value, draw(st.sampled_from(places(value))), draw(json_values))
    raw = bytearray(json.dumps(value).encode())
    for _ in range(draw(st.integers(0, 2))):
        at = draw(st.integers(0, len(raw)))
        raw[at : at + draw(st.integers(0, 4))] = draw(st.binary(max_size=4))
    return bytes(raw)


kinds = st.sampled_from(["", OCI_MANIFEST, OCI_INDEX, "text/html", "application/json; x=y", "\0"])


def understood(given: tuple[bytes, str]) -> None:
    """As a pull reads them; what is accepted is as the rest of the code expects it."""
    raw, kind = given
    with suppress(Fault):
        found = manifest.parse(raw, kind)
        if isinstance(found, Index):
            manifest.choose(found, HERE, "it")
        else:
            assert isinstance(found, Manifest)
            assert all(layer.size >= 0 for layer in (found.config, *found.layers))
            assert len(found.layers) <= 500
    with suppress(Fault):
        image = image_config.parse(raw)
        image_config.check_platform(image, HERE, "it")
        assert all(id.startswith("sha256:") and len(id) == 71 for id in image.diff_ids)


@depths
@pytest.mark.parametrize("made", [documents(), st.binary(max_size=300)], ids=["changed", "bytes"])
def test_any_document_is_understood_or_refused(
    made: st.SearchStrategy[bytes], examples: int
) -> None:
    tried(st.tuples(made, kinds), understood, 2 * examples)


DEEP = {
    "lists": b"[" * 500_000,
    "objects": b'{"a":' * 200_000,
    "a number of a million digits": b'{"schemaVersion": ' + b"9" * 1_000_000 + b"}",
    "a million keys": b"{" + b",".join(b'"%d":0' % n for n in range(300_000)) + b"}",
    "the same key again and again": b"{" + b'"a":0,' * 300_000 + b'"a":0}',
    "half a surrogate": b'{"mediaType": "\\ud800", "schemaVersion": 2}',
}


@pytest.mark.parametrize("what", DEEP)
def test_a_document_made_to_hurt_the_reader_is_refused_soon(what: str) -> None:
    began = time.monotonic()
    for parse in (manifest.parse, image_config.parse):
        with pytest.raises(Fault):
            parse(DEEP[what])
    assert time.monotonic() - began < 5 * PATIENCE


tokens = st.text(alphabet="abcXYZ01-_.", min_size=1, max_size=12)
quoted = st.text(alphabet=st.characters(codec="ascii", exclude_characters='"\\\r\n'), max_size=30)


def test_a_challenge_that_is_written_is_read_again() -> None:
    def check(said: tuple[str, str, str]) -> None:
        scheme, realm, service = said
        header = f'{scheme} realm="{realm}",service="{service}",scope="repository:a:pull"'
        assert challenge(header) == Challenge(scheme=scheme.lower(), realm=realm, service=service)

    schemes = st.sampled_from(["Bearer", "bearer", "Basic", "BASIC"])
    # A realm with the other scheme's name in it is not told apart from a second challenge.
    plain = quoted.filter(lambda text: "b" not in text.lower())
    tried(st.tuples(schemes, plain, plain), check, 300)


@depths
def test_any_challenge_is_read(examples: int) -> None:
    pieces = st.sampled_from(
        ['Bearer ', 'Basic ', 'realm="http://a/b"', 'realm=', '"', ",", " ", "=", "service=x", "\\"]
    )  # fmt: skip

    def check(header: str) -> None:
        found = challenge(header)
        assert found.scheme in ("", "basic", "bearer")
        with suppress(ValueError):  # a realm that is no URL is for the client to refuse
            urlsplit(found.realm)
            auth.may_ask(found.realm, "http://registry:5000")
            auth.may_know_password(found.realm, "http://registry:5000")

    made = st.one_of(st.lists(pieces, max_size=12).map("".join), st.text(max_size=80))
    tried(made, check, examples)


LONG: dict[str, Callable[[int], str]] = {
    "a word": lambda size: "Bearer " + "a" * size,
    "blanks": lambda size: "Bearer a" + " " * size,
    "commas": lambda size: "Bearer " + "," * size,
    "schemes": lambda size: ", bearer" * (size // 8),
    "equals": lambda size: "Bearer " + "a=" * (size // 2),
    "quotes": lambda size: "Bearer " + 'a="' * (size // 3),
}


@pytest.mark.parametrize("what", LONG)
def test_a_challenge_of_64_kb_is_read_at_once(what: str) -> None:
    """As long as http.client lets a header be."""
    began = time.monotonic()
    challenge(LONG[what](65_000))
    assert time.monotonic() - began < 1 * PATIENCE
