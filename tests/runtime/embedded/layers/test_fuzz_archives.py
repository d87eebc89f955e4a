"""Archives made of hostile parts, and damaged ones: an unpacking refuses or stays inside, soon."""

import gzip
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import strategies as st

from runtime.embedded.layers.extract import Limits
from runtime.embedded.layers.faults import BadLayer, LayerTooLarge
from runtime.embedded.layers.streams import bounded, plain
from runtime.embedded.layers.tarstream import Bytes, TarStream
from runtime.embedded.linux import files
from tests.fuzzing import depths, tried
from tests.runtime.embedded.layers import tars
from tests.runtime.embedded.layers.unpacking import Place, make_place, pieces, traces

LIMITS = Limits(size=1 << 20, entries=200)
TOP = Path(f"/tmp/trueup-fuzz-{os.getpid()}")
CANARY = os.fsencode(TOP / "canary")

MARKS = [b".wh.a", b".wh.secret", b".wh..wh..opq", b".wh.", b".wh...", b".wh..wh.plnk"]
parts = st.sampled_from(
    [b"a", b"b", b"d", b"l", b"..", b".", b"", b"secret", b"folder", b"\xff\n", b"x" * 255, *MARKS]
)
names = st.one_of(
    st.lists(parts, min_size=1, max_size=4).map(b"/".join),
    st.sampled_from([b"/", b"./", CANARY, CANARY + b"/secret", b"l/" + b"a/" * 300 + b"b"]),
    st.binary(max_size=40),
)
links = st.one_of(
    names,
    st.one_of(st.integers(0, 20), st.integers(1320, 1360)).map(
        lambda ups: (b"../" * ups + CANARY)[:4095]
    ),
    st.sampled_from([b"/proc/self/root", b"/proc/self/cwd", b"/", b"../..", CANARY + b"/program"]),
)
kinds = st.sampled_from([b"0", b"5", b"2", b"1", b"6", b"3", b"4", b"7", b"\0", b"5", b"2", b"1"])
keys = st.sampled_from(
    [b"size", b"uid", b"gid", b"mtime", b"comment", b"GNU.sparse.major"]
    + [b"SCHILY.xattr." + key for key in (b"user.a", b"trusted.overlay.redirect", b"security.x")]
)
records = st.dictionaries(keys, st.one_of(st.binary(max_size=20), st.just(b"7")), max_size=3)


@st.composite
def entries(draw: st.DrawFn) -> bytes:
    """One entry with its extended headers; sometimes with a number that lies."""
    said = {**draw(records), b"path": draw(names), b"linkpath": draw(links)}
    header = tars.pax(said) if draw(st.booleans()) else b""
    if draw(st.integers(0, 9)) == 0:
        header += tars.long_name(draw(names))
    lie = draw(st.one_of(st.none(), st.none(), st.binary(min_size=12, max_size=12)))
    return header + tars.member(
        draw(names),
        kind=draw(kinds),
        body=draw(st.binary(max_size=600)),
        link=draw(links)[:100],
        mode=draw(st.integers(0, 0o7777)),
        uid=draw(st.sampled_from([0, 5, 0o7777777])),
        size=lie,
    )


@st.composite
def led_away(draw: st.DrawFn) -> list[bytes]:
    """A link, and entries that go through it."""
    link = tars.pax({b"linkpath": draw(links)}) + tars.symlink(b"l", b"")
    below = draw(st.lists(st.tuples(names, kinds), min_size=1, max_size=3))
    through = [
        tars.pax({b"path": b"l/" + name, b"linkpath": b"l/secret"}) + tars.member(b"x", kind=kind)
        for name, kind in below
    ]
    return [link, *through, *draw(st.lists(entries(), max_size=3))]


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """An archive with bytes changed, cut out or put in; the sums of its headers are mended, so
    that the damage is looked at."""
    data = bytearray(tars.archive(*draw(st.lists(entries(), min_size=1, max_size=6))))
    for _ in range(draw(st.integers(0, 6))):
        place = draw(st.integers(0, len(data) - 1))
        match draw(st.integers(0, 3)):
            case 0:
                del data[place : place + draw(st.sampled_from([1, 512]))]
            case 1:
                data[place:place] = draw(st.binary(max_size=512))
            case _:
                data[place] = draw(st.integers(0, 255))
        if len(data) < 1024:
            break
    for start in range(0, len(data) - 511, 512):
        block = data[start : start + 512]
        if block[257:262] == b"ustar":
            total = sum(block) - sum(block[148:156]) + 256
            data[start + 148 : start + 156] = b"%06o\0 " % (total % (1 << 18))
    return bytes(data)


@pytest.fixture
def canary() -> Iterator[Path]:
    """Beside it, archives are unpacked; afterwards it must be as it was."""
    TOP.mkdir()
    try:
        made = make_place(TOP)
        before = traces(made.canary)
        yield made.canary
        assert traces(made.canary) == before
    finally:
        files.remove(TOP)


@pytest.mark.root
@depths
@pytest.mark.parametrize(
    "made",
    [st.lists(entries(), max_size=12), led_away(), damaged()],
    ids=["made", "led", "cut"],
)
def test_whatever_an_archive_says_it_stays_inside(
    canary: Path, made: st.SearchStrategy[object], examples: int
) -> None:
    before = traces(canary)
    place = Place(root=TOP / "stage" / "root", canary=canary)

    def check(drawn: bytes | list[bytes]) -> None:
        data = drawn if isinstance(drawn, bytes) else tars.archive(*drawn)
        with suppress(BadLayer, LayerTooLarge):
            place.unpack(data, limits=LIMITS)
        assert traces(canary) == before
        assert sorted(os.listdir(TOP)) == ["canary", "stage"]
        assert sorted(os.listdir(TOP / "stage")) == ["aside", "root"]
        assert os.listdir(TOP / "stage/aside") == []
        for folder in (place.root, TOP / "stage/aside"):
            files.remove(folder)
            folder.mkdir()

    tried(made, check, examples)


def read(data: bytes) -> None:
    with suppress(BadLayer, LayerTooLarge):
        limited = bounded(plain(pieces(data, 4096)), lambda: 1 << 20)
        for _ in TarStream(Bytes(limited), most_entries=1000):
            pass


@depths
def test_any_bytes_are_read_or_refused(examples: int) -> None:
    tried(st.one_of(st.binary(max_size=5000), damaged()), read, examples)


@depths
def test_any_damage_of_a_compressed_layer_is_found_or_harmless(examples: int) -> None:
    whole = gzip.compress(tars.archive(*[tars.member(b"a", body=os.urandom(700))] * 3), mtime=0)

    def check(change: tuple[int, bytes, int]) -> None:
        place, put, gone = change
        place %= len(whole)
        read(whole[:place] + put + whole[place + gone :])

    changes = st.tuples(st.integers(0, 1 << 16), st.binary(max_size=30), st.integers(0, 60))
    tried(changes, check, examples)
