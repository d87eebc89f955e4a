"""Images into one archive, as ``docker load`` and readers of OCI layouts take it.

Everything is read from the kept archives and hashed while it is written: what is damaged ends the
archive before its end mark, with a fault. The same images give the same bytes. The content is
described first, so that a reader knows from the beginning what is to come.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from runtime.api import ArchiveForm, Report
from runtime.embedded.layers.faults import BadLayer
from runtime.embedded.layers.streams import Hashed, ahead, owned, plain
from runtime.embedded.layers.tarwriter import TarWriter, plain_file
from runtime.embedded.registry.image_config import digest_of
from runtime.embedded.registry.manifest import OCI_INDEX
from runtime.embedded.store.archives import NAMES, file_pieces
from runtime.embedded.store.blobs import opened
from runtime.embedded.store.faults import ArchiveMissing, DamagedImage, ImageAbsent
from runtime.embedded.store.images import ImageStore
from runtime.embedded.store.index import Blob, Image, Rows
from runtime.embedded.store.outgoing import outgoing
from runtime.embedded.store.workers import Workers
from runtime.reference import BadReference, check_digest, parse


@dataclass(slots=True)
class _Named:
    """An image, with the references (complete) that it shall have in the archive."""

    image: Image
    references: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Member:
    """A layer's archive as a file in ours: as it was kept, or (``bare``) not compressed."""

    name: str
    blob: Blob
    bare: bool

    @property
    def size(self) -> int:
        return self.blob.plain_size if self.bare else self.blob.size

    @property
    def digest(self) -> str:
        return self.blob.diff_id if self.bare else self.blob.digest


