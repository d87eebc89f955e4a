"""Where a registry may lead us: not to this machine, its neighbours or a cloud's metadata."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network

from runtime.embedded.registry.faults import LedInside, RegistryFailed

# Never, whoever asks: link-local (169.254.169.254 tells a cloud's secrets), "this" network,
# multicast and broadcast (RFC 6890).
_NEVER = tuple(
    ip_network(text)
    for text in ("169.254.0.0/16", "0.0.0.0/8", "224.0.0.0/4", "255.255.255.255/32",
                 "fe80::/10", "::/128", "ff00::/8")
)  # fmt: skip
_NAT64 = IPv6Network("64:ff9b::/96")  # RFC 6052: the last four bytes are an IPv4 address


class _Reach(IntEnum):
    """Who else may be at an address, from nobody to everybody."""

    MACHINE = 0
    NEIGHBOURS = 1
    WORLD = 2


@dataclass(slots=True)
class Guard:
    """What connections of one registry may lead to. ``own`` is its host, which the user has named;
    where that was found first says how near it may lead us, under its own name as well: a name
    that is public first and private then is made to deceive. ``partners`` (HOST[:PORT]) the user
    has named, too, wherever they are."""

    own: str
    scheme: str = "https"
    port: int = 443
    partners: Sequence[str] = ()
    _nearest: _Reach = field(default=_Reach.WORLD)
    _found: bool = field(default=False)
    _also: frozenset[IPv4Address | IPv6Address] = field(default=frozenset())

    def check(
        self,
        host: str,
        address: str,
        *,
        scheme: str = "https",
        port: int = 0,
        also: Callable[[], Iterable[str]] = tuple,
    ) -> None:
        """``address`` is whom we are connected to, ``host`` what it was called; ``also`` finds all
        that this name means, and is asked before the registry can have answered. Raises
        ``RegistryFailed``."""
        found, name = _plain(address), host.strip("[]").lower()
        if any(found in network for network in _NEVER if network.version == found.version):
            raise RegistryFailed(
                self.own, f"it leads to the address {found}, which is no registry's"
            )
        reach, own = _reach(found), name == self.own.strip("[]")
        if own and not self._found:
            if reach is _Reach.WORLD:
                self._also = frozenset(map(_plain, also()))
            self._nearest, self._found = reach, True
            return
        known = _names(name, port)
        if reach >= self._nearest or not known.isdisjoint(map(str.lower, self.partners)):
            return
        itself = own and (scheme, port) == (self.scheme, self.port) and found in self._also
        if not itself or reach is _Reach.MACHINE:
            raise LedInside(self.own, max(known, key=len)[:100], str(found))


def _names(host: str, port: int) -> frozenset[str]:
    """How a partner may be written: with its port, or for every port."""
    bare = f"[{host}]" if ":" in host else host
    return frozenset((bare, f"{bare}:{port}" if port else bare))


def _reach(address: IPv4Address | IPv6Address) -> _Reach:
    if address.is_loopback:
        return _Reach.MACHINE
    return _Reach.WORLD if address.is_global else _Reach.NEIGHBOURS


def _plain(address: str) -> IPv4Address | IPv6Address:
    """Without a scope, and an IPv4 address in IPv6's clothes as what it is."""
    found = ip_address(address.partition("%")[0])
    if isinstance(found, IPv4Address):
        return found
    if found in _NAT64:
        return IPv4Address(found.packed[-4:])
    return found.ipv4_mapped or found.sixtofour or found
