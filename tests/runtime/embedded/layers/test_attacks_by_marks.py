"""Marks that speak to overlayfs, nodes and modes that speak to the host, accounts that the engine
itself reads: a layer may carry them and must not gain anything by it."""

import os
import socket
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from runtime.api import ImageSpec, RootfsSource
from runtime.embedded.bundle.users import UnreadableAccounts, account
from runtime.embedded.layers import overlay
from runtime.embedded.layers.faults import BadLayer
from runtime.embedded.store.images import ImageStore
from tests.runtime.embedded.layers.tars import (
    archive,
    device,
    directory,
    member,
    pax,
    symlink,
    whiteout,
)
from tests.runtime.embedded.layers.unpacking import Place, make_place
from tests.runtime.embedded.store.stocks import silent

pytestmark = pytest.mark.root


# --- names of whiteouts ---------------------------------------------------------------------------

WRONG = [b".wh.", b".wh..", b".wh...", b".wh./x", b".wh.a/b", b".wh../secret", b".wh..wh.x/../../y"]


@pytest.mark.parametrize("folder", [b"", b"d/", b"link/", b"../", b"d/../../"])
@pytest.mark.parametrize("name", WRONG)
@pytest.mark.parametrize("kind", [b"0", b"5", b"2", b"3"])
def test_a_whiteout_that_is_no_name_hides_nothing(
    place: Place, folder: bytes, name: bytes, kind: bytes
) -> None:
    (place.root / "kept").touch()
    to_canary = symlink(b"link", os.fsencode(place.canary))
    data = archive(directory(b"d"), to_canary, member(folder + name, kind=kind, link=b"x"))
    with pytest.raises(BadLayer):
        place.unpack(data)
    assert (place.root / "kept").exists()


@pytest.mark.parametrize("name", [b"../.wh.secret", b"d/../../.wh..wh..opq", b"/../.wh.canary"])
def test_a_whiteout_outside_is_refused(place: Place, name: bytes) -> None:
    with pytest.raises(BadLayer):
        place.unpack(archive(directory(b"d"), whiteout(name)))


# --- what the merged tree shows ------------------------------------------------------------------

NOT_OURS = "redirect_dir=on,metacopy=on"  # what a careless mount would obey


@contextmanager
def merged(tmp_path: Path, archives: list[bytes], options: str | None = None) -> Iterator[Path]:
    """The merged tree of layers, the lowest first; with ``options`` not mounted as we do."""
    lowers: list[Path] = []
    for number, data in enumerate(archives):
        place = make_place(tmp_path / f"layer{number}")
        place.unpack(data)
        lowers.insert(0, place.root)
    folders = [tmp_path / name for name in ("upper", "work", "target")]
    for folder in folders:
        folder.mkdir()
    if options is None:
        overlay.mount(lowers, *folders)
    else:
        below = ":".join(map(str, lowers))
        whole = f"{options},lowerdir={below},upperdir={folders[0]},workdir={folders[1]}"
        mount(whole, folders[2])
    try:
        yield folders[2]
    finally:
        overlay.unmount(folders[2])


def mount(options: str, target: Path) -> None:
    """As mount(8) does it."""
    words = ["mount", "-t", "overlay", "overlay", "-o", options, str(target)]
    subprocess.run(words, check=True)


def shown(root: Path) -> list[str]:
    """Files that can be found, as a program in a container would."""
    done = subprocess.run(
        ["find", ".", "-type", "f"], cwd=root, capture_output=True, text=True, check=False
    )
    return sorted(done.stdout.split())


LOW = archive(member(b"hidden/secret", body=b"secret"), member(b"x/old"), member(b"y", body=b"old"))
EVIL = {
    "a directory led elsewhere": pax({b"SCHILY.xattr.trusted.overlay.redirect": b"/hidden"})
    + directory(b"z"),
    "by the other family of names": pax({b"SCHILY.xattr.user.overlay.redirect": b"/hidden"})
    + directory(b"z"),
    "a file without its content": pax(
        {
            b"SCHILY.xattr.trusted.overlay.metacopy": b"",
            b"SCHILY.xattr.trusted.overlay.redirect": b"/hidden/secret",
        }
    )
    + member(b"z"),
    "an origin": pax({b"SCHILY.xattr.trusted.overlay.origin": b"\0\xfb\x1d"}) + directory(b"z"),
}


@pytest.mark.parametrize("options", [None, NOT_OURS])
@pytest.mark.parametrize("what", EVIL)
def test_hidden_files_do_not_come_back(tmp_path: Path, what: str, options: str | None) -> None:
    """Neither under our options nor under ones that obey such marks: they are not unpacked."""
    high = archive(whiteout(b".wh.hidden"), EVIL[what])
    with merged(tmp_path, [LOW, high], options) as root:
        assert [path for path in shown(root) if "secret" in path] == []
        if (root / "z").is_file():
            assert (root / "z").read_bytes() == b""


def test_such_a_mark_would_be_obeyed(tmp_path: Path) -> None:
    """What the test above stands on."""
    with ExitStack() as stack:
        (tmp_path / "marked").mkdir()
        place = make_place(tmp_path / "marked")
        place.unpack(archive(whiteout(b".wh.hidden"), directory(b"z")))
        os.setxattr(place.root / "z", "trusted.overlay.redirect", b"/hidden")
        low = make_place(tmp_path / "low")
        low.unpack(LOW)
        folders = [tmp_path / name for name in ("upper", "work", "target")]
        for folder in folders:
            folder.mkdir()
        whole = f"{NOT_OURS},lowerdir={place.root}:{low.root},upperdir={folders[0]}"
        whole += f",workdir={folders[1]}"
        mount(whole, folders[2])
        stack.callback(overlay.unmount, folders[2])
        assert "./z/secret" in shown(folders[2])


