"""Which addresses are taken: by table, and never twice."""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

import pytest

from runtime.embedded.router import addresses
from runtime.embedded.router.addresses import PoolExhausted, SubnetFull

POOL = addresses.pick_pool([])


@pytest.mark.parametrize(
    ("taken", "pool"),
    [
        ([], "10.201.0.0/16"),
        (["192.168.0.0/16"], "10.201.0.0/16"),
        (["10.201.7.0/24"], "10.202.0.0/16"),
        (["10.251.0.0/24"], "10.202.0.0/16"),
        (["10.201.0.0/16", "10.252.9.1/32"], "10.203.0.0/16"),
        (["10.0.0.0/8"], "172.18.0.0/16"),
    ],
)
def test_the_pool_keeps_off_the_hosts_routes(taken: list[str], pool: str) -> None:
    routes = [IPv4Network(one) for one in taken]
    picked = addresses.pick_pool(routes)
    assert str(picked.pool) == pool
    assert not any(part.overlaps(r) for part in (picked.pool, picked.shadow) for r in routes)


def test_two_instances_never_share_a_pool_or_a_shadow() -> None:
    routes: list[IPv4Network] = []
    ranges: list[IPv4Network] = []
    for _ in range(60):
        picked = addresses.pick_pool(routes)
        routes.append(picked.pool)  # all that the second instance sees of the first
        ranges += [picked.pool, picked.shadow]
    assert len(set(ranges)) == len(ranges)
    with pytest.raises(addresses.NoFreePool):
        addresses.pick_pool([IPv4Network("0.0.0.0/1"), IPv4Network("128.0.0.0/1")])


def test_subnets_leave_the_uplink_alone_and_end_with_the_pool() -> None:
    taken: list[IPv4Network] = []
    for _ in range(127):
        taken.append(addresses.pick_subnet(POOL, taken))
    assert str(taken[0]) == "10.201.2.0/23"
    with pytest.raises(PoolExhausted):
        addresses.pick_subnet(POOL, taken)
    assert POOL.uplink_host not in taken[0]


@pytest.mark.parametrize(
    ("subnet", "services", "generations"),
    [
        ("10.201.2.0/23", ("10.201.2.2", "10.201.2.255", 254), ("10.201.3.0", "10.201.3.254", 255)),
        ("10.90.0.0/28", ("10.90.0.2", "10.90.0.7", 6), ("10.90.0.8", "10.90.0.14", 7)),
        ("10.90.0.0/29", ("10.90.0.2", "10.90.0.3", 2), ("10.90.0.4", "10.90.0.6", 3)),
        ("10.0.0.0/16", ("10.0.0.2", "10.0.127.255", 32766), ("10.0.252.1", "10.0.255.254", 1022)),
    ],
)
def test_a_subnet_is_split(
    subnet: str, services: tuple[str, str, int], generations: tuple[str, str, int]
) -> None:
    network = IPv4Network(subnet)
    everyone = addresses.generations(network)
    bounds = (str(IPv4Address(everyone[0])), str(IPv4Address(everyone[-1])), len(everyone))
    assert bounds == generations
    first, last, count = services
    assert str(addresses.pick_service(network, [])) == first
    taken = {network[n] for n in range(2, count + 1)}
    assert str(addresses.pick_service(network, taken)) == last
    with pytest.raises(SubnetFull, match="another service"):
        addresses.pick_service(network, taken | {IPv4Address(last)})


def test_generations_rotate_before_an_address_comes_again() -> None:
    network = IPv4Network("10.90.0.0/28")
    last, seen = None, []
    for _ in range(9):
        last = addresses.pick_generation(network, [], last)
        seen.append(int(last) & 0xF)
    assert seen == [8, 9, 10, 11, 12, 13, 14, 8, 9]


def test_a_generation_skips_what_is_taken_and_says_when_all_is() -> None:
    network = IPv4Network("10.90.0.0/29")
    taken = [network[5]]
    assert addresses.pick_generation(network, taken, network[4]) == network[6]
    with pytest.raises(SubnetFull, match="another container"):
        addresses.pick_generation(network, [network[4], network[5], network[6]], None)


def test_a_last_address_of_another_subnet_is_no_obstacle() -> None:
    """The subnet was changed since."""
    picked = addresses.pick_generation(IPv4Network("10.90.0.0/28"), [], IPv4Address("10.201.3.7"))
    assert picked in IPv4Network("10.90.0.8/29")


# --- IPv6 -----------------------------------------------------------------------------------------

ULA = IPv6Network("fd12:3456:789a::/48")


def test_an_instance_has_a_range_of_its_own() -> None:
    picked = {addresses.pick_ula() for _ in range(20)}
    assert len(picked) == 20
    assert all(p.prefixlen == 48 and p.subnet_of(IPv6Network("fd00::/8")) for p in picked)


def test_ipv6_subnets_leave_the_uplink_alone_and_end_with_the_pool() -> None:
    first = addresses.pick_subnet6(ULA, [])
    assert str(first) == "fd12:3456:789a:1::/64"
    assert str(addresses.pick_subnet6(ULA, [first])) == "fd12:3456:789a:2::/64"
    assert str(addresses.gateway(first)) == "fd12:3456:789a:1::1"
    small = IPv6Network("fd12:3456:789a::/63")
    with pytest.raises(PoolExhausted):
        addresses.pick_subnet6(small, [first])


@pytest.mark.parametrize(
    ("subnet", "service", "generations"),
    [
        ("fd00::/64", "fd00::2", ("fd00::8000:0:0:0", "fd00::8000:0:0:3fd", 1022)),
        ("fd00::/124", "fd00::2", ("fd00::8", "fd00::f", 8)),
    ],
)
def test_an_ipv6_subnet_is_split(
    subnet: str, service: str, generations: tuple[str, str, int]
) -> None:
    network = IPv6Network(subnet)
    everyone = addresses.generations(network)
    bounds = (str(IPv6Address(everyone[0])), str(IPv6Address(everyone[-1])), len(everyone))
    assert bounds == generations
    assert addresses.pick_service(network, []) == IPv6Address(service)
    first = addresses.pick_generation(network, [], None)
    assert str(first) == generations[0]
    assert addresses.pick_generation(network, [first + 1], first) == first + 2
    assert addresses.pick_generation(network, [], IPv6Address(generations[1])) == first


def test_an_ipv6_subnet_can_be_full() -> None:
    network = IPv6Network("fd00::/126")
    taken = [addresses.pick_generation(network, [], None)]
    taken.append(addresses.pick_generation(network, taken, taken[0]))
    with pytest.raises(SubnetFull, match="another container"):
        addresses.pick_generation(network, taken, None)
    with pytest.raises(SubnetFull, match="another service"):
        addresses.pick_service(network, [])
