"""Writes OCI image layouts (OCI image-spec 1.0, image-layout.md): one image, one directory."""

import gzip
import hashlib
import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.images import layers

CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
TAG = "org.opencontainers.image.ref.name"

type_of_machine = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """What goes into a layout: layers from the bottom up and the run-time defaults."""

    layers: Sequence[layers.Layer]
    config: Mapping[str, object] = field(default_factory=dict)
    """Keys as the image-spec writes them: Cmd, Entrypoint, Env, User, Volumes, StopSignal ..."""


def architecture() -> str:
    """This machine's name in image indexes (GOARCH)."""
    return type_of_machine.get(platform.machine(), platform.machine())


def write(image: Image, layout: Path, *, tag: str = "latest") -> str:
    """Write ``image`` as an OCI layout; returns the manifest's digest. Replaces what was there."""
    blobs = layout / "blobs" / "sha256"
    blobs.mkdir(parents=True, exist_ok=True)
    packed = [layers.pack(layer) for layer in image.layers]
    descriptors = [_blob(blobs, LAYER, gzip.compress(tar, 6, mtime=0)) for tar in packed]
    config = _blob(blobs, CONFIG, _json(_config(image, packed)))
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": config,
        "layers": descriptors,
    }
    top = _blob(blobs, MANIFEST, _json(manifest))
    index = {"schemaVersion": 2, "manifests": [{**top, "annotations": {TAG: tag}}]}
    (layout / "index.json").write_bytes(_json(index))
    (layout / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    return str(top["digest"])


def _config(image: Image, packed: Sequence[bytes]) -> dict[str, object]:
    diff_ids = [f"sha256:{hashlib.sha256(tar).hexdigest()}" for tar in packed]
    return {
        "created": "2023-11-14T22:13:20Z",
        "architecture": architecture(),
        "os": "linux",
        "config": dict(image.config),
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
        "history": [{"created_by": "tests/images"} for _ in packed],
    }


def _blob(blobs: Path, media_type: str, data: bytes) -> dict[str, object]:
    digest = hashlib.sha256(data).hexdigest()
    (blobs / digest).write_bytes(data)
    return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(data)}


def _json(value: object) -> bytes:
    return json.dumps(value, indent=1, sort_keys=True).encode()