@pytest.mark.parametrize("options", [None, NOT_OURS])
def test_an_opaque_attribute_hides_nothing(tmp_path: Path, options: str | None) -> None:
    high = archive(pax({b"SCHILY.xattr.trusted.overlay.opaque": b"y"}) + directory(b"x"))
    with merged(tmp_path, [LOW, high], options) as root:
        assert "./x/old" in shown(root)


@pytest.mark.parametrize("name", [b"y", b"x", b"hidden"])
def test_a_raw_node_of_overlayfs_hides_nothing(tmp_path: Path, name: bytes) -> None:
    """A character device 0:0 is a whiteout on disk; only ``.wh.`` is one in an archive."""
    with merged(tmp_path, [LOW, archive(member(name, kind=b"3"))]) as root:
        assert shown(root) == ["./hidden/secret", "./x/old", "./y"]


# --- nodes and modes that speak to the host ------------------------------------------------------


@pytest.mark.parametrize("kind", [b"3", b"4"])
def test_a_node_of_the_hosts_disk_opens_nothing(tmp_path: Path, kind: bytes) -> None:
    """Whether the node is there or not: who opens it in the container's tree gets nothing."""
    disk = os.stat("/").st_dev
    entry = device(b"disk", kind, os.major(disk), os.minor(disk), mode=0o666)
    with (
        merged(tmp_path, [archive(entry)]) as root,
        pytest.raises((PermissionError, FileNotFoundError)),
    ):
        os.open(root / "disk", os.O_RDONLY | os.O_NONBLOCK)


def as_nobody(*command: str | Path) -> subprocess.CompletedProcess[str]:
    """By a shell: setpriv itself still has capabilities while it looks the program up."""
    drop = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all"]
    words = [*drop, "sh", "-c", '"$@"', "sh", *map(str, command)]
    return subprocess.run(words, capture_output=True, text=True, check=False)


def test_programs_with_powers_are_out_of_reach_of_the_hosts_users() -> None:
    """Set-user-id and capabilities are the image's to give, inside; on the host they would make
    anybody root (CVE-2021-41103)."""
    capability = bytes.fromhex("0100000200040000000000000000000000000000")
    tool = Path("/usr/bin/true").read_bytes()
    data = archive(
        directory(b"bin", mode=0o777),
        member(b"bin/setuid", body=tool, mode=0o6755),
        pax({b"SCHILY.xattr.security.capability": capability})
        + member(b"bin/capable", body=tool, mode=0o755),
    )
    with tempfile.TemporaryDirectory(prefix="tu") as folder:
        top = Path(folder)
        top.chmod(0o755)
        (top / "rootfs.tar").write_bytes(data)
        store = ImageStore(top / "images")
        source = RootfsSource(path=str(top / "rootfs.tar"))
        image = store.ensure(ImageSpec(name="powers", source=source), (), silent)
        (place,) = store.layers(image.id)
        assert stat.S_IMODE((place / "bin/setuid").stat().st_mode) == 0o6755
        assert os.getxattr(place / "bin/capable", "security.capability") == capability
        for path in (place / "bin/setuid", place / "bin/capable"):
            assert "Permission denied" in as_nobody(path).stderr
        for path in (store.layout.root, place, place / "bin", store.layout.tmp):
            assert "Permission denied" in as_nobody("ls", path).stderr
        assert as_nobody("ls", top).returncode == 0


# --- files of the image that the engine reads ----------------------------------------------------


def fifo(path: Path) -> None:
    os.mkfifo(path)


def endless_device(path: Path) -> None:
    (path.parent / "zero").symlink_to("../dev/zero")
    os.mknod(path.parent.parent / "dev/zero", stat.S_IFCHR | 0o666, os.makedev(1, 5))
    path.symlink_to("zero")


def two_gigabytes(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(2 << 30)


def door(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made, suppress(OSError):
        before = os.getcwd()
        os.chdir(path.parent)
        try:
            made.bind(path.name)
        finally:
            os.chdir(before)


def circle(path: Path) -> None:
    path.symlink_to(path.name)


@pytest.mark.parametrize("name", ["passwd", "group"])
@pytest.mark.parametrize("make", [fifo, endless_device, two_gigabytes, door, circle, Path.mkdir])
@pytest.mark.timeout(20)
def test_accounts_that_are_no_plain_small_file_are_not_read(
    tmp_path: Path, name: str, make: object
) -> None:
    """A container would wait for ever, or fill the engine's memory (CVE-2024-9676)."""
    for folder in ("etc", "dev"):
        (tmp_path / folder).mkdir()
    (tmp_path / "etc/passwd").write_text("name:x:5:5::/:\n")
    (tmp_path / "etc" / name).unlink(missing_ok=True)
    make(tmp_path / "etc" / name)  # type: ignore[operator]
    with pytest.raises(UnreadableAccounts):
        account(tmp_path, "name")


def test_accounts_of_the_host_are_not_read_by_a_link(tmp_path: Path) -> None:
    (tmp_path / "image/etc").mkdir(parents=True)
    (tmp_path / "passwd").write_text("name:x:5:5::/:\n")
    (tmp_path / "image/etc/passwd").symlink_to("../../passwd")
    (tmp_path / "image/etc/group").symlink_to(tmp_path / "passwd")
    assert account(tmp_path / "image", "7").uid == 7
    with pytest.raises(Exception, match="no user name"):
        account(tmp_path / "image", "name")
