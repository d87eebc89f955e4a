"""The host's network: forwarding, firewalls, name servers, addresses, other instances."""

import os
from collections.abc import Iterator
from contextlib import closing
from ipaddress import IPv4Address
from pathlib import Path

from runtime.api import Finding, Verdict
from runtime.embedded.firewall import look
from runtime.embedded.firewall.ways import SUBJECT, Place
from runtime.embedded.ledger import State
from runtime.embedded.network.kernel import TABLES, reachable_resolvers, resolvers
from runtime.embedded.paths import Paths
from runtime.embedded.ports.docker import CHAIN
from runtime.embedded.router import addresses, uplink
from runtime.embedded.router.doors import Doors
from runtime.errors import Fault

_FORWARDING = Path("/proc/sys/net/ipv4/conf/all/forwarding")
_IPV6 = Path("/proc/sys/net/ipv6/conf/all/disable_ipv6")


def findings() -> Iterator[Finding]:
    yield _ipv6()
    yield name_servers(resolvers(), reachable_resolvers())


def of_instance(paths: Paths, state: State) -> Iterator[Finding]:
    """What root sees, for an instance with these rows."""
    yield _forwarding()
    with closing(Doors(None)) as doors:
        yield _pool(paths, state, doors)
        try:
            yield from _rules(paths, state, doors)
        except Fault as fault:
            yield Finding(subject=SUBJECT, verdict=Verdict.WARNING, text=fault.what)


def _forwarding() -> Finding:
    """Turned on by us, link by link, where it is off."""
    if _FORWARDING.read_text().strip() == "1":
        return Finding(subject="forwarding", verdict=Verdict.OK, text="on")
    if os.access(_FORWARDING, os.W_OK):
        return Finding(subject="forwarding", verdict=Verdict.OK, text="off, can be turned on")
    return Finding(
        subject="forwarding",
        verdict=Verdict.BLOCKER,
        text="off, and /proc/sys cannot be written: no packet reaches a container from outside",
        commands=("mount -o remount,rw /proc/sys", "sysctl -w net.ipv4.ip_forward=1"),
    )


def _ipv6() -> Finding:
    if not _IPV6.exists():
        text, verdict = "the kernel has none: networks cannot have it", Verdict.WARNING
    elif _IPV6.read_text().strip() == "1":
        text, verdict = "turned off by net.ipv6.conf.all.disable_ipv6", Verdict.WARNING
    else:
        text, verdict = "on", Verdict.OK
    return Finding(subject="ipv6", verdict=verdict, text=text)


def name_servers(known: list[str], reachable: list[str]) -> Finding:
    if reachable:
        text, verdict = ", ".join(reachable), Verdict.OK
    elif known:
        text = f"{', '.join(known)}, on this host only: containers' questions are led there"
        verdict = Verdict.OK
    else:
        text = "none in /etc/resolv.conf: containers find each other's names only"
        verdict = Verdict.WARNING
    return Finding(subject="name servers", verdict=verdict, text=text)


def _pool(paths: Paths, state: State, doors: Doors) -> Finding:
    if state.pool is not None:
        return Finding(
            subject="addresses", verdict=Verdict.OK, text=f"{state.pool[0]} is this instance's"
        )
    try:
        pool = addresses.pick_pool(tuple(uplink.host_networks(doors.routes, paths.uplink)))
    except Fault as fault:
        return Finding(
            subject="addresses", verdict=Verdict.WARNING, text=f"{fault.what}: {fault.hint}"
        )
    return Finding(subject="addresses", verdict=Verdict.OK, text=f"{pool.pool} is free")


def _rules(paths: Paths, state: State, doors: Doors) -> Iterator[Finding]:
    place = Place(
        uplink=paths.uplink,
        outside=look.outside_links(doors.routes, paths.uplink),
        pool=None if state.pool is None else state.pool[0],
        asks_host=_asks_host(),
    )
    found = look.closed_ways(doors.nft, place)
    yield from found
    if not found:
        docker = doors.nft.has_chain("ip", "filter", CHAIN)
        text = "Docker's, which lets our own rules in" if docker else "closes no way"
        yield Finding(subject=SUBJECT, verdict=Verdict.OK, text=text)
    others = [name for name in doors.nft.tables(TABLES) if name != paths.table]
    yield Finding(
        subject="instances",
        verdict=Verdict.OK,
        text=f"beside this one: {', '.join(others)}" if others else "no other one is at work",
    )


def _asks_host() -> bool:
    known = resolvers()
    return bool(known) and all(IPv4Address(each).is_loopback for each in known)
