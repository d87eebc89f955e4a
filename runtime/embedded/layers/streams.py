"""Byte streams between threads: fetched ahead, hashed, inflated.

A layer flows through three stages, each in a thread of its own: fetch and hash, inflate and
hash, parse and write. All of them leave the interpreter's lock for their bulk work.
"""

import hashlib
import queue
import sys
import threading
import zlib
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, closing, nullcontext, suppress
from typing import Protocol, TypeVar, cast

from runtime.embedded.layers.faults import BadLayer, LayerTooLarge

Item = TypeVar("Item")

FREE_GROWTH = 1 << 30  # bytes that any archive may be inflated to
MOST_GROWTH = 200  # and so many times its compressed size beyond: deflate's best is 1032

_AHEAD = 8  # pieces that may wait between two stages
_LOOK_EVERY = 0.2  # seconds, whether anybody wants more
_PIECE = 1 << 18
_LARGEST_WINDOW = 128 << 20  # bytes that an archive may make its inflater remember
_MAGICS = {
    b"\x1f\x8b": "gzip",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\xfd7zXZ\0": "xz",
    b"BZh": "bzip2",
}
_SNIFFED = 6
_SKIPPED = b"\x2a\x4d\x18"  # after a byte of 0x5?: a zstd frame to be skipped; pzstd begins so


class Hashed:
    """Passes pieces through; ``digest`` and ``size`` are right once they have ended."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._hash = hashlib.sha256()
        self.size = 0

    def __iter__(self) -> Iterator[bytes]:
        with owned(self._pieces) as pieces:
            for piece in pieces:
                self._hash.update(piece)
                self.size += len(piece)
                yield piece

    @property
    def digest(self) -> str:
        return f"sha256:{self._hash.hexdigest()}"


class Counted:
    """Passes pieces through; ``size`` is what has come so far."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self.size = 0

    def __iter__(self) -> Iterator[bytes]:
        with owned(self._pieces) as pieces:
            for piece in pieces:
                self.size += len(piece)
                yield piece


def owned(pieces: Iterator[bytes]) -> AbstractContextManager[Iterator[bytes]]:
    """Every stage closes the one before it, and who takes the last one closes that. Left to the
    garbage collector a stage would end at any time and in any thread, in one that it waits for,
    too."""
    return closing(pieces) if isinstance(pieces, Generator) else nullcontext(pieces)


def ahead(pieces: Iterator[bytes], still: Callable[[], None] | None = None) -> Iterator[bytes]:
    """Run ``pieces`` in a thread of its own, some pieces ahead of us. What it raises is raised
    here; when we stop early it is closed there. ``still`` is called while nothing comes, and may
    raise."""
    waiting: queue.Queue[bytes | BaseException | None] = queue.Queue(_AHEAD)
    stopped = threading.Event()

    def put(item: bytes | BaseException | None) -> bool:
        while not stopped.is_set():
            with suppress(queue.Full):
                waiting.put(item, timeout=_LOOK_EVERY)
                return True
        return False

    def produce() -> None:
        end: BaseException | None = None
        try:
            with owned(pieces):
                for piece in pieces:
                    if not put(piece):
                        break
        except BaseException as error:  # noqa: BLE001 - raised again where the pieces are used
            end = error
        put(end)

    thread = threading.Thread(target=produce, name="pieces", daemon=True)
    thread.start()
    try:
        while (item := _next(waiting, still)) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        stopped.set()
        thread.join(1.0)  # one that waits for the network ends by its own time-out


def _next(waiting: "queue.Queue[Item]", still: Callable[[], None] | None) -> Item:
    while still is not None:
        with suppress(queue.Empty):
            return waiting.get(timeout=_LOOK_EVERY)
        still()
    return waiting.get()


def beside(pieces: Iterator[bytes], use: Callable[[Iterator[bytes]], None]) -> Iterator[bytes]:
    """Pass pieces through, and give them to ``use`` in a thread of its own as well. At the end we
    wait for it; what it raises is raised here. When we stop early, its pieces end early."""
    waiting: queue.Queue[bytes | None] = queue.Queue(_AHEAD)
    failed: list[BaseException] = []

    def given() -> Iterator[bytes]:
        while (piece := waiting.get()) is not None:
            yield piece

    def work() -> None:
        source = given()
        try:
            use(source)
        except BaseException as error:  # noqa: BLE001 - raised again where the pieces are used
            failed.append(error)
            for _ in source:  # nobody may wait for us; there is nothing more after the end
                pass

    thread = threading.Thread(target=work, name="beside", daemon=True)
    thread.start()
    try:
        with owned(pieces):
            for piece in pieces:
                if failed:
                    break
                waiting.put(piece)
                yield piece
    finally:
        waiting.put(None)
        thread.join()
    if failed:
        raise failed[0]


