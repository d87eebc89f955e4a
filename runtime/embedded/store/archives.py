"""Image archives: what 'docker save' and 'skopeo copy' write, read in place.

Two forms, told apart by content: docker-archive (manifest.json names configuration and layers)
and OCI (index.json, blobs by digest). The archive is scanned once, skipping over content; its
members are then read where they lie. A gzip archive is inflated into the store's tmp first.
"""

import errno
import os
import stat
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from runtime.durable import write_all
from runtime.embedded.layers.faults import BadLayer, LayerTooLarge
from runtime.embedded.layers.remembered import Remembered
from runtime.embedded.layers.streams import (
    FREE_GROWTH,
    MOST_GROWTH,
    Counted,
    ahead,
    bounded,
    compression,
    owned,
    plain,
)
from runtime.embedded.layers.tarstream import FILE, HARD_LINK, SYMLINK, Bytes, TarStream
from runtime.embedded.registry import image_config, manifest
from runtime.embedded.registry.documents import (
    LARGEST,
    BadDocument,
    Descriptor,
    Document,
    read,
    read_list,
)
from runtime.embedded.registry.image_config import ImageConfig
from runtime.embedded.registry.manifest import Index, Manifest, Platform
from runtime.embedded.store.faults import BadArchive, WrongLayer
from runtime.errors import DiskFull
from runtime.reference import BadReference, parse

