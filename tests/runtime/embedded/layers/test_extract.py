"""Unpacking: attacks that must not reach the canary, and what honest layers become.

The fixture `place` checks after each test that nothing beside
the layer's root has changed.
"""

import os
import stat
import time
from collections.abc import Callable

import pytest

from runtime.embedded.layers.extract import Limits
from runtime.embedded.layers.faults import BadLayer, LayerTooLarge
from tests.runtime.embedded.layers import tars
from tests.runtime.embedded.layers.tars import (
    archive,
    directory,
    hardlink,
    member,
    octal,
    pax,
    symlink,
    whiteout,
)
from tests.runtime.embedded.layers.unpacking import Place, acl, names, tree

pytestmark = pytest.mark.root

MAKERS = {
    "file": lambda name: member(name),
    "directory": lambda name: directory(name, mode=0o777),
    "link": lambda name: symlink(name, b"target"),
    "hard link": lambda name: hardlink(name, b"there"),
    "whiteout": lambda name: whiteout(name + b"/.wh.x"),
    "pipe": lambda name: member(name, kind=b"6"),
}
OUTSIDE = [b"../x", b"a/../../x", b"./../x", b"a//..//../x", b"..", b"/..", b"a/.."]
INSIDE = [b"/x", b"//x", b"./x", b"././/x", b"/./x/"]


# --- L1: names ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", MAKERS)
@pytest.mark.parametrize("name", OUTSIDE)
def test_a_name_with_dots_is_refused(place: Place, kind: str, name: bytes) -> None:
    with pytest.raises(BadLayer):
        place.unpack(archive(member(b"there"), MAKERS[kind](name)))


@pytest.mark.parametrize("kind", MAKERS)
@pytest.mark.parametrize("name", INSIDE)
def test_a_slash_in_front_means_the_root_of_the_layer(place: Place, kind: str, name: bytes) -> None:
    place.unpack(archive(member(b"there"), MAKERS[kind](name)))
    assert set(names(place.root)) <= {"/there", "/x", "/x/x"}


def test_a_name_with_a_zero_byte_is_refused(place: Place) -> None:
    with pytest.raises(BadLayer):
        place.unpack(archive(pax({b"path": b"a\0b"}), member(b"x")))


# --- L12, L13, L15: sizes -----------------------------------------------------------------------


def test_a_file_beyond_the_budget_is_refused_before_it_is_written(place: Place) -> None:
    data = member(b"big", size=octal(8 << 30, 12)[:12])
    with pytest.raises(LayerTooLarge):
        place.unpack(data + bytes(1 << 20), limits=Limits(size=1 << 20))
    assert not (place.root / "big").exists()


def test_many_files_beyond_the_budget_are_refused(place: Place) -> None:
    with pytest.raises(LayerTooLarge):
        place.unpack(archive(*[member(b"a", body=b"x" * 1000)] * 20), limits=Limits(size=10_000))


def test_a_body_that_no_header_announces_is_no_file(place: Place) -> None:
    with pytest.raises(BadLayer):
        place.unpack(member(b"a", size=octal(0, 12)) + b"x" * 512 + bytes(1024))


def test_an_owner_beyond_32_bits_is_refused(place: Place) -> None:
    for uid in (b"4294967295", b"4294967296", b"9999999999"):
        with pytest.raises(BadLayer):
            place.unpack(archive(pax({b"uid": uid}), member(b"a")))


@pytest.mark.parametrize("mtime", [b"9223372036854775807", b"-99999999999999", b"0", b"-1.5"])
def test_any_time_is_taken_as_far_as_the_file_system_goes(place: Place, mtime: bytes) -> None:
    place.unpack(
        archive(pax({b"mtime": mtime}), member(b"a"), pax({b"mtime": mtime}), directory(b"d"))
    )
    assert names(place.root) == ["/a", "/d"]


def test_an_unknown_type_is_refused(place: Place) -> None:
    with pytest.raises(BadLayer, match="unknown type"):
        place.unpack(archive(member(b"a", kind=b"Z")))


# --- L16: order ---------------------------------------------------------------------------------


KINDS = ["file", "directory", "link", "pipe"]


@pytest.mark.parametrize("before", KINDS)
@pytest.mark.parametrize("after", KINDS)
def test_the_last_entry_of_a_name_wins(place: Place, before: str, after: str) -> None:
    inside = member(b"x/in/side") if before == "directory" else b""
    place.unpack(archive(MAKERS[before](b"x"), inside, MAKERS[after](b"x")))
    kinds = {
        "file": stat.S_ISREG,
        "directory": stat.S_ISDIR,
        "link": stat.S_ISLNK,
        "pipe": stat.S_ISFIFO,
    }
    assert kinds[after]((place.root / "x").lstat().st_mode)
    assert (place.root / "x" / "in" / "side").exists() == (before == after == "directory")


def test_missing_parents_are_made_for_root(place: Place) -> None:
    place.unpack(archive(directory(b"top", mode=0o2755, gid=7), member(b"top/a/b/file")))
    status = (place.root / "top/a/b").stat()
    assert (oct(status.st_mode), status.st_uid, status.st_gid) == ("0o40755", 0, 0)


def test_a_file_where_a_directory_is_needed_is_refused(place: Place) -> None:
    with pytest.raises(BadLayer, match="a file stands where a directory is needed"):
        place.unpack(archive(member(b"a"), member(b"a/b")))


