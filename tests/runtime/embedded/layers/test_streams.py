"""Streams between threads: inflating with bounds, failing in the right place, ending."""

import gzip
import os
import threading
import time
import tracemalloc
import zlib
from collections.abc import Iterator

import pytest

from runtime.embedded.layers import streams
from runtime.embedded.layers.faults import BadLayer, LayerTooLarge
from runtime.embedded.layers.streams import Hashed, ahead, bounded, inflated, plain
from tests.runtime.embedded.layers.unpacking import pieces

DATA = os.urandom(300_000) + bytes(700_000) + b"end"


@pytest.fixture(params=["isal", "zlib"])
def inflater(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways to inflate: a processor without a wheel of isal has zlib."""
    if request.param == "zlib":
        monkeypatch.setattr(streams, "_inflater", streams._StandardInflater)
        monkeypatch.setattr(streams, "_ERRORS", (zlib.error,))
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


@pytest.mark.parametrize(
    ("magic", "name"), [(b"\x28\xb5\x2f\xfd", "zstd"), (b"\xfd7zXZ\0", "xz"), (b"BZh91AY", "bzip2")]
)
def test_other_compressions_are_named(magic: bytes, name: str) -> None:
    with pytest.raises(BadLayer, match=name):
        list(plain(pieces(magic + b"x" * 100, 50)))


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
