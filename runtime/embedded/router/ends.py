"""What both ends of a container's links shall have, as netlink messages; pure.

Every interface leads to its own subnet, one has the default route. What the container sends from
an address of another interface goes out by that one (a rule and a table of routes per address):
the router takes an address from its own link only, and whoever called there gets his answer.
"""

from collections.abc import Collection, Iterator, Sequence
from ipaddress import IPv4Network, IPv6Network

import msgspec

from runtime.embedded.linux import rtnetlink
from runtime.embedded.linux.netlink import Message
from runtime.embedded.linux.rtnetlink import Address, RuleSeen, Subnet
from runtime.embedded.router.wiring import Link

FIRST_INDEX = 16  # of the router's ends; below are its loopback and uplink
FIRST_INTERFACE = 2
_FIRST_TABLE = 100
_EVERYWHERE: dict[int, Subnet] = {4: IPv4Network("0.0.0.0/0"), 6: IPv6Network("::/0")}


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """What a namespace has: addresses and routes by the index of their link, rules of ours."""

    addresses: Collection[tuple[int, Address]] = ()
    routes: Collection[tuple[int, Subnet]] = ()
    rules: Collection[RuleSeen] = ()


def router_index(link: Link) -> int:
    return FIRST_INDEX + link.serial


def interface_index(link: Link) -> int:
    return FIRST_INTERFACE + link.index


def host_route(address: Address) -> Subnet:
    """The subnet of one address."""
    return IPv4Network(address) if address.version == 4 else IPv6Network(address)


def router_end(link: Link, seen: Seen) -> list[Message]:
    """The gateways of the network and the way to the container's addresses, no others."""
    index = router_index(link)
    gateways = set(link.network.gateways)
    ways = {host_route(address) for address in link.addresses}
    return [
        *(rtnetlink.delete_address(a, a.max_prefixlen, i)
          for i, a in seen.addresses if i == index and a not in gateways),
        *(rtnetlink.delete_route(r, link=i)
          for i, r in seen.routes if i == index and r not in ways),
        *(rtnetlink.add_address(a, a.max_prefixlen, index) for a in link.network.gateways),
        *(rtnetlink.add_route(host_route(a), link=index) for a in link.addresses),
    ]  # fmt: skip


def container_end(links: Sequence[Link], seen: Seen) -> list[Message]:
    """All interfaces of a container as ``links`` say, and what is too many taken away."""
    addresses = {(interface_index(link), a) for link in links for a in link.addresses}
    rules = {rule for link in links for rule in _rules(link)}
    routes = {
        (interface_index(link), destination)
        for link in links
        for destination in (*link.network.subnets, *_defaults(link))
    }
    return [
        rtnetlink.set_up(rtnetlink.LOOPBACK),
        *(rtnetlink.delete_rule(r.source, r.table, r.priority)
          for r in seen.rules if r.table >= _FIRST_TABLE and r not in rules),
        *(rtnetlink.delete_address(a, a.max_prefixlen, i)
          for i, a in seen.addresses if i != rtnetlink.LOOPBACK and (i, a) not in addresses),
        *(rtnetlink.set_up(interface_index(link)) for link in links),
        *(rtnetlink.add_address(a, a.max_prefixlen, i) for i, a in sorted(addresses, key=str)),
        # What leads elsewhere goes first: a new default route replaces the one that is there.
        *(rtnetlink.delete_route(r, link=i)
          for i, r in seen.routes if i != rtnetlink.LOOPBACK and (i, r) not in routes),
        *(message for link in links for message in _ways(link)),
        *(rtnetlink.add_rule(r.source, r.table, r.priority) for r in sorted(rules, key=str)),
    ]  # fmt: skip


def _defaults(link: Link) -> Iterator[Subnet]:
    if link.way_out:
        for address in link.addresses:
            yield _EVERYWHERE[address.version]


def _ways(link: Link) -> Iterator[Message]:
    index = interface_index(link)
    for gateway, subnet in zip(link.network.gateways, link.network.subnets, strict=True):
        everywhere = _EVERYWHERE[gateway.version]
        yield rtnetlink.add_route(subnet, link=index, via=gateway)
        if link.way_out:
            yield rtnetlink.add_route(everywhere, link=index, via=gateway)
        elif not link.network.internal:
            yield rtnetlink.add_route(everywhere, link=index, via=gateway, table=_table(link))


def _rules(link: Link) -> Iterator[RuleSeen]:
    if not link.way_out and not link.network.internal:
        for address in link.addresses:
            yield RuleSeen(source=address, table=_table(link), priority=_table(link))


def _table(link: Link) -> int:
    return _FIRST_TABLE + link.index
