"""Image archives: what 'docker save' and 'skopeo copy' write, read in place.

Two forms, told apart by content: docker-archive (manifest.json names configuration and layers)
and OCI (index.json, blobs by digest). The archive is scanned once, skipping over content; its
members are then read where they lie. A gzip archive is inflated into the store's tmp first.
"""

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runtime.embedded.layers.streams import plain
from runtime.embedded.layers.tarstream import FILE, HARD_LINK, SYMLINK, Bytes, TarStream
from runtime.embedded.registry import config, manifest
from runtime.embedded.registry.config import ImageConfig
from runtime.embedded.registry.documents import LARGEST, BadDocument, Descriptor, read, read_list
from runtime.embedded.registry.manifest import Index
from runtime.embedded.store.faults import BadArchive, WrongLayer

_PIECE = 1 << 18
_MOST_MEMBERS = 100_000
_MOST_LINKS = 10
_NAMED = "org.opencontainers.image.ref.name"


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerFile:
    """A layer in the archive; ``pieces`` reads it, compressed or not as it is."""

    diff_id: str
    size: int
    pieces: Callable[[], Iterator[bytes]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """The one image of an archive. Its layers are read before the archive is closed."""

    config: ImageConfig
    documents: dict[str, bytes]
    layers: Sequence[LayerFile]


@contextmanager
def opened(path: str, fd: int, scratch: Path) -> Iterator[Contents]:
    """Read the archive in the open file ``fd``; ``path`` is its name in messages, ``scratch`` a
    folder with room for it. Raises ``BadArchive``, ``BadDocument``, ``NoPlatform``."""
    with _seekable(fd, scratch) as place:
        members = _Members(path, place)
        if "manifest.json" in members:
            yield _docker(members)
        elif "index.json" in members:
            yield _oci(members)
        else:
            raise BadArchive(path, "it has neither manifest.json nor index.json")


def file_pieces(fd: int, start: int = 0, size: int | None = None) -> Iterator[bytes]:
    """The bytes of an open file, from ``start``, by pread(2)."""
    end = os.fstat(fd).st_size if size is None else start + size
    while start < end and (piece := os.pread(fd, min(_PIECE, end - start), start)):
        start += len(piece)
        yield piece


class _Members:
    """Where the files of the archive lie; later members replace earlier ones of that name."""

    def __init__(self, path: str, fd: int) -> None:
        self.path, self._fd = path, fd
        self._places: dict[str, tuple[int, int]] = {}
        self._links: dict[str, str] = {}
        source = _Seeking(fd)
        for entry in TarStream(source, most_entries=_MOST_MEMBERS):
            name = _normal(entry.name.decode(errors="surrogateescape"))
            if entry.kind == FILE:
                self._places[name] = (source.taken, entry.size)
            elif entry.kind in (HARD_LINK, SYMLINK):
                target = entry.link.decode(errors="surrogateescape")
                above = name.rpartition("/")[0] if entry.kind == SYMLINK else ""
                self._links[name] = _normal(f"{above}/{target}")

    def __contains__(self, name: str) -> bool:
        return self._find(name) is not None

    def size(self, name: str) -> int:
        return self._place(name)[1]

    def pieces(self, name: str) -> Iterator[bytes]:
        return file_pieces(self._fd, *self._place(name))

    def document(self, name: str) -> bytes:
        """A small member as a whole."""
        if self.size(name) > LARGEST:
            raise BadArchive(self.path, f"{name[:100]} has more than {LARGEST:,} bytes")
        return b"".join(self.pieces(name))

    def _place(self, name: str) -> tuple[int, int]:
        place = self._find(name)
        if place is None:
            raise BadArchive(self.path, f"it lacks {name[:100]!r}")
        return place

    def _find(self, name: str) -> tuple[int, int] | None:
        """Old archives link layers that two images share: a link leads to another member."""
        name = _normal(name)
        for _ in range(_MOST_LINKS):
            if name in self._places:
                return self._places[name]
            if name not in self._links:
                break
            name = self._links[name]
        return None


class _Seeking(Bytes):
    """Reads a file, and skips by not reading."""

    def __init__(self, fd: int) -> None:
        super().__init__(self._read())
        self._fd, self._position = fd, 0

    def _read(self) -> Iterator[bytes]:
        while piece := os.pread(self._fd, 1 << 14, self._position):
            self._position += len(piece)
            yield piece

    def skip(self, size: int) -> None:
        here = min(size, self.left)
        super().skip(here)
        self._position += size - here
        self.taken += size - here


def _normal(name: str) -> str:
    """A member's name without what can be written in two ways."""
    parts: list[str] = []
    for part in name.split("/"):
        if part == "..":
            parts = parts[:-1]
        elif part not in ("", "."):
            parts.append(part)
    return "/".join(parts)


@contextmanager
def _seekable(fd: int, scratch: Path) -> Iterator[int]:
    """The archive as a file that can be read anywhere: itself, or inflated without a name."""
    if os.pread(fd, 2, 0) != b"\x1f\x8b":
        yield fd
        return
    with tempfile.TemporaryFile(dir=scratch, buffering=0) as file:
        for piece in plain(file_pieces(fd)):
            file.write(piece)
        yield file.fileno()


def _docker(members: _Members) -> Contents:
    """manifest.json: a list of {Config, RepoTags, Layers}, names being members."""
    listed = read_list(members.document("manifest.json"), "archive's manifest.json")
    if len(listed) != 1 or not isinstance(listed[0], dict):
        tags = [
            str(tag)
            for each in listed
            if isinstance(each, dict)
            for tag in each.get("RepoTags") or ()
        ]
        raise _several(members.path, len(listed), tags)
    image_name, layer_names = listed[0].get("Config"), listed[0].get("Layers")
    if not isinstance(image_name, str) or not isinstance(layer_names, list):
        raise BadArchive(members.path, "its manifest.json names no configuration and layers")
    raw = members.document(image_name)
    return _contents(members, raw, {}, [str(name) for name in layer_names])


def _oci(members: _Members) -> Contents:
    """index.json: descriptors of manifests, blobs in blobs/sha256/<hex>."""
    documents: dict[str, bytes] = {}
    raw = members.document("index.json")
    top = manifest.parse(raw, manifest.OCI_INDEX)
    assert isinstance(top, Index)
    if len(top.manifests) != 1 and not all(platform for _, platform in top.manifests):
        raise _several(members.path, len(top.manifests), _names(raw))
    found: Index | manifest.Manifest = top
    while isinstance(found, Index):
        single = len(found.manifests) == 1
        chosen = (
            found.manifests[0][0] if single else manifest.choose(found, manifest.host_platform())
        )
        if chosen.digest in documents or len(documents) > 3:
            raise BadArchive(members.path, "its indexes lead to no image")
        documents[chosen.digest] = _blob(members, chosen)
        found = manifest.parse(documents[chosen.digest], chosen.media_type)
    raw = _blob(members, found.config)
    return _contents(members, raw, documents, [_blob_name(layer) for layer in found.layers])


def _contents(
    members: _Members, raw: bytes, documents: dict[str, bytes], layer_names: Sequence[str]
) -> Contents:
    image = config.parse(raw)
    config.check_platform(image, manifest.host_platform())
    if len(layer_names) != len(image.diff_ids):
        raise BadDocument(
            "manifest", f"{len(layer_names)} layers, its configuration has {len(image.diff_ids)}"
        )
    layers = [
        LayerFile(diff_id=diff_id, size=members.size(name), pieces=_reader(members, name))
        for diff_id, name in dict(zip(image.diff_ids, layer_names, strict=True)).items()
    ]
    return Contents(config=image, documents={**documents, image.id: raw}, layers=layers)


def _reader(members: _Members, name: str) -> Callable[[], Iterator[bytes]]:
    return lambda: members.pieces(name)


def _blob(members: _Members, descriptor: Descriptor) -> bytes:
    """A verified document of an OCI archive."""
    raw = members.document(_blob_name(descriptor))
    digest = config.digest_of(raw)
    if digest != descriptor.digest or len(raw) != descriptor.size:
        raise WrongLayer(descriptor.digest, digest)
    return raw


def _blob_name(descriptor: Descriptor) -> str:
    return f"blobs/sha256/{descriptor.digest[7:]}"


def _names(index: bytes) -> list[str]:
    """What an OCI index calls its images."""
    entries: list[dict[str, Any]] = read(index, "index")["manifests"]
    notes = [entry.get("annotations") for entry in entries]
    return [str(note[_NAMED]) for note in notes if isinstance(note, dict) and _NAMED in note]


def _several(path: str, count: int, names: Sequence[str]) -> BadArchive:
    listed = f": {', '.join(names[:10])}" if names else ""
    return BadArchive(path, f"it holds {count} images{listed}", "save one image into one archive")
