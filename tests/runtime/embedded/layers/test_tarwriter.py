"""What is written is read as the same by us and by others."""

import os
import subprocess
import tarfile
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.embedded.layers import tarstream
from runtime.embedded.layers.tarstream import Bytes, Entry, TarStream
from runtime.embedded.layers.tarwriter import TarWriter, headers, plain_file

SECOND = 1_000_000_000
FILLED = Entry(
    b"usr/bin/ping", b"0", 0o755, 7, 8, 5, 1_700_000_000 * SECOND, b"",
    {b"security.capability": b"\1\0\0\2\n=", b"user.a": b""},
)  # fmt: skip


def made(path: Path, members: Sequence[tuple[Entry, bytes]]) -> bytes:
    with path.open("wb") as file:
        writer = TarWriter(file.fileno())
        for entry, content in members:
            writer.entry(entry)
            writer.write(content)
        writer.close()
    return path.read_bytes()


def read(archive: bytes) -> list[tuple[Entry, bytes]]:
    stream = TarStream(Bytes(iter([archive])), most_entries=1000)
    return [(entry, bytes(stream.whole())) for entry in stream]


names = st.binary(min_size=1, max_size=300).filter(lambda name: b"\0" not in name)
keys = st.binary(min_size=1, max_size=50).filter(lambda key: not set(key) & set(b"\0="))


@st.composite
def members(draw: st.DrawFn) -> tuple[Entry, bytes]:
    kind = draw(st.sampled_from((b"0", b"1", b"2", b"3", b"4", b"5", b"6")))
    content = draw(st.binary(max_size=2000)) if kind == tarstream.FILE else b""
    number = os.makedev(draw(st.integers(0, 0o7777)), draw(st.integers(0, (1 << 20) - 1)))
    name = draw(names)
    return (
        Entry(
            name.rstrip(b"/") + b"x" if kind == tarstream.FILE else name,
            kind,
            draw(st.integers(0, 0o7777)),
            draw(st.integers(0, (1 << 32) - 2)),
            draw(st.integers(0, (1 << 32) - 2)),
            len(content),
            draw(st.integers(-(1 << 40), 1 << 40)) * SECOND,
            draw(names) if kind in (tarstream.HARD_LINK, tarstream.SYMLINK) else b"",
            draw(st.dictionaries(keys, st.binary(max_size=100), max_size=3)),
            number if kind in (tarstream.CHARACTER_DEVICE, tarstream.BLOCK_DEVICE) else 0,
        ),
        content,
    )


@given(st.lists(members(), max_size=5))
def test_what_is_written_is_read_as_it_was(
    tmp_path_factory: pytest.TempPathFactory, given: list[tuple[Entry, bytes]]
) -> None:
    archive = made(tmp_path_factory.getbasetemp() / "written.tar", given)
    assert read(archive) == given
    assert len(archive) % 10240 == 0


def test_the_same_is_written_as_the_same(tmp_path: Path) -> None:
    turned = FILLED._replace(xattrs=dict(reversed(FILLED.xattrs.items())))
    first = made(tmp_path / "a", [(FILLED, b"12345")])
    assert made(tmp_path / "b", [(turned, b"12345")]) == first


def test_others_read_it_as_we_do(tmp_path: Path) -> None:
    long, far = b"d/" * 80 + "ü".encode(), Entry(b"old", b"5", 0o1777, 3 << 21, 0, 0, 0, b"", {})
    given = [
        (FILLED, b"12345"),
        (far._replace(mtime=-SECOND), b""),
        (far._replace(name=b"zero", kind=b"3", mode=0o666, device=os.makedev(1, 5)), b""),
        (far._replace(name=b"link", kind=b"2", link=long), b""),
        (far._replace(name=long, kind=b"1", link=b"usr/bin/ping"), b""),
    ]
    made(tmp_path / "a.tar", given)
    with tarfile.open(tmp_path / "a.tar") as archive:
        found = archive.getmembers()
    assert [
        (os.fsencode(each.name), each.type, each.mode, each.uid, each.mtime) for each in found
    ] == [
        (entry.name, entry.kind, entry.mode, entry.uid, entry.mtime // SECOND) for entry, _ in given
    ]
    assert (found[2].devmajor, found[2].devminor) == (1, 5)
    assert [os.fsencode(found[n].linkname) for n in (3, 4)] == [long, b"usr/bin/ping"]
    listed = subprocess.run(
        ["tar", "--list", "--verbose", "--xattrs", "--numeric-owner", "--utc", "--file=a.tar"],
        cwd=tmp_path, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert listed.stderr == ""
    assert "-rwxr-xr-x* 7/8" in listed.stdout
    words = [line.split()[:5] for line in listed.stdout.splitlines()]
    assert ["drwxrwxrwt", "6291456/0", "0", "1969-12-31", "23:59"] in words
    assert ["crw-rw-rw-", "6291456/0", "1,5", "1970-01-01", "00:00"] in words


def test_a_cut_name_of_a_file_does_not_look_like_a_directory(tmp_path: Path) -> None:
    """There are readers that take a header by its own name, the older ones of ours among them."""
    name = b"d" * 98 + b"//file"
    entry = Entry(name, b"0", 0o644, 0, 0, 7, 0, b"", {})
    archive = made(tmp_path / "a.tar", [(entry, b"content")])
    assert archive[2 * 512 :][:100].rstrip(b"\0") == b"d" * 98
    assert read(archive) == [(entry, b"content")]


def test_more_than_eight_gigabytes_are_said_in_a_record() -> None:
    stream = TarStream(Bytes(iter([headers(plain_file("big", 9 << 30))])), most_entries=9)
    assert next(iter(stream)).size == 9 << 30


@pytest.mark.parametrize("now", [b"1", b"123456789"])
def test_a_file_that_changes_while_it_is_written(tmp_path: Path, now: bytes) -> None:
    place = tmp_path / "log"
    place.write_bytes(now)
    with (tmp_path / "a.tar").open("wb") as out, place.open("rb") as source:
        writer = TarWriter(out.fileno())
        writer.entry(plain_file("log", 5))
        writer.copy(source.fileno())
        writer.member("after", b"sound")
        writer.close()
    contents = [content for _, content in read((tmp_path / "a.tar").read_bytes())]
    assert contents == [now[:5].ljust(5, b"\0"), b"sound"]


def test_content_of_another_size_is_a_mistake(tmp_path: Path) -> None:
    with (tmp_path / "a.tar").open("wb") as out:
        writer = TarWriter(out.fileno())
        writer.entry(plain_file("a", 5))
        with pytest.raises(ValueError, match="1 bytes too many"):
            writer.write(b"123456")
        writer.write(b"123")
        with pytest.raises(ValueError, match="2 bytes of the member before b'b'"):
            writer.member("b", b"")
