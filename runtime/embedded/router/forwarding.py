"""Passing packets between the host's links and the uplink, without making the host a router.

Where the host does not forward, forwarding is turned on link by link, which leaves its router
advertisements alone; what we turned on is written down, and the host's table keeps packets from
passing between those links. What another instance turned on counts as ours, too: its table
tells, and whoever leaves last turns it off.

IPv6 knows a switch per link since Linux 6.17. Before, there is one for all links, which makes the
kernel drop the default routes that routers advertise, unless a link accepts them nevertheless
(``accept_ra`` 2). The links that are there at that moment are then ours.
"""

import json
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Literal

from runtime import durable
from runtime.embedded.linux import rtnetlink
from runtime.embedded.linux.netlink import Netlink

Version = Literal[4, 6]

_NET = Path("/proc/sys/net")
_EVERYWHERE, _FORCE = "all", "force_forwarding"
_ACCEPT, _ACCEPT_AS_ROUTER = "1", "2"  # accept_ra of ip-sysctl


def is_router(version: Version = 4) -> bool:
    """Whether the host forwards on all links."""
    everywhere = _conf(version, _EVERYWHERE) / "forwarding"
    return "1" in (_value(everywhere, "0"), _value(_switch(version, _EVERYWHERE), "0"))


def closed_links(netlink: Netlink, uplink: str, version: Version = 4) -> list[str]:
    """Links with an address that do not forward."""
    if is_router(version):
        return []
    names = _candidates(netlink, uplink, version)
    return sorted(name for name in names if _value(_switch(version, name), "1") != "1")


def open_links(
    netlink: Netlink,
    uplink: str,
    record: Path,
    others: Collection[str],
    version: Version = 4,
) -> tuple[str, ...]:
    """Turn forwarding on where it is off; return all links for which we or another instance
    (``others``) ever did."""
    if is_router(version) and (_is_per_link(version) or not (others or record.exists())):
        return ()
    ours = set(recorded(record, version))
    closed = closed_links(netlink, uplink, version)
    if not ours.issuperset([*closed, *others]):
        ours.update(closed, others)
        _write(record, sorted(ours))
    if _is_per_link(version):
        for name in closed:
            _switch(version, name).write_text("1")
    else:
        _open_everywhere(record, closed)
    return tuple(sorted(ours))


def uplink_sysctls6(uplink: str) -> dict[str, str]:
    """What the host's end of the uplink needs for IPv6, where there is a switch per link."""
    return {f"ipv6/conf/{uplink}/{_FORCE}": "1"} if _is_per_link(6) else {}


def recorded(record: Path, version: Version = 4) -> tuple[str, ...]:
    """The links whose forwarding is ours; none once the host forwards by its own will."""
    if is_router(version) and _is_per_link(version):
        return ()
    return _read(record)


def restore(record: Path, others: Collection[str], version: Version = 4) -> None:
    """Turn off again what was turned on, unless the host forwards now by its own will or
    another instance keeps it open (``others``). Idempotent."""
    ours = set(recorded(record, version)).difference(others)
    if _is_per_link(version):
        for name in sorted(ours):
            with suppress(FileNotFoundError):
                _switch(version, name).write_text("0")
    elif ours:
        _close_everywhere(record)
    durable.remove(record)
    durable.remove(_accepted(record))


def _open_everywhere(record: Path, links: Collection[str]) -> None:
    """The switch that IPv6 had before Linux 6.17, after the links whose routes it would cost."""
    accepting = [name for name in sorted(links) if _value(_accept_ra(name), "0") == _ACCEPT]
    _write(_accepted(record), sorted({*accepting, *_read(_accepted(record))}))
    for name in accepting:
        _accept_ra(name).write_text(_ACCEPT_AS_ROUTER)
    (_conf(6, _EVERYWHERE) / "forwarding").write_text("1")


def _close_everywhere(record: Path) -> None:
    (_conf(6, _EVERYWHERE) / "forwarding").write_text("0")
    for name in _read(_accepted(record)):
        with suppress(FileNotFoundError):
            _accept_ra(name).write_text(_ACCEPT)


def _accepted(record: Path) -> Path:
    """Beside a record of links: those that accept router advertisements because of us."""
    return record.with_suffix(".accept_ra")


def _read(record: Path) -> tuple[str, ...]:
    try:
        return tuple(json.loads(record.read_text()))
    except (FileNotFoundError, ValueError):
        return ()


def _write(record: Path, links: list[str]) -> None:
    durable.write(record, json.dumps(links).encode(), sync=False)


def _candidates(netlink: Netlink, uplink: str, version: Version) -> Iterator[str]:
    names = {link.index: link.name for link in rtnetlink.links(netlink) if link.up}
    indexes = {index for index, _ in rtnetlink.addresses(netlink, version)}
    for index in indexes - {rtnetlink.LOOPBACK}:
        if (name := names.get(index)) and name != uplink:
            yield name


def _is_per_link(version: Version) -> bool:
    return version == 4 or (_conf(6, _EVERYWHERE) / _FORCE).exists()


def _switch(version: Version, link: str) -> Path:
    """What makes a single link forward, or tells whether it does."""
    forced = version == 6 and _is_per_link(6)
    return _conf(version, link) / (_FORCE if forced else "forwarding")


def _accept_ra(link: str) -> Path:
    return _conf(6, link) / "accept_ra"


def _conf(version: Version, link: str) -> Path:
    return _NET / f"ipv{version}/conf/{link}"


def _value(switch: Path, missing: str) -> str:
    """``missing`` stands for a link that is gone, or a protocol that the kernel does not have."""
    try:
        return switch.read_text().strip()
    except OSError:
        return missing
