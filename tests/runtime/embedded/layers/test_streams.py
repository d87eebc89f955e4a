"""Streams between threads: inflating with bounds, failing in the right place, ending."""

import bz2
import errno
import gzip
import lzma
import os
import threading
import time
import tracemalloc
import zlib
from collections.abc import Callable, Iterator

import pytest
from backports import zstd

from runtime.embedded.layers import streams
from runtime.embedded.layers.faults import BadLayer, LayerTooLarge
from runtime.embedded.layers.streams import (
    Counted,
    Hashed,
    ahead,
    beside,
    bounded,
    inflated,
    owned,
    plain,
)
from tests.runtime.embedded.layers.unpacking import pieces

DATA = os.urandom(300_000) + bytes(700_000) + b"end"


@pytest.fixture(params=["isal", "zlib"])
def inflater(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways to inflate: a processor without a wheel of isal has zlib."""
    if request.param == "zlib":
        standard = (streams._StandardInflater, (zlib.error,))
        monkeypatch.setattr(streams, "_gzip", lambda: standard)
    return str(request.param)


@pytest.mark.parametrize("size", [1000, 65536, 1 << 22])
def test_gzip_is_told_by_its_content(inflater: str, size: int) -> None:
    assert b"".join(plain(pieces(gzip.compress(DATA, 1), size))) == DATA
    assert b"".join(plain(pieces(DATA, size))) == DATA


@pytest.mark.parametrize("size", [1, 2, 5])
def test_tiny_pieces(inflater: str, size: int) -> None:
    assert b"".join(plain(pieces(gzip.compress(b"hello"), size))) == b"hello"
    assert b"".join(plain(pieces(b"hi", size))) == b"hi"
    assert b"".join(plain(pieces(b"", size))) == b""


def test_members_follow_each_other_with_padding(inflater: str) -> None:
    data = gzip.compress(b"one") + gzip.compress(b"two") + bytes(700) + gzip.compress(b"3")
    for size in (3, 100, 10_000):
        assert b"".join(inflated(pieces(data + bytes(9), size))) == b"onetwo3"


@pytest.mark.parametrize("harm", ["cut", "flipped", "garbage", "checksum"])
def test_damage_is_found(inflater: str, harm: str) -> None:
    good = gzip.compress(DATA, 1)
    bad = {
        "cut": good[:-9],
        "flipped": good[:100_000] + bytes([good[100_000] ^ 255]) + good[100_001:],
        "garbage": good + b"garbage that is no member",
        "checksum": good[:-6] + bytes([good[-6] ^ 1]) + good[-5:],
    }[harm]
    with pytest.raises(BadLayer):
        list(inflated(pieces(bad, 65536)))


CHECKSUM = int(zstd.CompressionParameter.checksum_flag)
OTHERS: dict[str, Callable[[bytes], bytes]] = {
    "zstd": lambda data: zstd.compress(data, options={CHECKSUM: 1}),
    "xz": lzma.compress,
    "bzip2": bz2.compress,
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_compressions_are_told_by_their_content(name: str) -> None:
    good = OTHERS[name](DATA[:300_000])
    for size in (7, 65536):
        assert b"".join(plain(pieces(good, size))) == DATA[:300_000]
    assert b"".join(plain(pieces(good + bytes(16), 65536))) == DATA[:300_000]


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("harm", ["cut", "flipped", "garbage", "nothing but magic"])
def test_damage_of_other_compressions_is_found(name: str, harm: str) -> None:
    good = OTHERS[name](DATA[:300_000])
    bad = {
        "cut": good[:-9],
        "flipped": good[:5000] + bytes([good[5000] ^ 255]) + good[5001:],
        "garbage": good + b"garbage that is nothing",
        "nothing but magic": good[:6],
    }[harm]
    with pytest.raises(BadLayer, match=name):
        list(plain(pieces(bad, 65536)))


def test_frames_follow_each_other_also_those_to_be_skipped() -> None:
    skipped = (0x184D2A50).to_bytes(4, "little") + (5).to_bytes(4, "little") + b"hello"
    data = zstd.compress(b"one") + skipped + zstd.compress(b"two")
    for before in (b"", skipped):  # pzstd begins with one
        assert b"".join(plain(pieces(before + data, 4))) == b"onetwo"


def test_a_frame_that_wants_gigabytes_of_memory_is_refused() -> None:
    parameter = zstd.CompressionParameter
    options = {int(parameter.window_log): 30, int(parameter.enable_long_distance_matching): 1}
    compressor = zstd.ZstdCompressor(options=options)
    frame = compressor.compress(bytes(1 << 20)) + compressor.flush()
    with pytest.raises(BadLayer, match="zstd"):
        list(plain(pieces(frame, 65536)))


@pytest.mark.parametrize("name", OTHERS)
def test_bombs_of_other_compressions_come_in_small_pieces(name: str) -> None:
    bomb = OTHERS[name](bytes(64 << 20))
    tracemalloc.start()
    try:
        with pytest.raises(LayerTooLarge):
            for _ in bounded(plain(pieces(bomb, 65536)), lambda: 16 << 20):
                pass
        assert tracemalloc.get_traced_memory()[1] < 16 << 20
    finally:
        tracemalloc.stop()


def test_a_bomb_is_stopped_early_and_in_little_memory(inflater: str) -> None:
    bomb = gzip.compress(bytes(256 << 20), 9)
    tracemalloc.start()
    started = time.monotonic()
    try:
        with pytest.raises(LayerTooLarge):
            for _ in bounded(inflated(pieces(bomb, 65536)), lambda: 64 << 20):
                pass
        assert tracemalloc.get_traced_memory()[1] < 16 << 20
    finally:
        tracemalloc.stop()
    assert time.monotonic() - started < 10


def test_what_is_fetched_ahead_arrives_in_order_and_hashed() -> None:
    hashed = Hashed(pieces(DATA, 999))
    assert b"".join(ahead(iter(hashed))) == DATA
    assert hashed.size == len(DATA)


def test_a_failure_is_raised_where_the_pieces_are_used() -> None:
    def failing() -> Iterator[bytes]:
        yield b"x"
        raise BadLayer("broken")

    stream = ahead(failing())
    assert next(stream) == b"x"
    with pytest.raises(BadLayer, match="broken"):
        next(stream)


def test_who_stops_early_stops_the_source() -> None:
    closed = threading.Event()

    def endless() -> Iterator[bytes]:
        try:
            while True:
                yield bytes(1000)
        finally:
            closed.set()

    stream = ahead(ahead(endless()))
    next(stream)
    stream.close()  # type: ignore[attr-defined]
    assert closed.wait(5)


def test_who_waits_for_pieces_that_do_not_come_may_stop() -> None:
    begun, over = threading.Event(), threading.Event()

    def silent() -> Iterator[bytes]:
        yield b"first"
        begun.set()
        over.wait()

    def still() -> None:
        if begun.is_set():
            raise ValueError("not wanted any more")

    stream = ahead(silent(), still)
    assert next(stream) == b"first"
    with pytest.raises(ValueError, match="not wanted any more"):
        next(stream)
    over.set()


def test_stages_end_with_the_last_of_them_however_long_the_chain_is_known() -> None:
    """A fault's frames keep the objects of a chain; its stages shall not wait for those to go, as
    the garbage collector may end one in the thread that it waits for."""
    closed: list[str] = []

    def source() -> Iterator[bytes]:
        try:
            while True:
                yield gzip.compress(bytes(1000))
        finally:
            closed.append(threading.current_thread().name)

    fetched = ahead(source())
    counted = Counted(fetched)
    hashed = Hashed(bounded(plain(iter(counted)), lambda: 1 << 40))
    read = ahead(iter(hashed))
    with owned(read):
        next(read)
    assert closed == ["pieces"]
    assert next(fetched, None) is None
    assert "pieces" not in {thread.name for thread in threading.enumerate()}


@pytest.mark.parametrize("when", ["at once", "at the end"])
def test_what_fails_beside_is_raised_and_waited_for_by_nobody(when: str) -> None:
    """The last bytes of what is deflated may be those that find the disk full."""

    def use(pieces: Iterator[bytes]) -> None:
        if when == "at the end":
            assert list(pieces) == [b"1", b"2"]
        raise OSError(errno.ENOSPC, "full")

    failed: list[BaseException] = []

    def run() -> None:
        try:
            list(beside(iter([b"1", b"2"]), use))
        except OSError as error:
            failed.append(error)

    running = threading.Thread(target=run, daemon=True)
    running.start()
    running.join(10)
    assert [str(error) for error in failed] == ["[Errno 28] full"]
