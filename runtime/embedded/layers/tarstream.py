"""Tar archives as a stream of entries: ustar, GNU long names, PAX (POSIX.1-2017, pax).

The standard library's reader lets a one megabyte archive take gigabytes, and grows with the
number of entries; here every header is bounded before it is read and nothing is remembered.
Names, link targets and attributes are bytes, exactly as the archive has them.
"""

import os
from collections.abc import Iterator
from typing import NamedTuple

from runtime.embedded.layers.faults import BadLayer, LayerTooLarge

BLOCK = 512
LONGEST_HEADER = 1 << 20  # bytes of all extended headers before one entry
MOST_HEADERS = 16  # extended headers before one entry
LONGEST_TAIL = 16 << 20  # bytes after the end mark; GNU tar pads to its record size

FILE, HARD_LINK, SYMLINK, DIRECTORY, FIFO = b"0", b"1", b"2", b"5", b"6"
CHARACTER_DEVICE, BLOCK_DEVICE = b"3", b"4"
_LONG_NAME, _LONG_LINK, _PAX, _PAX_GLOBAL = b"L", b"K", b"x", b"g"
_EXTENDED = frozenset((_LONG_NAME, _LONG_LINK, _PAX, _PAX_GLOBAL))
_FILES = frozenset((FILE, b"\0", b"7"))
_DEVICES = frozenset((CHARACTER_DEVICE, BLOCK_DEVICE))
_WITHOUT_BODY = frozenset((HARD_LINK, SYMLINK, DIRECTORY, FIFO)) | _DEVICES
_ZEROS = bytes(BLOCK)
_LARGEST = 1 << 63
_MOST_MAJOR, _MOST_MINOR = (1 << 12) - 1, (1 << 20) - 1  # the kernel's MKDEV


class Entry(NamedTuple):
    """One member. ``kind`` is one of the constants above; ``mtime`` is in nanoseconds since the
    epoch; ``xattrs`` holds the full names of extended attributes, ``device`` the number that a
    device node stands for (makedev(3))."""

    name: bytes
    kind: bytes
    mode: int
    uid: int
    gid: int
    size: int
    mtime: int
    link: bytes
    xattrs: dict[bytes, bytes]
    device: int = 0


