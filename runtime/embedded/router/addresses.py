"""Which addresses an instance takes: pure choices from what is taken already.

A subnet is split: the gateway is its first address, services have the rest of the lower half
and keep theirs for life, generations rotate through the upper half so that an address is not
used again soon after its container went (conntrack and clients remember it).
"""

from collections.abc import Collection, Iterator, Sequence
from ipaddress import IPv4Address, IPv4Network

from runtime.embedded.router.wiring import Pool
from runtime.errors import Fault

SUBNET_PREFIX = 23
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
    """No /23 is left for another network."""

    def __init__(self, pool: IPv4Network) -> None:
        self.pool = pool
        super().__init__(
            f"no subnet is left in {pool}",
            why="every part of it belongs to a network",
            hint="remove projects that are not needed, or give the network a `subnet:`",
        )


class SubnetFull(Fault):
    """A network has no address left for one more service or container."""

    def __init__(self, subnet: IPv4Network, wanted: str) -> None:
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


def gateway(subnet: IPv4Network) -> IPv4Address:
    return subnet[1]


def pick_service(subnet: IPv4Network, taken: Collection[IPv4Address]) -> IPv4Address:
    """Return the lowest free service address. Raises ``SubnetFull``."""
    used = {int(address) for address in taken}
    first = int(subnet.network_address)
    for number in range(first + 2, first + subnet.num_addresses // 2):
        if number not in used:
            return IPv4Address(number)
    raise SubnetFull(subnet, "service")


def pick_generation(
    subnet: IPv4Network, taken: Collection[IPv4Address], last: IPv4Address | None
) -> IPv4Address:
    """Return the next free generation address after ``last``, around the upper half. Raises
    ``SubnetFull``."""
    everyone = generations(subnet)
    used = {int(address) for address in taken}
    start = 0 if last is None else int(last) - everyone.start + 1
    for offset in range(len(everyone)):
        number = everyone[(start + offset) % len(everyone)]
        if number not in used:
            return IPv4Address(number)
    raise SubnetFull(subnet, "container")


def generations(subnet: IPv4Network) -> range:
    """All generation addresses, as numbers: the upper half without the broadcast address."""
    first, size = int(subnet.network_address), subnet.num_addresses
    low, high = first + size // 2, first + size - 1
    return range(max(low, high - GENERATIONS_AT_MOST), high)
