"""Manifests: what an image is made of, and which image of an index is for this machine.

OCI image-spec 1.0/1.1 and Docker's schema 2. A document that could be read as two things is
refused (CVE-2021-41190), schema 1 by name.
"""

import os
from dataclasses import dataclass

from runtime.embedded.registry.documents import BadDocument, Descriptor, Document, descriptor, read
from runtime.errors import NoVariant

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
OCI_GZIP = "application/vnd.oci.image.layer.v1.tar+gzip"
OCI_ZSTD = "application/vnd.oci.image.layer.v1.tar+zstd"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
ACCEPT = (OCI_MANIFEST, OCI_INDEX, DOCKER_MANIFEST, DOCKER_LIST)

_SCHEMA_1 = (
    "application/vnd.docker.distribution.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v1+prettyjws",
)
_CONFIGS = (
    OCI_CONFIG,
    "application/vnd.docker.container.image.v1+json",
)
_LAYER_PREFIXES = (
    "application/vnd.oci.image.layer.v1.tar",
    "application/vnd.oci.image.layer.nondistributable.v1.tar",
    "application/vnd.docker.image.rootfs.diff.tar",
    "application/vnd.docker.image.rootfs.foreign.diff.tar",
)
_MOST_LAYERS = 500  # overlayfs takes no more
_MOST_MANIFESTS = 1000
_ARCHITECTURES = {
    "x86_64": "amd64",
    "aarch64": "arm64",
    "armv7l": "arm",
    "armv6l": "arm",
    "i686": "386",
    "i386": "386",
}
_IMPLIED_VARIANTS = {"arm64": "v8", "amd64": "v1", "arm": "v7"}


class NoPlatform(NoVariant):
    """The image exists, but not for this machine."""

    def __init__(self, image: str, wanted: str, offered: list[str]) -> None:
        self.image, self.wanted, self.offered = image, wanted, offered
        super().__init__(
            f"{image} has no variant for {wanted}",
            why=f"it offers {', '.join(offered) or 'none that names a platform'}",
            hint=f"use a tag that has it, build it for {wanted}, or ask for a platform that it has",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Platform:
    """An operating system and processor in the words of image indexes (GOOS, GOARCH)."""

    os: str
    architecture: str
    variant: str = ""

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)


def host_platform() -> Platform:
    """What this machine runs."""
    machine = os.uname().machine
    architecture = _ARCHITECTURES.get(machine, machine)
    variants = {"armv6l": "v6", "armv7l": "v7"}
    return Platform(os="linux", architecture=architecture, variant=variants.get(machine, ""))


