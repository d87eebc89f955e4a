"""Manifests, indexes, configurations and challenges as strangers may write them (L18, R7, R12)."""

import json
from typing import Any

import pytest

from runtime.api import Healthcheck, ImageDefaults
from runtime.embedded.registry import auth, documents, image_config, manifest
from runtime.embedded.registry.documents import LARGEST, BadDocument
from runtime.embedded.registry.manifest import (
    DOCKER_LIST,
    DOCKER_MANIFEST,
    OCI_INDEX,
    OCI_MANIFEST,
    Index,
    Manifest,
    NoPlatform,
    Platform,
)

DIGEST = "sha256:" + "ab" * 32
OTHER = "sha256:" + "cd" * 32
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"


def described(kind: str, **changes: object) -> dict[str, object]:
    return {"mediaType": kind, "digest": DIGEST, "size": 7, **changes}


def an_image(**changes: object) -> dict[str, Any]:
    image = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": described(OCI_CONFIG),
        "layers": [described(OCI_LAYER)],
        **changes,
    }
    return {key: value for key, value in image.items() if value is not None}


def an_index(*platforms: dict[str, str] | None, **changes: object) -> dict[str, Any]:
    entries = [
        described(OCI_MANIFEST, digest=f"sha256:{number:064x}", **({"platform": p} if p else {}))
        for number, p in enumerate(platforms)
    ]
    return {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries, **changes}


def parse(document: object, content_type: str = "") -> Manifest | Index:
    return manifest.parse(json.dumps(document).encode(), content_type)


def test_both_kinds_of_manifest_are_read() -> None:
    oci = parse(an_image(), f"{OCI_MANIFEST}; charset=utf-8")
    assert isinstance(oci, Manifest)
    assert (oci.config.digest, oci.layers[0].size) == (DIGEST, 7)
    docker = an_image(
        mediaType=DOCKER_MANIFEST,
        config=described(DOCKER_CONFIG),
        layers=[described(DOCKER_LAYER, urls=["http://169.254.169.254/"])],
    )
    assert isinstance(parse(docker, DOCKER_MANIFEST), Manifest)
    assert isinstance(parse(an_image(mediaType=None)), Manifest)
    assert isinstance(parse(an_index(None), "application/json"), Index)


REFUSED: dict[str, tuple[object, str]] = {
    "an image and an index at once": (an_image(manifests=[]), ""),
    "an index and an image at once": (an_index(layers=[]), ""),
    "an index with a configuration": (an_index(config=described(OCI_CONFIG)), ""),
    "an index where an image was announced": (an_index(), OCI_MANIFEST),
    "an image where an index was announced": (an_image(), DOCKER_LIST),
    "schema 1": ({"schemaVersion": 1, "fsLayers": []}, ""),
    "schema 1 by header": (an_image(), "application/vnd.docker.distribution.manifest.v1+json"),
    "schema 3": (an_image(schemaVersion=3), ""),
    "no schema": (an_image(schemaVersion=None), ""),
    "an artifact": (an_image(config=described("application/vnd.cncf.helm.config.v1+json")), ""),
    "an artifact's manifest": (an_image(mediaType="application/vnd.oci.artifact.v1+json"), ""),
    "a layer that is none": (an_image(layers=[described("text/html")]), ""),
    "no layers": (an_image(layers=None), ""),
    "layers that are no list": (an_image(layers={}), ""),
    "too many layers": (an_image(layers=[described(OCI_LAYER)] * 501), ""),
    "no configuration": (an_image(config=None), ""),
    "a negative size": (an_image(layers=[described(OCI_LAYER, size=-1)]), ""),
    "a size that is text": (an_image(layers=[described(OCI_LAYER, size="7")]), ""),
    "a size that is true": (an_image(layers=[described(OCI_LAYER, size=True)]), ""),
    "a size of 2^63": (an_image(layers=[described(OCI_LAYER, size=1 << 63)]), ""),
    "a digest that is a path": (an_image(layers=[described(OCI_LAYER, digest="sha256:../x")]), ""),
    "a digest of another kind": (
        an_image(layers=[described(OCI_LAYER, digest="sha512:" + "0" * 128)]),
        "",
    ),
    "a digest in capitals": (an_image(config=described(OCI_CONFIG, digest=DIGEST.upper())), ""),
    "a longer digest": (an_image(config=described(OCI_CONFIG, digest=DIGEST + "0")), ""),
    "too many manifests": (an_index(*[None] * 1001), ""),
    "a platform that is text": (an_index({"os": 5}), ""),  # type: ignore[dict-item]
    "a media type that is a number": (an_image(mediaType=5), ""),
    "a list": ([], ""),
}


