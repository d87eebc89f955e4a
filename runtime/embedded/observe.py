"""The world as it is, read from the kernel, conmon's files and the ledger: reads only.

What a row promises and the kernel does not keep becomes a ``Defect`` with its cause in words.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from runtime.api import (
    Defect,
    DefectKind,
    ImageSpec,
    Observed,
    ObservedContainer,
    ObservedImage,
    ObservedNetwork,
    ObservedService,
    ObservedVolume,
    Phase,
    PortHolder,
    PortSpec,
    PublishedPort,
    Query,
    RegistryAccess,
)
from runtime.embedded import allocation, boot, cgroups, promises
from runtime.embedded.generation import Generations
from runtime.embedded.ledger import ContainerRow, ServiceRow, State
from runtime.embedded.network import Network
from runtime.embedded.paths import Paths
from runtime.embedded.process.state import ProcessState
from runtime.embedded.process.supervise import Supervisor
from runtime.embedded.store.images import ImageStore
from runtime.embedded.volumes import Volumes

Broken = Mapping[str, tuple[Defect, ...]]


@dataclass(frozen=True, kw_only=True)
class Observer:
    """Looks at one instance."""

    paths: Paths
    store: ImageStore
    volumes: Volumes
    supervisor: Supervisor
    network: Network
    layout: cgroups.Layout
    generations: Generations

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
                name: self.service(row, state)
                for (owner, name), row in state.services.items()
                if owner == project
            },
            containers=self.containers(state, project=project, broken=broken),
            generations={
                str(key): last for key, last in state.generations.items() if key.project == project
            },
            port_holders=self._port_holders(state, query),
            defects=host,
        )

    def service(self, row: ServiceRow, state: State) -> ObservedService:
        """A service as the ledger promises it; what is broken of it is a defect of the host."""
        return ObservedService(
            applied=row.spec,
            addresses={
                state.network_by_id(id).spec.name: str(address)
                for id, address in row.addresses.items()
            },
            ports=tuple(
                PublishedPort(spec=port, host_port=host_port) for port, host_port in row.ports
            ),
            targets=row.targets,
        )

    def containers(
        self, state: State, *, project: str | None, broken: Broken
    ) -> tuple[ObservedContainer, ...]:
        """The generations of a project, or of all."""
        booted = boot.is_current(self.paths)
        return tuple(
            self._container(state, row, broken.get(row.id, ()), booted=booted)
            for row in state.containers.values()
            if project is None or row.key.project == project
        )

    def _container(
        self, state: State, row: ContainerRow, links: tuple[Defect, ...], *, booted: bool
    ) -> ObservedContainer:
        process = self._process(row, booted=booted)
        running = process.phase is Phase.RUNNING
        limits = cgroups.read_limits(self.layout, self._cgroup(row)) if running else None
        return ObservedContainer(
            key=row.key,
            id=row.id,
            generation=row.generation,
            phase=process.phase,
            applied=row.spec,
            image_id=row.image,
            pid=process.pid,
            exit_code=process.exit_code,
            oom_killed=process.oom_killed,
            held=process.held,
            restarts=process.restarts,
            created_at=row.created,
            started_at=process.started_at,
            finished_at=process.finished_at,
            addresses={
                state.network_by_id(id).spec.name: str(address)
                for id, address in row.addresses.items()
            },
            limits=limits,
            volumes=row.volumes,
            command=row.command,
            defects=self._own_defects(row, process, links),
        )

    def _process(self, row: ContainerRow, *, booted: bool) -> ProcessState:
        if not row.whole:
            return ProcessState(phase=Phase.CREATING)
        if not booted:
            return ProcessState(phase=Phase.LOST)
        return self.supervisor.state(row.id)

    def _own_defects(
        self,
        row: ContainerRow,
        process: ProcessState,
        links: tuple[Defect, ...],
    ) -> tuple[Defect, ...]:
        if not row.whole:
            return ()
        missing = self._missing_files(row)
        if missing:
            return (Defect(kind=DefectKind.BUNDLE, cause=missing),)
        if process.phase is not Phase.RUNNING:
            return ()
        if not process.monitor:
            unwatched = Defect(
                kind=DefectKind.MONITOR, cause=f"the monitor (conmon) of {row.key.name} is gone"
            )
            return (*links, unwatched)
        return links

    def _missing_files(self, row: ContainerRow) -> str:
        """Which of its files are gone, "" when all are there."""
        if not (self.paths.container(row.id) / "upper").is_dir():
            return f"the files of {row.key.name} are gone ({self.paths.container(row.id)})"
        if self.generations.has_lost_bundle(row):
            return f"the bundle of {row.key.name} is gone ({self.paths.bundle(row.id)})"
        return ""

    def _cgroup(self, row: ContainerRow) -> str:
        return cgroups.path_for(self.paths.cgroup, row.key.project, row.id)

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
                strangers[port.host_ip, port.host_port, port.protocol] = port
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
