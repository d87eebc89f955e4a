"""The embedded engine: the verbs of ``Runtime``, a few lines each.

The order within a verb is always the same: commit the intent to the ledger, then make the
kernel agree. What dies between the two is found by the next ``observe``.
"""

import threading
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from runtime import durable
from runtime.api import (
    ContainerKey,
    ContainerSpec,
    ExecSpec,
    Finding,
    Health,
    LogLine,
    NetworkSpec,
    Observed,
    ObservedContainer,
    ObservedNetwork,
    ObservedService,
    PartVersion,
    Phase,
    PortSpec,
    ProcessRow,
    Query,
    Report,
    ServiceSpec,
    Stdio,
    VolumeSpec,
    VolumeUse,
    container_id,
)
from runtime.embedded import boot, cgroups, faults, hostfacts, limits
from runtime.embedded.ledger import ContainerRow, Ledger, State, Writer
from runtime.embedded.observe.containers import (
    ContainerObserver,
    observed_network,
    observed_service,
)
from runtime.embedded.observe.events import Changes
from runtime.embedded.paths import Paths
from runtime.embedded.process.ociruntime import OciRuntime
from runtime.embedded.process.supervise import Supervisor
from runtime.embedded.volumes import Volumes

if TYPE_CHECKING:
    from runtime.embedded.containers.generation import Generations
    from runtime.embedded.execution import Execution
    from runtime.embedded.health.checks import Checks
    from runtime.embedded.images import ImageVerbs
    from runtime.embedded.network.kernel import Network
    from runtime.embedded.network.services import Services
    from runtime.embedded.observe.observer import Observer
    from runtime.embedded.process.log_keeper import LogKeeper
    from runtime.embedded.registries import RegistryVerbs
    from runtime.embedded.store.images import ImageStore


