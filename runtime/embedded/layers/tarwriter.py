"""Writes tar archives to a file or pipe: ustar, and PAX (POSIX.1-2017, pax) for what it cannot say.

The same entries give the same bytes. Names, link targets and attributes are bytes and go over as
they are; what is small is gathered, so that an archive of many files takes few calls.
"""

import os
from collections.abc import Iterable

from runtime.durable import write_all
from runtime.embedded.layers.tarstream import BLOCK, FILE, Entry

_GATHERED = 1 << 20  # bytes that wait for the next call
_LARGE = 1 << 16  # and from here on content goes by itself
_RECORD = 20 * BLOCK  # archives end at a multiple of this, as POSIX asks
_LONGEST = 100  # bytes of a name or link target in a header
_MOST_ID = 0o7777777
_MOST = 0o77777777777  # of sizes, in bytes, and times, in seconds
_SECOND = 1_000_000_000

_SUM = 148  # where the checksum stands; it counts itself as eight spaces
# Without names of owners: those of the host would mean others elsewhere.
_HEADER = b"".join(
    (
        b"%b%07o\0%07o\0%07o\0%011o\0%011o\0        %b%b",
        b"ustar\00000",
        bytes(64),
        b"%07o\0%07o\0",
        bytes(155 + 12),
    )
)


class TarWriter:
    """An archive that is written to the descriptor ``out``. After each entry comes its content, by
    ``write`` or ``copy``: as many bytes as the entry says. Raises ``OSError``."""

    def __init__(self, out: int) -> None:
        self._out = out
        self._waiting = bytearray()
        self._written = 0
        self._left = self._padding = 0

    def entry(self, entry: Entry) -> None:
        """Begin a member."""
        if self._left:
            raise ValueError(f"{self._left} bytes of the member before {entry.name!r} are missing")
        self._put(bytes(self._padding) + headers(entry))
        self._left, self._padding = entry.size, -entry.size % BLOCK

    def write(self, content: bytes | memoryview) -> None:
        """Content of the member that was begun."""
        if len(content) > self._left:
            raise ValueError(f"{len(content) - self._left} bytes too many")
        self._left -= len(content)
        self._put(content)

    def copy(self, source: int) -> None:
        """All content of the member, out of a file. Of one that has become shorter meanwhile the
        rest are zeros, and what was added is left out: the archive stays sound."""
        while self._left and (piece := os.read(source, min(self._left, _GATHERED))):
            self.write(piece)
        self._fill()

    def member(self, name: str, content: bytes, mtime: int = 0) -> None:
        """A small file as a whole; ``mtime`` is in seconds since the epoch."""
        self.entry(plain_file(name, len(content), mtime))
        self.write(content)

    def close(self) -> None:
        """Write the end mark and all that waits."""
        self._put(bytes(self._padding + 2 * BLOCK))
        self._padding = 0
        self._put(bytes(-(self._written + len(self._waiting)) % _RECORD))
        self._flush()

    def _fill(self) -> None:
        while self._left:
            self.write(bytes(min(self._left, _GATHERED)))

    def _put(self, content: bytes | memoryview) -> None:
        if len(content) >= _LARGE:
            self._flush()
            write_all(self._out, content)
            self._written += len(content)
            return
        self._waiting += content
        if len(self._waiting) >= _GATHERED:
            self._flush()

    def _flush(self) -> None:
        write_all(self._out, bytes(self._waiting))
        self._written += len(self._waiting)
        self._waiting.clear()


def plain_file(name: str, size: int, mtime: int = 0) -> Entry:
    """A file of root's that everybody may read."""
    return Entry(os.fsencode(name), FILE, 0o644, 0, 0, size, mtime * _SECOND, b"", {})


def headers(entry: Entry) -> bytes:
    """The blocks that stand before an entry's content."""
    seconds = entry.mtime // _SECOND
    records: list[tuple[bytes, bytes]] = []
    if len(entry.name) > _LONGEST:
        records.append((b"path", entry.name))
    if len(entry.link) > _LONGEST:
        records.append((b"linkpath", entry.link))
    for key, value, most in (
        (b"uid", entry.uid, _MOST_ID),
        (b"gid", entry.gid, _MOST_ID),
        (b"size", entry.size, _MOST),
        (b"mtime", seconds, _MOST),
    ):
        if not 0 <= value <= most:
            records.append((key, b"%d" % value))
    records += (
        (b"SCHILY.xattr." + key, entry.xattrs[key])
        for key in sorted(entry.xattrs)
        if b"=" not in key  # it would end the record's key: such an attribute cannot be said
    )
    if not records:
        return _block(entry, seconds)
    return _extended(records) + _block(entry, seconds)


def _extended(records: Iterable[tuple[bytes, bytes]]) -> bytes:
    content = b"".join(_record(key, value) for key, value in records)
    header = Entry(b"PaxHeaders/0", b"x", 0o644, 0, 0, len(content), 0, b"", {})
    return _block(header, 0) + content + bytes(-len(content) % BLOCK)


def _record(key: bytes, value: bytes) -> bytes:
    """``length key=value\\n``, the length counting all of itself."""
    rest = len(key) + len(value) + 3
    length = rest + len(str(rest))
    length = rest + len(str(length))
    return b"%d %s=%s\n" % (length, key, value)


def _block(entry: Entry, seconds: int) -> bytes:
    """One header; what does not fit stands there as 0, or cut, and in the records before it."""
    name = entry.name[:_LONGEST]
    if entry.kind == FILE:  # who takes a cut name as it stands must not see a directory's
        name = name.rstrip(b"/")
    block = _HEADER % (
        name.ljust(_LONGEST, b"\0"),
        entry.mode,
        entry.uid if entry.uid <= _MOST_ID else 0,
        entry.gid if entry.gid <= _MOST_ID else 0,
        entry.size if entry.size <= _MOST else 0,
        seconds if 0 <= seconds <= _MOST else 0,
        entry.kind,
        entry.link[:_LONGEST].ljust(_LONGEST, b"\0"),
        os.major(entry.device),
        os.minor(entry.device),
    )
    return b"%b%06o\0 %b" % (block[:_SUM], sum(block), block[_SUM + 8 :])
