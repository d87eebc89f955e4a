"""What the tests of the image store share."""

import gzip
import os
from pathlib import Path

from runtime.api import (
    ImageSpec,
    ObservedImage,
    Progress,
    PullPolicy,
    RegistrySource,
)
from runtime.embedded.layers import overlay
from runtime.embedded.store.images import Image, ImageStore
from runtime.embedded.store.states import states
from tests.images import layers, oci
from tests.images.registry import Registry
from tests.runtime.embedded.layers import tars


def silent(progress: Progress) -> None:
    """A report that nobody reads."""


def from_registry(reference: str, pull: PullPolicy = PullPolicy.MISSING) -> ImageSpec:
    return ImageSpec(name=reference, source=RegistrySource(reference=reference, pull=pull))


def state(store: ImageStore, spec: ImageSpec) -> ObservedImage:
    """The state of one image."""
    return states(store, [spec], ())[spec.name]


def layer_folders(store: ImageStore) -> list[str]:
    return sorted(os.listdir(store.layout.layers))


def everything(root: Path) -> dict[str, tuple[int, int, int, int]]:
    """Each file and folder with inode, times and size: what a look must not change."""
    paths = [root, *root.rglob("*")] if root.exists() else []
    found = {str(path): path.lstat() for path in paths}
    return {p: (s.st_ino, s.st_mtime_ns, s.st_ctime_ns, s.st_size) for p, s in found.items()}


class Mounted:
    """An image's root file system."""

    def __init__(self, store: ImageStore, image: Image, base: Path) -> None:
        self.target = base / "target"
        folders = [base / "upper", base / "work", self.target]
        for folder in folders:
            folder.mkdir(parents=True)
        overlay.mount(store.layers(image.id), *folders)

    def __enter__(self) -> Path:
        return self.target

    def __exit__(self, *_: object) -> None:
        overlay.unmount(self.target)


def nothing_is_left(store: ImageStore) -> None:
    assert store.list() == ()
    assert layer_folders(store) == []
    for folder in (store.layout.tmp, store.layout.locks, store.layout.partial):
        assert os.listdir(folder) == []
    assert os.listdir(store.layout.blobs) == []


PLAIN = tars.archive(tars.member(b"a", body=os.urandom(200_000)))
BLOB = gzip.compress(PLAIN, 1)


def flipped(raw: bytes) -> bytes:
    return raw[:-40] + bytes([raw[-40] ^ 1]) + raw[-39:]


def move(registry: Registry, text: str) -> None:
    registry.publish(oci.Image(layers=[{"v": layers.file(text)}]), "moving")
