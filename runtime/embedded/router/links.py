"""A container's links: veths from its namespace to the router, 0.6 ms each by hand-made netlink.

On each the container has a /32 address (and a /128) and reaches everything by its gateway, which
stands on the router's end of every link of its network: all traffic is routed, no bridge is
involved.
"""

import errno
import os
from collections.abc import Sequence
from contextlib import closing
from itertools import groupby

from runtime.embedded.linux import conntrack, namespaces, rtnetlink
from runtime.embedded.linux.conntrack import Flows
from runtime.embedded.linux.mounts import bind
from runtime.embedded.linux.netlink import Message, Netlink
from runtime.embedded.linux.rtnetlink import Address, LinkSeen, Subnet
from runtime.embedded.router.doors import Doors
from runtime.embedded.router.ends import (
    Seen,
    container_end,
    host_route,
    interface_index,
    router_end,
    router_index,
)
from runtime.embedded.router.wiring import Link


def connect(router: Doors, links: Sequence[Link]) -> None:
    """Join a container's namespace to the router by these links and no others; makes the namespace
    when it is missing.

    Idempotent: what is there already is kept, what is missing is added, what is too many goes.
    """
    fresh = _ensure_namespace(links[0])
    gone = [] if fresh else _surplus(router, links)
    router.routes.request([rtnetlink.delete_link(name) for name in gone])
    try:
        _wire(router, links, fresh=fresh)
    except OSError as error:
        if error.errno != errno.ENODEV:
            raise
        # One end is there with another at its far side: of a namespace that lost its name, or of
        # a router that is no more.
        router.routes.request([rtnetlink.delete_link(link.name) for link in links])
        with closing(Netlink.within(links[0].namespace)) as container:
            container.request([rtnetlink.delete_link(link.interface) for link in links])
        _wire(router, links, fresh=False)


def _ensure_namespace(link: Link) -> bool:
    """Whether it had to be made."""
    if namespaces.exists(link.namespace):
        return False
    link.namespace.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    alive = f"/proc/{link.pid}/ns/net"
    if link.pid is not None and os.path.exists(alive):
        link.namespace.touch(mode=0o600)
        bind(alive, str(link.namespace))
        return False
    namespaces.create(link.namespace)
    return True


def _surplus(router: Doors, links: Sequence[Link]) -> list[str]:
    """The router's ends of links that the container shall not have any more."""
    names = {link.name for link in links}
    seen = rtnetlink.links(router.routes)
    return [s.name for s in seen if _owner(s) == links[0].container and s.name not in names]


def _owner(seen: LinkSeen) -> str:
    """The container that a link was made for, "" for links of others."""
    return seen.alias.partition(" ")[0]


def _wire(router: Doors, links: Sequence[Link], *, fresh: bool) -> None:
    """The router's ends say what they are made to be last: whoever is killed before leaves links
    whose notes do not fit, and those are seen."""
    there = Seen() if fresh else _seen(router.routes)
    namespace = os.open(links[0].namespace, os.O_RDONLY | os.O_CLOEXEC)
    try:
        router.routes.request([m for link in links for m in _begun(link, namespace, there)])
    finally:
        os.close(namespace)
    with closing(Netlink.within(links[0].namespace)) as container:
        container.request(container_end(links, Seen() if fresh else _seen(container)))
    router.routes.request(
        [
            *(rtnetlink.note(router_index(link), link.note) for link in links),
            *(rtnetlink.settle_carrier(router_index(link)) for link in links),
        ]
    )
    if lost := _lost(links, there):
        conntrack.forget(router.tracking, [flows for a in lost for flows in _flows(a)])


def _begun(link: Link, namespace: int, there: Seen) -> list[Message]:
    index = router_index(link)
    made = rtnetlink.new_veth(link.name, index, link.interface, interface_index(link), namespace)
    return [
        Message(
            kind=made.kind,
            flags=made.flags,
            body=made.body,
            doing=made.doing,
            accept=(errno.EEXIST,),
        ),
        rtnetlink.note(index, f"{link.container} begun"),
        rtnetlink.set_up(index),
        *router_end(link, there),
    ]


