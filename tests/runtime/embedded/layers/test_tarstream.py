"""The archive reader: what honest tools write is read, lies are refused, sizes are bounded."""

import io
import os
import subprocess
import tarfile
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.embedded.layers.faults import BadLayer, LayerTooLarge
from runtime.embedded.layers.tarstream import DIRECTORY, FILE, Bytes, Entry, TarStream
from tests.runtime.embedded.layers import tars
from tests.runtime.embedded.layers.tars import archive, member, octal
from tests.runtime.embedded.layers.unpacking import pieces


def entries(data: bytes, *, piece: int = 1 << 16, most: int = 1000) -> list[tuple[Entry, bytes]]:
    stream = TarStream(Bytes(pieces(data, piece)), most_entries=most)
    return [(entry, b"".join(bytes(part) for part in stream.pieces())) for entry in stream]


def only(data: bytes) -> Entry:
    found = entries(data)
    assert len(found) == 1
    return found[0][0]


@pytest.mark.parametrize("piece", [1, 7, 511, 512, 513, 4096, 1 << 20])
def test_content_is_the_same_however_the_bytes_arrive(piece: int) -> None:
    data = archive(
        tars.directory(b"a/"), member(b"a/b", body=b"x" * 1000), tars.symlink(b"a/c", b"b")
    )
    found = entries(data, piece=piece)
    assert [(e.name, e.kind, body) for e, body in found] == [
        (b"a/", b"5", b""),
        (b"a/b", b"0", b"x" * 1000),
        (b"a/c", b"2", b""),
    ]
    assert (found[1][0].mode, found[1][0].mtime) == (0o644, tars.MTIME * 1_000_000_000)


@pytest.mark.parametrize(
    ("what", "data", "name"),
    [
        ("a prefix", member(b"name", prefix=b"some/where"), b"some/where/name"),
        ("GNU long name", tars.long_name(b"n" * 300) + member(b"short"), b"n" * 300),
        ("PAX path", tars.pax({b"path": b"p" * 300}) + member(b"short"), b"p" * 300),
        ("PAX before GNU", tars.pax({b"path": b"p"}) + tars.long_name(b"g") + member(b"s"), b"p"),
        ("bytes that are no text", member(b"\xff\x1b\n"), b"\xff\x1b\n"),
        (
            "a PAX path of 1 MB",
            tars.pax({b"path": b"d/" * 500_000}) + member(b"s"),
            b"d/" * 500_000,
        ),
    ],
)
def test_names(what: str, data: bytes, name: bytes) -> None:
    assert only(archive(data)).name == name


def test_what_a_pax_header_may_say() -> None:
    records = {
        b"uid": b"4000000000",
        b"gid": b"7",
        b"mtime": b"1.25",
        b"size": b"3",
        b"linkpath": b"ignored",
        b"SCHILY.xattr.user.a": b"line\nbreak=\0",
        b"comment": b"nothing",
    }
    data = archive(tars.pax(records) + member(b"f", size=octal(0, 12)) + tars.padded(b"abc"))
    entry, body = entries(data)[0]
    assert (entry.uid, entry.gid, entry.mtime, body) == (4_000_000_000, 7, 1_250_000_000, b"abc")
    assert entry.xattrs == {b"user.a": b"line\nbreak=\0"}


def test_a_pax_header_counts_for_one_entry_only() -> None:
    data = archive(tars.pax({b"path": b"long", b"uid": b"5"}) + member(b"a"), member(b"b"))
    assert [(e.name, e.uid) for e, _ in entries(data)] == [(b"long", 5), (b"b", 0)]


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [(b"-1.5", -1_500_000_000), (b"0", 0), (b"3.1234567890123", 3_123_456_789)],
)
def test_times(text: bytes, nanoseconds: int) -> None:
    assert only(archive(tars.pax({b"mtime": text}) + member(b"a"))).mtime == nanoseconds


def test_an_old_directory_is_a_file_with_a_slash() -> None:
    assert only(archive(member(b"d/", kind=b"\0"))).kind == DIRECTORY
    assert only(archive(member(b"f", kind=b"7"))).kind == FILE


@pytest.mark.parametrize("tail", [b"", bytes(512), bytes(1024), bytes(10240)])
def test_an_archive_may_end_with_or_without_its_mark(tail: bytes) -> None:
    assert [e.name for e, _ in entries(member(b"a") + tail)] == [b"a"]


