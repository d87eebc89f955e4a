"""Archives that are small on the wire and enormous when believed, as streams of pieces.

`python -m tests.runtime.embedded.layers.bombs NAME FOLDER` unpacks one below FOLDER and says as
JSON how that ended and what it cost.
"""

import bz2
import json
import lzma
import os
import resource
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

from runtime.embedded.layers.extract import Limits, extract
from runtime.embedded.layers.streams import ahead, bounded, plain
from runtime.errors import Fault
from tests.runtime.embedded.layers import tars

ADDRESSES = 1 << 30  # bytes of address space: who runs away is stopped
PLAIN_BYTES = 128 << 20  # what an archive may become, here
ENTRIES = 5_000
HUGE = tars.member(b"f", size=tars.base256(100 << 30, 12))
_MEBIBYTE = 1 << 20


def zeros(size: int, *, member: int) -> Iterator[bytes]:
    """``size`` zeros as gzip, in members of ``member`` bytes each: a thousandth of that."""
    packer = zlib.compressobj(9, wbits=31)
    whole = packer.compress(bytes(member)) + packer.flush()
    for _ in range(size // member):
        yield whole


def packed(pieces: Iterator[bytes]) -> Iterator[bytes]:
    packer = zlib.compressobj(1, wbits=31)
    for piece in pieces:
        yield packer.compress(piece)
    yield packer.flush()


def one_member() -> Iterator[bytes]:
    """A file of 100 GB in one run of zeros."""
    yield from packed(iter([tars.member(b"f", size=tars.base256(100 << 30, 12))]))
    yield from zeros(100 << 30, member=256 << 20)


def many_members() -> Iterator[bytes]:
    yield from packed(iter([tars.member(b"f", size=tars.base256(100 << 30, 12))]))
    yield from zeros(100 << 30, member=_MEBIBYTE)


def tail() -> Iterator[bytes]:
    """An honest archive, and zeros behind its end."""
    yield from packed(iter([tars.archive(tars.member(b"a"))]))
    yield from zeros(100 << 30, member=64 << 20)


def nothing_but_zeros() -> Iterator[bytes]:
    """As fallocate(1) makes them: an archive that ends at once."""
    while True:
        yield bytes(_MEBIBYTE)


def gzip_within_gzip() -> Iterator[bytes]:
    yield from packed(zeros(4 << 30, member=_MEBIBYTE))


def one_header_of_a_gigabyte() -> Iterator[bytes]:
    yield tars.member(b"p", kind=b"x", size=tars.octal(1 << 30, 12))
    yield from (b"x" * _MEBIBYTE for _ in range(1 << 10))


def a_long_name_of_a_gigabyte() -> Iterator[bytes]:
    yield tars.member(b"p", kind=b"L", size=tars.octal(1 << 30, 12))
    yield from (b"x" * _MEBIBYTE for _ in range(1 << 10))


def headers_before_one_entry() -> Iterator[bytes]:
    for _ in range(100_000):
        yield tars.pax({b"comment": b"x" * 1000})
    yield tars.archive(tars.member(b"a"))


def a_header_of_many_records() -> Iterator[bytes]:
    """The most that one entry may say of itself, again and again."""
    for turn in range(16):
        records = {b"%x" % (turn << 20 | number): b"" for number in range(80_000)}
        yield tars.pax(records)
    yield tars.archive(tars.member(b"a"))


def attributes_without_end() -> Iterator[bytes]:
    for _ in range(100):
        yield tars.pax({b"SCHILY.xattr.user.%x" % n: b"x" * 100 for n in range(5000)})
        yield tars.member(b"a")


def _deep(length: int) -> bytes:
    return b"/".join([b"d" * 250] * (length // 251))


def long_names_of_directories() -> Iterator[bytes]:
    """They must be remembered until the end, for the directories' times."""
    above = _deep(200_000)
    for number in range(4000):
        yield tars.pax({b"path": b"%s/%d" % (above, number)}) + tars.directory(b"x")
    yield tars.archive()


def default_acls_of_directories() -> Iterator[bytes]:
    """They must be remembered until the end, too."""
    for number in range(4000):
        yield tars.pax({b"SCHILY.xattr.system.posix_acl_default": bytes(500_000)})
        yield tars.directory(b"%d" % number)


def long_names_of_whiteouts() -> Iterator[bytes]:
    above = _deep(200_000)
    for number in range(4000):
        yield tars.pax({b"path": b"%s/.wh.%d" % (above, number)}) + tars.whiteout(b"x")
    yield tars.archive()


def many_entries() -> Iterator[bytes]:
    for number in range(2_000_000):
        yield tars.member(b"%d" % number)


def many_directories() -> Iterator[bytes]:
    for number in range(2_000_000):
        yield tars.directory(b"%d" % number)


def few_names_that_need_many_directories() -> Iterator[bytes]:
    for number in range(2000):
        yield tars.pax({b"path": b"%d/" % number + b"d/" * 900 + b"f"}) + tars.member(b"x")


def bzip2_streams() -> Iterator[bytes]:
    """A millionth of what it becomes: a hundred gigabytes in less than 100 KB."""
    yield bz2.compress(HUGE)
    whole = bz2.compress(bytes(64 * _MEBIBYTE))
    yield from (whole for _ in range((100 << 30) // (64 * _MEBIBYTE)))


def xz_streams() -> Iterator[bytes]:
    yield lzma.compress(HUGE, preset=0)
    whole = lzma.compress(bytes(64 * _MEBIBYTE), preset=0)
    yield from (whole for _ in range((100 << 30) // (64 * _MEBIBYTE)))


def _zstd(window: int, *blocks: tuple[int, int, bytes]) -> bytes:
    """A zstd frame (RFC 8878): blocks as (type, size, content), the window as a power of two."""
    frame = b"\x28\xb5\x2f\xfd\0" + bytes([(window - 10) << 3])
    return frame + b"".join(
        (kind << 1 | size << 3).to_bytes(3, "little") + content for kind, size, content in blocks
    )


def zstd_blocks() -> Iterator[bytes]:
    """One byte that is to be repeated, again and again: 100 GB in three megabytes."""
    yield _zstd(17, (0, len(HUGE), HUGE))
    block = (1 << 1 | (1 << 17) << 3).to_bytes(3, "little") + b"\0"
    yield from (block * 1000 for _ in range((100 << 30) // (1000 << 17)))


def zstd_window_of_two_gigabytes() -> Iterator[bytes]:
    """Who gives the decoder what it asks for has given two gigabytes."""
    yield _zstd(31, (0, len(HUGE), HUGE))
    block = (1 << 1 | (1 << 17) << 3).to_bytes(3, "little") + b"\0"
    yield from (block * 1000 for _ in range((4 << 30) // (1000 << 17)))


def xz_dictionary_of_a_gigabyte() -> Iterator[bytes]:
    """Written by hand: the dictionary's size is a number in the block's header."""
    small = bytearray(lzma.compress(HUGE, preset=0, check=lzma.CHECK_NONE))
    header = bytearray(small[12 : 12 + (small[12] + 1) * 4])
    header[header.index(b"\x21\x01") + 2] = 36  # 2^30, LZMA2's way to write it
    header[-4:] = zlib.crc32(header[:-4]).to_bytes(4, "little")
    small[12 : 12 + len(header)] = header
    yield bytes(small)


def sparse() -> Iterator[bytes]:
    """8 EiB of holes, in GNU's two forms; PAX first."""
    yield tars.pax({b"GNU.sparse.major": b"1", b"GNU.sparse.realsize": b"9223372036854775807"})
    yield tars.archive(tars.member(b"a", body=b"1\n0\n0\n"))


def old_sparse() -> Iterator[bytes]:
    yield tars.archive(tars.member(b"a", kind=b"S", size=tars.base256(8 << 30, 12)))


BOMBS: dict[str, Callable[[], Iterator[bytes]]] = {
    made.__name__: made
    for made in (
        one_member,
        many_members,
        tail,
        nothing_but_zeros,
        gzip_within_gzip,
        one_header_of_a_gigabyte,
        a_long_name_of_a_gigabyte,
        headers_before_one_entry,
        a_header_of_many_records,
        attributes_without_end,
        long_names_of_directories,
        default_acls_of_directories,
        long_names_of_whiteouts,
        many_entries,
        many_directories,
        few_names_that_need_many_directories,
        bzip2_streams,
        xz_streams,
        xz_dictionary_of_a_gigabyte,
        zstd_blocks,
        zstd_window_of_two_gigabytes,
        sparse,
        old_sparse,
    )
}


def main(name: str, folder: Path) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESSES, ADDRESSES))
    fds = []
    for part in ("root", "aside"):
        (folder / part).mkdir()
        fds.append(os.open(folder / part, os.O_RDONLY))
    began = time.monotonic()
    archive = bounded(plain(ahead(BOMBS[name]())), lambda: PLAIN_BYTES)
    fault, why = "", ""
    try:
        extract(ahead(archive), fds[0], fds[1], Limits(entries=ENTRIES))
    except (Fault, OSError) as error:
        fault, why = type(error).__name__, str(error)
    took = time.monotonic() - began
    print(json.dumps({"fault": fault, "why": why, "seconds": took, "peak": _peak()}))


def _peak() -> int:
    """The most memory that was ever in use, in MB. The kernel's ru_maxrss would count the
    process that started us, too."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) >> 10


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
