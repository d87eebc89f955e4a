"""Which addresses an instance takes: pure choices from what is taken already.

A subnet is split: the gateway is its first address, services have the rest of the lower half
and keep theirs for life, generations rotate through the upper half so that an address is not
used again soon after its container went (conntrack and clients remember it).
"""

import secrets
from collections.abc import Collection, Iterator, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import overload

from runtime.embedded.linux.rtnetlink import Address, Subnet
from runtime.embedded.router.wiring import Pool
from runtime.errors import Fault

SUBNET_PREFIX, SUBNET6_PREFIX = 23, 64
# The DNS server wants each client's address in its zone file, so their number has a bound.
GENERATIONS_AT_MOST = 1022


class NoFreePool(Fault):
    """Every range that we would take is routed elsewhere by the host."""

    def __init__(self) -> None:
        super().__init__(
            "no private address range is left for containers",
            why="the host has routes into every range that was tried",
            hint="give every network a `subnet:` of its own",
        )


class PoolExhausted(Fault):
    """No part of the pool is left for another network."""

    def __init__(self, pool: Subnet) -> None:
        self.pool = pool
        super().__init__(
            f"no subnet is left in {pool}",
            why="every part of it belongs to a network",
            hint="remove projects that are not needed, or give the network a `subnet:`",
        )


class SubnetFull(Fault):
    """A network has no address left for one more service or container."""

    def __init__(self, subnet: Subnet, wanted: str) -> None:
        self.subnet, self.wanted = subnet, wanted
        super().__init__(
            f"network {subnet} has no free address for another {wanted}",
            why=f"all of its addresses for {wanted}s are in use",
            hint="give the network a larger `subnet:`",
        )


def pick_pool(taken: Sequence[IPv4Network]) -> Pool:
    """Return the first pair of ranges that touches none of the host's routes.

    Pool and shadow come in fixed pairs, so that two instances never share a shadow.
    Raises ``NoFreePool``.
    """
    for pool in _candidates():
        if not any(part.overlaps(used) for part in (pool.pool, pool.shadow) for used in taken):
            return pool
    raise NoFreePool


def _candidates() -> Iterator[Pool]:
    pairs = [(f"10.{n}", f"10.{n + 50}") for n in (*range(201, 205), *range(101, 151))]
    pairs += [(f"172.{n}", f"172.{n + 1}") for n in range(18, 31, 2)]
    for pool, shadow in pairs:
        yield Pool(pool=IPv4Network(f"{pool}.0.0/16"), shadow=IPv4Network(f"{shadow}.0.0/16"))


def pick_subnet(pool: Pool, taken: Collection[IPv4Network]) -> IPv4Network:
    """Return the first free /23 of the pool behind the uplink's. Raises ``PoolExhausted``."""
    subnets = pool.pool.subnets(new_prefix=SUBNET_PREFIX)
    next(subnets)
    for subnet in subnets:
        if not any(subnet.overlaps(used) for used in taken):
            return subnet
    raise PoolExhausted(pool.pool)


def pick_ula() -> IPv6Network:
    """Return a random /48 for an instance, RFC 4193: nobody else will have it."""
    return IPv6Network((b"\xfd" + secrets.token_bytes(5) + bytes(10), 48))


def pick_subnet6(pool: IPv6Network, taken: Collection[IPv6Network]) -> IPv6Network:
    """Return the first free /64 of the pool behind the uplink's. Raises ``PoolExhausted``."""
    first = int(pool.network_address)
    for number in range(1, 1 << (SUBNET6_PREFIX - pool.prefixlen)):
        subnet = IPv6Network((first + (number << (128 - SUBNET6_PREFIX)), SUBNET6_PREFIX))
        if not any(subnet.overlaps(used) for used in taken):
            return subnet
    raise PoolExhausted(pool)


@overload
def gateway(subnet: IPv4Network) -> IPv4Address: ...
@overload
def gateway(subnet: IPv6Network) -> IPv6Address: ...
def gateway(subnet: Subnet) -> Address:
    return subnet[1]


@overload
def pick_service(subnet: IPv4Network, taken: Collection[Address]) -> IPv4Address: ...
@overload
def pick_service(subnet: IPv6Network, taken: Collection[Address]) -> IPv6Address: ...
def pick_service(subnet: Subnet, taken: Collection[Address]) -> Address:
    """Return the lowest free service address. Raises ``SubnetFull``."""
    used = {int(address) for address in taken}
    first = int(subnet.network_address)
    for number in range(first + 2, first + subnet.num_addresses // 2):
        if number not in used:
            return subnet[number - first]
    raise SubnetFull(subnet, "service")


@overload
def pick_generation(
    subnet: IPv4Network, taken: Collection[Address], last: Address | None
) -> IPv4Address: ...
@overload
def pick_generation(
    subnet: IPv6Network, taken: Collection[Address], last: Address | None
) -> IPv6Address: ...
def pick_generation(subnet: Subnet, taken: Collection[Address], last: Address | None) -> Address:
    """Return the next free generation address after ``last``, around the upper half. Raises
    ``SubnetFull``."""
    everyone = generations(subnet)
    used = {int(address) for address in taken}
    start = 0 if last is None else int(last) - everyone.start + 1
    for offset in range(len(everyone)):
        number = everyone[(start + offset) % len(everyone)]
        if number not in used:
            return subnet[number - int(subnet.network_address)]
    raise SubnetFull(subnet, "container")


def generations(subnet: Subnet) -> range:
    """All generation addresses, as numbers: of the upper half without IPv4's broadcast address,
    its end or, with IPv6, its beginning."""
    first, size = int(subnet.network_address), subnet.num_addresses
    low = first + size // 2
    if subnet.version == 6:
        return range(low, min(low + GENERATIONS_AT_MOST, first + size))
    return range(max(low, first + size - 1 - GENERATIONS_AT_MOST), first + size - 1)
