"""Bombs: what is small on the wire and enormous when believed ends soon, in little memory."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from runtime.embedded.layers.extract import Limits, extract
from runtime.embedded.layers.faults import BadLayer, LayerTooLarge
from runtime.errors import DiskFull
from tests.eventually import PATIENCE
from tests.runtime.embedded.layers import bombs, tars
from tests.runtime.embedded.layers.unpacking import Place, traces, tree

pytestmark = pytest.mark.root

SECONDS = 10 * PATIENCE
MEGABYTES = 200
SAID = {
    "one_member": "LayerTooLarge: its archive has too many bytes when unpacked",
    "many_members": "LayerTooLarge: its archive has too many bytes when unpacked",
    "tail": "LayerTooLarge: data goes on after the end",
    "nothing_but_zeros": "LayerTooLarge: data goes on after the end",
    "gzip_within_gzip": "BadLayer: a header",
    "one_header_of_a_gigabyte": "BadLayer: extended headers of 1,073,741,824 bytes",
    "a_long_name_of_a_gigabyte": "BadLayer: extended headers of 1,073,741,824 bytes",
    "headers_before_one_entry": "BadLayer: too many extended headers",
    "a_header_of_many_records": "BadLayer: extended headers of",
    "attributes_without_end": "BadLayer: more attributes than the file system takes",
    "long_names_of_directories": "LayerTooLarge: names and ACLs of directories",
    "default_acls_of_directories": "LayerTooLarge: names and ACLs of directories",
    "long_names_of_whiteouts": "LayerTooLarge: names and ACLs of directories",
    "many_entries": "LayerTooLarge: it has too many entries",
    "many_directories": "LayerTooLarge: it has too many entries",
    "few_names_that_need_many_directories": "LayerTooLarge: its names need too many directories",
    "bzip2_streams": "LayerTooLarge: its archive has too many bytes when unpacked",
    "xz_streams": "LayerTooLarge: its archive has too many bytes when unpacked",
    "xz_dictionary_of_a_gigabyte": "BadLayer: its xz compression is damaged",
    "zstd_blocks": "LayerTooLarge: its archive has too many bytes when unpacked",
    "zstd_window_of_two_gigabytes": "BadLayer: its zstd compression is damaged",
    "sparse": "BadLayer: sparse files are not supported",
    "old_sparse": "BadLayer: sparse files are not supported",
}


def test_every_bomb_is_tried() -> None:
    assert SAID.keys() == bombs.BOMBS.keys()


@pytest.mark.parametrize("name", SAID)
def test_it_ends_in_seconds_and_in_little_memory(tmp_path: Path, name: str) -> None:
    (tmp_path / "canary").write_text("untouched")
    (tmp_path / "place").mkdir()
    before = traces(tmp_path / "canary")
    command = [sys.executable, "-m", "tests.runtime.embedded.layers.bombs", name]
    done = subprocess.run(
        [*command, tmp_path / "place"], capture_output=True, text=True, timeout=6 * SECONDS
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    fault, _, why = SAID[name].partition(": ")
    assert (said["fault"], why in said["why"]) == (fault, True), said
    assert said["seconds"] < SECONDS
    assert said["peak"] < MEGABYTES
    assert traces(tmp_path / "canary") == before


@contextmanager
def few_inodes(tmp_path: Path, place: Place, count: int) -> Iterator[Path]:
    """A small ext4 of its own where ``place`` unpacks."""
    image = tmp_path / "stage" / "disk"
    with image.open("wb") as file:
        file.truncate(64 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-m", "0", "-N", str(count), image], check=True)
    below = place.root.parent / "mounted"
    below.mkdir()
    subprocess.run(["mount", "-o", "loop", image, below], check=True)
    try:
        (below / "root").mkdir()
        (below / "aside").mkdir()
        yield below
    finally:
        subprocess.run(["umount", below], check=True)


@pytest.mark.parametrize(
    "make", [tars.member, tars.directory, lambda n: tars.symlink(n, b"x" * 99)]
)
def test_a_disk_without_inodes_is_full(tmp_path: Path, place: Place, make: object) -> None:
    """And no fault of the layer: two million names where two thousand have room."""
    with few_inodes(tmp_path, place, 2000) as mounted:
        data = (make(b"%d" % number) for number in range(2_000_000))  # type: ignore[operator]
        fds = [os.open(mounted / name, os.O_RDONLY) for name in ("root", "aside")]
        try:
            with pytest.raises(OSError, match="No space left") as refused:
                extract(iter(data), fds[0], fds[1], Limits())
            assert not isinstance(refused.value, (BadLayer, LayerTooLarge, DiskFull))
        finally:
            for fd in fds:
                os.close(fd)


def test_attributes_on_a_disk_that_is_full_are_no_fault_of_the_layer(
    tmp_path: Path, place: Place
) -> None:
    with few_inodes(tmp_path, place, 2000) as mounted:
        with suppress(OSError), (mounted / "filler").open("wb", buffering=0) as filler:
            while True:
                filler.write(bytes(1024))
        attribute = tars.pax({b"SCHILY.xattr.user.a": b"x" * 900})
        data = (attribute + tars.member(b"%d" % n) for n in range(100))
        fds = [os.open(mounted / name, os.O_RDONLY) for name in ("root", "aside")]
        try:
            with pytest.raises(OSError, match="No space left"):
                extract(data, fds[0], fds[1], Limits())
        finally:
            for fd in fds:
                os.close(fd)


LIES = {
    "a size in the octal notation of C": tars.member(b"a", size=b"0o777777777\0"),
    "a size of all sevens": tars.member(b"a", size=b"777777777777"),
    "a size below zero": tars.member(b"a", size=tars.base256(-512, 12)),
    "a size beyond 63 bits": tars.member(b"a", size=tars.base256((1 << 63) + 512, 12)),
    "a size that PAX makes small": tars.pax({b"size": b"0"}) + tars.member(b"a", body=b"x" * 600),
    "a size that PAX makes large": tars.pax({b"size": b"99999"}) + tars.member(b"a", body=b"x"),
    "a directory with a body": tars.member(b"d", kind=b"5", size=tars.octal(512, 12)) + b"x" * 512,
    "a link with a body": tars.member(b"d", kind=b"2", link=b"x", body=b"x" * 512),
    "a body that is cut": tars.member(b"a", body=b"x" * 5000)[:3000],
}


@pytest.mark.parametrize("what", LIES)
def test_a_size_that_lies_is_refused(place: Place, what: str) -> None:
    """What follows is then no header: an entry is never found inside another's content."""
    inner = tars.member(b"inner", body=b"evil")
    with pytest.raises((BadLayer, LayerTooLarge)):
        place.unpack(LIES[what] + inner, limits=Limits(size=1 << 20))
    assert "/inner" not in tree(place.root)
