"""What the rules of a host do with a packet, as far as that can be told; pure.

Rules are those of libnftables-json(5). A packet is a set of facts; a condition that is about
something else, or that nft cannot put into words (`xt`, a match of iptables), is in doubt, and a
rule in doubt is passed over, unless it only leaves its chain: what is left is what happens to
somebody whom no special rule is for.
"""

from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Any

import msgspec

Entry = Mapping[str, Any]
Subnet = IPv4Network | IPv6Network
_DEEPEST = 16  # jumps within each other, as the kernel has it
_VERDICTS = ("accept", "drop", "reject")
_LACKS = object()  # a packet of its kind has no such field


class Packet(msgspec.Struct, frozen=True, kw_only=True):
    """The first packet of a connection. ``family`` is ip or ip6; links are None where there is
    none; an address is the subnet that it lies in, None for anywhere; ``port`` is the destination
    after translation, None for any."""

    family: str
    came_by: str | None
    goes_by: str | None
    source: Subnet | None = None
    destination: Subnet | None = None
    protocol: str = "tcp"
    port: int | None = None
    translated: bool = False


class Chain(msgspec.Struct, frozen=True, kw_only=True):
    """A chain by its place; ``hook`` is "" for one that others jump to, ``policy`` "accept" or
    "drop"."""

    family: str
    table: str
    name: str
    hook: str = ""
    policy: str = "accept"

    def __str__(self) -> str:
        return f"{self.family} {self.table} {self.name}"


class Ruleset:
    """Chains, rules and named sets of a listing. In chains called like one of ``open_chains``
    packets that come or go by ``uplink`` are accepted."""

    def __init__(
        self, entries: Sequence[Entry], *, uplink: str = "", open_chains: Sequence[str] = ()
    ) -> None:
        self._rules: dict[tuple[str, str, str], list[Sequence[Entry]]] = {}
        self._sets: dict[tuple[str, str, str], list[Any]] = {}
        self._uplink, self._open = uplink, frozenset(open_chains)
        self.chains: list[Chain] = []
        for entry in entries:
            self._take(entry)

    def _take(self, entry: Entry) -> None:
        if chain := entry.get("chain"):
            if chain.get("type", "filter") == "filter":
                self.chains.append(_chain(chain))
        elif rule := entry.get("rule"):
            place = (rule["family"], rule["table"], rule["chain"])
            self._rules.setdefault(place, []).append(rule["expr"])
        elif named := entry.get("set") or entry.get("map"):
            place = (named["family"], named["table"], named["name"])
            self._sets[place] = named.get("elem", [])

    def has_chain(self, name: str) -> bool:
        return any(chain.name == name for chain in self.chains)

    def stops(self, packet: Packet, hook: str) -> Iterator[Chain]:
        """The base chains at ``hook`` that drop or refuse the packet: each has its own say."""
        for chain in self.chains:
            if chain.hook != hook or chain.family not in (packet.family, "inet"):
                continue
            verdict = self._verdict(chain, chain.name, packet, _DEEPEST) or chain.policy
            if verdict in ("drop", "reject"):
                yield chain

    def _verdict(self, base: Chain, name: str, packet: Packet, deep: int) -> str | None:
        """The verdict of a chain, None when the packet comes out at its end."""
        if name in self._open and self._uplink in (packet.came_by, packet.goes_by):
            return "accept"
        for rule in self._rules.get((base.family, base.table, name), ()) if deep else ():
            kind, target = self._outcome(base, rule, packet)
            if kind in _VERDICTS:
                return kind
            if kind == "return":
                return None
            if kind in ("jump", "goto"):
                found = self._verdict(base, target, packet, deep - 1)
                if found or kind == "goto":
                    return found
        return None

    def _outcome(self, base: Chain, rule: Sequence[Entry], packet: Packet) -> tuple[str, str]:
        """What a rule does: a verdict, or a jump and where to; ("", "") when it does not apply.
        When it may apply, the same, but for a return: that leaves a special chain."""
        doubt = False
        for statement in rule:
            ((kind, content),) = statement.items()
            if kind == "vmap":
                ((kind, content),) = self._looked_up(base, content, packet).items()
            if kind == "match":
                applies = self._applies(base, content, packet)
                if applies is False:
                    return "", ""
                doubt = doubt or applies is None
            elif kind in ("limit", "quota") or (kind == "xt" and content.get("type") == "match"):
                doubt = True
            elif kind == "xt" and content.get("name") == "REJECT":
                return ("", "") if doubt else ("reject", "")
            elif kind == "return":
                return kind, ""
            elif kind in _VERDICTS:
                return ("", "") if doubt else (kind, "")
            elif kind in ("jump", "goto"):
                return ("", "") if doubt else (kind, content["target"])
        return "", ""

    def _looked_up(self, base: Chain, vmap: Entry, packet: Packet) -> Entry:
        data = vmap["data"]
        pairs = data["set"] if isinstance(data, dict) else self._named(base, data)
        known = _known(vmap["key"], packet)
        return next((verdict for key, verdict in pairs if _meets(known, key)), {"": None})

    def _applies(self, base: Chain, match: Entry, packet: Packet) -> bool | None:
        """Whether a condition holds, None where that is in doubt."""
        known = _known(match["left"], packet)
        if known is _LACKS:
            return False
        if known is None or match["op"] not in ("==", "in", "!="):
            return None
        values = list(self._values(base, match["right"]))
        if any(_meets(known, value) for value in values):
            return bool(match["op"] != "!=")
        if any(_may_meet(known, value) for value in values):
            return None
        return bool(match["op"] == "!=")

    def _values(self, base: Chain, right: Any) -> Iterator[Any]:
        """The single values of the right side of a condition."""
        if isinstance(right, dict) and ("set" in right or "|" in right):
            right = right.get("set") or right["|"]
        if isinstance(right, str) and right.startswith("@"):
            right = self._named(base, right)
        if isinstance(right, list):
            for each in right:
                yield from self._values(base, each)
        elif isinstance(right, dict) and "elem" in right:
            yield right["elem"]["val"]
        else:
            yield right

    def _named(self, base: Chain, name: str) -> list[Any]:
        return self._sets.get((base.family, base.table, name.removeprefix("@")), [])


