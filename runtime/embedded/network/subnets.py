"""Which subnet a network gets, and who is in it: pure, over the ledger's rows."""

from collections.abc import Iterable, Mapping, Sequence
from ipaddress import IPv4Network, IPv6Network

from runtime.api import NetworkSpec
from runtime.embedded.ledger import NetworkRow, State
from runtime.embedded.linux.rtnetlink import Subnet
from runtime.embedded.router import addresses
from runtime.embedded.router.wiring import Pool
from runtime.errors import Fault

_SPECIAL: tuple[Subnet, ...] = (
    *map(IPv4Network, ("0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/3")),
    *map(IPv6Network, ("::/8", "fe80::/10", "ff00::/8")),
)


class UnknownNetwork(Fault):
    """A service names a network that its project does not have."""

    def __init__(self, project: str, network: str) -> None:
        super().__init__(
            f"project {project} has no network {network}",
            why="it was not created, or removed by hand",
            hint="trueup apply",
        )


class SubnetTaken(Fault):
    """A declared subnet overlaps with another one."""

    def __init__(self, subnet: Subnet, other: str) -> None:
        self.subnet, self.other = subnet, other
        super().__init__(
            f"subnet {subnet} cannot be used",
            why=f"it overlaps with {other}",
            hint="choose another `subnet:`, or leave it out and one is picked",
        )


class SubnetNotAllowed(Fault):
    """A declared subnet lies where addresses mean something else to every host."""

    def __init__(self, subnet: Subnet) -> None:
        self.subnet = subnet
        super().__init__(
            f"subnet {subnet} cannot be used",
            why="addresses there are loopback, of a single link, multicast, or of no use",
            hint="choose one of 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16 or fd00::/8, or leave "
            "`subnet:` out and one is picked",
        )


class ExternalMissing(Fault):
    """A network that should be another project's is nobody's."""

    def __init__(self, spec: NetworkSpec) -> None:
        super().__init__(
            f"project {spec.project} cannot use the external network {spec.name}",
            why=f"no project has a network that is known as {spec.known_as}",
            hint="apply the project that has it first, or correct its `name:`",
        )


class NetworkInUse(Fault):
    """A network cannot go while somebody is in it."""

    def __init__(self, network: str, users: Sequence[str]) -> None:
        self.users = users
        super().__init__(
            f"network {network} cannot be removed",
            why=f"{', '.join(users)} {'are' if len(users) > 1 else 'is'} in it",
            hint="take those down first, or keep the network",
        )


def network_of(state: State, project: str, name: str) -> NetworkRow:
    row = state.network_of(project, name)
    if row is None:
        raise UnknownNetwork(project, name)
    return row


def subnet(
    state: State, pool: Pool, spec: NetworkSpec, host_routes: Mapping[IPv4Network, str]
) -> IPv4Network:
    """The subnet of a network: the one asked for if nobody has it, else the one that it has, else
    a free one. Raises ``SubnetTaken`` and ``SubnetNotAllowed``."""
    row = state.networks.get((spec.project, spec.name))
    asked = None if spec.subnet is None else IPv4Network(spec.subnet)
    if row is not None and asked in (None, row.subnet):
        return row.subnet
    owners = {r.subnet: f"network {r.spec.known_as}" for r in _others(state, spec)}
    if asked is None:
        # A wider route than the pool leads elsewhere but for what is ours: no subnet would help.
        inside = (route for route in host_routes if route.subnet_of(pool.pool))
        return addresses.pick_subnet(pool, (*owners, *inside))
    _refuse_special(asked)
    _refuse_overlap(asked, owners.items())
    _refuse_overlap(asked, ((r, f"the host's route to {r}") for r in host_routes))
    uplink = IPv4Network((int(pool.uplink_host) & ~3, 30))
    _refuse_overlap(asked, [(uplink, "the router's own addresses")])
    return asked


def subnet6(state: State, pool: Pool, spec: NetworkSpec) -> IPv6Network | None:
    """The same of IPv6; None for a network without."""
    if not spec.ipv6 and spec.subnet6 is None:
        return None
    row = state.networks.get((spec.project, spec.name))
    asked = None if spec.subnet6 is None else IPv6Network(spec.subnet6)
    if row is not None and row.subnet6 is not None and asked in (None, row.subnet6):
        return row.subnet6
    owners = {r.subnet6: f"network {r.spec.known_as}" for r in _others(state, spec) if r.subnet6}
    assert pool.pool6 is not None
    if asked is None:
        return addresses.pick_subnet6(pool.pool6, tuple(owners))
    _refuse_special(asked)
    _refuse_overlap(asked, owners.items())
    return asked


def _others(state: State, spec: NetworkSpec) -> list[NetworkRow]:
    own = (spec.project, spec.name)
    return [row for key, row in state.networks.items() if key != own]


def _refuse_special(asked: Subnet) -> None:
    """RFC 6890: what must not be routed to a network."""
    if any(asked.version == one.version and asked.overlaps(one) for one in _SPECIAL):
        raise SubnetNotAllowed(asked)


def _refuse_overlap(asked: Subnet, taken: Iterable[tuple[Subnet, str]]) -> None:
    for other, owner in taken:
        if asked.overlaps(other):
            raise SubnetTaken(asked, owner)


def refuse_in_use(state: State, project: str, name: str) -> None:
    """Raises ``NetworkInUse`` while services or containers, of other projects too, are in it."""
    row = state.networks.get((project, name))
    if row is None:
        return
    services = {f"{p}/{n}" for (p, n), s in state.services.items() if row.id in s.addresses}
    containers = (c for c in state.containers.values() if row.id in c.addresses)
    users = services | {f"{c.key.project}/{c.key.name}" for c in containers}
    if users:
        raise NetworkInUse(row.spec.known_as, sorted(users))
