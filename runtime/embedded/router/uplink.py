"""The router namespace and its one link to the host, made true to a layout.

Everything is read first and only what differs is written, so a second call writes nothing.
"""

import errno
import os
from collections.abc import Iterator
from ipaddress import IPv4Network
from itertools import chain
from pathlib import Path

from runtime.embedded.linux import namespaces, rtnetlink
from runtime.embedded.linux.netlink import Message, Netlink
from runtime.embedded.linux.rtnetlink import Address, RouteSeen, RouteSeen6
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
}
_WITHOUT_IPV6 = {
    "ipv6/conf/all/disable_ipv6": "1",
    "ipv6/conf/default/disable_ipv6": "1",
}
# In this order: a link that looks for others with its address is mute for a second.
_WITH_IPV6 = {
    "accept_dad": "0",
    "accept_ra": "0",
    "accept_redirects": "0",
    "forwarding": "1",
    "disable_ipv6": "0",
}


def ensure_router(router: Doors, *, ipv6: bool) -> None:
    """Make the router namespace answer as a router; its links come later."""
    six = _with_ipv6(router) if ipv6 else _WITHOUT_IPV6
    router.sysctl(_ROUTER_SYSCTLS | _where_known(six))
    router.routes.request([rtnetlink.set_up(rtnetlink.LOOPBACK)])


def _with_ipv6(router: Doors) -> dict[str, str]:
    """For links to come, and for each that is there."""
    there = [link.name for link in rtnetlink.links(router.routes)]
    return {
        f"ipv6/conf/{place}/{name}": value
        for name, value in _WITH_IPV6.items()
        for place in ("default", *there, "all")
    }


def ensure_uplink(name: str, host: Doors, router: Doors, *, ipv6: bool) -> None:
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
    host.sysctl(_where_known(sysctls6(name, ipv6=ipv6)))
    router.routes.request([rtnetlink.set_up(_UPLINK_INDEX)])
    host.routes.request([rtnetlink.set_up(here[name].index)])


def sysctls6(name: str, *, ipv6: bool) -> dict[str, str]:
    """The IPv6 side of the host's end of the uplink."""
    if not ipv6:
        return {f"ipv6/conf/{name}/disable_ipv6": "1"}
    return {
        f"ipv6/conf/{name}/accept_ra": "0",
        f"ipv6/conf/{name}/accept_dad": "0",
        f"ipv6/conf/{name}/disable_ipv6": "0",
    }


def settle(netlink: Netlink, layout: Layout, *, own: tuple[str, ...]) -> None:
    """Add what the layout lacks; on the links ``own``, take away what it does not have.

    Raises ``OSError`` (ENODEV) when a link is not there: whoever made it was killed on the way.
    """
    indexes = {link.name: link.index for link in rtnetlink.links(netlink)}
    for link in _links(layout) - indexes.keys():
        raise OSError(errno.ENODEV, os.strerror(errno.ENODEV), link)
    messages = []
    missing, surplus = addresses_off(netlink, layout, own)
    for link, a in missing:
        messages.append(rtnetlink.add_address(a, a.max_prefixlen, indexes[link]))
    for link, a in surplus:
        messages.append(rtnetlink.delete_address(a, a.max_prefixlen, indexes[link]))
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
) -> tuple[list[tuple[str, Address]], list[tuple[str, Address]]]:
    """Addresses that are missing, and those that are too many."""
    names = {link.index: link.name for link in rtnetlink.links(netlink)}
    seen: set[tuple[str, Address]] = {
        *((names.get(index, ""), a.ip) for index, a in rtnetlink.addresses(netlink)),
        *((names.get(index, ""), a.ip) for index, a in rtnetlink.addresses(netlink, 6)),
    }
    surplus = {(link, a) for link, a in seen - layout.addresses if link in own}
    surplus -= {(link, a) for link, a in surplus if a.is_loopback}
    return sorted(layout.addresses - seen, key=str), sorted(surplus, key=str)


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
    both: Iterator[RouteSeen | RouteSeen6] = chain(
        rtnetlink.routes(netlink), rtnetlink.routes(netlink, 6)
    )
    for seen in both:
        link = "" if seen.kind == rtnetlink.RTN_UNREACHABLE else names.get(seen.link, "?")
        yield Route(destination=seen.destination, link=link, via=seen.gateway)


def host_networks(netlink: Netlink, uplink: str) -> dict[IPv4Network, str]:
    """Where the host's routes lead, whatever their table, and by which link; without default
    routes and ours. A link's own subnet counts though nothing is routed there."""
    names = {link.index: link.name for link in rtnetlink.links(netlink)}
    found = {r.destination: names.get(r.link, "") for r in rtnetlink.routes(netlink, table=None)}
    for index, address in rtnetlink.addresses(netlink):
        found.setdefault(address.network, names.get(index, ""))
    return {
        network: link
        for network, link in sorted(found.items())
        if network.prefixlen and link != uplink and not network.is_loopback
    }


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


def _where_known(values: dict[str, str]) -> dict[str, str]:
    """Nothing where the kernel does not have the protocol."""
    return values if os.path.exists("/proc/sys/net/ipv6") else {}