class Bytes:
    """Reads exact amounts from chunks of any size; ``taken`` counts what was read or skipped."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._chunk = memoryview(b"")
        self._at = 0
        self.taken = 0

    @property
    def left(self) -> int:
        """How much can be had without asking for another chunk."""
        return len(self._chunk) - self._at

    def _advance(self) -> bool:
        """Go to the next chunk that has something; False at the end."""
        for chunk in self._chunks:
            if chunk:
                self._chunk, self._at = memoryview(chunk), 0
                return True
        self._chunk, self._at = memoryview(b""), 0
        return False

    def take(self, size: int) -> memoryview:
        """The next ``size`` bytes, fewer only at the end."""
        end = self._at + size
        if end <= len(self._chunk):
            piece = self._chunk[self._at : end]
            self._at = end
            self.taken += size
            return piece
        return memoryview(b"".join(self.pieces(size)))

    def pieces(self, size: int) -> Iterator[memoryview]:
        """The next ``size`` bytes as they come, without copying; fewer only at the end."""
        while size and (self._at < len(self._chunk) or self._advance()):
            piece = self._chunk[self._at : self._at + size]
            self._at += len(piece)
            self.taken += len(piece)
            size -= len(piece)
            yield piece

    def skip(self, size: int) -> None:
        for _ in self.pieces(size):
            pass


class TarStream:
    """Iterates over the entries of an archive; an entry's content must be read, if at all,
    before the next entry is asked for. Raises ``BadLayer``."""

    def __init__(self, source: Bytes, *, most_entries: int) -> None:
        self._source = source
        self._most_entries = most_entries
        self._unread = 0
        self._padding = 0

    def __iter__(self) -> Iterator[Entry]:
        count = 0
        while (entry := self._next()) is not None:
            count += 1
            if count > self._most_entries:
                raise LayerTooLarge("it has too many entries", self._most_entries)
            self._unread, self._padding = entry.size, -entry.size % BLOCK
            yield entry
            self._source.skip(self._unread + self._padding)
        self._drain()

    def whole(self) -> memoryview:
        """The rest of the current entry's content at once: for small ones."""
        content = self._source.take(self._unread)
        if len(content) < self._unread:
            raise BadLayer("the archive ends inside a file")
        self._unread = 0
        return content

    def pieces(self) -> Iterator[memoryview]:
        """The rest of the current entry's content as it comes."""
        for piece in self._source.pieces(self._unread):
            self._unread -= len(piece)
            yield piece
        if self._unread:
            raise BadLayer("the archive ends inside a file")

    def _next(self) -> Entry | None:
        """The next entry with what its extended headers say of it; None at the end mark."""
        pax: dict[bytes, bytes] = {}
        long_name = long_link = None
        size = 0
        for _ in range(MOST_HEADERS + 1):
            header = self._header()
            if header is None:
                return None
            if header.kind not in _EXTENDED:
                return _completed(header, pax, long_name, long_link)
            size += header.size
            if size > LONGEST_HEADER:
                raise BadLayer(f"extended headers of {size:,} bytes")
            content = self._extended(header)
            if header.kind == _PAX:
                pax |= _records(content)
            elif header.kind == _LONG_NAME:
                long_name = content.partition(b"\0")[0]
            elif header.kind == _LONG_LINK:
                long_link = content.partition(b"\0")[0]
        raise BadLayer("too many extended headers before one entry")

    def _header(self) -> Entry | None:
        block = bytes(self._source.take(BLOCK))
        if not block:
            return None
        if len(block) < BLOCK:
            raise BadLayer("the archive ends inside a header")
        if block == _ZEROS:
            if bytes(self._source.take(BLOCK)).strip(b"\0"):
                raise BadLayer("there is data after half an end mark")
            return None
        return _parsed(block)

    def _extended(self, header: Entry) -> bytes:
        content = bytes(self._source.take(header.size))
        if len(content) < header.size:
            raise BadLayer("the archive ends inside an extended header")
        self._source.skip(-header.size % BLOCK)
        return content

    def _drain(self) -> None:
        """Read to the end: the digest of the archive covers its padding, too."""
        start = self._source.taken
        while len(self._source.take(1 << 16)):
            if self._source.taken - start > LONGEST_TAIL:
                raise LayerTooLarge("data goes on after the end of the archive", LONGEST_TAIL)


def _parsed(block: bytes) -> Entry:
    """The entry that a header block alone describes."""
    if sum(block) - sum(block[148:156]) + 256 != _number(block[148:156]):
        raise BadLayer("a header's checksum is wrong")
    name = block[:100].partition(b"\0")[0]
    if block[257:263] == b"ustar\0" and block[345]:
        name = block[345:500].partition(b"\0")[0] + b"/" + name
    kind = block[156:157]
    return Entry(
        name,
        FILE if kind in _FILES else kind,
        _number(block[100:108]) & 0o7777,
        _number(block[108:116]),
        _number(block[116:124]),
        0 if kind in _WITHOUT_BODY else _number(block[124:136]),
        _signed(block[136:148]) * 1_000_000_000,
        block[157:257].partition(b"\0")[0],
        {},
        _device(block) if kind in _DEVICES else 0,
    )


def _device(block: bytes) -> int:
    major, minor = _number(block[329:337]), _number(block[337:345])
    if major > _MOST_MAJOR or minor > _MOST_MINOR:
        raise BadLayer("a device number that Linux does not have")
    return os.makedev(major, minor)


