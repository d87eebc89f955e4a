"""The archives that layers come as: kept while they are unpacked, to be pushed, saved and unpacked
again without a registry.

A registry's blob is kept as it comes, and what has come of it survives the process: the next one
hashes it again and asks for the rest. Archives that were never compressed are kept as gzip, and so
are those of this machine that not everybody could read.
"""

import hashlib
import os
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from runtime.durable import write_all
from runtime.embedded.layers.streams import beside, chained, compression, owned, plain
from runtime.embedded.registry.client import Begun
from runtime.embedded.registry.documents import Descriptor
from runtime.embedded.registry.manifest import OCI_GZIP, OCI_ZSTD
from runtime.embedded.store.archives import file_pieces
from runtime.embedded.store.index import Blob
from runtime.embedded.store.layout import Layout

if TYPE_CHECKING:
    from hashlib import _Hash

_KEPT = {"gzip": OCI_GZIP, "zstd": OCI_ZSTD}  # compressions that registries know
_NEW = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW


class _File:
    """A new file, or one to be gone on with. Whoever still waits for a pipe or the network when it
    is closed must not write into another file that got its number."""

    def __init__(self, path: Path, flags: int = 0) -> None:
        self.fd = os.open(path, _NEW | flags, 0o600)
        self._lock = threading.Lock()

    def cut(self, size: int) -> None:
        """Go on after the first ``size`` bytes; what is behind them goes."""
        with self._lock:
            os.ftruncate(self.fd, size)
            os.lseek(self.fd, size, os.SEEK_SET)

    def write(self, piece: bytes) -> None:
        """Raises ``OSError`` (EBADF) once it is closed."""
        with self._lock:
            write_all(self.fd, piece)

    def close(self) -> None:
        with self._lock:
            os.close(self.fd)
            self.fd = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Archive:
    """An archive whose bytes have all come, not yet visible: where it lies, and what it is."""

    path: Path
    digest: str
    size: int
    media_type: str