def wanted_platform(asked: str | None) -> Platform:
    """What a spec asks for, as in linux/arm64/v8; this machine's where it asks for nothing."""
    if asked is None:
        return host_platform()
    os_name, architecture, variant = (*asked.split("/"), "", "")[:3]
    return Platform(os=os_name, architecture=architecture, variant=variant)


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """One image: its configuration and its layers, the lowest first."""

    config: Descriptor
    layers: tuple[Descriptor, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Index:
    """Several images; a platform is None where the index does not say."""

    manifests: tuple[tuple[Descriptor, Platform | None], ...]

    @property
    def platforms(self) -> dict[str, str]:
        """The digest for each platform; what is for an unknown one is no image, but an attestation
        of one."""
        return {str(p): d.digest for d, p in self.manifests if p and p.os != "unknown"}


def parse(raw: bytes, content_type: str = "") -> Manifest | Index:
    """Read a manifest or index. ``content_type`` is what the registry called it, "" for a file.

    Raises ``BadDocument``.
    """
    document = read(raw, "manifest")
    kind = _kind(document, _plain(content_type))
    if kind in (OCI_INDEX, DOCKER_LIST):
        return _index(document)
    return _manifest(document)


def refuse_schema_1(content_type: str) -> None:
    """Raises ``BadDocument`` for what a registry calls a manifest of Docker's schema 1."""
    if _plain(content_type) in _SCHEMA_1:
        hint = "pull and push it once with a current tool: skopeo copy --format v2s2 ..."
        raise BadDocument("manifest", "it is of Docker's schema 1, outdated since 2017", hint)


def kind(raw: bytes) -> str:
    """The media type of a manifest or index that was read before."""
    return _kind(read(raw, "manifest"), "")


def choose(index: Index, platform: Platform, name: str) -> Descriptor:
    """The image of ``index``, which is called ``name``, for ``platform``. Raises ``NoPlatform``."""
    best = [
        (rank, found)
        for found, offered in index.manifests
        if (rank := _rank(offered, platform)) is not None
    ]
    if best:
        return min(best, key=lambda pair: pair[0])[1]
    if len(index.manifests) == 1 and index.manifests[0][1] is None:
        return index.manifests[0][0]
    offered = sorted({str(p) for _, p in index.manifests if p and p.os != "unknown"})
    raise NoPlatform(name, str(platform), offered)


def _plain(content_type: str) -> str:
    """Without its parameters."""
    return content_type.partition(";")[0].strip().lower()


def _kind(document: Document, content_type: str) -> str:
    """The media type that header, document and content agree on."""
    named = document.get("mediaType", "")
    if not isinstance(named, str):
        raise BadDocument("manifest", "its media type is not text")
    said = content_type if content_type in ACCEPT or content_type in _SCHEMA_1 else ""
    refuse_schema_1(_SCHEMA_1[0] if document.get("schemaVersion") == 1 else named)
    refuse_schema_1(said)
    if document.get("schemaVersion") != 2:
        raise BadDocument("manifest", "its schema version is not 2")
    if said and named and said != named:
        raise BadDocument("manifest", f"it calls itself {named[:100]}, the registry {said}")
    kind = said or named or (OCI_INDEX if "manifests" in document else OCI_MANIFEST)
    if kind not in ACCEPT:
        raise BadDocument("manifest", f"{kind[:100]} is not an image")
    return kind


def _manifest(document: Document) -> Manifest:
    if "manifests" in document or "fsLayers" in document:
        raise BadDocument("manifest", "it is a manifest and an index at once")
    config = descriptor(document.get("config"), "manifest")
    if config.media_type not in _CONFIGS:
        hint = "name an image: this is another artifact, such as a chart or a signature"
        raise BadDocument("manifest", f"{config.media_type[:100]} is not an image", hint)
    listed = document.get("layers")
    if not isinstance(listed, list):
        raise BadDocument("manifest", "it has no list of layers")
    check_layers(len(listed))
    layers = tuple(descriptor(layer, "manifest") for layer in listed)
    for layer in layers:
        if not layer.media_type.startswith(_LAYER_PREFIXES):
            raise BadDocument("manifest", f"{layer.media_type[:100]} is not a layer")
    return Manifest(config=config, layers=layers)


def check_layers(count: int) -> None:
    """Raises ``BadDocument`` for an image of more layers than can be mounted."""
    if count > _MOST_LAYERS:
        raise BadDocument("manifest", f"{count} layers; overlayfs takes {_MOST_LAYERS}")


def _index(document: Document) -> Index:
    if {"layers", "config", "fsLayers"} & document.keys():
        raise BadDocument("index", "it is a manifest and an index at once")
    listed = document.get("manifests")
    if not isinstance(listed, list):
        raise BadDocument("index", "it has no list of manifests")
    if len(listed) > _MOST_MANIFESTS:
        raise BadDocument("index", f"it lists more than {_MOST_MANIFESTS} manifests")
    found = ((descriptor(entry, "index"), _platform(entry)) for entry in listed)
    return Index(manifests=tuple(pair for pair in found if pair[0].media_type in ACCEPT))


def _platform(entry: Document) -> Platform | None:
    said = entry.get("platform")
    if said is None:
        return None
    words = (
        [said.get(key) or "" for key in ("os", "architecture", "variant")]
        if isinstance(said, dict)
        else []
    )
    if len(words) != 3 or not all(isinstance(word, str) for word in words):
        raise BadDocument("index", "a platform is not an object of texts")
    return Platform(os=words[0][:40], architecture=words[1][:40], variant=words[2][:40])


def _rank(offered: Platform | None, wanted: Platform) -> int | None:
    """How well it fits, the smaller the better; None when it does not run here."""
    if offered is None or (offered.os, offered.architecture) != (wanted.os, wanted.architecture):
        return None
    implied = _IMPLIED_VARIANTS.get(wanted.architecture, "")
    ours, theirs = _level(wanted.variant or implied), _level(offered.variant or implied)
    return ours - theirs if theirs <= ours else None


def _level(variant: str) -> int:
    digits = variant.removeprefix("v")
    return int(digits) if digits.isascii() and digits.isdigit() else 0
