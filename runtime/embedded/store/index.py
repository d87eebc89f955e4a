"""The store's table of contents: which images are here, and what they are called.

SQLite with a rollback journal, synchronous EXTRA, writers in BEGIN IMMEDIATE. Not WAL: there
even a reader makes and removes files, and looking must leave no trace. Connections live for one
call, so that threads and processes share nothing.
"""

import os
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import msgspec

from runtime.api import ImageDefaults, encode
from runtime.at_rest import transaction
from runtime.embedded.store.faults import DamagedStore, NewerStore, StoreBusy
from runtime.errors import DeviceFailed, DiskFull, Fault
from runtime.reference import parse

SCHEMA = 2
_PATIENCE = 60.0  # seconds to wait for another writer
_OF_THE_DEVICE = ("SQLITE_CANTOPEN", "SQLITE_IOERR", "SQLITE_READONLY", "SQLITE_PERM")
_TABLES = """
CREATE TABLE images (id TEXT PRIMARY KEY, image BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE refs (
    reference TEXT PRIMARY KEY, image TEXT NOT NULL, digest TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE names (name TEXT PRIMARY KEY, image TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE documents (
    image TEXT NOT NULL, digest TEXT NOT NULL, PRIMARY KEY (image, digest)) WITHOUT ROWID;
CREATE TABLE layers (
    diff_id TEXT PRIMARY KEY, size INTEGER NOT NULL, hides_all INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE files (path TEXT PRIMARY KEY, stamp BLOB NOT NULL) WITHOUT ROWID;
"""
# What each schema after the first added.
_ADDED = {
    2: """
ALTER TABLE layers ADD COLUMN damaged INTEGER NOT NULL DEFAULT 0;
CREATE TABLE blobs (
    digest TEXT PRIMARY KEY, diff_id TEXT NOT NULL, media_type TEXT NOT NULL,
    size INTEGER NOT NULL, plain_size INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX blobs_of_layers ON blobs (diff_id);
"""
}