@pytest.mark.parametrize("what", REFUSED)
def test_refused(what: str) -> None:
    with pytest.raises(BadDocument):
        parse(*REFUSED[what])


RAW = {
    "a key twice": b'{"schemaVersion": 2, "layers": [], "layers": [1]}',
    "not a number": b'{"schemaVersion": NaN}',
    "nested without end": b'{"a":' + b"[" * 2_000_000,
    "no text": b"\xff\xfe\xff",
    "nothing": b"",
    "half": b'{"schemaVersion": 2',
    "an endless number": b'{"schemaVersion": ' + b"9" * 1_000_000 + b"}",
}


@pytest.mark.parametrize("what", RAW)
def test_what_is_no_json_is_refused(what: str) -> None:
    with pytest.raises(BadDocument):
        manifest.parse(RAW[what])


@pytest.mark.parametrize("said", [rb'["\ud800"]', rb'{"\udfff": 1}', b'"\xed\xa0\x80"'])
def test_half_a_surrogate_pair_is_refused(said: bytes) -> None:
    """No file and no index can keep such a text."""
    raw = json.dumps(an_image(annotations="here")).encode().replace(b'"here"', said)
    with pytest.raises(BadDocument, match="half a surrogate pair"):
        manifest.parse(raw)
    whole = json.dumps(an_image(annotations={"x": "\U0001f600"})).encode()
    assert rb"\ud83d\ude00" in whole
    assert isinstance(manifest.parse(whole), Manifest)


def test_four_megabytes_are_read_and_no_more() -> None:
    def padded(size: int) -> bytes:
        raw = json.dumps(an_image(annotations={"x": ""})).encode()
        return raw.replace(b'"x": ""', b'"x": "' + b"y" * (size - len(raw)) + b'"')

    assert len(padded(LARGEST)) == LARGEST
    assert isinstance(manifest.parse(padded(LARGEST)), Manifest)
    with pytest.raises(BadDocument, match="more than"):
        manifest.parse(padded(LARGEST + 1))


def test_a_million_keys_are_read_quickly() -> None:
    raw = b"{" + b",".join(b'"%d":0' % n for n in range(300_000)) + b',"0":1}'
    with pytest.raises(BadDocument, match="twice"):
        documents.read(raw, "x")


# --- platforms ----------------------------------------------------------------------------------


def chosen(wanted: str, *offered: str) -> int:
    """Which of the platforms (os/architecture/variant) is taken."""

    def platform(text: str) -> dict[str, str]:
        keys = ("os", "architecture", "variant")
        return dict(zip(keys, text.split("/"), strict=False))

    index = parse(an_index(*(platform(text) for text in offered)))
    assert isinstance(index, Index)
    return int(manifest.choose(index, Platform(**platform(wanted)), "it").digest[7:], 16)


@pytest.mark.parametrize(
    ("wanted", "offered", "number"),
    [
        ("linux/amd64", ["linux/arm64", "linux/amd64"], 1),
        ("linux/amd64", ["windows/amd64", "linux/amd64"], 1),
        ("linux/amd64", ["linux/amd64/v3", "linux/amd64"], 1),
        ("linux/amd64", ["linux/amd64", "linux/amd64"], 0),
        ("linux/arm64", ["linux/arm/v7", "linux/arm64/v8"], 1),
        ("linux/arm64", ["linux/arm64"], 0),
        ("linux/arm/v7", ["linux/arm/v5", "linux/arm/v6", "linux/arm/v7"], 2),
        ("linux/arm/v6", ["linux/arm/v5", "linux/arm/v6", "linux/arm/v7"], 1),
        ("linux/amd64", ["unknown/unknown", "linux/amd64"], 1),
    ],
)
def test_the_best_platform_is_taken(wanted: str, offered: list[str], number: int) -> None:
    assert chosen(wanted, *offered) == number


