"""The ways that packets of containers take through the host, and which of them its own firewall
closes; pure.

What a firewall drops stays dropped: its owner is told, with the command that opens the way. Only
Docker has a chain for others (DOCKER-USER), in which the engine puts two rules of its own.
"""

from collections.abc import Iterator, Sequence
from ipaddress import IPv4Network, IPv6Network

import msgspec

from runtime.api import Finding, Verdict
from runtime.embedded.firewall.rules import Chain, Entry, Packet, Ruleset, Subnet

SUBJECT = "firewall"
DOCKER_CHAIN = "DOCKER-USER"
FROM_OUTSIDE = "what comes from outside for published ports"
FROM_CONTAINERS = "what containers send to other hosts"
_OWN = "trueup"  # how the tables of all instances begin
_ANY = (("tcp", None), ("udp", None))
_NAMES = (("udp", 53),)
_IPTABLES = {"ip": "iptables", "ip6": "ip6tables"}
# Chains by which the tables of these are known.
_UFW, _FIREWALLD = {"ufw-user-forward", "ufw6-user-forward"}, "filter_FORWARD_POLICIES_pre"


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """The links that matter: ``uplink`` leads to the containers, ``outside`` elsewhere. ``ports``
    are published ones as (protocol, container's port); none: any. ``asks_host``: containers' names
    are looked up by a resolver of the host itself. ``pool6`` None: no IPv6."""

    uplink: str
    outside: Sequence[str]
    pool: IPv4Network | None = None
    pool6: IPv6Network | None = None
    ports: Sequence[tuple[str, int]] = ()
    asks_host: bool = False


class Way(msgspec.Struct, frozen=True, kw_only=True):
    """One of the ways: what is said of it, the hook where it can be closed, and its packets;
    ``inward``: they go to containers."""

    what: str
    verdict: Verdict
    hook: str
    inward: bool
    packets: tuple[Packet, ...]


def findings(entries: Sequence[Entry], place: Place) -> tuple[Finding, ...]:
    """What the rules close, told once for all that the same commands open; none: all ways are
    open."""
    ruleset = Ruleset(
        [entry for entry in entries if not is_ours(entry)],
        uplink=place.uplink,
        open_chains=(DOCKER_CHAIN,),
    )
    found: dict[tuple[str, ...], Finding] = {}
    for way in _ways(place):
        closed = [chain for packet in way.packets for chain in ruleset.stops(packet, way.hook)]
        for chain in dict.fromkeys(closed):
            name, commands = _opening(way, chain, ruleset, place.uplink)
            finding = Finding(
                subject=SUBJECT,
                verdict=way.verdict,
                text=f"{name} drops {way.what}",
                commands=commands,
            )
            found.setdefault(commands, finding)
    return tuple(found.values())


def is_ours(entry: Entry) -> bool:
    """Whether it belongs to a table of an instance of ours."""
    ((_, content),) = entry.items()
    return content.get("family") == "inet" and str(content.get("table") or "").startswith(_OWN)


def _ways(place: Place) -> Iterator[Way]:
    uplink, published = place.uplink, place.ports or _ANY
    yield Way(
        what=FROM_OUTSIDE,
        verdict=Verdict.BLOCKER,
        hook="forward",
        inward=True,
        packets=tuple(
            packet
            for link in place.outside
            for packet in _packets(place, link, uplink, published, to_pool=True)
        ),
    )
    yield Way(
        what=FROM_CONTAINERS,
        verdict=Verdict.WARNING,
        hook="forward",
        inward=False,
        packets=tuple(
            packet
            for link in place.outside
            for packet in _packets(place, uplink, link, _ANY, from_pool=True)
        ),
    )
    yield Way(
        what="what containers send to published ports by the host's address",
        verdict=Verdict.WARNING,
        hook="forward",
        inward=False,
        packets=_packets(place, uplink, uplink, published, from_pool=True, to_pool=True),
    )
    yield Way(
        what="what the host itself sends to containers",
        verdict=Verdict.WARNING,
        hook="output",
        inward=True,
        packets=_packets(place, None, uplink, published, to_pool=True),
    )
    if place.asks_host:
        yield Way(
            what="what containers ask the host's resolver",
            verdict=Verdict.WARNING,
            hook="input",
            inward=False,
            packets=_packets(place, uplink, None, _NAMES, from_pool=True),
        )


def _packets(
    place: Place,
    came_by: str | None,
    goes_by: str | None,
    ports: Sequence[tuple[str, int | None]],
    *,
    from_pool: bool = False,
    to_pool: bool = False,
) -> tuple[Packet, ...]:
    families: list[tuple[str, Subnet | None]] = [("ip", place.pool)]
    families += [("ip6", place.pool6)] if place.pool6 is not None else []
    return tuple(
        Packet(
            family=family,
            came_by=came_by,
            goes_by=goes_by,
            source=pool if from_pool else None,
            destination=pool if to_pool else None,
            protocol=protocol,
            port=port,
            translated=to_pool or goes_by is None,
        )
        for family, pool in families
        for protocol, port in ports
    )


def _opening(way: Way, chain: Chain, ruleset: Ruleset, uplink: str) -> tuple[str, tuple[str, ...]]:
    """The firewall by its name, and the commands that open the way in its own words."""
    names = {each.name for each in ruleset.chains if each.table == chain.table}
    if _UFW & names:
        return "ufw", _ufw(way, uplink)
    if _FIREWALLD in names:
        return "firewalld", (
            f"firewall-cmd --permanent --zone=trusted --add-interface={uplink}",
            "firewall-cmd --reload",
        )
    if chain.table == "filter" and chain.name.isupper():
        return f"the chain {chain.name} of {_IPTABLES[chain.family]}", _iptables(way, chain, uplink)
    return f"the chain {chain} of nftables", _nft(way, chain, uplink)


def _ufw(way: Way, uplink: str) -> tuple[str, ...]:
    if way.hook == "input":
        return (f"ufw allow in on {uplink} to any port 53",)
    if way.hook == "output":
        return (f"ufw allow out on {uplink}",)
    return (f"ufw route allow {'out' if way.inward else 'in'} on {uplink}",)


def _iptables(way: Way, chain: Chain, uplink: str) -> tuple[str, ...]:
    insert = f"{_IPTABLES[chain.family]} -I {chain.name}"
    there, back = ("-o", "-i") if way.inward else ("-i", "-o")
    answers = f"{insert} {back} {uplink} -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT"
    opens = f"{insert} {there} {uplink} -j ACCEPT"
    return (opens, answers) if way.hook == "forward" else (opens,)


def _nft(way: Way, chain: Chain, uplink: str) -> tuple[str, ...]:
    """In single quotes, as the rule has quotes of its own."""
    there, back = ("oifname", "iifname") if way.inward else ("iifname", "oifname")
    answers = f'insert rule {chain} {back} "{uplink}" ct state established,related accept'
    opens = f'insert rule {chain} {there} "{uplink}" accept'
    texts = (opens, answers) if way.hook == "forward" else (opens,)
    return tuple(f"nft '{text}'" for text in texts)
