"""The world as it is, read from the kernel, conmon's files and the ledger: reads only.

What a row promises and the kernel does not keep becomes a ``Defect`` with its cause in words.
"""

import msgspec

from runtime.api import (
    Defect,
    DefectKind,
    ImageSpec,
    Observed,
    ObservedImage,
    ObservedNetwork,
    ObservedVolume,
    PortHolder,
    PortSpec,
    Query,
    RegistryAccess,
)
from runtime.embedded import allocation, boot, promises
from runtime.embedded.containers import Broken, ContainerObserver, service
from runtime.embedded.ledger import State
from runtime.embedded.network import Network
from runtime.embedded.paths import Paths
from runtime.embedded.store.images import ImageStore
from runtime.embedded.volumes import Volumes


class Observer(msgspec.Struct, frozen=True, kw_only=True):
    """Looks at one instance."""

    paths: Paths
    store: ImageStore
    volumes: Volumes
    network: Network
    containers: ContainerObserver

    def observe(self, state: State, query: Query) -> Observed:
        """One project as it is, and what else ``query`` asks."""
        project = query.project
        host, broken = self._defects(state, project)
        return Observed(
            project=project,
            spec_path=state.projects.get(project, ""),
            images=self._images(query.images, query.registries),
            volumes={spec.name: ObservedVolume(applied=spec) for spec in self.volumes.of(project)},
            networks={
                name: ObservedNetwork(applied=row.spec, subnet=str(row.subnet))
                for (owner, name), row in state.networks.items()
                if owner == project
            },
            services={
                name: service(row, state)
                for (owner, name), row in state.services.items()
                if owner == project
            },
            containers=self.containers.look(state, project=project, broken=broken),
            generations={
                str(key): last for key, last in state.generations.items() if key.project == project
            },
            port_holders=self._port_holders(state, query),
            defects=host,
        )

    # --- beside the containers --------------------------------------------------------------

    def _defects(self, state: State, project: str) -> tuple[tuple[Defect, ...], Broken]:
        """Of the host, if the project has a network; and of its running containers' links."""
        wiring = promises.wiring(state)
        if wiring is None or not any(owner == project for owner, _ in state.networks):
            return (), {}
        if not boot.is_current(self.paths):
            return (Defect(kind=DefectKind.HOST, cause="the machine was started anew"),), {}
        links = tuple(
            link
            for row in state.containers.values()
            if row.key.project == project and row.whole
            for link in promises.links(state, row, self.paths)
        )
        return self.network.defects(wiring, links)

    def _images(
        self, images: tuple[ImageSpec, ...], registries: tuple[RegistryAccess, ...]
    ) -> dict[str, ObservedImage]:
        return {image.name: self.store.state(image, registries) for image in images}

    def _port_holders(self, state: State, query: Query) -> tuple[PortHolder, ...]:
        """Who has the ports that the project wants: another service of ours, or a stranger."""
        found: list[PortHolder] = []
        strangers = {}
        for _, port in query.ports:
            if port.host_port is None:
                continue
            holder = allocation.claimant(state, query.project, port)
            if holder is not None:
                found.append(PortHolder(port=port, holder=holder))
            elif not _reserved(state, query.project, port):
                strangers[port.host_ip, port.host_port, port.protocol, port.count] = port
        if strangers:
            for wanted, name in self.network.holders(tuple(strangers)).items():
                found.append(PortHolder(port=strangers[wanted], holder=name))
        return tuple(found)


def _reserved(state: State, project: str, port: PortSpec) -> bool:
    """Whether a service of the project has the port already: then our own holder has it."""
    return any(
        spec == port
        for (owner, _), row in state.services.items()
        if owner == project
        for spec, _ in row.ports
    )