REFUSED = {
    "a checksum that is wrong": member(b"a", checksum=b"0000000 "),
    "a size in C's notation": member(b"a", size=b"0o777\0\0\0\0\0\0\0"),
    "a size with a sign": member(b"a", size=b"-0000000001\0"),
    "a size with an underscore": member(b"a", size=b"0000000_001\0"),
    "a size that is text": member(b"a", size=b"hello world\0"),
    "a negative size in base 256": member(b"a", size=tars.base256(-1, 12)),
    "a size of 2^63": member(b"a", size=tars.base256(1 << 63, 12)),
    "a negative PAX size": tars.pax({b"size": b"-1"}) + member(b"a"),
    "a PAX size beyond 63 bits": tars.pax({b"size": b"9223372036854775808"}) + member(b"a"),
    "an endless PAX size": tars.pax({b"size": b"1" * 5000}) + member(b"a"),
    "a PAX size that is text": tars.pax({b"size": b"1_0"}) + member(b"a"),
    "a PAX time that is text": tars.pax({b"mtime": b"nan"}) + member(b"a"),
    "a GNU sparse file": member(b"a", kind=b"S"),
    "a PAX sparse file": tars.pax({b"GNU.sparse.realsize": b"8000000000000000000"}) + member(b"a"),
    "a PAX record without length": member(b"p", kind=b"x", body=b"path=x\n") + member(b"a"),
    "a PAX record longer than all": member(b"p", kind=b"x", body=b"99 path=x\n") + member(b"a"),
    "a PAX record of length 0": member(b"p", kind=b"x", body=b"0 path=x\n") + member(b"a"),
    "a PAX record without value": member(b"p", kind=b"x", body=b"7 path\n") + member(b"a"),
    "a PAX record that ends early": member(b"p", kind=b"x", body=b"8 path=xy\n") + member(b"a"),
    "an attribute's name with a zero byte": tars.pax({b"SCHILY.xattr.user.a\0b": b"v"})
    + member(b"a"),
    "a header that is cut": member(b"a")[:300],
    "a body that is cut": member(b"a", body=b"x" * 900)[:1200],
    "an extended header that is cut": member(b"p", kind=b"x", body=b"x" * 900)[:1000],
    "half an end mark": bytes(512) + member(b"a"),
    "2 MB of extended header": member(b"p", kind=b"x", size=octal(2 << 20, 12)),
    "a long name of 2 MB": member(b"l", kind=b"L", size=octal(2 << 20, 12)),
    "100,000 headers before an entry": tars.pax({b"a": b"b"}) * 100_000 + member(b"a"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_refused(what: str) -> None:
    with pytest.raises(BadLayer):
        entries(REFUSED[what])


def test_the_number_of_entries_is_bounded() -> None:
    with pytest.raises(LayerTooLarge):
        entries(archive(*[member(b"a")] * 11), most=10)


def test_zeros_without_end_are_not_read() -> None:
    def endless() -> Iterator[bytes]:
        yield archive(member(b"a"))
        while True:
            yield bytes(1 << 20)

    with pytest.raises(LayerTooLarge):
        list(TarStream(Bytes(endless()), most_entries=10))


def test_a_hundred_thousand_entries_cost_no_memory() -> None:
    def many() -> Iterator[bytes]:
        block = member(b"a/b/c")
        for _ in range(1000):
            yield block * 100

    stream = TarStream(Bytes(many()), most_entries=1_000_000)
    tracemalloc.start()
    try:
        assert sum(1 for _ in stream) == 100_000
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("form", ["ustar", "gnu", "pax", "v7", "oldgnu"])
def test_what_gnu_tar_writes(tmp_path: Path, form: str) -> None:
    source = tmp_path / "source"
    deep = source / ("d" * 60) / ("e" * 20)
    deep.mkdir(parents=True)
    (deep / "file").write_bytes(b"content" * 1000)
    (source / "link").symlink_to("d")
    (source / "empty").touch()
    made = subprocess.run(
        ["tar", f"--format={form}", "-C", source, "-cf", "-", "."],
        capture_output=True,
        check=True,
    )
    with tarfile.open(fileobj=io.BytesIO(made.stdout)) as tar:
        expected = [(m.name, m.mode, m.size, m.linkname, m.isdir()) for m in tar]
    found = [
        (e.name.decode().rstrip("/"), e.mode, e.size, e.link.decode(), e.kind == DIRECTORY)
        for e, _ in entries(made.stdout)
    ]
    assert found == expected


CUT = b"d" * 99 + b"/file"  # of a header's hundred bytes the last is the slash


@pytest.mark.parametrize(
    "said",
    [
        tars.long_name(CUT) + member(CUT[:100], body=b"content"),
        tars.pax({b"path": CUT}) + member(CUT[:100], body=b"content"),
        tars.pax({b"path": CUT, b"size": b"7"}) + member(CUT[:100], body=b"content"),
    ],
)
def test_a_slash_where_a_long_name_is_cut_makes_no_directory(said: bytes) -> None:
    found = [(e.name, e.kind, body) for e, body in entries(archive(said, member(b"next")))]
    assert found == [(CUT, FILE, b"content"), (b"next", FILE, b"")]


@pytest.mark.parametrize("form", ["ustar", "gnu", "pax", "oldgnu"])
def test_what_gnu_tar_writes_of_names_that_are_cut_at_a_slash(tmp_path: Path, form: str) -> None:
    place = tmp_path / os.fsdecode(CUT)
    place.parent.mkdir()
    place.write_bytes(b"content")
    made = subprocess.run(
        ["tar", f"--format={form}", "-C", tmp_path, "-cf", "-", os.fsdecode(CUT)],
        capture_output=True,
        check=True,
    )
    assert [(e.name, e.kind, body) for e, body in entries(made.stdout)] == [(CUT, FILE, b"content")]


def test_a_long_name_that_ends_in_a_slash_is_a_directory() -> None:
    data = archive(tars.long_name(CUT + b"/") + member(CUT[:99]), member(b"next"))
    assert [(e.name, e.kind) for e, _ in entries(data)] == [
        (CUT + b"/", DIRECTORY),
        (b"next", FILE),
    ]


names = st.binary(min_size=1, max_size=300).map(
    lambda b: b.replace(b"\0", b"x").strip(b"/") or b"x"
)


@given(st.lists(st.tuples(names, st.binary(max_size=2000)), max_size=5), st.integers(1, 3000))
def test_what_is_written_is_read_again(files: list[tuple[bytes, bytes]], piece: int) -> None:
    data = archive(*(tars.pax({b"path": n}) + member(b"x", body=b) for n, b in files))
    assert [(e.name, body) for e, body in entries(data, piece=piece)] == files


@given(st.binary(max_size=3000))
def test_garbage_is_refused_and_never_worse(data: bytes) -> None:
    try:
        entries(data)
    except (BadLayer, LayerTooLarge):
        pass
