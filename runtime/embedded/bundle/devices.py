"""Devices of the host in a container: nodes in its /dev, and what its processes may open."""

import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

import msgspec

from runtime.api import Device
from runtime.errors import Fault

# In the host's /dev, and no devices of the host: a container has its own of them.
_OWN = {"pts", "shm", "fd", "mqueue", "console", "core", "log", "hugepages", ".udev", ".lxc"}
# Every container has these anyway.
_USUAL = {"null", "zero", "full", "random", "urandom", "tty", "ptmx"}
_RULE = re.compile(r"([abc]) ([0-9]+|\*):([0-9]+|\*) ([rwm]{1,3})")


class DeviceMissing(Fault):
    """``devices`` names what is no device of the host."""

    def __init__(self, path: str, container: str, cause: str) -> None:
        self.path, self.container = path, container
        super().__init__(
            f"{container} cannot have the device {path}",
            why=cause,
            hint="correct `devices:`; for one that comes and goes there is device_cgroup_rules",
        )


class BadDeviceRule(Fault):
    """``device_cgroup_rules`` has a line that the kernel would not understand."""

    def __init__(self, rule: str) -> None:
        self.rule = rule
        super().__init__(
            f"{rule!r} is no rule for devices",
            why="a rule is a type (a, b, c), two numbers or *, and what is allowed (r, w, m)",
            hint='write it as in "c 189:* rmw"',
        )


class DeviceRule(msgspec.Struct, frozen=True, kw_only=True):
    """Which devices may be used and how: ``kind`` c, b or a (both), numbers None for any."""

    kind: str
    major: int | None = None
    minor: int | None = None
    access: str = "rwm"


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """A device in the container's /dev, with the owner and permission bits that the host's has."""

    path: str
    rule: DeviceRule
    mode: int
    uid: int
    gid: int


def nodes(device: Device, container: str) -> tuple[Node, ...]:
    """The device, or all below it for a folder. Raises ``DeviceMissing``."""
    source = Path(os.path.realpath(device.source))
    if source.is_dir():
        found = tuple(_below(source, device.target, device.permissions))
        if not found:
            raise DeviceMissing(device.source, container, "the folder has no devices")
        return found
    try:
        node = _node(source, device.target, device.permissions)
    except FileNotFoundError as missing:
        raise DeviceMissing(device.source, container, "the host has none of that name") from missing
    if node is None:
        raise DeviceMissing(device.source, container, "it is not a device")
    return (node,)


def all_nodes(host: Path = Path("/dev")) -> tuple[Node, ...]:
    """Every device of the host, for a privileged container."""
    return tuple(_below(host, "/dev", "rwm", spared=_OWN | _USUAL))


def rule(text: str) -> DeviceRule:
    """A line of ``device_cgroup_rules``. Raises ``BadDeviceRule``."""
    found = _RULE.fullmatch(text.strip())
    if found is None:
        raise BadDeviceRule(text)
    major, minor = (None if number == "*" else int(number) for number in found.group(2, 3))
    return DeviceRule(kind=found[1], major=major, minor=minor, access=found[4])


def _below(folder: Path, target: str, permissions: str, spared: set[str] = _OWN) -> Iterator[Node]:
    for entry in sorted(os.scandir(folder), key=lambda each: each.name):
        path = f"{target.rstrip('/')}/{entry.name}"
        if entry.name in spared:
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from _below(Path(entry.path), path, permissions)
        elif not entry.is_symlink() and (node := _node(Path(entry.path), path, permissions)):
            yield node


def _node(source: Path, target: str, permissions: str) -> Node | None:
    """None for what is no device."""
    status = source.stat()
    kinds = {stat.S_IFCHR: "c", stat.S_IFBLK: "b"}
    kind = kinds.get(stat.S_IFMT(status.st_mode))
    if kind is None:
        return None
    numbers = os.major(status.st_rdev), os.minor(status.st_rdev)
    return Node(
        path=target,
        rule=DeviceRule(kind=kind, major=numbers[0], minor=numbers[1], access=permissions),
        mode=stat.S_IMODE(status.st_mode),
        uid=status.st_uid,
        gid=status.st_gid,
    )
