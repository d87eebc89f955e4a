"""Generations and services as they are: from conmon's files, /proc, cgroups and the ledger."""

from collections.abc import Iterator, Mapping

import msgspec

from runtime.api import (
    Defect,
    DefectKind,
    ObservedContainer,
    ObservedNetwork,
    ObservedService,
    Phase,
    PublishedPort,
)
from runtime.embedded import boot, cgroups, limits
from runtime.embedded.containers import applied
from runtime.embedded.health import record, verdict
from runtime.embedded.ledger import ContainerRow, NetworkRow, ServiceRow, State
from runtime.embedded.paths import Paths
from runtime.embedded.process import state as states
from runtime.embedded.process.intent import Want
from runtime.embedded.process.state import ProcessState
from runtime.embedded.process.supervise import Supervisor

Broken = Mapping[str, tuple[Defect, ...]]


def observed_network(row: NetworkRow) -> ObservedNetwork:
    six = row.subnet6
    return ObservedNetwork(
        applied=row.spec,
        subnet=str(row.subnet),
        gateway=str(row.gateway),
        subnet6=str(six) if six else "",
        gateway6=str(six[1]) if six else "",
    )


def observed_service(row: ServiceRow, state: State) -> ObservedService:
    """A service as the ledger promises it; what is broken of it is a defect of the host."""
    return ObservedService(
        applied=row.spec,
        addresses=_by_name(state, row.spec.project, row.addresses),
        addresses6=_by_name(state, row.spec.project, row.addresses6),
        ports=tuple(PublishedPort(spec=port, host_port=host_port) for port, host_port in row.ports),
        targets=row.targets,
    )


def _by_name(state: State, project: str, values: Mapping[int, object]) -> dict[str, str]:
    """By what the project calls the networks, in their order."""
    return {state.network_name(project, id): str(value) for id, value in values.items()}


class ContainerObserver(msgspec.Struct, frozen=True, kw_only=True):
    """Looks at the generations of one instance; reads only."""

    paths: Paths
    supervisor: Supervisor
    layout: cgroups.Layout

    def look(
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
        asked = limits.of(row.spec)
        own = record.of_image(self.paths.container(row.id))
        check = verdict.at_work(row.spec.healthcheck, own)
        watched = running and check is not None
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
            stopped=process.stopped,
            restarts=process.restarts,
            created_at=row.created,
            started_at=process.started_at,
            finished_at=process.finished_at,
            healthcheck=check,
            health=record.read(self.paths.bundle(row.id), process) if watched else None,
            addresses=_by_name(state, row.key.project, row.addresses),
            addresses6=_by_name(state, row.key.project, row.addresses6),
            interfaces=_by_name(
                state, row.key.project, {p.network: f"eth{p.index}" for p in row.places}
            ),
            shares=row.shares,
            limits=limits.read(self.layout, self._cgroup(row), asked) if running else None,
            restart=process.policy if process.phase in (Phase.RUNNING, Phase.RESTARTING) else None,
            volumes=row.volumes,
            command=row.command,
            defects=self._own_defects(row, process, links),
        )

    def _process(self, row: ContainerRow, *, booted: bool) -> ProcessState:
        if not row.whole:
            return ProcessState(phase=Phase.CREATING)
        now = self.supervisor.state(row.id) if booted else ProcessState(phase=Phase.CREATED)
        if now.phase is not Phase.CREATED or now.want is not None:
            return now
        last = boot.bundled_in(self.paths, row.id)
        bundled = last != "" and not (booted and last == boot.current())
        return states.remembered(self.paths.container(row.id), bundled=bundled)

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
        return (*links, *self._unfinished(row), *_of_process(row.key.name, process))

    def _unfinished(self, row: ContainerRow) -> Iterator[Defect]:
        if applied.is_behind(self.paths, row):
            cause = f"an update of {row.key.name} was begun and not finished"
            yield Defect(kind=DefectKind.LINK, cause=cause)

    def _missing_files(self, row: ContainerRow) -> str:
        """Which of its files are gone, "" when all are there."""
        if not (self.paths.container(row.id) / "upper").is_dir():
            return f"the files of {row.key.name} are gone ({self.paths.container(row.id)})"
        if boot.has_lost_bundle(self.paths, row.id):
            return f"the bundle of {row.key.name} is gone ({self.paths.bundle(row.id)})"
        return ""

    def _cgroup(self, row: ContainerRow) -> str:
        return cgroups.path_for(self.paths.cgroup, row.key.project, row.id)


def _of_process(name: str, process: ProcessState) -> Iterator[Defect]:
    """What is wrong around a process that runs."""
    if not process.monitor:
        yield Defect(kind=DefectKind.MONITOR, cause=f"the monitor (conmon) of {name} is gone")
    if process.want in (Want.STOP, Want.HELD):
        cause = "a stop of it was not finished, and it would not come back after its end"
        yield Defect(kind=DefectKind.WISH, cause=cause)