def bounded(pieces: Iterator[bytes], limit: Callable[[], int]) -> Iterator[bytes]:
    """Pass pieces through up to ``limit()`` bytes. Raises ``LayerTooLarge``."""
    size = 0
    with owned(pieces):
        for piece in pieces:
            size += len(piece)
            if size > (most := limit()):
                raise LayerTooLarge("its archive has too many bytes when unpacked", most)
            yield piece


def compression(first: bytes) -> str:
    """How what begins with these bytes (six will do) is compressed; "" when it is not."""
    if first[1:4] == _SKIPPED and first[0] >> 4 == 5:
        return "zstd"
    return next((name for magic, name in _MAGICS.items() if first.startswith(magic)), "")


def plain(pieces: Iterator[bytes], padded: Callable[[], None] = lambda: None) -> Iterator[bytes]:
    """The archive itself, undone of gzip, zstd, xz or bzip2 where its content says so; ``padded``
    is called of zeros between and after members.

    Raises ``BadLayer`` for a damaged one. What is inside is not looked at again.
    """
    first = b""
    for piece in pieces:
        first += piece
        if len(first) >= _SNIFFED:
            break
    kind = compression(first)
    whole = chained(first, pieces)
    return inflated(whole, kind, padded) if kind else whole


def inflated(
    pieces: Iterator[bytes], kind: str = "gzip", padded: Callable[[], None] = lambda: None
) -> Iterator[bytes]:
    """Undo a compression, any number of members, streams or frames one after the other; the
    output comes in bounded pieces. ``padded`` as for ``plain``."""
    make, errors = _inflating(kind)
    inflater, begun = make(), False
    with owned(pieces):
        for given in pieces:
            piece = given
            while True:
                if inflater.eof:
                    if piece[:1] == b"\0":
                        padded()
                        piece = piece.lstrip(b"\0")
                    if not piece:
                        break
                    inflater, begun = make(), False
                begun = True
                try:
                    out = inflater.decompress(piece, _PIECE)
                except errors as error:
                    raise BadLayer(f"its {kind} compression is damaged ({error})") from error
                if out:
                    yield out
                piece = inflater.unused_data if inflater.eof else b""
                if not inflater.eof and inflater.needs_input:
                    break
    if begun and not inflater.eof:
        raise BadLayer(f"its {kind} compression ends too early")


class _Inflater(Protocol):
    """The interface that isal shares with the standard library's bz2."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int) -> bytes: ...


class _StandardInflater:
    """zlib with that interface: four times slower, and always there."""

    def __init__(self) -> None:
        self._object = zlib.decompressobj(wbits=31)

    @property
    def eof(self) -> bool:
        return self._object.eof

    @property
    def needs_input(self) -> bool:
        return not self._object.unconsumed_tail

    @property
    def unused_data(self) -> bytes:
        return self._object.unused_data

    def decompress(self, data: bytes, max_length: int) -> bytes:
        return self._object.decompress(self._object.unconsumed_tail + data, max_length)


_Inflating = tuple[Callable[[], _Inflater], tuple[type[Exception], ...]]


def _inflating(kind: str) -> _Inflating:
    """How to make an inflater, and what it raises for damaged input."""
    match kind:
        case "gzip":
            return _gzip()
        case "zstd":
            return _zstd()
        case "xz":
            import lzma

            return lambda: lzma.LZMADecompressor(memlimit=_LARGEST_WINDOW), (lzma.LZMAError,)
        case _:
            import bz2

            return bz2.BZ2Decompressor, (OSError, ValueError)


def _gzip() -> _Inflating:
    try:
        from isal import igzip_lib
    except ImportError:  # no wheel for this processor
        return _StandardInflater, (zlib.error,)
    errors = (cast("type[Exception]", igzip_lib.IsalError),)
    return lambda: igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP), errors


def _zstd() -> _Inflating:
    """A frame may ask for a window of gigabytes (RFC 8878, 3.1.1.1.2): that is refused."""
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd
    largest = int(zstd.DecompressionParameter.window_log_max)
    window: dict[int, int] = {largest: _LARGEST_WINDOW.bit_length() - 1}
    return lambda: zstd.ZstdDecompressor(options=window), (zstd.ZstdError,)


def chained(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    """A piece that was taken, and the rest."""
    with owned(rest):
        yield first
        yield from rest