def test_owners_modes_and_times_are_as_written(place: Place) -> None:
    place.unpack(
        archive(
            directory(b"d", mode=0o1777, uid=1, gid=2, mtime=100),
            member(b"d/f", mode=0o6755, uid=3, gid=4, mtime=200, body=b"x"),
            member(b"d/p", kind=b"6", mode=0o622, uid=5),
        )
    )
    shown = {path: (facts[0], facts[1], facts[5]) for path, facts in tree(place.root).items()}
    assert shown == {
        "/d": ("0o41777", (1, 2), 100),
        "/d/f": ("0o106755", (3, 4), 200),
        "/d/p": ("0o10622", (5, 0), tars.MTIME),
    }


def test_a_shared_group_directory_does_not_pass_its_group_on(place: Place) -> None:
    place.unpack(archive(directory(b"d", mode=0o2775, gid=50), member(b"d/f"), directory(b"d/e")))
    assert (place.root / "d/f").stat().st_gid == (place.root / "d/e").stat().st_gid == 0


ACL = "system.posix_acl_default"


DEFAULT = pax({b"SCHILY.xattr." + ACL.encode(): acl(user=1234)})


def test_a_default_acl_is_for_what_comes_later_only(place: Place) -> None:
    place.unpack(
        archive(
            DEFAULT + directory(b"d", mtime=100),
            member(b"d/f", mode=0o664),
            directory(b"d/e"),
            member(b"d/p", kind=b"6"),
            whiteout(b"d/.wh.gone"),
            member(b"d/in/side"),
        )
    )
    top = place.root / "d"
    assert (os.getxattr(top, ACL), top.stat().st_mtime) == (acl(user=1234), 100)
    for each in ("f", "e", "p", "gone", "in", "in/side"):
        assert os.listxattr(top / each) == []


def test_a_default_acl_stays_where_its_directory_comes_again(place: Place) -> None:
    again = directory(b"d", mtime=100)
    place.unpack(archive(DEFAULT + directory(b"."), DEFAULT + directory(b"d"), again))
    assert os.getxattr(place.root, ACL) == os.getxattr(place.root / "d", ACL) == acl(user=1234)


@pytest.mark.parametrize("again", [directory, lambda _: b""])
def test_a_default_acl_goes_with_its_directory(
    place: Place, again: Callable[[bytes], bytes]
) -> None:
    """Fifty times: now and then the next directory gets the number of the inode that was freed."""
    steps = (
        DEFAULT
        + directory(b"%d/x" % n)
        + member(b"%d" % n)
        + directory(b"%d" % n)
        + again(b"%d/x" % n)
        + member(b"%d/x/file" % n)
        for n in range(50)
    )
    place.unpack(archive(*steps))
    for n in range(50):
        assert os.listxattr(place.root / f"{n}/x") == []


def test_a_default_acl_that_is_cut_is_refused(place: Place) -> None:
    bad = pax({b"SCHILY.xattr." + ACL.encode(): acl(user=1)[:-1]})
    with pytest.raises(BadLayer, match="entry 'd': Invalid argument"):
        place.unpack(archive(bad + directory(b"d"), member(b"d/f")))


# --- L17: names as bytes ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", [b"\xff\xfe", b"new\nline", b"\x1b[31mred", b"n" * 255, b" ", b"-rf"]
)
def test_names_are_bytes(place: Place, name: bytes) -> None:
    place.unpack(archive(pax({b"path": b"d/" + name}), member(b"x", body=b"1")))
    assert os.listdir(os.fsencode(place.root / "d")) == [name]


def test_a_name_of_256_bytes_fails_cleanly_and_is_shown_escaped(place: Place) -> None:
    name = b"\x1b[31m" + b"n" * 256
    with pytest.raises(BadLayer, match="File name too long") as refused:
        place.unpack(archive(pax({b"path": name}), member(b"x")))
    assert "\x1b" not in str(refused.value)


def test_a_path_beyond_the_kernels_limit(place: Place) -> None:
    folders = [b"%03d" % i + b"d" * 197 for i in range(100)]
    deep = b"/".join(folders)
    place.unpack(
        archive(
            pax({b"path": deep}),
            directory(b"x", mtime=77),
            pax({b"path": deep + b"/file"}),
            member(b"x", body=b"found", mtime=78),
            pax({b"path": deep + b"/hard", b"linkpath": deep + b"/file"}),
            hardlink(b"x", b"x"),
            pax({b"path": deep + b"/.wh.gone"}),
            whiteout(b"x"),
        )
    )
    found = tree(place.root)
    assert len(found) == 103
    assert found["/" + os.fsdecode(deep)][5] == 77
    assert found["/" + os.fsdecode(deep) + "/file"][5] == 78


def test_a_path_too_deep_is_refused(place: Place) -> None:
    with pytest.raises(BadLayer, match="deep"):
        place.unpack(archive(pax({b"path": b"d/" * 1001 + b"f"}), member(b"x")))


def test_a_deep_tree_is_replaced_by_a_file(place: Place) -> None:
    deep = b"/".join([b"d"] * 900)
    place.unpack(archive(pax({b"path": deep}), directory(b"x"), member(b"d", body=b"flat")))
    assert (place.root / "d").read_text() == "flat"


def test_ten_thousand_entries_that_replace_each_other_take_no_time(place: Place) -> None:
    steps = (directory(b"d") + member(b"d/e/f")) + symlink(b"d", b"/") + member(b"d")
    started = time.monotonic()
    place.unpack(archive(steps * 3000))
    assert time.monotonic() - started < 20
