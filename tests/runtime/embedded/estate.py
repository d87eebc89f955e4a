"""A lab whose network follows a ledger, as the engine's does: networks, services and containers
that are no more than rows, a namespace and a server on port 80."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Any

from runtime.api import (
    Attachment,
    ContainerKey,
    ContainerSpec,
    Defect,
    NetworkSpec,
    PortSpec,
    ServiceSpec,
    container_id,
)
from runtime.embedded.ledger import ContainerRow, Ledger, State
from runtime.embedded.network import allocation, promises, subnets
from runtime.embedded.network.services import Services
from tests.runtime.embedded.lab import Lab, fetch, send


def within(*names: str | Attachment) -> tuple[Attachment, ...]:
    """Attachments, from names of networks where no more is to be said."""
    return tuple(Attachment(network=n) if isinstance(n, str) else n for n in names)


@dataclass(slots=True, kw_only=True)
class Estate:
    lab: Lab
    ledger: Ledger
    services: Services
    servers: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def state(self) -> State:
        return self.ledger.state()

    def network(self, name: str, *, project: str = "shop", **fields: Any) -> None:
        """Make or change a network; containers follow, as with the engine."""
        for id in self.services.create_network(NetworkSpec(project=project, name=name, **fields)):
            self._connect(id)

    def register(self, *specs: ServiceSpec, project: str = "shop") -> None:
        self.services.register(project, specs)

    def service(
        self,
        name: str,
        *networks: str | Attachment,
        project: str = "shop",
        ports: tuple[PortSpec, ...] = (),
        aliases: tuple[str, ...] = (),
    ) -> None:
        self.register(
            ServiceSpec(
                project=project,
                name=name,
                networks=within(*networks),
                ports=ports,
                aliases=aliases,
            ),
            project=project,
        )

    def run(
        self,
        name: str,
        *networks: str | Attachment,
        project: str = "shop",
        ports: tuple[PortSpec, ...] = (),
        aliases: tuple[str, ...] = (),
        generation: int = 1,
        replica: int = 1,
    ) -> str:
        """A service and its container, which answers; returns the container's id."""
        self.service(name, *networks, project=project, ports=ports, aliases=aliases)
        key = ContainerKey(project=project, name=name, replica=replica)
        id = self.create(key, generation, *networks)
        self._connect(id)
        namespace = self.namespace(id)
        words = name if replica == 1 else f"{name}.{replica}"
        self.servers[id] = self.lab.serve(words, namespace, 80, both=True)
        targets = self.state.services[project, name].targets if replica > 1 else ()
        self.services.serve(project, name, [*targets, id])
        return id

    def create(self, key: ContainerKey, generation: int, *networks: str | Attachment) -> str:
        """The row alone."""
        spec = ContainerSpec(image="busybox", networks=within(*networks))
        id = container_id(key, generation)
        with self.services.rewiring() as writer:
            places = allocation.places(writer.state(), key, spec, (), writer.next_serial)
            writer.put_container(
                ContainerRow(
                    id=id,
                    key=key,
                    generation=generation,
                    whole=True,
                    spec=spec,
                    image="",
                    command=(),
                    volumes=(),
                    created=0.0,
                    places=places,
                )
            )
        return id

    def update(self, id: str, *networks: str | Attachment) -> None:
        """A container goes to other networks, its service with it."""
        self.rows_of_update(id, *networks)
        row = self.state.containers[id]
        service = self.state.services[row.key.project, row.key.name].spec
        self.service(service.name, *networks, project=service.project, ports=service.ports)
        self._connect(id)

    def rows_of_update(self, id: str, *networks: str | Attachment) -> None:
        """What an engine that dies after its first step leaves."""
        spec = ContainerSpec(image="busybox", networks=within(*networks))
        with self.services.rewiring() as writer:
            row = writer.state().containers[id]
            writer.set_spec(id, spec)
            self.services.reseat(writer, row, spec)

    def mend(self, id: str) -> None:
        self._connect(id)

    def _connect(self, id: str) -> None:
        state = self.state
        self.lab.net.connect(*promises.links(state, state.containers[id], self.lab.paths))

    def close(self) -> None:
        """Take the containers away, and leave the rest to the lab. Idempotent."""
        state = self.ledger.state()
        for row in state.containers.values():
            self.lab.net.disconnect(promises.links(state, row, self.lab.paths))
        self.lab.wiring = promises.wiring(state) or self.lab.wiring
        self.ledger.close()

    # --- looking ---

    def namespace(self, id: str) -> Path:
        return self.lab.paths.namespace(id)

    def gives(self, name: str, network: str = "default", *, project: str = "shop") -> IPv4Address:
        """The service's address."""
        return self.state.services[project, name].addresses[self._id(project, network)]

    def gives6(self, name: str, network: str = "default", *, project: str = "shop") -> IPv6Address:
        return self.state.services[project, name].addresses6[self._id(project, network)]

    def has(self, id: str, network: str = "default") -> IPv4Address:
        """A container's own address."""
        row = self.state.containers[id]
        return row.addresses[self._id(row.key.project, network)]

    def has6(self, id: str, network: str = "default") -> IPv6Address:
        row = self.state.containers[id]
        return row.addresses6[self._id(row.key.project, network)]

    def gateway(self, network: str = "default", *, project: str = "shop") -> IPv4Address:
        return subnets.network_of(self.state, project, network).gateway

    def gateway6(self, network: str = "default", *, project: str = "shop") -> IPv6Address:
        subnet = subnets.network_of(self.state, project, network).subnet6
        assert subnet is not None
        return subnet[1]

    def _id(self, project: str, network: str) -> int:
        return subnets.network_of(self.state, project, network).id

    def causes(self) -> list[str]:
        wiring = promises.wiring(self.state)
        assert wiring is not None
        rows = self.state.containers.values()
        links = [link for row in rows for link in promises.links(self.state, row, self.lab.paths)]
        host, containers = self.lab.net.defects(wiring, links)
        every: list[Defect] = [*host, *(d for found in containers.values() for d in found)]
        return [defect.cause for defect in every]

    def ip(self, id: str, *words: str) -> str:
        """What ip(8) says inside a container."""
        command = ["nsenter", f"--net={self.namespace(id)}", "ip", *words]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    def asks(self, id: str, address: object, *, timeout: float = 1.0) -> tuple[str, str]:
        """What a container hears from there by TCP and by UDP."""
        space = self.namespace(id)
        return fetch(space, address, timeout=timeout), send(space, address, timeout=timeout)


@contextmanager
def make_estate(lab: Lab) -> Iterator[Estate]:
    ledger = Ledger(lab.paths.run / "ledger.db")
    services = Services(paths=lab.paths, ledger=ledger, network=lab.net, host_lock=nullcontext)
    estate = Estate(lab=lab, ledger=ledger, services=services)
    try:
        yield estate
    finally:
        estate.close()