class Image(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An image that is here. ``layers`` are diff ids, the lowest first; ``created`` in seconds
    since the epoch, ``size`` in bytes of file content, ``platform`` as in linux/arm64."""

    id: str
    references: tuple[str, ...] = ()
    layers: tuple[str, ...] = ()
    defaults: ImageDefaults = ImageDefaults()
    created: float = 0.0
    size: int = 0
    platform: str = ""


class Layer(msgspec.Struct, frozen=True, kw_only=True):
    """A layer that is here and whole; ``hides_all``: nothing of the layers below it is seen."""

    diff_id: str
    size: int
    hides_all: bool


class Blob(msgspec.Struct, frozen=True, kw_only=True):
    """The archive that a layer came as, kept under its digest: ``size`` bytes, ``plain_size``
    when it is not compressed."""

    digest: str
    diff_id: str
    media_type: str
    size: int
    plain_size: int


class FileStamp(msgspec.Struct, frozen=True, kw_only=True):
    """A file that an image was made from, as it was then. ``result`` is the image's id for an
    archive, the layer's diff id for a bare file system."""

    size: int
    mtime_ns: int
    inode: int
    digest: str
    result: str


class Index:
    """Reads and writes index.db; where there is none, nothing is here."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @contextmanager
    def reading(self) -> "Iterator[Rows | None]":
        """The rows, or None when there is no index yet. No file is written, unless a writer
        died in its commit: then its journal is rolled back first."""
        if not self._path.exists():
            yield None
            return
        with self._opened("rw") as connection:
            connection.execute("BEGIN")
            # A writer that was killed before its first commit leaves an empty file.
            schema = _schema(connection)
            yield Rows(connection, schema) if schema else None

    @contextmanager
    def writing(self) -> "Iterator[Rows]":
        """The rows, to be changed: all of it is kept and durable at the end, or none."""
        with self._opened("rwc") as connection, transaction(connection):
            _bring_up(connection)
            yield Rows(connection, SCHEMA)

    @contextmanager
    def _opened(self, mode: str) -> Iterator[sqlite3.Connection]:
        uri = f"{self._path.absolute().as_uri()}?mode={mode}"
        try:
            with closing(
                sqlite3.connect(uri, uri=True, timeout=_PATIENCE, isolation_level=None)
            ) as connection:
                connection.execute("PRAGMA synchronous=EXTRA")
                if (found := _schema(connection)) > SCHEMA:
                    raise NewerStore(str(self._path.parent), found)
                yield connection
        except sqlite3.DatabaseError as error:
            raise _fault(self._path, error) from error


def _fault(path: Path, error: sqlite3.DatabaseError) -> Fault:
    """What SQLite's error means to a user. Only what cannot be an index of ours is damage."""
    name = getattr(error, "sqlite_errorname", "")
    if name.startswith("SQLITE_FULL"):
        return DiskFull(str(path))
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return StoreBusy(str(path.parent), _PATIENCE)
    if name.startswith(("SQLITE_CANTOPEN", "SQLITE_IOERR")) and _is_full(path.parent):
        return DiskFull(str(path))  # e.g. no inode for the journal
    if name.startswith(_OF_THE_DEVICE):
        return DeviceFailed(str(path), str(error))
    return DamagedStore(str(path), str(error))


def _is_full(folder: Path) -> bool:
    """Some file systems do not count inodes: they have none at all, and never lack any."""
    with suppress(OSError):
        seen = os.statvfs(folder)
        return seen.f_bavail == 0 or (seen.f_files > 0 and seen.f_favail == 0)
    return False


def _schema(connection: sqlite3.Connection) -> int:
    """0: nothing was ever written."""
    found: int = connection.execute("PRAGMA user_version").fetchone()[0]
    return found


def _bring_up(connection: sqlite3.Connection) -> None:
    """Make the tables, or those that an older trueup did not have."""
    found = _schema(connection)
    if found == SCHEMA:
        return
    tables = {1: _TABLES, **_ADDED}
    for schema in range(found + 1, SCHEMA + 1):
        for statement in tables[schema].strip().split(";\n"):
            connection.execute(statement)
    connection.execute(f"PRAGMA user_version={SCHEMA}")


class Rows:
    """The tables inside one transaction. Reading a store of an older trueup leaves it as it is:
    what its schema did not have, is not there."""

    def __init__(self, connection: sqlite3.Connection, schema: int) -> None:
        self._connection, self._schema = connection, schema

    def image(self, id: str) -> Image | None:
        """None also for a row that cannot be read: one of them must not make all useless."""
        found = self._one("SELECT image FROM images WHERE id = ?", id)
        if found is None:
            return None
        with suppress(msgspec.MsgspecError, UnicodeDecodeError):
            image = msgspec.json.decode(found[0], type=Image)
            return msgspec.structs.replace(image, references=self.references(id))
        return None

    def references(self, id: str) -> tuple[str, ...]:
        rows = self._all("SELECT reference FROM refs WHERE image = ? ORDER BY reference", id)
        return tuple(row[0] for row in rows)

    def digests(self, id: str) -> tuple[str, ...]:
        """The image's names by digest, as the registries that it was pulled from know it."""
        rows = self._all("SELECT reference, digest FROM refs WHERE image = ? AND digest != ''", id)
        return tuple(sorted({f"{parse(reference).place}@{digest}" for reference, digest in rows}))

    def by_digest(self, repository: str, digest: str) -> str | None:
        """The image that has the name ``repository@digest``; ``repository`` has its host."""
        statement = "SELECT reference, image FROM refs WHERE digest = ? ORDER BY reference"
        for reference, id in self._all(statement, digest):
            if parse(reference).place == repository:
                return str(id)
        return None

    def holding(self, digest: str) -> list[str]:
        """The images whose manifest, index or configuration that is, sorted."""
        rows = self._all("SELECT image FROM documents WHERE digest = ? ORDER BY image", digest)
        return [row[0] for row in rows]

    def ids(self, prefix: str = "") -> list[str]:
        """Ids that begin with ``prefix`` (hex digits), sorted."""
        low, high = f"sha256:{prefix}", f"sha256:{prefix}g"
        return [
            row[0]
            for row in self._all(
                "SELECT id FROM images WHERE id >= ? AND id < ? ORDER BY id", low, high
            )
        ]

    def reference(self, reference: str) -> tuple[str, str] | None:
        """The image that ``reference`` means, and the digest that it was pulled by."""
        found = self._one("SELECT image, digest FROM refs WHERE reference = ?", reference)
        return (found[0], found[1]) if found else None

    def named(self, name: str) -> str | None:
        """The image that a spec's ``archive:`` or ``rootfs:`` of that name became."""
        found = self._one("SELECT image FROM names WHERE name = ?", name)
        return found[0] if found else None

    def names(self, id: str) -> tuple[str, ...]:
        """What specs' ``archive:`` and ``rootfs:`` call the image."""
        rows = self._all("SELECT name FROM names WHERE image = ? ORDER BY name", id)
        return tuple(row[0] for row in rows)

    def layer(self, diff_id: str) -> Layer | None:
        row = self._one("SELECT size, hides_all FROM layers WHERE diff_id = ?", diff_id)
        return Layer(diff_id=diff_id, size=row[0], hides_all=bool(row[1])) if row else None

    def all_layers(self) -> list[Layer]:
        rows = self._all("SELECT diff_id, size, hides_all FROM layers ORDER BY diff_id")
        return [Layer(diff_id=row[0], size=row[1], hides_all=bool(row[2])) for row in rows]

    def damaged_layers(self) -> set[str]:
        """Layers (diff ids) that are here, and not as they were."""
        if self._schema < 2:
            return set()
        return {row[0] for row in self._all("SELECT diff_id FROM layers WHERE damaged")}

    def blob_of(self, diff_id: str) -> Blob | None:
        """The archive that is kept of a layer; None: it came before archives were kept."""
        blobs = self._blobs("WHERE diff_id = ? ORDER BY digest LIMIT 1", diff_id)
        return blobs[0] if blobs else None

    def blob(self, digest: str) -> Blob | None:
        blobs = self._blobs("WHERE digest = ?", digest)
        return blobs[0] if blobs else None

    def blobs(self) -> list[Blob]:
        return self._blobs("ORDER BY digest")

    def file(self, path: str) -> FileStamp | None:
        row = self._one("SELECT stamp FROM files WHERE path = ?", path)
        return msgspec.json.decode(row[0], type=FileStamp) if row else None

    def unnamed(self) -> list[str]:
        """Images that neither a reference nor a spec's name leads to."""
        statement = (
            "SELECT id FROM images WHERE id NOT IN (SELECT image FROM refs)"
            " AND id NOT IN (SELECT image FROM names) ORDER BY id"
        )
        return [row[0] for row in self._all(statement)]

    def needed_layers(self) -> set[str]:
        images = [self.image(id) for id in self.ids()]
        return {diff_id for image in images if image is not None for diff_id in image.layers}

    def documents(self) -> set[str]:
        return {row[0] for row in self._all("SELECT digest FROM documents")}

    def documents_of(self, id: str) -> set[str]:
        """Digests of the image's manifests and configuration."""
        return {row[0] for row in self._all("SELECT digest FROM documents WHERE image = ?", id)}

    def put_image(self, image: Image, documents: Iterable[str]) -> None:
        """Enter an image with the digests of its documents; one that is here keeps its date."""
        if self.image(image.id) is None:
            bare = msgspec.structs.replace(image, references=())
            self._connection.execute("REPLACE INTO images VALUES (?, ?)", (image.id, encode(bare)))
        for digest in documents:
            self._connection.execute(
                "INSERT INTO documents VALUES (?, ?) ON CONFLICT DO NOTHING", (image.id, digest)
            )

    def put_reference(self, reference: str, id: str, digest: str) -> None:
        self._connection.execute("REPLACE INTO refs VALUES (?, ?, ?)", (reference, id, digest))

    def put_tag(self, reference: str, id: str) -> None:
        """Let a reference mean an image that is here, with the digest that it is known by in that
        repository, if there is one."""
        names = (name.partition("@") for name in self.digests(id))
        known = {repository: digest for repository, _, digest in names}
        self.put_reference(reference, id, known.get(parse(reference).place, ""))

    def put_name(self, name: str, id: str) -> None:
        self._connection.execute("REPLACE INTO names VALUES (?, ?)", (name, id))

    def put_layer(self, layer: Layer) -> None:
        """Enter a layer that is whole."""
        self._connection.execute(
            "REPLACE INTO layers VALUES (?, ?, ?, 0)", (layer.diff_id, layer.size, layer.hides_all)
        )

    def put_blob(self, blob: Blob) -> None:
        values = (blob.digest, blob.diff_id, blob.media_type, blob.size, blob.plain_size)
        self._connection.execute("REPLACE INTO blobs VALUES (?, ?, ?, ?, ?)", values)

    def remove_blob(self, digest: str) -> None:
        self._connection.execute("DELETE FROM blobs WHERE digest = ?", (digest,))

    def mark_damaged(self, diff_id: str) -> None:
        """The layer counts as not here until it is made anew."""
        self._connection.execute("UPDATE layers SET damaged = 1 WHERE diff_id = ?", (diff_id,))

    def put_file(self, path: str, stamp: FileStamp) -> None:
        self._connection.execute("REPLACE INTO files VALUES (?, ?)", (path, encode(stamp)))

    def remove_image(self, id: str) -> None:
        """Forget an image and all its names."""
        for statement in (
            "DELETE FROM images WHERE id = ?",
            "DELETE FROM refs WHERE image = ?",
            "DELETE FROM names WHERE image = ?",
            "DELETE FROM documents WHERE image = ?",
        ):
            self._connection.execute(statement, (id,))

    def remove_name(self, name: str, id: str) -> None:
        """Forget a reference to the image, or what a spec calls it. Of a name by digest its tags of
        that repository remain, and forget what they were pulled by; those of other images keep
        it: an index means one for each platform."""
        self._connection.execute("DELETE FROM refs WHERE reference = ?", (name,))
        self._connection.execute("DELETE FROM names WHERE name = ?", (name,))
        repository, _, digest = name.partition("@")
        statement = "SELECT reference FROM refs WHERE digest = ? AND image = ?"
        for (reference,) in self._all(statement, digest, id):
            if digest and parse(reference).place == repository:
                statement = "UPDATE refs SET digest = '' WHERE reference = ?"
                self._connection.execute(statement, (reference,))

    def remove_layer(self, diff_id: str) -> None:
        self._connection.execute("DELETE FROM layers WHERE diff_id = ?", (diff_id,))

    def _blobs(self, where: str, *values: str) -> list[Blob]:
        if self._schema < 2:
            return []
        columns = "digest, diff_id, media_type, size, plain_size"
        return [
            Blob(digest=row[0], diff_id=row[1], media_type=row[2], size=row[3], plain_size=row[4])
            for row in self._all(f"SELECT {columns} FROM blobs {where}", *values)
        ]

    def _one(self, statement: str, *values: str) -> "sqlite3.Row | None":
        row: sqlite3.Row | None = self._connection.execute(statement, values).fetchone()
        return row

    def _all(self, statement: str, *values: str) -> "list[sqlite3.Row]":
        return self._connection.execute(statement, values).fetchall()
