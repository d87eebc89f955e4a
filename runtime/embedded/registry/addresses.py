"""Where a registry may lead us: not to this machine, its neighbours or a cloud's metadata."""

from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from runtime.embedded.registry.faults import RegistryFailed

# Never, whoever asks: link-local (169.254.169.254 tells a cloud's secrets), "this" network,
# multicast and broadcast (RFC 6890).
_NEVER = tuple(
    ip_network(text)
    for text in ("169.254.0.0/16", "0.0.0.0/8", "224.0.0.0/4", "255.255.255.255/32",
                 "fe80::/10", "::/128", "ff00::/8")
)  # fmt: skip


@dataclass(slots=True)
class Guard:
    """What connections of one registry may lead to. ``own`` is its host, which the user has named;
    once that was found to be private, other private addresses are its neighbours."""

    own: str
    _is_private: bool = field(default=False)

    def check(self, host: str, address: str) -> None:
        """``address`` is whom we are connected to, ``host`` what it was called. Raises
        ``RegistryFailed``."""
        found = _plain(address)
        if any(found in network for network in _NEVER if network.version == found.version):
            raise RegistryFailed(
                self.own, f"it leads to the address {found}, which is no registry's"
            )
        private = found.is_private or found.is_loopback
        if host.strip("[]").lower() == self.own.strip("[]"):
            self._is_private = self._is_private or private
        elif private and not self._is_private:
            raise RegistryFailed(self.own, f"it leads to {host[:100]}, the private address {found}")


def _plain(address: str) -> IPv4Address | IPv6Address:
    """Without a scope, and an IPv4 address in IPv6's clothes as what it is."""
    found = ip_address(address.partition("%")[0])
    return getattr(found, "ipv4_mapped", None) or found