class Arrival(Protocol):
    """How a layer's archive comes here, and what is kept of it."""

    def pieces(self) -> Iterator[bytes]:
        """The archive as it comes, compressed or not."""
        ...

    def plain(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        """Passes on what was inflated from it."""
        ...

    def padded(self) -> None:
        """There are zeros between or after the archive's members: gzip(1) passes over them, for
        others (Go's gzip, zstd) it is damaged."""
        ...

    def archive(self) -> Archive:
        """What is to be kept, once all pieces have passed."""
        ...

    def close(self, *, resumable: bool) -> None:
        """Nothing more comes; ``resumable`` keeps what has come for another time."""
        ...


@dataclass(slots=True)
class Fetched:
    """A blob of a registry, said to be the layer ``diff_id``, which only we make meanwhile.
    ``fetch`` gets what is here and brings the verified rest."""

    layout: Layout
    blob: Descriptor
    diff_id: str
    fetch: Callable[[Begun], Iterator[bytes]]
    resumed: int = 0
    _file: _File | None = None

    def pieces(self) -> Iterator[bytes]:
        file = self._file = _File(self._path)
        hashed = hashlib.sha256()
        if os.fstat(file.fd).st_size > self.blob.size:
            file.cut(0)
        self.resumed = 0
        for piece in file_pieces(file.fd):
            hashed.update(piece)
            self.resumed += len(piece)
            yield piece
        file.cut(self.resumed)
        with owned(self.fetch(Begun(self.resumed, hashed))) as rest:
            for piece in rest:
                file.write(piece)
                yield piece

    def plain(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        return pieces

    def padded(self) -> None:
        """It has its digest, and stays what it is."""

    def archive(self) -> Archive:
        blob = self.blob
        return Archive(
            path=self._path, digest=blob.digest, size=blob.size, media_type=blob.media_type
        )

    def close(self, *, resumable: bool) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
            if not resumable:
                self._path.unlink(missing_ok=True)

    @property
    def _path(self) -> Path:
        return self.layout.fetching(self.blob.digest, self.diff_id)


def arrival(layout: Layout, pieces: Iterator[bytes]) -> Arrival:
    """An archive that is read from this machine: kept as it is in a compression that registries
    know, else deflated on the way."""
    first = next(pieces, b"")
    whole = chained(first, pieces)
    media_type = _KEPT.get(compression(first))
    return Kept(layout, whole, media_type) if media_type else Deflated(layout, whole)


@dataclass(slots=True)
class _Own:
    """A file of our own, hashed while it is written."""

    layout: Layout
    source: Iterator[bytes]
    media_type: str = OCI_GZIP
    _path: Path = field(init=False)
    _file: _File = field(init=False)
    _size: int = 0
    _hashed: "_Hash" = field(default_factory=hashlib.sha256)

    def __post_init__(self) -> None:
        self._path = self.layout.tmp / f"{os.getpid()}-{os.urandom(6).hex()}.blob"
        self._file = _File(self._path, os.O_EXCL)

    def archive(self) -> Archive:
        digest = f"sha256:{self._hashed.hexdigest()}"
        return Archive(path=self._path, digest=digest, size=self._size, media_type=self.media_type)

    def close(self, *, resumable: bool) -> None:
        del resumable  # it comes from this machine
        self._file.close()
        self._path.unlink(missing_ok=True)

    def _keep(self, piece: bytes) -> None:
        self._hashed.update(piece)
        self._size += len(piece)
        self._file.write(piece)


class Kept(_Own):
    """Kept as it comes; deflated anew if it has padding."""

    _padded = False
    _anew: "Deflated | None" = None

    def pieces(self) -> Iterator[bytes]:
        with owned(self.source):
            for piece in self.source:
                self._keep(piece)
                yield piece

    def plain(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        return pieces

    def padded(self) -> None:
        self._padded = True

    def archive(self) -> Archive:
        if not self._padded:
            return super().archive()
        self._anew = Deflated(self.layout, iter(()))
        self._anew.deflate(plain(file_pieces(self._file.fd)))
        return self._anew.archive()

    def close(self, *, resumable: bool) -> None:
        super().close(resumable=resumable)
        if self._anew is not None:
            self._anew.close(resumable=resumable)


class Deflated(_Own):
    """Kept as gzip."""

    def pieces(self) -> Iterator[bytes]:
        return self.source

    def plain(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        return beside(pieces, self.deflate)

    def padded(self) -> None:
        """It is not kept as it comes."""

    def deflate(self, pieces: Iterator[bytes]) -> None:
        deflater = _deflater()
        for piece in pieces:
            self._keep(deflater.compress(piece))
        self._keep(deflater.flush())


@dataclass(slots=True)
class Again:
    """An archive that was kept, to be unpacked once more."""

    layout: Layout
    blob: Blob

    def pieces(self) -> Iterator[bytes]:
        with opened(self.layout, self.blob) as fd:
            yield from file_pieces(fd)

    def plain(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        return pieces

    def padded(self) -> None:
        """It has its digest, and stays what it is."""

    def archive(self) -> Archive:
        blob = self.blob
        return Archive(
            path=self.layout.blob(blob.digest),
            digest=blob.digest,
            size=blob.size,
            media_type=blob.media_type,
        )

    def close(self, *, resumable: bool) -> None:
        pass


@contextmanager
def opened(layout: Layout, blob: Blob) -> Iterator[int]:
    """A kept archive, open for reading. Raises ``FileNotFoundError``."""
    fd = os.open(layout.blob(blob.digest), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        yield fd
    finally:
        os.close(fd)


class _Deflater(Protocol):
    def compress(self, data: bytes, /) -> bytes: ...
    def flush(self) -> bytes: ...


def _deflater() -> _Deflater:
    """Gzip without a name or date, so that the same archive gives the same bytes."""
    try:
        from isal import isal_zlib
    except ImportError:  # no wheel for this processor
        return zlib.compressobj(level=1, wbits=31)
    made: _Deflater = isal_zlib.compressobj(level=1, wbits=31)
    return made