_PIECE = 1 << 18
_MOST_MEMBERS = 100_000
_MOST_LINKS = 10
_MOST_DOCUMENTS = 32 << 20  # bytes of all that is read as a whole; one may be named again and again
# Annotations that say what an image is called.
NAMES = ("io.containerd.image.name", "org.opencontainers.image.ref.name")
_DEEPEST_INDEX = 3
_INCOMPLETE = (BadArchive, BadDocument, WrongLayer)


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerFile:
    """A layer in the archive; ``pieces`` reads it, compressed or not as it is."""

    diff_id: str
    size: int
    pieces: Callable[[], Iterator[bytes]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """An image of an archive, with the references that it has there. Its layers are read before
    the archive is closed."""

    config: ImageConfig
    documents: dict[str, bytes]
    layers: Sequence[LayerFile]
    references: tuple[str, ...] = ()


@contextmanager
def opened(path: str, fd: int, scratch: Path) -> Iterator[list[Contents]]:
    """Read the archive in the open file or pipe ``fd``, under any compression; ``path`` is its
    name in messages, ``scratch`` a folder with room for it. Raises ``BadArchive``,
    ``BadDocument``, ``NoPlatform``."""
    with _seekable(path, fd, scratch) as place:
        members = _members(path, place)
        images = _images(members)
        if not images:
            raise BadArchive(path, "it holds no image")
        yield images


def _members(path: str, fd: int) -> "_Members":
    if os.fstat(fd).st_size == 0:  # as a failed program before a pipe leaves it
        raise BadArchive(path, "it is empty")
    try:
        return _Members(path, fd)
    except (BadLayer, LayerTooLarge) as error:
        raise BadArchive(path, error.why) from error


def _images(members: "_Members") -> "list[Contents]":
    """Newer Dockers write both forms. The OCI one keeps digests, when it is complete."""
    has_docker = "manifest.json" in members
    if "index.json" in members:
        with suppress(*(_INCOMPLETE if has_docker else ())):
            found = _oci(members)
            if found or not has_docker:
                return found
    if has_docker:
        return _docker(members)
    raise BadArchive(members.path, "it has neither manifest.json nor index.json")


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
        self._read = 0
        remembered = Remembered()
        source, end = _Seeking(fd), os.fstat(fd).st_size
        for entry in TarStream(source, most_entries=_MOST_MEMBERS):
            remembered.add(entry.name + entry.link)
            name = _normal(entry.name.decode(errors="surrogateescape"))
            if source.taken + entry.size > end:
                raise BadArchive(path, f"it ends inside {name[:100]!r}", "make it once more")
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
        self._read += self.size(name)
        if self._read > _MOST_DOCUMENTS:
            raise BadArchive(self.path, f"its documents have more than {_MOST_DOCUMENTS:,} bytes")
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
def _seekable(path: str, fd: int, scratch: Path) -> Iterator[int]:
    """The archive as a file that can be read anywhere: itself, or inflated without a name."""
    if stat.S_ISREG(os.fstat(fd).st_mode):
        pieces = file_pieces(fd)
        if not compression(os.pread(fd, 6, 0)):
            yield fd
            return
    else:
        pieces = stream_pieces(fd)
    with tempfile.TemporaryFile(dir=scratch, buffering=0) as file:
        _inflate(path, pieces, file.fileno(), scratch)
        yield file.fileno()


def _inflate(path: str, pieces: Iterator[bytes], to: int, scratch: Path) -> None:
    """Raises ``BadArchive``, ``DiskFull``."""
    came = Counted(pieces)
    inflated = plain(ahead(iter(came)))
    limited = bounded(inflated, lambda: FREE_GROWTH + MOST_GROWTH * came.size)
    try:
        with owned(limited):
            for piece in limited:
                write_all(to, piece)
    except (BadLayer, LayerTooLarge) as error:
        raise BadArchive(path, error.why) from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull(str(scratch)) from error
        raise


def stream_pieces(fd: int) -> Iterator[bytes]:
    """What is still to be read of an open file or pipe."""
    while piece := os.read(fd, _PIECE):
        yield piece


def _docker(members: _Members) -> list[Contents]:
    """manifest.json: a list of {Config, RepoTags, Layers}, names being members."""
    listed = read_list(members.document("manifest.json"), "archive's manifest.json")
    return [_docker_image(members, each) for each in listed]


def _docker_image(members: _Members, entry: object) -> Contents:
    if not isinstance(entry, dict):
        raise BadArchive(members.path, "its manifest.json does not list objects")
    image_name = entry.get("Config")
    if not isinstance(image_name, str):
        raise BadArchive(members.path, "its manifest.json names no configuration")
    tags = (_reference(members, tag) for tag in _texts(members, entry, "RepoTags"))
    references = tuple(filter(None, tags))
    layers = _texts(members, entry, "Layers")
    return _contents(members, members.document(image_name), {}, layers, references)


def _texts(members: _Members, entry: Document, key: str) -> list[str]:
    value = entry.get(key) or []
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise BadArchive(members.path, f"`{key}` in its manifest.json is not a list of texts")
    return value


def _oci(members: _Members) -> list[Contents]:
    """index.json: descriptors of manifests, blobs in blobs/sha256/<hex>. What has the same name,
    or none, and platforms, is one image with several variants."""
    raw = members.document("index.json")
    top = manifest.parse(raw, manifest.OCI_INDEX)
    assert isinstance(top, Index)
    found: dict[str, Contents] = {}
    for reference, variants in _grouped(members, raw, top):
        image = _oci_image(members, Index(manifests=tuple(variants)))
        known = found.get(image.config.id, image)
        references = dict.fromkeys((*known.references, *((reference,) if reference else ())))
        found[image.config.id] = replace(known, references=tuple(references))
    return list(found.values())


_Variant = tuple[Descriptor, Platform | None]


def _grouped(members: _Members, raw: bytes, top: Index) -> list[tuple[str, list[_Variant]]]:
    """The top index's entries by what they are called."""
    listed: list[dict[str, Any]] = read(raw, "index")["manifests"]
    names: dict[str, list[str]] = {}
    for entry in listed:
        names.setdefault(str(entry.get("digest")), []).append(_name(members, entry))
    groups: dict[str, list[_Variant]] = {}
    for variant in dict.fromkeys(top.manifests):  # one with two names is listed twice
        for name in dict.fromkeys(names[variant[0].digest]):
            groups.setdefault(name, []).append(variant)
    unnamed = groups.pop("", [])
    alike = all(platform for _, platform in unnamed)
    apart = [("", unnamed)] if unnamed and alike else [("", [each]) for each in unnamed]
    return [*groups.items(), *apart]


def _oci_image(members: _Members, found: Index | Manifest) -> Contents:
    documents: dict[str, bytes] = {}
    while isinstance(found, Index):
        if len(found.manifests) == 1:
            chosen = found.manifests[0][0]
        else:
            name = f"the image in {members.path}"
            chosen = manifest.choose(found, manifest.host_platform(), name)
        if chosen.digest in documents or len(documents) > _DEEPEST_INDEX:
            raise BadArchive(members.path, "its indexes lead to no image")
        documents[chosen.digest] = _blob(members, chosen)
        found = manifest.parse(documents[chosen.digest], chosen.media_type)
    raw = _blob(members, found.config)
    return _contents(members, raw, documents, [_blob_name(layer) for layer in found.layers], ())


def _contents(
    members: _Members,
    raw: bytes,
    documents: dict[str, bytes],
    layer_names: Sequence[str],
    references: tuple[str, ...],
) -> Contents:
    image = image_config.parse(raw)
    # One for another processor was asked for when it was pulled and saved, and may be run by qemu.
    here = replace(image.platform, os=manifest.host_platform().os)
    image_config.check_platform(image, here, f"the image in {members.path}")
    manifest.check_layers(len(layer_names))
    if len(layer_names) != len(image.diff_ids):
        raise BadDocument(
            "manifest", f"{len(layer_names)} layers, its configuration has {len(image.diff_ids)}"
        )
    layers = [
        LayerFile(diff_id=diff_id, size=members.size(name), pieces=_reader(members, name))
        for diff_id, name in dict(zip(image.diff_ids, layer_names, strict=True)).items()
    ]
    return Contents(
        config=image,
        documents={**documents, image.id: raw},
        layers=layers,
        references=references,
    )


def _reader(members: _Members, name: str) -> Callable[[], Iterator[bytes]]:
    return lambda: members.pieces(name)


def _blob(members: _Members, descriptor: Descriptor) -> bytes:
    """A verified document of an OCI archive."""
    raw = members.document(_blob_name(descriptor))
    digest = image_config.digest_of(raw)
    if digest != descriptor.digest or len(raw) != descriptor.size:
        raise WrongLayer(descriptor.digest, digest)
    return raw


def _blob_name(descriptor: Descriptor) -> str:
    return f"blobs/sha256/{descriptor.digest[7:]}"


def _name(members: _Members, entry: dict[str, Any]) -> str:
    """What an entry of the top index is called, as a complete reference; "" for nothing, or for a
    tag alone, which says of no image what it is."""
    notes = entry.get("annotations")
    if not isinstance(notes, dict):
        return ""
    said = next((str(notes[key]) for key in NAMES if notes.get(key)), "")
    return _reference(members, said) if ":" in said or "/" in said else ""


def _reference(members: _Members, name: str) -> str:
    """A name in full; "" for one by digest: it says which content is meant, and an archive could
    put any under it."""
    try:
        found = parse(name)
    except BadReference as error:
        raise BadArchive(members.path, error.what) from error
    return "" if found.digest else str(found)
