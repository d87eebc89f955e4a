"""Unpacking: whiteouts, overlay's marks and devices, from outside and as they become ours.

The fixture `place` checks after each test that nothing beside the layer's root has changed.
"""

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from runtime.embedded.layers.faults import BadLayer
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
