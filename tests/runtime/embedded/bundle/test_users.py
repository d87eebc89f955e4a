"""Users of an image: looked up by Docker's rules, read without leaving the image."""

import os
from pathlib import Path

import pytest

from runtime.embedded.bundle import users
from runtime.embedded.bundle.files import HostileRoot, check_root
from runtime.embedded.bundle.users import Account, UnknownUser, UnreadableAccounts

PASSWD = """root:x:0:0:root:/root:/bin/sh
broken line
web:x:33:34:web:/var/www:/bin/false
1000:x:7:8::/digits:
huge:x:99999999999:1::/:
"""
GROUP = "root:x:0:\nweb:x:34:\nlog:x:50:web,other\nadm:x:40:web\nnobody\n"

CASES = {
    "": Account(uid=0, gid=0, home="/root"),
    "root": Account(uid=0, gid=0, home="/root"),
    "web": Account(uid=33, gid=34, groups=(34, 40, 50), home="/var/www"),
    "33": Account(uid=33, gid=34, groups=(34, 40, 50), home="/var/www"),
    "web:log": Account(uid=33, gid=50, groups=(50,), home="/var/www"),
    "web:77": Account(uid=33, gid=77, groups=(77,), home="/var/www"),
    "500": Account(uid=500, gid=0, home="/"),
    "500:600": Account(uid=500, gid=600, groups=(600,), home="/"),
    "1000": Account(uid=7, gid=8, groups=(8,), home="/digits"),
    ":log": Account(uid=0, gid=50, groups=(50,), home="/root"),
}


@pytest.mark.parametrize(("user", "expected"), CASES.items())
def test_resolve(user: str, expected: Account) -> None:
    assert users.resolve(user, PASSWD, GROUP) == expected


@pytest.mark.parametrize("user", ["nobody", "web:nogroup", "-1", "huge", "99999999999", "٣"])
def test_unknown(user: str) -> None:
    with pytest.raises(UnknownUser):
        users.resolve(user, PASSWD, GROUP)


def test_an_image_without_accounts(tmp_path: Path) -> None:
    assert users.account(tmp_path, "") == Account()
    assert users.account(tmp_path, "5") == Account(uid=5)


def test_links_stay_inside_the_image(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "shadowed").write_text("me:x:5:6::/home:\n")
    (tmp_path / "etc/passwd").symlink_to("../../../../../../shadowed")
    assert users.account(tmp_path, "me") == Account(uid=5, gid=6, groups=(6,), home="/home")
    (tmp_path / "etc/passwd").unlink()
    (tmp_path / "etc/passwd").symlink_to("/etc/passwd")  # a loop inside, not the host's file
    with pytest.raises(UnreadableAccounts):
        users.account(tmp_path, "root")


@pytest.mark.parametrize("kind", ["pipe", "folder", "huge"])
def test_what_is_no_file_is_not_read(tmp_path: Path, kind: str) -> None:
    (tmp_path / "etc").mkdir()
    path = tmp_path / "etc/passwd"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.touch()
        os.truncate(path, 1 << 40)
    with pytest.raises(UnreadableAccounts):
        users.account(tmp_path, "root")


@pytest.mark.parametrize("name", ["dev", "proc", "sys"])
def test_a_root_must_not_lead_our_mounts_astray(tmp_path: Path, name: str) -> None:
    check_root(tmp_path)
    (tmp_path / name).mkdir()
    check_root(tmp_path)
    (tmp_path / name).rmdir()
    (tmp_path / name).symlink_to("/etc")
    with pytest.raises(HostileRoot, match=f"/{name}"):
        check_root(tmp_path)
    (tmp_path / name).unlink()
    (tmp_path / name).touch()
    with pytest.raises(HostileRoot):
        check_root(tmp_path)


def test_groups_besides_those_of_the_image() -> None:
    group = "web:x:33:\nextra:x:2000:user\n"
    passwd = "user:x:1000:1000::/home/user:/bin/sh\n"
    assert users.resolve("user", passwd, group, ("web", "77")).groups == (1000, 33, 77, 2000)
    assert users.resolve("user:web", passwd, group, ("77",)).groups == (33, 77)
    with pytest.raises(UnknownUser, match="nobodies"):
        users.resolve("user", passwd, group, ("nobodies",))