class Engine:
    """An instance of the engine; implements ``runtime.api.Runtime``. Cheap to make."""

    def __init__(self, paths: Paths) -> None:
        self._paths = paths
        self._ledger = Ledger(paths.ledger)
        self._volumes = Volumes(paths.volumes, paths.run / "volumes")
        self._threads = threading.Lock()
        self._starters = threading.Lock()
        self._mutex = durable.Mutex(paths.host_lock)
        self._changes = Changes(paths)
        self._stack = ExitStack()
        self._monitors = False
        self._begun = False
        self._queries: dict[str, Query] = {}

    def close(self) -> None:
        self._changes.close()
        self._stack.close()
        for part in ("_network", "_log_keeper"):  # made only when it was needed
            if part in self.__dict__:
                self.__dict__[part].close()
        self._ledger.close()
        self._mutex.close()

    # --- parts, imported and made when needed -----------------------------------------------

    @cached_property
    def _network(self) -> "Network":
        from runtime.embedded.network import kernel

        return kernel.Network(self._paths)

    @cached_property
    def _store(self) -> "ImageStore":
        from runtime.embedded.store import images

        return images.ImageStore(self._paths.store)

    @cached_property
    def images(self) -> "ImageVerbs":
        from runtime.embedded import images

        return images.ImageVerbs(
            paths=self._paths, store=self._store, ledger=self._ledger, is_over=self._is_over
        )

    @cached_property
    def registries(self) -> "RegistryVerbs":
        from runtime.embedded import registries

        return registries.RegistryVerbs()

    @cached_property
    def _cgroups(self) -> cgroups.Layout:
        return cgroups.detect()

    @cached_property
    def _supervisor(self) -> Supervisor:
        oci = OciRuntime(program=hostfacts.oci_program(self._cgroups), root=self._paths.oci)
        return Supervisor(paths=self._paths, oci=oci, layout=self._cgroups)

    @cached_property
    def _services(self) -> "Services":
        from runtime.embedded.network import services

        return services.Services(
            paths=self._paths,
            ledger=self._ledger,
            network=self._network,
            host_lock=self._host_lock_of_starters,
        )

    @cached_property
    def _generations(self) -> "Generations":
        from runtime.embedded.containers import bundles, generation, mounting

        mounts = mounting.Mounts(paths=self._paths, volumes=self._volumes)
        return generation.Generations(
            paths=self._paths,
            store=self._store,
            volumes=self._volumes,
            bundles=bundles.Bundles(paths=self._paths, mounts=mounts, layout=self._cgroups),
            supervisor=self._supervisor,
            network=self._network,
            layout=self._cgroups,
            host_lock=self._host_lock,
            read=self._ledger.state,
        )

    @cached_property
    def _execution(self) -> "Execution":
        from runtime.embedded import execution

        return execution.Execution(
            paths=self._paths, supervisor=self._supervisor, layout=self._cgroups
        )

    @cached_property
    def _checks(self) -> "Checks":
        from runtime.embedded.health import checks

        return checks.Checks(
            paths=self._paths,
            supervisor=self._supervisor,
            execution=self._execution,
            layout=self._cgroups,
        )

    @cached_property
    def _log_keeper(self) -> "LogKeeper":
        from runtime.embedded.process import log_keeper

        return log_keeper.LogKeeper()

    @cached_property
    def _container_observer(self) -> ContainerObserver:
        return ContainerObserver(
            paths=self._paths, supervisor=self._supervisor, layout=self._cgroups
        )

    @cached_property
    def _observer(self) -> "Observer":
        from runtime.embedded.observe import observer

        return observer.Observer(
            paths=self._paths,
            store=self._store,
            volumes=self._volumes,
            network=self._network,
            containers=self._container_observer,
        )

    # --- looking ----------------------------------------------------------------------------

    def observe(self, query: Query) -> Observed:
        self._queries[query.project] = query
        return self._observer.observe(self._ledger.state(), query)

    def containers(self) -> tuple[ObservedContainer, ...]:
        return self._container_observer.look(self._ledger.state(), project=None, broken={})

    def services(self) -> tuple[ObservedService, ...]:
        state = self._ledger.state()
        return tuple(observed_service(row, state) for row in state.services.values())

    def projects(self) -> dict[str, str]:
        return dict(sorted(self._ledger.state().projects.items()))

    def logs(self, id: str, *, tail: int | None, follow: bool) -> Iterator[LogLine]:
        from runtime.embedded.streams import logs

        log = self.log_path(id)
        return logs.lines(log, tail=tail, follow=follow, ended=lambda: self._is_over(id))

    def keep_logs(self, projects: Collection[str], timeout: float) -> None:
        rows = self._ledger.state().containers.values()
        kept = [
            self._supervisor.kept_log(row.id, row.spec.logging)
            for row in rows
            if row.key.project in projects and row.spec.logging.driver != "none"
        ]
        self._log_keeper.keep(kept, timeout)

    def log_path(self, id: str) -> Path:
        """Where conmon writes the log of a container."""
        self._row(id)
        return self._paths.container(id) / "log"

    def _is_over(self, id: str) -> bool:
        """Whether a container writes no more: ended, and not to be restarted."""
        return self._supervisor.state(id).phase not in (Phase.RUNNING, Phase.RESTARTING)

    def versions(self) -> tuple[PartVersion, ...]:
        from runtime.embedded.versions import versions

        return versions()

    # --- projects ---------------------------------------------------------------------------

    def adopt_project(self, project: str, spec_path: str) -> None:
        boot.prepare(self._paths)
        with self._threads, self._mutex:
            # The row comes first: whoever is killed after it has left a project to take down.
            with self._ledger.writing() as writer:
                writer.put_project(project, spec_path)
            # Whoever took the last project down meanwhile has emptied the folders of this boot.
            boot.begin(self._paths)

    def forget_project(self, project: str) -> None:
        cgroups.remove_empty(self._cgroups, f"{self._paths.cgroup}/{project}")
        with self._host_lock():
            state = self._ledger.state()
            if not (state.projects.keys() - {project} or state.networks or state.containers):
                self._tear_down(state)
            # The row goes last: whoever is killed before has left a project to take down.
            self._volumes.forget_externals(project)
            with self._ledger.writing() as writer:
                writer.drop_project(project)

    def _tear_down(self, state: State) -> None:
        """The last project is gone: nothing of the instance stays in the kernel."""
        from runtime.embedded.network import promises

        self._stack.close()
        self._monitors = False
        wiring = promises.wiring(state)
        if wiring is not None:
            self._network.tear_down(wiring)
        for group in (f"{self._paths.cgroup}/monitors", self._paths.cgroup):
            cgroups.remove_empty(self._cgroups, group)
        boot.empty(self._paths)
        self._begun = False

    # --- networks, volumes ------------------------------------------------------------------

    def create_network(self, network: NetworkSpec) -> None:
        for id in self._services.create_network(network):
            self._generations.reconnect(id)

    def remove_network(self, project: str, name: str) -> None:
        self._services.remove_network(project, name)

    def create_volume(self, volume: VolumeSpec) -> None:
        boot.prepare(self._paths)
        self._volumes.create(volume)

    def remove_volume(self, project: str, name: str) -> None:
        self._volumes.remove(project, name)

    def _name_externals(self, project: str) -> None:
        """What the project calls networks and volumes of others, as it told when it last looked,
        is recorded before it is used: a restart or another process must know it, too."""
        query = self._queries.get(project)
        if query is None:
            return
        known = self._ledger.known().externals
        for external in query.networks:
            if known.get((project, external.name)) != external:
                self.create_network(external)
        for volume in query.volumes:
            record = self._volumes.record(project, volume.name)
            if record is None or record.spec != volume:
                self.create_volume(volume)

    # --- services ---------------------------------------------------------------------------

    def register(self, project: str, services: Sequence[ServiceSpec]) -> None:
        self._name_externals(project)
        self._services.register(project, services)

    def unregister(self, project: str, names: Sequence[str]) -> None:
        self._services.unregister(project, names)

    def serve(self, project: str, service: str, ids: Sequence[str]) -> None:
        self._services.serve(project, service, ids)

    # --- containers -------------------------------------------------------------------------

    def create(self, key: ContainerKey, generation: int, spec: ContainerSpec) -> None:
        self._begin()
        id = container_id(key, generation)
        row = self._ledger.state().containers.get(id)
        if row is not None and row.whole:
            return
        with self._store.held():  # until the row is there, which keeps the image here
            image = self._generations.image(spec, str(key))
            self._name_externals(key.project)
            with self._services.rewiring() as writer:
                row = self._generations.row(writer, id, key, generation, spec, image)
                writer.put_container(row)
        self._generations.make(self._ledger.known(), row, image)
        with self._writing() as writer:
            writer.mark_whole(id)

    def start(self, id: str) -> None:
        self._begin()
        self._enter_monitors()
        self._generations.start(self._ledger.known(), self._row(id))

    def await_ready(self, id: str, ports: Sequence[PortSpec], timeout: float) -> None:
        row, services = self._row(id), self._ledger.known().services
        service = services.get((row.key.project, row.key.name))
        serving = () if service is None else service.targets
        predecessors = [each for each in serving if each != id]
        self._generations.await_ready(row, ports, predecessors, timeout)

    def update(self, id: str, spec: ContainerSpec) -> None:
        self._begin()
        limits.check(limits.of(spec))
        with self._services.rewiring() as writer:
            row = self._row(id)
            writer.set_spec(id, spec)
            self._services.reseat(writer, row, spec)
        self._generations.update(self._ledger.state(), self._row(id))

    def mend(self, id: str | None) -> None:
        self._begin()
        if id is None:
            self._services.mend()
        else:
            self._generations.mend(self._ledger.state(), self._row(id))

    def stop(self, id: str, *, by_hand: bool = False) -> None:
        self._begin()  # what an earlier boot left may name processes of others by now
        self._generations.stop(self._row(id), by_hand=by_hand)

    def remove(self, id: str) -> None:
        row = self._ledger.state().containers.get(id)
        if row is None:
            return
        self._begin()
        self._generations.remove(row, self._ledger.known())
        self._services.drop_container(id)

    def networks(self) -> tuple[ObservedNetwork, ...]:
        return tuple(observed_network(row) for row in self._ledger.state().networks.values())

    def volumes(self) -> tuple[VolumeUse, ...]:
        return self._volumes.uses()

    def await_healthy(self, id: str, timeout: float, report: Report) -> None:
        self._checks.await_healthy(self._row(id), timeout, report)

    def await_completed(self, id: str, timeout: float | None) -> None:
        self._checks.await_completed(self._row(id), timeout)

    def probe(self, id: str, *, due: bool = False) -> Health | None:
        return self._checks.probe(self._row(id), due=due)

    def execute(self, id: str, process: ExecSpec, stdio: Stdio) -> int:
        return self._execution.execute(self._row(id), process, stdio)

    def processes(self, id: str) -> tuple[ProcessRow, ...]:
        return self._execution.processes(self._row(id))

    def findings(self) -> tuple[Finding, ...]:
        from runtime.embedded.doctor import checkup

        return checkup.findings(self._paths, self._ledger.state)

    def wait_for_change(self, timeout: float) -> bool:
        return self._changes.wait(timeout)

    # --- how verbs work ---------------------------------------------------------------------

    def _row(self, id: str) -> ContainerRow:
        row = self._ledger.known().containers.get(id) or self._ledger.state().containers.get(id)
        if row is None:
            raise faults.NoSuchContainer(id)
        return row

    def _begin(self) -> None:
        """The instance's folders are there and belong to this boot."""
        if not self._begun:
            boot.begin(self._paths)
            self._begun = True

    def _enter_monitors(self) -> None:
        """Until ``close`` this process is in the monitors' cgroup, so that conmons start there."""
        with self._starters:
            if not self._monitors:
                self._stack.enter_context(cgroups.monitors(self._cgroups, self._paths.cgroup))
                self._monitors = True

    @contextmanager
    def _writing(self) -> Iterator[Writer]:
        self._begin()
        with self._ledger.writing() as writer:
            yield writer

    @contextmanager
    def _host_lock_of_starters(self) -> Iterator[None]:
        """The host lock for what may start the DNS server or the holder of ports: like monitors
        they must outlive the session or service that this process belongs to."""
        self._begin()
        self._enter_monitors()
        with self._host_lock():
            yield

    @contextmanager
    def _host_lock(self) -> Iterator[None]:
        """Guards addresses, ports, nftables and DNS for milliseconds; threads queue first."""
        self._begin()
        with self._threads, self._mutex:
            yield
