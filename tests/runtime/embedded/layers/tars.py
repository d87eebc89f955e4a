"""Tar archives by hand: every field can be given a value that no honest tool writes."""

from collections.abc import Mapping

MTIME = 1_700_000_000


def octal(value: int, width: int) -> bytes:
    return b"%0*o\0" % (width - 1, value)


def base256(value: int, width: int) -> bytes:
    """GNU's form of numbers that octal digits cannot hold."""
    raw = value.to_bytes(width, "big", signed=True)
    return bytes([raw[0] | 0x80]) + raw[1:]


def member(
    name: bytes,
    *,
    kind: bytes = b"0",
    body: bytes = b"",
    link: bytes = b"",
    mode: int = 0o644,
    uid: int = 0,
    gid: int = 0,
    mtime: int = MTIME,
    size: bytes | None = None,
    prefix: bytes = b"",
    checksum: bytes | None = None,
    device: tuple[int, int] | None = None,
) -> bytes:
    """A header and its padded body. ``size`` and ``checksum`` are the raw fields, for lies."""
    numbers = bytes(16) if device is None else octal(device[0], 8) + octal(device[1], 8)
    fields = [
        name.ljust(100, b"\0")[:100],
        octal(mode, 8),
        octal(uid, 8),
        octal(gid, 8),
        size if size is not None else octal(len(body), 12),
        octal(mtime, 12),
        b" " * 8,
        kind,
        link.ljust(100, b"\0")[:100],
        b"ustar\00000",
        bytes(32 + 32),
        numbers,
        prefix.ljust(155, b"\0"),
        bytes(12),
    ]
    block = b"".join(fields)
    total = b"%06o\0 " % sum(block) if checksum is None else checksum
    return block[:148] + total + block[156:] + padded(body)


def padded(body: bytes) -> bytes:
    return body + bytes(-len(body) % 512)


def directory(name: bytes, **fields: int) -> bytes:
    return member(name, kind=b"5", **{"mode": 0o755, **fields})  # type: ignore[arg-type]


def symlink(name: bytes, target: bytes) -> bytes:
    return member(name, kind=b"2", link=target, mode=0o777)


def hardlink(name: bytes, target: bytes) -> bytes:
    return member(name, kind=b"1", link=target)


def device(name: bytes, kind: bytes, major: int, minor: int, **fields: int) -> bytes:
    """A node; ``kind`` is 3 (characters) or 4 (blocks)."""
    block = bytearray(member(name, kind=kind, **fields))  # type: ignore[arg-type]
    block[329:345] = octal(major, 8) + octal(minor, 8)
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def whiteout(name: bytes) -> bytes:
    return member(name)


def pax(records: Mapping[bytes, bytes]) -> bytes:
    """A PAX header for the entry that follows."""
    return member(b"pax", kind=b"x", body=b"".join(record(k, v) for k, v in records.items()))


def record(key: bytes, value: bytes) -> bytes:
    """``length key=value\\n``, the length counting itself."""
    rest = b" %s=%s\n" % (key, value)
    length = len(rest)
    while len(b"%d" % length) + len(rest) != length:
        length = len(b"%d" % length) + len(rest)
    return b"%d%s" % (length, rest)


def long_name(name: bytes) -> bytes:
    return member(b"././@LongLink", kind=b"L", body=name + b"\0")


def archive(*members: bytes) -> bytes:
    return b"".join(members) + bytes(1024)
