"""Where published ports lead, as elements of maps; pure.

Each IP version has four maps, looked up in this order: ports on one address, ranges on one
address, ports on every address, ranges on every address. A range whose numbers are the same on
both sides is one element, however long it is: its data has no port, so the packet keeps its own.
Any other range is an element per port, as the kernel shifts no numbers.
"""

from collections.abc import Mapping, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address

import msgspec

from runtime.embedded.nft.ruleset import Set
from runtime.embedded.router.wiring import PortWire

Address = IPv4Address | IPv6Address

_EVERY = ("0.0.0.0", "::")


class Family(msgspec.Struct, frozen=True, kw_only=True):
    """An IP version: its type of address and its word in rules, and how its maps' names end."""

    version: int
    type: str
    word: str
    suffix: str
    # `::1` cannot be translated: who calls it shall be refused at once and not left hanging.
    guard: str = ""


V4 = Family(version=4, type="ipv4_addr", word="ip", suffix="", guard="meta nfproto ipv4 ")
V6 = Family(version=6, type="ipv6_addr", word="ip6", suffix="6", guard="ip6 daddr != ::1 ")
_FAMILIES = (V4, V6)


def host_address(host_ip: str | None) -> Address | None:
    """The one address to publish on, None for every one."""
    return None if host_ip in (None, "", *_EVERY) else ip_address(str(host_ip))


def versions(host_ip: str | None) -> tuple[int, ...]:
    """The IP versions that a port is published in."""
    if not host_ip:
        return (4, 6)
    return (ip_address(host_ip).version,)


def port_sets(ports: Sequence[PortWire]) -> tuple[Set, ...]:
    return tuple(one for family in _FAMILIES for one in _sets(family, ports))


def translations() -> tuple[str, ...]:
    """The rules that look ports up."""
    return tuple(
        f"{family.guard}fib daddr type local dnat {family.word} to"
        f" {address}meta l4proto . th dport map @{name}{family.suffix}"
        for family in _FAMILIES
        for address, name in (
            (f"{family.word} daddr . ", "published_at"),
            (f"{family.word} daddr . ", "ranges_at"),
            ("", "published"),
            ("", "ranges"),
        )
    )


def _sets(family: Family, ports: Sequence[PortWire]) -> tuple[Set, ...]:
    at: dict[str, str] = {}
    ranges_at: dict[str, str] = {}
    everywhere: dict[str, str] = {}
    ranges: dict[str, str] = {}
    for port in ports:
        target = port.address if family.version == 4 else port.address6
        if target is None or family.version not in versions(port.host_ip):
            continue
        address = host_address(port.host_ip)
        prefix = f"{address} . " if address else ""
        singles, wide = (at, ranges_at) if address else (everywhere, ranges)
        (wide if _is_interval(port) else singles).update(_elements(port, prefix, target))
    key, plain = "inet_proto . inet_service", f"{family.type} . inet_service"
    return (
        _map(family, "published_at", f"{family.type} . {key} : {plain}", at, "on one address"),
        _map(
            family,
            "ranges_at",
            f"{family.type} . {key} : {family.type}; flags interval",
            ranges_at,
            "in ranges on one address",
        ),
        _map(family, "published", f"{key} : {plain}", everywhere),
        _map(family, "ranges", f"{key} : {family.type}; flags interval", ranges, "in ranges"),
    )


def _map(family: Family, name: str, kind: str, elements: Mapping[str, str], which: str = "") -> Set:
    words = ["the map of published", *(["IPv6"] if family.version == 6 else []), "ports", which]
    return Set(
        name=f"{name}{family.suffix}",
        declaration=f"type {kind}",
        what=" ".join(words).strip(),
        elements=elements,
        is_map=True,
    )


def _is_interval(port: PortWire) -> bool:
    return port.count > 1 and port.host_port == port.container_port


def _elements(port: PortWire, prefix: str, target: Address) -> dict[str, str]:
    if _is_interval(port):
        ends = f"{port.host_ports[0]}-{port.host_ports[-1]}"
        return {f"{prefix}{port.protocol} . {ends}": str(target)}
    return {
        f"{prefix}{port.protocol} . {host_port}": f"{target} . {container_port}"
        for host_port, container_port in port.pairs
    }