@dataclass(frozen=True, slots=True)
class Saver:
    """Writes images of ``store`` to the descriptor ``out``, a file or pipe."""

    store: ImageStore
    out: int
    report: Report

    def save(self, names: Sequence[str], form: ArchiveForm) -> None:
        """Write what ``names`` mean. A name with a tag is the image's name in the archive as well;
        ids, digests and specs' own names give it none. Raises ``ImageAbsent``,
        ``ArchiveMissing``, ``DamagedImage``, and ``OSError`` for what cannot be written."""
        with self.store.held():
            images = self._images(names)
            if form is ArchiveForm.OCI:
                documents, members = self._oci(images)
            else:
                documents, members = self._docker(images)
            writer = TarWriter(self.out)
            for name, content in documents.items():
                writer.member(name, content)
            workers = Workers(self.report)
            for member in members.values():
                self._write(writer, member, workers)
            writer.close()

    def _images(self, names: Sequence[str]) -> list[_Named]:
        """Each once, in the order of their first names."""
        found: dict[str, _Named] = {}
        for name in names:
            image = self.store.find(name)
            if image is None:
                raise ImageAbsent(name)
            named = found.setdefault(image.id, _Named(image))
            with self.store.index.reading() as rows:
                reference = _reference(rows, name) if rows else ""
            if reference and reference not in named.references:
                named.references.append(reference)
        return list(found.values())

    def _docker(self, images: Sequence[_Named]) -> tuple[dict[str, bytes], dict[str, _Member]]:
        """manifest.json and, for Dockers before 1.10, repositories; configurations by id; layers
        not compressed, by diff id (moby, image/spec/v1.2.md)."""
        configs: dict[str, bytes] = {}
        members: dict[str, _Member] = {}
        listed: list[dict[str, object]] = []
        repositories: dict[str, dict[str, str]] = {}
        for each in images:
            layers = [
                _Member(f"{check_digest(blob.diff_id)}/layer.tar", blob, bare=True)
                for blob in self._blobs(each.image)
            ]
            members |= {layer.name: layer for layer in layers}
            name = f"{check_digest(each.image.id)}.json"
            configs[name] = self._config(each.image)
            listed.append(_listed(name, each, [layer.name for layer in layers]))
            for reference in map(parse, each.references if layers else ()):
                repository, _, tag = reference.familiar.rpartition(":")
                repositories.setdefault(repository, {})[tag] = layers[-1].name.partition("/")[0]
        documents = {"manifest.json": _json(listed)}
        if repositories:
            documents["repositories"] = _json(repositories)
        return documents | configs, members

    def _oci(self, images: Sequence[_Named]) -> tuple[dict[str, bytes], dict[str, _Member]]:
        """An image layout (image-spec, image-layout.md). Blobs keep their digests. Docker asks for
        a manifest.json beside it, which containerd and Docker write as well."""
        blobs: dict[str, bytes] = {}
        members: dict[str, _Member] = {}
        listed: list[dict[str, object]] = []
        entries: list[dict[str, object]] = []
        for each in images:
            out = outgoing(self.store.index, self.store.layout, each.image.id)
            config = _blob_name(each.image.id)
            layers = [_Member(_blob_name(blob.digest), blob, bare=False) for blob in out.layers]
            members |= {layer.name: layer for layer in layers}
            blobs |= {_blob_name(out.digest): out.raw, config: self._config(each.image)}
            listed.append(_listed(config, each, [layer.name for layer in layers]))
            entry = {"mediaType": out.media_type, "digest": out.digest, "size": len(out.raw)}
            notes = [{"annotations": dict.fromkeys(NAMES, name)} for name in each.references]
            entries += ({**entry, **note} for note in notes or [{}])
        index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}
        documents = {
            "oci-layout": _json({"imageLayoutVersion": "1.0.0"}),
            "index.json": _json(index),
            "manifest.json": _json(listed),
        }
        return documents | blobs, members

    def _config(self, image: Image) -> bytes:
        try:
            raw = self.store.layout.blob(image.id).read_bytes()
        except FileNotFoundError as error:
            raise DamagedImage(_shown(image), "its configuration is gone") from error
        if digest_of(raw) != image.id:
            raise DamagedImage(_shown(image), "its configuration is not what it was")
        return raw

    def _blobs(self, image: Image) -> Iterator[Blob]:
        with self.store.index.reading() as rows:
            for diff_id in image.layers:
                blob = rows.blob_of(diff_id) if rows else None
                if blob is None:
                    raise ArchiveMissing(_shown(image), diff_id)
                yield blob

    def _write(self, writer: TarWriter, member: _Member, workers: Workers) -> None:
        what = f"layer {member.digest[:19]}"
        writer.entry(plain_file(member.name, member.size))
        try:
            with opened(self.store.layout, member.blob) as fd:
                pieces = file_pieces(fd)
                pieces = ahead(plain(pieces) if member.bare else pieces)
                told = workers.told(pieces, member.digest[7:19], "saving", member.size)
                hashed = Hashed(told)
                with owned(iter(hashed)) as whole:
                    for piece in whole:
                        if hashed.size > member.size:
                            break
                        writer.write(piece)
        except FileNotFoundError as error:
            raise DamagedImage(what, "its archive is gone") from error
        except BadLayer as error:
            raise DamagedImage(what, error.why) from error
        if (hashed.size, hashed.digest) != (member.size, member.digest):
            raise DamagedImage(what, "its archive is not what it was")


def _reference(rows: Rows, name: str) -> str:
    """The complete reference that ``name`` is, if it is one with a tag; "" for other names."""
    if rows.named(name) is None:
        with suppress(BadReference):
            reference = parse(name)
            if reference.tag and not reference.digest and rows.reference(str(reference)):
                return str(reference)
    return ""


def _listed(config: str, named: _Named, layers: Sequence[str]) -> dict[str, object]:
    """An image in manifest.json."""
    tags = [parse(reference).familiar for reference in named.references]
    return {"Config": config, "RepoTags": tags or None, "Layers": list(layers)}


def _blob_name(digest: str) -> str:
    return f"blobs/sha256/{check_digest(digest)}"


def _shown(image: Image) -> str:
    return parse(image.references[0]).familiar if image.references else image.id[:19]


def _json(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
