"""The router namespace and its one link to the host, made true to a layout.

Everything is read first and only what differs is written, so a second call writes nothing.
"""

import errno
import os
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from runtime.embedded.linux import namespaces, rtnetlink
from runtime.embedded.linux.netlink import Message, Netlink
from runtime.embedded.router.doors import Doors
from runtime.embedded.router.isolation import UPLINK
from runtime.embedded.router.layout import Layout, Route

_UPLINK_INDEX = 2
_ROUTER_SYSCTLS = {
    "ipv4/ip_forward": "1",
    "ipv4/conf/all/accept_redirects": "0",
    "ipv4/conf/default/accept_redirects": "0",
    "ipv4/conf/all/send_redirects": "0",
    "ipv4/conf/default/send_redirects": "0",
    # Forged sources are stopped by the table (`fib saddr . iif`), for all links alike.
    "ipv4/conf/all/rp_filter": "0",
    "ipv4/conf/default/rp_filter": "0",
    "ipv6/conf/all/disable_ipv6": "1",
    "ipv6/conf/default/disable_ipv6": "1",
}


def ensure_router(router: Doors) -> None:
    """Make the router namespace answer as a router; its links come later."""
    router.sysctl(_without_ipv6(_ROUTER_SYSCTLS))
    router.routes.request([rtnetlink.set_up(rtnetlink.LOOPBACK)])


def ensure_uplink(name: str, host: Doors, router: Doors) -> None:
    """Join host and router by a veth: ``name`` here, ``up0`` there, both up."""
    here = {link.name: link for link in rtnetlink.links(host.routes)}
    there = {link.name: link for link in rtnetlink.links(router.routes)}
    joined = name in here and UPLINK in there
    if not joined:
        host.routes.request([rtnetlink.delete_link(name)])
        router.routes.request([rtnetlink.delete_link(UPLINK)])
        fd = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            made = rtnetlink.new_veth(UPLINK, _UPLINK_INDEX, name, 0, fd)
            router.routes.request([made])
        finally:
            os.close(fd)
        here = {link.name: link for link in rtnetlink.links(host.routes)}
    host.sysctl(_without_ipv6({f"ipv6/conf/{name}/disable_ipv6": "1"}))
    router.routes.request([rtnetlink.set_up(_UPLINK_INDEX)])
    host.routes.request([rtnetlink.set_up(here[name].index)])


def settle(netlink: Netlink, layout: Layout, *, own: tuple[str, ...]) -> None:
    """Add what the layout lacks; on the links ``own``, take away what it does not have.

    Raises ``OSError`` (ENODEV) when a link is not there: whoever made it was killed on the way.
    """
    indexes = {link.name: link.index for link in rtnetlink.links(netlink)}
    for link in _links(layout) - indexes.keys():
        raise OSError(errno.ENODEV, os.strerror(errno.ENODEV), link)
    messages = []
    missing, surplus = addresses_off(netlink, layout, own)
    messages += [rtnetlink.add_address(a, 32, indexes[link]) for link, a in missing]
    messages += [rtnetlink.delete_address(a, 32, indexes[link]) for link, a in surplus]
    lacking, unwanted = routes_off(netlink, layout, own)
    messages += [_add(route, indexes) for route in lacking]
    messages += [_delete(route, indexes) for route in unwanted]
    netlink.request(messages)


def _links(layout: Layout) -> set[str]:
    """The links that a layout names."""
    routes = {route.link for route in layout.routes if route.link}
    return routes | {link for link, _ in layout.addresses}


def addresses_off(
    netlink: Netlink, layout: Layout, own: tuple[str, ...]
) -> tuple[list[tuple[str, IPv4Address]], list[tuple[str, IPv4Address]]]:
    """Addresses that are missing, and those that are too many."""
    names = {link.index: link.name for link in rtnetlink.links(netlink)}
    seen = {(names.get(index, ""), a.ip) for index, a in rtnetlink.addresses(netlink)}
    surplus = {(link, a) for link, a in seen - layout.addresses if link in own}
    return sorted(layout.addresses - seen), sorted(s for s in surplus if not s[1].is_loopback)


def routes_off(
    netlink: Netlink, layout: Layout, own: tuple[str, ...]
) -> tuple[list[Route], list[Route]]:
    """Routes that are missing, and those that are too many; "" in ``own``: unreachable ones."""
    names = {link.index: link.name for link in rtnetlink.links(netlink)}
    seen = set(_routes(netlink, names))
    surplus = {route for route in seen - layout.routes if route.link in own}
    key = str
    return sorted(layout.routes - seen, key=key), sorted(surplus, key=key)


def _routes(netlink: Netlink, names: dict[int, str]) -> Iterator[Route]:
    for seen in rtnetlink.routes(netlink):
        link = "" if seen.kind == rtnetlink.RTN_UNREACHABLE else names.get(seen.link, "?")
        yield Route(destination=seen.destination, link=link, via=seen.gateway)


def host_networks(netlink: Netlink, uplink: str) -> tuple[IPv4Network, ...]:
    """Where the host's routes lead, but for the default one and ours."""
    names = {link.index: link.name for link in rtnetlink.links(netlink)}
    routes = [r for r in _routes(netlink, names) if r.link != uplink]
    return tuple(sorted({r.destination for r in routes if r.destination.prefixlen}))


def _add(route: Route, indexes: dict[str, int]) -> Message:
    if not route.link:
        return rtnetlink.add_unreachable(route.destination)
    return rtnetlink.add_route(route.destination, link=indexes[route.link], via=route.via)


def _delete(route: Route, indexes: dict[str, int]) -> Message:
    if not route.link:
        return rtnetlink.delete_unreachable(route.destination)
    return rtnetlink.delete_route(route.destination, link=indexes[route.link])


def ensure_namespace(namespace: Path) -> None:
    namespace.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    namespaces.create(namespace)


def _without_ipv6(values: dict[str, str]) -> dict[str, str]:
    """Leave out the sysctls of a protocol that the kernel does not have."""
    if os.path.exists("/proc/sys/net/ipv6"):
        return values
    return {name: value for name, value in values.items() if not name.startswith("ipv6")}
