"""Passing packets between the host's links and the uplink, without making the host a router.

Where net.ipv4.ip_forward is 0, forwarding is turned on link by link, which leaves IPv6 and its
router advertisements alone; what we turned on is written down, and the host's table keeps
packets from passing between those links. What another instance turned on counts as ours, too:
its table tells, and whoever leaves last turns it off.
"""

import json
from collections.abc import Collection, Iterator
from pathlib import Path

from runtime import durable
from runtime.embedded.linux import rtnetlink
from runtime.embedded.linux.netlink import Netlink

_CONF = Path("/proc/sys/net/ipv4/conf")


def is_router() -> bool:
    """Whether the host forwards on all links by its own will."""
    return _read("all") == "1"


def closed_links(netlink: Netlink, uplink: str) -> list[str]:
    """Links with an address that do not forward."""
    if is_router():
        return []
    return sorted(name for name in _candidates(netlink, uplink) if _read(name) != "1")


def open_links(
    netlink: Netlink, uplink: str, record: Path, others: Collection[str]
) -> tuple[str, ...]:
    """Turn forwarding on where it is off; return all links for which we or another instance
    (``others``) ever did."""
    if is_router():
        return ()
    ours = set(recorded(record))
    closed = closed_links(netlink, uplink)
    if not ours.issuperset([*closed, *others]):
        ours.update(closed, others)
        durable.write(record, json.dumps(sorted(ours)).encode(), sync=False)
    for name in closed:
        (_CONF / name / "forwarding").write_text("1")
    return tuple(sorted(ours))


def recorded(record: Path) -> tuple[str, ...]:
    """The links whose forwarding is ours; none once the host forwards by its own will."""
    try:
        return () if is_router() else tuple(json.loads(record.read_text()))
    except (FileNotFoundError, ValueError):
        return ()


def restore(record: Path, others: Collection[str]) -> None:
    """Turn off again what was turned on, unless the host forwards now by its own will or
    another instance keeps it open (``others``). Idempotent."""
    for name in sorted(set(recorded(record)).difference(others)):
        try:
            (_CONF / name / "forwarding").write_text("0")
        except FileNotFoundError:
            continue
    record.unlink(missing_ok=True)


def _candidates(netlink: Netlink, uplink: str) -> Iterator[str]:
    names = {link.index: link.name for link in rtnetlink.links(netlink) if link.up}
    indexes = {index for index, _ in rtnetlink.addresses(netlink)}
    for index in indexes - {rtnetlink.LOOPBACK}:
        if (name := names.get(index)) and name != uplink:
            yield name


def _read(name: str) -> str:
    try:
        return (_CONF / name / "forwarding").read_text().strip()
    except OSError:
        return "1"  # it is gone: nothing to open
