"""Who a container runs as: ``user`` looked up in the image's own passwd and group files.

Forms and precedence are Docker's: ``name``, ``uid``, ``name:group``, ``uid:gid``. The files are
foreign: they are read inside the image's root only, plain files of a bounded size.
"""

import errno
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from runtime.embedded.linux import files
from runtime.errors import Fault

MOST_BYTES = 1 << 20
HIGHEST_ID = (1 << 31) - 1


class UnknownUser(Fault):
    """``user`` names somebody whom the image does not know."""

    def __init__(self, kind: str, name: str) -> None:
        self.kind, self.name = kind, name
        super().__init__(
            f"the image has no {kind} {name}",
            why=f"it is not in its /etc/{'passwd' if kind == 'user' else 'group'}",
            hint="use a number, or a name that the image knows",
        )


class UnreadableAccounts(Fault):
    """The image's passwd or group is not a plain file of a sane size."""

    def __init__(self, path: str, cause: str) -> None:
        self.path = path
        super().__init__(f"the image's {path} cannot be read", why=cause, hint="repair the image")


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """Numbers for the kernel, and the home directory for ``HOME``. ``groups`` holds ``gid``, too:
    else what a file denies its group would not be denied here (CVE-2022-36109)."""

    uid: int = 0
    gid: int = 0
    groups: tuple[int, ...] = (0,)
    home: str = "/"


class _Person(msgspec.Struct, frozen=True):
    name: str
    uid: int
    gid: int
    home: str


class _Group(msgspec.Struct, frozen=True):
    name: str
    gid: int
    members: frozenset[str]


def account(rootfs: Path, user: str, more: Sequence[str] = ()) -> Account:
    """Look ``user``, and groups that it is in besides (``more``), up in the image below
    ``rootfs``. Raises ``UnknownUser`` and ``UnreadableAccounts``."""
    root = os.open(rootfs, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return resolve(user, _text(root, "etc/passwd"), _text(root, "etc/group"), more)
    finally:
        os.close(root)


def resolve(user: str, passwd: str, group: str, more: Sequence[str] = ()) -> Account:
    """``user`` as numbers, from the text of passwd(5) and group(5); "" is root.

    Without a group in ``user`` the person's own and supplementary groups count. A number needs
    no entry: its group then is 0 and its home ``/``. Raises ``UnknownUser``.
    """
    who, _, which = user.partition(":")
    people, groups = list(_people(passwd)), list(_groups(group))
    person = _find_person(who or "0", people)
    gid = _find_group(which, groups) if which else person.gid
    joined = {_find_group(name, groups) for name in more}
    if not which:
        joined |= {g.gid for g in groups if person.name and person.name in g.members}
    return Account(uid=person.uid, gid=gid, groups=(gid, *sorted(joined - {gid})), home=person.home)


def _find_person(who: str, people: list[_Person]) -> _Person:
    number = _number(who)
    for person in people:
        if person.name == who or person.uid == number:
            return person
    if number is None:
        raise UnknownUser("user", who)
    return _Person(name="", uid=number, gid=0, home="/")


def _find_group(which: str, groups: list[_Group]) -> int:
    number = _number(which)
    for group in groups:
        if group.name == which or group.gid == number:
            return group.gid
    if number is None:
        raise UnknownUser("group", which)
    return number


def _number(text: str) -> int | None:
    if not (text.isascii() and text.isdigit()) or len(text) > 10 or int(text) > HIGHEST_ID:
        return None
    return int(text)


def _people(passwd: str) -> Iterator[_Person]:
    for line in passwd.split("\n"):
        name, _, uid, gid, _, home = (line.split(":") + [""] * 6)[:6]
        numbers = _number(uid), _number(gid)
        if name and numbers[0] is not None and numbers[1] is not None:
            yield _Person(name=name, uid=numbers[0], gid=numbers[1], home=home or "/")


def _groups(group: str) -> Iterator[_Group]:
    for line in group.split("\n"):
        name, _, gid, members = (line.strip().split(":") + [""] * 4)[:4]
        number = _number(gid)
        if name and number is not None:
            yield _Group(name=name, gid=number, members=frozenset(members.split(",")))


def _text(root: int, path: str) -> str:
    """The file's text, "" when the image has none."""
    # Not blocking: a pipe of that name must not hold us.
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY
    try:
        fd = files.openat2(root, path.encode(), flags, files.RESOLVE_IN_ROOT)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR):
            return ""
        raise UnreadableAccounts(f"/{path}", os.strerror(error.errno or 0)) from error
    try:
        return _read(fd, path)
    finally:
        os.close(fd)


def _read(fd: int, path: str) -> str:
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode):
        raise UnreadableAccounts(f"/{path}", "it is not a plain file")
    if status.st_size > MOST_BYTES:
        raise UnreadableAccounts(f"/{path}", f"it has more than {MOST_BYTES} bytes")
    return os.pread(fd, MOST_BYTES, 0).decode(errors="surrogateescape")