def _chain(listed: Entry) -> Chain:
    return Chain(
        family=listed["family"],
        table=listed["table"],
        name=listed["name"],
        hook=listed.get("hook", ""),
        policy=listed.get("policy", "accept"),
    )


def _known(left: Any, packet: Packet) -> Any:
    """What the packet has where a condition looks: "" for no link or state, None where that is in
    doubt, ``_LACKS``."""
    if not isinstance(left, dict):
        return None
    ((kind, what),) = left.items()
    match kind:
        case "meta":
            return _meta(what.get("key"), packet)
        case "ct":
            return {"state": "new", "status": "dnat" if packet.translated else ""}.get(
                what.get("key")
            )
        case "payload":
            return _payload(what.get("protocol"), what.get("field"), packet)
        case _:
            return None


def _meta(key: str, packet: Packet) -> str | None:
    return {
        "iifname": packet.came_by or "",
        "iif": packet.came_by or "",
        "oifname": packet.goes_by or "",
        "oif": packet.goes_by or "",
        "l4proto": packet.protocol,
        "nfproto": "ipv4" if packet.family == "ip" else "ipv6",
        "protocol": packet.family,
    }.get(key)


def _payload(protocol: str, field: str, packet: Packet) -> Any:
    if protocol in ("ip", "ip6"):
        known = {
            "saddr": packet.source,
            "daddr": packet.destination,
            "protocol": packet.protocol,
            "nexthdr": packet.protocol,
        }
        return known.get(field) if protocol == packet.family else _LACKS
    if protocol not in ("th", packet.protocol):
        return _LACKS
    return packet.port if field == "dport" else None


def _meets(known: Any, value: Any) -> bool:
    """Whether what is known is surely ``value``, or lies in it."""
    if isinstance(known, (IPv4Network, IPv6Network)):
        subnet = _subnet(value)
        return subnet is not None and subnet.version == known.version and _within(known, subnet)
    if isinstance(value, dict) and "range" in value:
        first, last = value["range"]
        return isinstance(known, int) and isinstance(first, int) and first <= known <= last
    if isinstance(known, str) and isinstance(value, str):
        return known != "" and fnmatchcase(known, value)
    return bool(known == value)


def _may_meet(known: Any, value: Any) -> bool:
    """Whether what is known may be ``value``: of addresses a part of the subnet is enough."""
    if isinstance(known, (IPv4Network, IPv6Network)):
        subnet = _subnet(value)
        return subnet is None or (subnet.version == known.version and subnet.overlaps(known))
    return _meets(known, value)


def _within(inner: Subnet, outer: Subnet) -> bool:
    return inner.overlaps(outer) and inner.prefixlen >= outer.prefixlen


def _subnet(value: Any) -> Subnet | None:
    if isinstance(value, dict) and "prefix" in value:
        value = f"{value['prefix']['addr']}/{value['prefix']['len']}"
    try:
        return ip_network(value, strict=False)
    except (TypeError, ValueError):
        return None
