"""Networks and services: rows in the ledger first, then the kernel from what it was to that.

Every change of rows that the network must follow goes through ``rewiring``: under the host lock,
one transaction of the ledger, then one change of the network.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager

import msgspec

from runtime.api import NetworkSpec, ServiceSpec
from runtime.embedded import allocation, faults, promises
from runtime.embedded.ledger import Ledger, State, Writer
from runtime.embedded.network import Network
from runtime.embedded.router import addresses
from runtime.embedded.router.wiring import Pool, Wiring


class Services(msgspec.Struct, frozen=True, kw_only=True):
    """The networks and services of one instance."""

    ledger: Ledger
    network: Network
    host_lock: Callable[[], AbstractContextManager[None]]

    def create_network(self, network: NetworkSpec) -> None:
        with self.rewiring() as writer:
            state = writer.state()
            pool = self._pool(writer, state)
            row = state.networks.get((network.project, network.name))
            subnet = (
                row.subnet
                if row is not None
                else allocation.subnet(state, pool, network.subnet, self.network.host_networks())
            )
            writer.put_network(network, subnet, addresses.gateway(subnet))

    def remove_network(self, project: str, name: str) -> None:
        with self.rewiring() as writer:
            writer.drop_network(project, name)

    def register(self, project: str, services: Sequence[ServiceSpec]) -> None:
        """Raises ``PortPromised``, ``PortTaken`` and ``UnknownNetwork``; then nothing changed."""
        with self.rewiring() as writer:
            for row in allocation.without_ports(writer.state(), project, services):
                writer.put_service(row.spec, row.addresses, row.ports)
            for spec in services:
                state = writer.state()
                _refuse_promised(state, spec)
                ports = allocation.host_ports(state, spec, services, self.network.free_port)
                writer.put_service(spec, allocation.service_addresses(state, spec), ports)

    def unregister(self, project: str, names: Sequence[str]) -> None:
        with self.rewiring() as writer:
            for name in names:
                writer.drop_service(project, name)

    def serve(self, project: str, service: str, ids: Sequence[str]) -> None:
        with self.rewiring() as writer:
            writer.set_targets(project, service, ids)

    def drop_container(self, id: str) -> None:
        """A service that still leads to it would send clients nowhere: they are refused now."""
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

    def _pool(self, writer: Writer, state: State) -> Pool:
        """The instance's address pool, picked with its first network."""
        if state.pool is None:
            picked = addresses.pick_pool(self.network.host_networks())
            writer.set_pool(picked.pool, picked.shadow)
            return picked
        return Pool(pool=state.pool[0], shadow=state.pool[1])


def _refuse_promised(state: State, spec: ServiceSpec) -> None:
    for port in spec.ports:
        holder = allocation.claimant(state, spec.project, port)
        if port.host_port and holder:
            raise faults.PortPromised(port.host_port, port.protocol, spec.name, holder)
