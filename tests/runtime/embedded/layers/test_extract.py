"""Unpacking: attacks that must not reach the canary, and what honest layers become.

The fixture `place` checks after each test that nothing beside
the layer's root has changed.
"""

import os
import stat
import time
from collections.abc import Callable
from pathlib import Path

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
from tests.runtime.embedded.layers.unpacking import Place, acl, tree

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
ROOTS = [b".", b"./", b"/", b"/.", b"", b"/./."]


def names(root: Path) -> list[str]:
    return sorted(tree(root))


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


# --- L2: links ----------------------------------------------------------------------------------


@pytest.mark.parametrize("up", [b"", b"../../../../../../../..", b"a/../../../.."])
def test_writing_through_a_link_stays_inside(place: Place, up: bytes) -> None:
    target = up + os.fsencode(place.canary)
    place.unpack(
        archive(
            symlink(b"x", target),
            member(b"x/secret", body=b"evil"),
            whiteout(b"x/.wh.link"),
            directory(b"x/folder", mode=0o777, uid=5),
            hardlink(b"x/hard", b"x/secret"),
        )
    )
    inside = place.root / str(place.canary).lstrip("/")
    assert (inside / "secret").read_text() == "evil"
    assert (inside / "hard").samefile(inside / "secret")


def test_a_chain_of_links_stays_inside(place: Place) -> None:
    place.unpack(
        archive(
            symlink(b"b", b"../.."),
            symlink(b"a", b"b/../.."),
            member(b"a/file", body=b"x"),
        )
    )
    assert names(place.root) == ["/a", "/b", "/file"]


def test_a_file_replaces_a_link_and_does_not_follow_it(place: Place) -> None:
    secret = os.fsencode(place.canary / "secret")
    place.unpack(archive(symlink(b"x", secret), member(b"x", body=b"evil")))
    assert (place.root / "x").read_text() == "evil"
    assert not (place.root / "x").is_symlink()


def test_a_link_swapped_for_a_directory_and_back(place: Place) -> None:
    canary = os.fsencode(place.canary)
    steps = [symlink(b"x", canary), directory(b"x"), member(b"x/a"), symlink(b"x", canary)] * 3
    place.unpack(archive(*steps, member(b"x/secret", body=b"evil")))
    assert (place.root / "x").is_symlink()


def test_a_cached_directory_is_not_used_after_it_became_a_link(place: Place) -> None:
    canary = os.fsencode(place.canary)
    place.unpack(
        archive(
            directory(b"d"),
            member(b"d/one", body=b"1"),
            symlink(b"d", canary),
            member(b"d/secret", body=b"evil"),
        )
    )
    assert (place.root / "d").is_symlink()
    assert (place.root / str(place.canary).lstrip("/") / "secret").read_text() == "evil"


def test_links_in_a_circle_are_refused(place: Place) -> None:
    with pytest.raises(BadLayer):
        place.unpack(archive(symlink(b"a", b"b"), symlink(b"b", b"a"), member(b"a/x")))


def test_a_link_through_proc_is_a_plain_link(place: Place) -> None:
    data = archive(symlink(b"x", b"/proc/self/root"), member(b"x/canary", body=b"x"))
    place.unpack(data)
    assert (place.root / "proc/self/root/canary").read_text() == "x"


# --- L3: the root -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ROOTS)
@pytest.mark.parametrize(
    "entry",
    [
        lambda name: symlink(name, b"/tmp"),
        lambda name: member(name, body=b"x"),
        lambda name: hardlink(name, b"a"),
        lambda name: member(name, kind=b"6"),
        lambda name: member(name, kind=b"3"),
    ],
)
def test_the_root_stays_a_directory(place: Place, name: bytes, entry: object) -> None:
    data = archive(member(b"a"), entry(name))  # type: ignore[operator]
    if name.endswith(b"/") and data[512 + 156 : 512 + 157] == b"0":
        return  # an old way to write a directory
    with pytest.raises(BadLayer):
        place.unpack(data)


@pytest.mark.parametrize("name", ROOTS)
def test_the_root_gives_its_owner_mode_and_time(place: Place, name: bytes) -> None:
    place.unpack(archive(directory(name, mode=0o751, uid=3, gid=4), member(b"a")))
    status = place.root.stat()
    assert (oct(status.st_mode), status.st_uid, status.st_gid) == ("0o40751", 3, 4)
    assert status.st_mtime == tars.MTIME


