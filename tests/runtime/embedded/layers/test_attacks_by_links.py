"""Links that lead out of a layer: written through, linked to, dressed, or swapped while we look.

The fixture `place` checks after each test that nothing beside the layer's root has changed.
"""

import os
import subprocess
import sys
from contextlib import suppress
from itertools import product

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
from tests.runtime.embedded.layers.unpacking import Place, tree

pytestmark = pytest.mark.root

ROUNDS = 400_000
# A process of its own: a thread would only run where we leave the interpreter's lock.
SWAPPER = """
import ctypes, sys
rename, here, exchange = ctypes.CDLL(None).renameat2, -100, 2
names = [name.encode() for name in sys.argv[2:]]
pairs = list(zip(names[::2], names[1::2]))
for _ in range(int(sys.argv[1])):
    for one, other in pairs:
        rename(here, one, here, other, exchange)
"""


def test_a_hard_link_to_a_link_is_not_written_through(place: Place) -> None:
    canary = os.fsencode(place.canary)
    place.unpack(
        archive(
            symlink(b"link", canary),
            hardlink(b"hard", b"link"),
            member(b"hard/secret", body=b"evil", mode=0o4777),
            directory(b"hard/folder", mode=0o777, uid=9),
            whiteout(b"hard/.wh.link"),
        )
    )
    assert (place.root / str(place.canary).lstrip("/") / "secret").read_text() == "evil"


@pytest.mark.parametrize("ups", [1320, 1334, 1340, 1345])
@pytest.mark.parametrize(
    "below", [b"l/secret", b"l/a/b/secret", b"l/.wh.secret", b"l/" + b"a/" * 900]
)
def test_a_link_too_long_for_the_kernel_does_not_climb_out(
    place: Place, ups: int, below: bytes
) -> None:
    """Paths beyond PATH_MAX are walked in pieces; where one ends is for the archive to choose."""
    target = b"../" * ups + os.fsencode(place.canary).lstrip(b"/")[: 4095 - 3 * ups]
    link = pax({b"linkpath": target}) + symlink(b"l", b"")
    with suppress(BadLayer):
        place.unpack(archive(link, pax({b"path": below}), member(b"x", body=b"evil")))
    with suppress(BadLayer):
        place.unpack(archive(pax({b"linkpath": b"l/secret"}), hardlink(b"stolen", b"")))


@pytest.mark.parametrize("name", [b".wh.secret", b".wh..wh..opq", b"folder/.wh..wh..opq"])
@pytest.mark.parametrize("link", [symlink, hardlink])
def test_a_mark_below_a_link_does_not_reach_out(place: Place, name: bytes, link: object) -> None:
    canary = os.fsencode(place.canary)
    made = symlink(b"x", canary) + (hardlink(b"y", b"x") if link is hardlink else b"")
    place.unpack(archive(made, whiteout((b"y/" if link is hardlink else b"x/") + name)))


@pytest.mark.parametrize("through", [b"", b"link/", b"hard/", b"up/"])
@pytest.mark.parametrize("target", [b"secret", b"program", b"folder", b"link"])
def test_nothing_outside_can_be_linked_to(place: Place, through: bytes, target: bytes) -> None:
    """Whatever way leads there; the working directory helps as little."""
    canary = os.fsencode(place.canary)
    before = os.getcwd()
    os.chdir(place.canary)
    try:
        with pytest.raises(BadLayer):
            place.unpack(
                archive(
                    symlink(b"link", canary),
                    hardlink(b"hard", b"link"),
                    pax({b"linkpath": b"../" * 40 + canary.lstrip(b"/")}) + symlink(b"up", b""),
                    hardlink(b"stolen", (through or canary + b"/") + target),
                )
            )
    finally:
        os.chdir(before)


def test_a_hard_link_to_another_file_system_is_no_copy(place: Place) -> None:
    """A tool that copies where link(2) says EXDEV would take the host's file."""
    elsewhere = place.root / "mnt"
    elsewhere.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "none", elsewhere], check=True)
    try:
        (elsewhere / "secret").write_text("host")
        with pytest.raises(BadLayer, match="cross-device"):
            place.unpack(archive(hardlink(b"stolen", b"mnt/secret")))
    finally:
        subprocess.run(["umount", elsewhere], check=True)
    assert sorted(tree(place.root)) == ["/mnt"]


KINDS = {
    "file": member(b"x", body=b"evil", mode=0o4777, uid=1234, gid=1234, mtime=99),
    "directory": directory(b"x", mode=0o4777, uid=1234, mtime=99),
    "link": member(b"x", kind=b"2", link=b"y", mode=0o4777, uid=1234, mtime=99),
    "hard link": member(b"x", kind=b"1", link=b"there", mode=0o4777, uid=1234, mtime=99),
    "pipe": member(b"x", kind=b"6", mode=0o4777, uid=1234, mtime=99),
    "device": member(b"x", kind=b"3", mode=0o4777, uid=1234, mtime=99),
    "whiteout": member(b".wh.x", mode=0o4777, uid=1234, mtime=99),
}


@pytest.mark.parametrize(("kind", "target"), [*product(KINDS, ["secret", "program", "folder"])])
def test_what_comes_after_a_link_does_not_dress_its_target(
    place: Place, kind: str, target: str
) -> None:
    attributes = pax({b"SCHILY.xattr.user.evil": b"1"})
    to_canary = symlink(b"x", os.fsencode(place.canary / target))
    place.unpack(archive(member(b"there"), to_canary, attributes, KINDS[kind]))


def test_the_time_of_a_directory_that_became_a_link_goes_nowhere(place: Place) -> None:
    place.unpack(
        archive(
            directory(b"other", mtime=100),
            directory(b"other/sub", mtime=200),
            directory(b"x", mtime=300),
            directory(b"x/sub", mtime=400),
            symlink(b"x", b"other"),
        )
    )
    times = {path: facts[5] for path, facts in tree(place.root).items()}
    assert (times["/other"], times["/other/sub"]) == (100, 200)


@pytest.mark.slow
def test_names_that_change_between_looking_and_writing(place: Place) -> None:
    """Somebody exchanges directories and files of the layer with links to the canary, all the
    while. What is unpacked may be refused or land elsewhere in the layer, never outside."""
    canary = os.fsencode(place.canary)
    (place.root / "toward").symlink_to(place.canary)
    (place.root / "swap").symlink_to(place.canary / "secret")
    for name in ("d", "d/folder"):
        (place.root / name).mkdir()
    (place.root / "f").write_text("")
    evil = (
        member(b"d/secret", body=b"evil", mode=0o4777, uid=9),
        directory(b"d/folder", mode=0o777, uid=9),
        pax({b"SCHILY.xattr.user.evil": b"1"}) + member(b"f", body=b"evil", uid=9),
        member(b"f", kind=b"6", mode=0o4777, uid=9),
        member(b"d/program", kind=b"6", mode=0o777, uid=9),
        hardlink(b"d/hard", b"d/secret"),
        whiteout(b"d/.wh.link"),
        whiteout(b"d/.wh..wh..opq"),
        symlink(b"d/one", canary),
    )
    pairs = [("d", "toward"), ("f", "swap")]
    names = [str(place.root / name) for pair in pairs for name in pair]
    swapper = subprocess.Popen([sys.executable, "-ISc", SWAPPER, str(ROUNDS), *names])
    done = 0
    while swapper.poll() is None:
        for entry in evil:
            with suppress(BadLayer):
                place.unpack(archive(entry))
                done += 1
    assert swapper.returncode == 0
    assert done > 100