def _seen(netlink: Netlink) -> Seen:
    return Seen(
        addresses=[
            *((i, a.ip) for i, a in rtnetlink.addresses(netlink)),
            *((i, a.ip) for i, a in rtnetlink.addresses(netlink, 6)),
        ],
        routes=[
            *((r.link, r.destination) for r in rtnetlink.routes(netlink)),
            *((r.link, r.destination) for r in rtnetlink.routes(netlink, 6)),
        ],
        rules=[*rtnetlink.rules(netlink), *rtnetlink.rules(netlink, 6)],
    )


def _lost(links: Sequence[Link], there: Seen) -> list[Address]:
    """The addresses that the container had at these links and has no more."""
    ours = {router_index(link) for link in links}
    kept = {host_route(address) for link in links for address in link.addresses}
    gone = {route for index, route in there.routes if index in ours and route not in kept}
    return [route.network_address for route in gone]


def disconnect(router: Doors | None, links: Sequence[Link]) -> None:
    """Take the namespaces' names away and forget the connections of their addresses.

    The links go with the last process that lives there; deleting one by one would cost 33 ms
    each.
    """
    for link in links:
        namespaces.remove(link.namespace)
    if router is not None:
        gone = [flows for link in links for a in link.addresses for flows in _flows(a)]
        conntrack.forget(router.tracking, gone)


def _flows(address: Address) -> tuple[Flows, Flows]:
    return conntrack.calls_from(address), conntrack.replies_from(address)


def causes(router: Doors | None, links: Sequence[Link]) -> dict[str, list[str]]:
    """Say per container what is wrong with its links, as seen from the router."""
    ends = [] if router is None else list(rtnetlink.links(router.routes))
    by_name = {one.name: one for one in ends}
    seen = Seen() if router is None else _there(router.routes, links)
    found: dict[str, list[str]] = {}
    for container, own in groupby(links, key=lambda link: link.container):
        wanted = list(own)
        found.setdefault(container, []).extend(
            cause for link in wanted if (cause := _cause(link, by_name.get(link.name), seen))
        )
    names = {link.name for link in links}
    for one in ends:
        if one.name not in names and _owner(one) in found:
            found[_owner(one)].append("it has a link to a network that it is not in any more")
    return found


def _there(netlink: Netlink, links: Sequence[Link]) -> Seen:
    """Addresses and routes of the router, of the families that the links have."""
    addresses: set[tuple[int, Address]] = {(i, a.ip) for i, a in rtnetlink.addresses(netlink)}
    routes: set[tuple[int, Subnet]] = {(r.link, r.destination) for r in rtnetlink.routes(netlink)}
    if any(link.address6 for link in links):
        addresses.update((i, a.ip) for i, a in rtnetlink.addresses(netlink, 6))
        routes.update((r.link, r.destination) for r in rtnetlink.routes(netlink, 6))
    return Seen(addresses=addresses, routes=routes)


def _cause(link: Link, end: LinkSeen | None, seen: Seen) -> str:
    """What is wrong with one link, "" for nothing."""
    index = router_index(link)
    if not namespaces.exists(link.namespace):
        return "its network namespace is gone"
    if end is None:
        return f"the veth {link.interface} is gone"
    if not (end.up and end.carrier):
        return f"the veth {link.interface} is down"
    if any((index, gateway) not in seen.addresses for gateway in link.network.gateways):
        return f"the gateway of {link.interface} is gone"
    for address in link.addresses:
        if (index, host_route(address)) not in seen.routes:
            return f"the route to {address} is gone"
    if end.alias != link.note:
        return f"addresses and routes of {link.interface} are not those that it shall have"
    return ""