def _number(field: bytes) -> int:
    """A number that counts something: octal digits, or base 256 (GNU); never negative."""
    if field[0] & 0x80:
        value = _signed(field)
        if not 0 <= value < _LARGEST:
            raise BadLayer("a header has a number that is negative or too large")
        return value
    digits = field.partition(b"\0")[0].strip(b" ")
    if not digits:
        return 0
    try:
        return int(digits, 8) if digits.isdigit() else _not_a_number()
    except ValueError:
        return _not_a_number()


def _not_a_number() -> int:
    raise BadLayer("a header has a number that is none")


def _signed(field: bytes) -> int:
    """A time: as ``_number``, but base 256 may be negative (before 1970)."""
    if not field[0] & 0x80:
        return _number(field)
    value = int.from_bytes(field, "big") & ~(0x80 << (8 * (len(field) - 1)))
    if field[0] & 0x40:
        value -= 1 << (8 * len(field) - 1)
    return value


def _records(content: bytes) -> dict[bytes, bytes]:
    """PAX records: ``length key=value\\n``, the length counting all of itself."""
    found: dict[bytes, bytes] = {}
    at = 0
    while at < len(content):
        space = content.find(b" ", at, at + 8)
        digits = content[at:space] if space > 0 else b""
        if not digits.isdigit():
            raise BadLayer("a PAX record without a length")
        end = at + int(digits)
        equals = content.find(b"=", space, end)
        if equals < 0 or end > len(content) or content[end - 1 : end] != b"\n":
            raise BadLayer("a PAX record that is cut or has no value")
        key = content[space + 1 : equals]
        if b"\0" in key:  # no attribute has such a name, and no call to the kernel takes one
            raise BadLayer("a PAX record's name with a zero byte")
        found[key] = content[equals + 1 : end - 1]
        at = end
    return found


def _completed(
    header: Entry, pax: dict[bytes, bytes], long_name: bytes | None, long_link: bytes | None
) -> Entry:
    """The entry as its extended headers complete it."""
    if header.kind == b"S" or any(key.startswith(b"GNU.sparse.") for key in pax):
        raise BadLayer("sparse files are not supported", entry=header.name)
    if long_name is None and long_link is None and not pax:
        return _typed(header)
    entry = Entry(
        pax.get(b"path") or (header.name if long_name is None else long_name),
        header.kind,
        header.mode,
        _decimal(pax, b"uid", header.uid),
        _decimal(pax, b"gid", header.gid),
        0 if header.kind in _WITHOUT_BODY else _decimal(pax, b"size", header.size),
        _nanoseconds(pax[b"mtime"]) if b"mtime" in pax else header.mtime,
        pax.get(b"linkpath") or (header.link if long_link is None else long_link),
        {key[13:]: value for key, value in pax.items() if key.startswith(b"SCHILY.xattr.")},
        header.device,
    )
    return _typed(entry)


def _typed(entry: Entry) -> Entry:
    """Old archives say of a directory that it is a file with a slash at the end. Only of a whole
    name: a header's hundred bytes of a longer one may end with any of its slashes."""
    if entry.kind == FILE and entry.name[-1:] == b"/":
        return entry._replace(kind=DIRECTORY, size=0)
    return entry


def _decimal(pax: dict[bytes, bytes], key: bytes, default: int) -> int:
    text = pax.get(key)
    if not text:
        return default
    if not text.isdigit() or len(text) > 19 or (value := int(text)) >= _LARGEST:
        raise BadLayer(f"a PAX record with a wrong {key.decode()}")
    return value


def _nanoseconds(text: bytes) -> int:
    """A PAX time, seconds with any number of decimals, possibly negative."""
    digits = text.removeprefix(b"-")
    whole, _, fraction = digits.partition(b".")
    if len(digits) > 40 or not whole.isdigit() or (fraction and not fraction.isdigit()):
        raise BadLayer("a PAX record with a wrong mtime")
    value = int(whole) * 1_000_000_000 + int(fraction[:9].ljust(9, b"0"))
    return -value if text[:1] == b"-" else value