# --- L4: hard links -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "target",
    [
        b"../../canary/secret",
        b"{canary}/secret",
        b"secret",
        b"later",
        b"folder",
        b"itself",
        b".",
        b"",
        b"gone/x",
        b"dots/../a",
        b"link/secret",
    ],
)
def test_a_hard_link_needs_a_target_in_its_layer(
    place: Place, target: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place.canary)
    target = target.replace(b"{canary}", os.fsencode(place.canary))
    with pytest.raises(BadLayer):
        place.unpack(
            archive(
                member(b"a"),
                directory(b"folder"),
                symlink(b"link", os.fsencode(place.canary)),
                hardlink(b"itself", target),
                member(b"later"),
            )
        )


def test_a_hard_link_to_a_link_is_that_link(place: Place) -> None:
    secret = os.fsencode(place.canary / "secret")
    place.unpack(
        archive(symlink(b"link", secret), hardlink(b"hard", b"link"), member(b"hard", body=b"evil"))
    )
    assert (place.root / "link").is_symlink()
    assert (place.root / "hard").read_text() == "evil"


def test_a_hard_link_again_changes_nothing(place: Place) -> None:
    place.unpack(
        archive(
            member(b"a", body=b"x"),
            hardlink(b"b", b"a"),
            hardlink(b"b", b"a"),
            hardlink(b"a", b"b"),
        )
    )
    assert (place.root / "a").samefile(place.root / "b")


def test_a_hard_link_does_not_pass_on_its_own_metadata(place: Place) -> None:
    place.unpack(
        archive(member(b"a", mode=0o600), member(b"b", kind=b"1", link=b"a", mode=0o4777, uid=9))
    )
    status = (place.root / "a").stat()
    assert (stat.S_IMODE(status.st_mode), status.st_uid) == (0o600, 0)


def test_a_hard_link_to_a_whiteout_is_refused(place: Place) -> None:
    with pytest.raises(BadLayer):
        place.unpack(archive(whiteout(b".wh.x"), hardlink(b"y", b"x")))


# --- L5: metadata -------------------------------------------------------------------------------


def test_metadata_of_a_link_does_not_reach_its_target(place: Place) -> None:
    secret = os.fsencode(place.canary / "secret")
    place.unpack(
        archive(
            pax({b"SCHILY.xattr.user.evil": b"1"}),
            member(b"x", kind=b"2", link=secret, mode=0o4777, uid=1234, gid=1234, mtime=99),
            member(b"x", kind=b"6", mode=0o4777, uid=1234),
            member(b"y", kind=b"2", link=secret, mode=0o4777, uid=1234, mtime=99),
        )
    )
    status = (place.root / "y").lstat()
    assert (status.st_uid, int(status.st_mtime)) == (1234, 99)


# --- L7: whiteouts ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [b".wh.", b".wh..", b".wh...", b"d/.wh.", b"d/.wh..."])
def test_a_whiteout_of_no_name_is_refused(place: Place, name: bytes) -> None:
    with pytest.raises(BadLayer):
        place.unpack(archive(directory(b"d"), whiteout(name)))


def test_a_whiteout_as_a_directory_is_refused(place: Place) -> None:
    with pytest.raises(BadLayer):
        place.unpack(archive(member(b".wh.a/b")))


@pytest.mark.parametrize("name", [b".wh..wh.plnk/1.2", b".wh..wh.aufs", b"d/.wh..wh.orph/x"])
def test_marks_of_aufs_itself_mean_nothing(place: Place, name: bytes) -> None:
    place.unpack(archive(member(b"a"), member(name)))
    assert [each for each in names(place.root) if ".wh." in each] == []


def is_hidden(path: Path) -> bool:
    status = path.lstat()
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == 0


def is_opaque(path: Path) -> bool:
    return "trusted.overlay.opaque" in os.listxattr(path)


def test_a_whiteout_becomes_overlays_device(place: Place) -> None:
    place.unpack(archive(whiteout(b"d/.wh.x"), whiteout(b".wh.y")))
    assert is_hidden(place.root / "d" / "x")
    assert is_hidden(place.root / "y")


def test_an_opaque_mark_becomes_overlays_attribute(place: Place) -> None:
    place.unpack(archive(directory(b"d"), member(b"d/x"), whiteout(b"d/.wh..wh..opq")))
    assert is_opaque(place.root / "d")
    assert names(place.root) == ["/d", "/d/x"]


def test_an_opaque_root_hides_all_below(place: Place) -> None:
    assert place.unpack(archive(member(b"x"), whiteout(b".wh..wh..opq"))).hides_all
    assert not place.unpack(archive(directory(b"d"), whiteout(b"d/.wh..wh..opq"))).hides_all


