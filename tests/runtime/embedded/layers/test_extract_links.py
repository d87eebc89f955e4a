"""Unpacking: links, the root itself and hard links that must not reach the canary.

The fixture `place` checks after each test that nothing beside the layer's root has changed.
"""

import os
import stat

import pytest

from runtime.embedded.layers.faults import BadLayer
from tests.runtime.embedded.layers import tars
from tests.runtime.embedded.layers.tars import (
    archive,
    directory,
    hardlink,
    member,
    pax,
    symlink,
    whiteout,
)
from tests.runtime.embedded.layers.unpacking import Place, names

pytestmark = pytest.mark.root

ROOTS = [b".", b"./", b"/", b"/.", b"", b"/./."]


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