def test_an_image_for_other_machines_only_names_them() -> None:
    with pytest.raises(NoPlatform, match="linux/arm64, windows/amd64"):
        chosen("linux/amd64", "linux/arm64", "windows/amd64", "unknown/unknown")


def test_a_single_image_without_a_platform_is_taken() -> None:
    index = parse(an_index(None))
    assert isinstance(index, Index)
    assert manifest.choose(index, manifest.host_platform(), "it").digest == f"sha256:{0:064x}"


# --- configurations -----------------------------------------------------------------------------


def a_config(settings: object, **changes: object) -> bytes:
    rootfs = {"type": "layers", "diff_ids": [DIGEST, OTHER]}
    return json.dumps({"config": settings, "rootfs": rootfs, **changes}).encode()


def test_a_configuration_is_read_as_docker_and_buildkit_write_it() -> None:
    settings: dict[str, object] = {
        "Entrypoint": ["/entry"],
        "Cmd": None,
        "Env": ["A=1"],
        "User": "www",
        "WorkingDir": "/srv",
        "Volumes": {"/b": {}, "/a": {}},
        "ExposedPorts": {"80/tcp": {}},
        "StopSignal": "SIGQUIT",
        "Labels": {"k": "v"},
        "OnBuild": None,
    }
    raw = a_config(
        settings, created="2024-02-03T04:05:06.123456789Z", os="linux", architecture="arm64"
    )
    found = image_config.parse(raw)
    assert found.id == image_config.digest_of(raw)
    assert found.diff_ids == (DIGEST, OTHER)
    assert found.created == pytest.approx(1706933106.123456)
    assert str(found.platform) == "linux/arm64"
    assert found.defaults == ImageDefaults(
        entrypoint=("/entry",),
        env=("A=1",),
        user="www",
        working_dir="/srv",
        volumes=("/a", "/b"),
        exposed_ports=("80/tcp",),
        stop_signal="SIGQUIT",
        labels={"k": "v"},
    )


@pytest.mark.parametrize("created", [None, "", "yesterday", 5, "0001-01-01T00:00:00Z"])
def test_a_date_that_cannot_be_read_is_no_reason_to_refuse(created: object) -> None:
    assert image_config.parse(a_config(None, created=created)).created <= 0


@pytest.mark.parametrize(
    "settings",
    [
        {"Cmd": [1]},
        {"Cmd": {"a": 1}},
        {"Env": {"A": "1"}},
        {"User": 5},
        {"Volumes": ["/a"]},
        {"Labels": {"a": 1}},
        {"ExposedPorts": 80},
        [],
        "text",
    ],
)
def test_wrong_types_are_refused(settings: object) -> None:
    with pytest.raises(BadDocument):
        image_config.parse(a_config(settings or [1]))


@pytest.mark.parametrize("ids", [None, {}, [5], ["sha256:../x"], ["x"]])
def test_wrong_layer_digests_are_refused(ids: object) -> None:
    with pytest.raises(BadDocument):
        image_config.parse(a_config({}, rootfs={"diff_ids": ids}))


def test_a_bare_file_systems_configuration_says_what_it_was_made_with() -> None:
    check = Healthcheck(test=("CMD", "ready"), interval=1.5, retries=4)
    defaults = ImageDefaults(
        cmd=("sh",), env=("A=1",), volumes=("/v",), labels={"a": "b"}, healthcheck=check
    )
    raw = image_config.compose(DIGEST, defaults, Platform(os="linux", architecture="amd64"))
    found = image_config.parse(raw)
    assert (found.defaults, found.diff_ids, found.created) == (defaults, (DIGEST,), 0.0)
    assert raw == image_config.compose(DIGEST, defaults, Platform(os="linux", architecture="amd64"))