@pytest.mark.parametrize("first", [True, False])
def test_a_whiteout_hides_lower_layers_only_wherever_it_stands(place: Place, first: bool) -> None:
    entry, mark = member(b"x", body=b"mine"), whiteout(b".wh.x")
    place.unpack(archive(mark, entry) if first else archive(entry, mark))
    assert (place.root / "x").read_text() == "mine"


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_a_directory_in_place_of_a_hidden_name_is_opaque(
    place: Place, order: tuple[int, int]
) -> None:
    made = (directory(b"x") + member(b"x/new"), whiteout(b".wh.x"))
    place.unpack(archive(made[order[0]], made[order[1]]))
    assert is_opaque(place.root / "x")
    assert names(place.root) == ["/x", "/x/new"]


def test_a_hidden_name_with_something_below_is_an_opaque_directory(place: Place) -> None:
    place.unpack(archive(whiteout(b".wh.x"), member(b"x/new")))
    assert is_opaque(place.root / "x")


def test_whiteouts_below_an_opaque_directory_are_dropped(place: Place) -> None:
    place.unpack(
        archive(
            whiteout(b"d/.wh.one"),
            whiteout(b"d/e/.wh.two"),
            whiteout(b"d/.wh..wh..opq"),
            whiteout(b"d/.wh.three"),
            whiteout(b"other/.wh.four"),
        )
    )
    assert names(place.root) == ["/d", "/d/e", "/other", "/other/four"]


def test_a_whiteout_below_a_link_stays_inside(place: Place) -> None:
    canary = os.fsencode(place.canary)
    place.unpack(
        archive(symlink(b"x", canary), whiteout(b"x/.wh.secret"), whiteout(b"x/.wh..wh..opq"))
    )


# --- L8, L9: overlay marks, devices -------------------------------------------------------------


@pytest.mark.parametrize(
    "key",
    [
        b"trusted.overlay.opaque",
        b"trusted.overlay.redirect",
        b"trusted.overlay.metacopy",
        b"user.overlay.opaque",
    ],
)
@pytest.mark.parametrize("entry", [directory(b"x"), member(b"x"), symlink(b"x", b"y")])
def test_overlay_attributes_do_not_get_in(place: Place, key: bytes, entry: bytes) -> None:
    place.unpack(archive(pax({b"SCHILY.xattr." + key: b"y"}), entry))
    assert os.listxattr(place.root / "x", follow_symlinks=False) == []


def test_other_attributes_do(place: Place) -> None:
    capability = bytes.fromhex("0100000200040000000000000000000000000000")
    records = {b"SCHILY.xattr.user.a": b"1", b"SCHILY.xattr.security.capability": capability}
    place.unpack(archive(pax(records), member(b"x", mode=0o755, uid=7)))
    assert os.getxattr(place.root / "x", "user.a") == b"1"
    assert os.getxattr(place.root / "x", "security.capability") == capability


@pytest.mark.parametrize(("kind", "is_it"), [(b"3", stat.S_ISCHR), (b"4", stat.S_ISBLK)])
def test_a_device_is_a_node(place: Place, kind: bytes, is_it: Callable[[int], bool]) -> None:
    attributes = pax({b"SCHILY.xattr.trusted.a": b"1"})
    node = member(b"d/x", kind=kind, mode=0o6660, uid=7, gid=8, mtime=99, device=(300, 1 << 18))
    place.unpack(archive(member(b"d/x", body=b"before"), attributes, node))
    found = os.lstat(place.root / "d/x")
    assert is_it(found.st_mode)
    assert found.st_rdev == os.makedev(300, 1 << 18)
    assert (stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid) == (0o6660, 7, 8)
    assert found.st_mtime == 99
    assert os.getxattr(place.root / "d/x", "trusted.a") == b"1"


def test_a_device_can_have_two_names(place: Place) -> None:
    node = member(b"x", kind=b"3", device=(1, 3))
    place.unpack(archive(node, hardlink(b"y", b"x")))
    assert os.lstat(place.root / "y").st_ino == os.lstat(place.root / "x").st_ino


def test_what_would_hide_a_name_is_not_made(place: Place) -> None:
    place.unpack(archive(member(b"x"), member(b"x", kind=b"3"), member(b"y", kind=b"3")))
    assert names(place.root) == []


def test_a_device_number_beyond_linux_is_refused(place: Place) -> None:
    with pytest.raises(BadLayer, match="device number"):
        place.unpack(archive(member(b"x", kind=b"3", device=(1 << 12, 0))))


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
