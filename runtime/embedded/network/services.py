"""Networks and services: rows in the ledger first, then the kernel from what it was to that.

Every change of rows that the network must follow goes through ``rewiring``: under the host lock,
one transaction of the ledger, then one change of the network.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager

import msgspec
from msgspec import structs

from runtime.api import ContainerSpec, NetworkSpec, ServiceSpec
from runtime.embedded import faults
from runtime.embedded.ledger import ContainerRow, Ledger, State, Writer
from runtime.embedded.linux import namespaces
from runtime.embedded.network import allocation, promises, publishing, subnets
from runtime.embedded.network.kernel import Network
from runtime.embedded.paths import Paths
from runtime.embedded.ports.claims import NoIpv6Target
from runtime.embedded.ports.maps import versions
from runtime.embedded.router import addresses
from runtime.embedded.router.wiring import Pool, Wiring


class Services(msgspec.Struct, frozen=True, kw_only=True):
    """The networks and services of one instance."""

    paths: Paths
    ledger: Ledger
    network: Network
    host_lock: Callable[[], AbstractContextManager[None]]

    def create_network(self, spec: NetworkSpec) -> tuple[str, ...]:
        """Make a network, or make the one that is there as ``spec`` says. Returns the ids of
        generations with links in the kernel that are not as they shall be any more."""
        with self.rewiring() as writer:
            before = writer.state()
            if spec.external:
                self._name_external(writer, spec)
            else:
                self._put_network(writer, spec)
            after = writer.state()
        return tuple(self._relinked(before, after))

    def _name_external(self, writer: Writer, spec: NetworkSpec) -> None:
        if all(row.spec.known_as != spec.known_as for row in writer.state().networks.values()):
            raise subnets.ExternalMissing(spec)
        writer.put_external(spec)

    def _put_network(self, writer: Writer, spec: NetworkSpec) -> None:
        pool = self._pool(writer, spec)
        state = writer.state()
        old = state.networks.get((spec.project, spec.name))
        subnet = subnets.subnet(state, pool, spec, self.network.host_networks())
        subnet6 = subnets.subnet6(state, pool, spec)
        writer.put_network(spec, subnet, addresses.gateway(subnet), subnet6)
        if old is not None and (old.subnet, old.subnet6) != (subnet, subnet6):
            self._readdress(writer, old.id)

    def _readdress(self, writer: Writer, network: int) -> None:
        """New addresses for all that is in a network which has another subnet now."""
        for service in writer.state().services.values():
            if network in service.addresses:
                state, spec = writer.state(), service.spec
                networks = allocation.fitting(state, spec.project, spec.networks)
                spec = structs.replace(spec, networks=networks)
                held = allocation.service_addresses(state, spec)
                writer.put_service(spec, held.v4, service.ports, held.v6)
        for row in writer.state().containers.values():
            if any(place.network == network for place in row.places):
                state, project = writer.state(), row.key.project
                networks = allocation.fitting(state, project, row.spec.networks)
                self.reseat(writer, row, structs.replace(row.spec, networks=networks))

    def reseat(self, writer: Writer, row: ContainerRow, spec: ContainerSpec) -> None:
        """A generation's place in each network of ``spec``; it keeps what it can."""
        state = writer.state()
        wanted = allocation.places(state, row.key, spec, row.places, writer.next_serial)
        if wanted != row.places:
            writer.set_places(row.id, wanted)

    def _relinked(self, before: State, after: State) -> Iterator[str]:
        if before.networks == after.networks:
            return
        for row in after.containers.values():
            links = promises.links(after, row, self.paths)
            old = promises.links(before, before.containers[row.id], self.paths)
            if links and links != old and namespaces.exists(links[0].namespace):
                yield row.id

    def remove_network(self, project: str, name: str) -> None:
        """Raises ``NetworkInUse`` while somebody is in it."""
        with self.rewiring() as writer:
            subnets.refuse_in_use(writer.state(), project, name)
            writer.drop_network(project, name)

    def register(self, project: str, services: Sequence[ServiceSpec]) -> None:
        """Raises ``PortPromised``, ``PortTaken``, ``NoIpv6Target`` and ``UnknownNetwork``; then
        nothing changed."""
        with self.rewiring() as writer:
            for row in publishing.without_ports(writer.state(), project, services):
                writer.put_service(row.spec, row.addresses, row.ports, row.addresses6)
            moved = allocation.without_addresses(writer.state(), services)
            for row in moved:
                writer.put_service(row.spec, row.addresses, row.ports, row.addresses6)
            named = {spec.name for spec in services}
            others = [row.spec for row in moved if row.spec.name not in named]
            for spec in sorted([*services, *others], key=_fixed_first):
                state = writer.state()
                _refuse_promised(state, spec)
                ports = publishing.host_ports(state, spec, services, self.network.free_port)
                held = allocation.service_addresses(state, spec)
                writer.put_service(spec, held.v4, ports, held.v6)
                _refuse_without_ipv6(writer.state(), spec)

    def unregister(self, project: str, names: Sequence[str]) -> None:
        with self.rewiring() as writer:
            for name in names:
                writer.drop_service(project, name)

    def serve(self, project: str, service: str, ids: Sequence[str]) -> None:
        with self.rewiring() as writer:
            writer.set_targets(project, service, ids)

    def drop_container(self, id: str) -> None:
        """A service that still leads to it would send clients nowhere: they are refused now; and
        DNS need not know it any more."""
        with self.rewiring() as writer:
            writer.drop_container(id)

    def mend(self) -> None:
        """All of the host's part as the ledger says."""
        with self.host_lock():
            wiring = promises.wiring(self.ledger.state())
            if wiring is not None:
                self.network.mend(wiring)

    @contextmanager
    def rewiring(self) -> Iterator[Writer]:
        """Change rows, then the network. When the network refuses (a port is taken), the rows
        are put back."""
        with self.host_lock():
            before = self.ledger.state()
            with self.ledger.writing() as writer:
                yield writer
            try:
                self._rewire(promises.wiring(before), promises.wiring(self.ledger.state()))
            except BaseException:
                with self.ledger.writing() as writer:
                    writer.restore(before)
                raise

    def _rewire(self, before: Wiring | None, after: Wiring | None) -> None:
        if after is None:
            return
        if before is None:
            self.network.mend(after)
        elif before != after:
            self.network.change(before, after)

    def _pool(self, writer: Writer, spec: NetworkSpec) -> Pool:
        """The instance's addresses, picked with its first network, and its first with IPv6."""
        state = writer.state()
        if state.pool is None:
            picked = addresses.pick_pool(tuple(self.network.host_networks()))
            writer.set_pool(picked.pool, picked.shadow)
        if state.ula is None and (spec.ipv6 or spec.subnet6):
            self.network.require_ipv6(spec.known_as)
            writer.set_ula(addresses.pick_ula())
        state = writer.state()
        assert state.pool is not None
        return Pool(pool=state.pool[0], shadow=state.pool[1], ula=state.ula)


def _fixed_first(spec: ServiceSpec) -> bool:
    """Who asks for an address of its own gets it before others pick theirs."""
    return not any(each.fixed for each in spec.networks)


def _refuse_promised(state: State, spec: ServiceSpec) -> None:
    for port in spec.ports:
        holder = publishing.claimant(state, spec.project, port)
        if port.host_port and holder:
            raise faults.PortPromised(port.host_port, port.protocol, spec.name, holder)


def _refuse_without_ipv6(state: State, spec: ServiceSpec) -> None:
    row = state.services[spec.project, spec.name]
    leads = promises.way_out(state, spec.project, spec.networks)
    for port in spec.ports:
        if versions(port.host_ip) == (6,) and leads not in row.addresses6:
            raise NoIpv6Target(port, spec.name)
