"""A container's link: a veth from its namespace to the router, 0.6 ms by hand-made netlink.

The container has a /32 address and reaches everything by its gateway, which stands on the
router's end of every link of its network: all traffic is routed, no bridge is involved.
"""

import errno
import os
from collections.abc import Sequence
from contextlib import closing
from ipaddress import IPv4Address, IPv4Network

from runtime.embedded.linux import conntrack, namespaces, rtnetlink
from runtime.embedded.linux.conntrack import Flows
from runtime.embedded.linux.mounts import bind
from runtime.embedded.linux.netlink import Message, Netlink
from runtime.embedded.router.doors import Doors
from runtime.embedded.router.wiring import Link

_FIRST_INDEX = 16  # below are the router's loopback and uplink
_EVERYWHERE = IPv4Network("0.0.0.0/0")


def connect(router: Doors, link: Link) -> None:
    """Join the container's namespace to the router; makes the namespace when it is missing.

    Idempotent: what is there already is kept, what is missing is added.
    """
    _ensure_namespace(link)
    try:
        _wire(router, link)
    except OSError as error:
        if error.errno != errno.ENODEV:
            raise
        # One end is there with another at its far side: of a namespace that lost its name, or of
        # a router that is no more.
        router.routes.request([rtnetlink.delete_link(link.name)])
        with closing(Netlink.within(link.namespace)) as container:
            container.request([rtnetlink.delete_link(f"eth{link.index}")])
        _wire(router, link)


def _ensure_namespace(link: Link) -> None:
    if namespaces.exists(link.namespace):
        return
    link.namespace.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    alive = f"/proc/{link.pid}/ns/net"
    if link.pid is not None and os.path.exists(alive):
        link.namespace.touch(mode=0o600)
        bind(alive, str(link.namespace))
    else:
        namespaces.create(link.namespace)


def _wire(router: Doors, link: Link) -> None:
    fd = os.open(link.namespace, os.O_RDONLY | os.O_CLOEXEC)
    try:
        router.routes.request(_router_end(link, fd))
    finally:
        os.close(fd)
    with closing(Netlink.within(link.namespace)) as container:
        container.request(_container_end(link))
    router.routes.request([rtnetlink.settle_carrier(_FIRST_INDEX + link.serial)])


def _router_end(link: Link, namespace: int) -> list[Message]:
    index = _FIRST_INDEX + link.serial
    made = rtnetlink.new_veth(link.name, index, f"eth{link.index}", 2 + link.index, namespace)
    return [
        Message(
            kind=made.kind,
            flags=made.flags,
            body=made.body,
            doing=made.doing,
            accept=(errno.EEXIST,),
        ),
        rtnetlink.set_up(index),
        rtnetlink.add_address(link.network.gateway, 32, index),
        rtnetlink.add_route(IPv4Network(link.address), link=index),
    ]


def _container_end(link: Link) -> list[Message]:
    index, gateway = 2 + link.index, link.network.gateway
    destination = _EVERYWHERE if link.index == 0 else link.network.subnet
    return [
        rtnetlink.set_up(rtnetlink.LOOPBACK),
        rtnetlink.add_address(link.address, 32, index),
        rtnetlink.set_up(index),
        rtnetlink.add_route(destination, link=index, via=gateway),
    ]


def disconnect(router: Doors | None, links: Sequence[Link]) -> None:
    """Take the namespaces' names away and forget the connections of their addresses.

    The links go with the last process that lives there; deleting one by one would cost 33 ms
    each.
    """
    for link in links:
        namespaces.remove(link.namespace)
    if router is not None:
        gone = [flows for link in links for flows in _flows(link.address)]
        conntrack.forget(router.tracking, gone)


def _flows(address: IPv4Address) -> tuple[Flows, Flows]:
    return conntrack.calls_from(address), conntrack.replies_from(address)


def causes(router: Doors | None, links: Sequence[Link]) -> dict[str, list[str]]:
    """Say per container what is wrong with its links, as seen from the router."""
    seen = {} if router is None else {one.name: one for one in rtnetlink.links(router.routes)}
    gateways: set[tuple[int, IPv4Address]] = set()
    routes: set[tuple[int, IPv4Network]] = set()
    if router is not None:
        gateways = {(index, a.ip) for index, a in rtnetlink.addresses(router.routes)}
        routes = {(r.link, r.destination) for r in rtnetlink.routes(router.routes)}
    found: dict[str, list[str]] = {}
    for link in links:
        causes = found.setdefault(link.container, [])
        one = seen.get(link.name)
        if not namespaces.exists(link.namespace):
            causes.append("its network namespace is gone")
        elif one is None:
            causes.append(f"the veth eth{link.index} is gone")
        elif not (one.up and one.carrier):
            causes.append(f"the veth eth{link.index} is down")
        elif (one.index, link.network.gateway) not in gateways:
            causes.append(f"the gateway of eth{link.index} is gone")
        elif (one.index, IPv4Network(link.address)) not in routes:
            causes.append(f"the route to {link.address} is gone")
    return found