# --- challenges ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "scheme", "realm"),
    [
        ('Bearer realm="https://a/t",service="s"', "bearer", "https://a/t"),
        ("bearer realm=https://a/t", "bearer", "https://a/t"),
        ('Basic realm="x"', "basic", "x"),
        ('Basic realm="x", Bearer realm="https://a/t"', "bearer", "https://a/t"),
        ('Bearer realm="https://a/t", Basic realm="x"', "bearer", "https://a/t"),
        ("Negotiate", "", ""),
        ("", "", ""),
    ],
)
def test_challenges_are_read(header: str, scheme: str, realm: str) -> None:
    found = auth.challenge(header)
    assert (found.scheme, found.realm) == (scheme, realm)


@pytest.mark.parametrize(
    ("realm", "registry", "allowed"),
    [
        ("https://auth.docker.io/token", "https://registry-1.docker.io", True),
        ("https://gitlab.com/jwt/auth", "https://registry.gitlab.com", True),
        ("https://ghcr.io/token", "https://ghcr.io", True),
        ("http://127.0.0.1:5001/token", "http://127.0.0.1:5000", True),
        ("https://evil.example/token", "https://registry-1.docker.io", False),
        ("https://docker.io.evil.example/", "https://registry-1.docker.io", False),
        ("https://evildocker.io/", "https://registry-1.docker.io", False),
        ("https://evil.co.uk/", "https://shop.co.uk", False),
        ("https://evil.com/", "https://shop.com", False),
        ("http://127.0.0.2/token", "http://127.0.0.1:5000", False),
        ("https://10.0.0.2/", "https://10.0.0.1", False),
    ],
)
def test_who_may_see_the_password(realm: str, registry: str, allowed: bool) -> None:
    assert auth.may_know_password(realm, registry) is allowed


def test_plain_http_realms_are_for_plain_http_registries() -> None:
    assert not auth.may_ask("http://registry.example/token", "https://registry.example")
    assert auth.may_ask("http://127.0.0.1/token", "http://127.0.0.1:5000")


# --- health checks ------------------------------------------------------------------------------

CHECKS: dict[str, tuple[object, Healthcheck | None]] = {
    "all of it": (
        {
            "Test": ["CMD-SHELL", "curl -f localhost"],
            "Interval": 5_000_000_000,
            "Timeout": 1_500_000_000,
            "StartPeriod": 30_000_000_000,
            "StartInterval": 1_000_000_000,
            "Retries": 7,
        },
        Healthcheck(
            test=("CMD-SHELL", "curl -f localhost"),
            interval=5.0,
            timeout=1.5,
            start_period=30.0,
            start_interval=1.0,
            retries=7,
        ),
    ),
    "0 is the default": (
        {"Test": ["CMD", "ready"], "Interval": 0, "Retries": 0},
        Healthcheck(test=("CMD", "ready")),
    ),
    "none": ({"Test": ["NONE"]}, Healthcheck(test=("NONE",))),
    "none with more words": ({"Test": ["NONE", "x"], "Interval": 5}, Healthcheck(test=("NONE",))),
    "a kind that nobody knows": ({"Test": ["ASK", "x"]}, None),
    "a kind without a program": ({"Test": ["CMD"]}, None),
    "nothing to run": ({"Interval": 5}, None),
    "nothing": (None, None),
}


@pytest.mark.parametrize(("said", "check"), CHECKS.values(), ids=CHECKS)
def test_the_health_check_of_an_image(said: object, check: Healthcheck | None) -> None:
    document = {
        "config": {"Healthcheck": said},
        "rootfs": {"type": "layers", "diff_ids": [DIGEST]},
    }
    assert image_config.parse(json.dumps(document).encode()).defaults.healthcheck == check


@pytest.mark.parametrize(
    "said",
    [
        "curl",
        {"Test": 5},
        {"Test": ["CMD", "x"], "Interval": "5s"},
        {"Test": ["CMD", "x"], "Interval": 10**400},
        {"Test": ["CMD", "x"], "Retries": 1 << 63},
        {"Test": ["CMD", "x"], "Retries": True},
        {"Test": ["CMD", "x"], "Interval": True},
    ],
)
def test_a_broken_health_check_is_refused(said: object) -> None:
    document = {
        "config": {"Healthcheck": said},
        "rootfs": {"type": "layers", "diff_ids": [DIGEST]},
    }
    with pytest.raises(BadDocument, match="wrong type"):
        image_config.parse(json.dumps(document).encode())
