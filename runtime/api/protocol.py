"""The verbs of a runtime."""

from collections.abc import Collection, Iterator, Sequence
from typing import Protocol

from runtime.api.container import ContainerSpec
from runtime.api.execution import ExecSpec, ProcessRow, Stdio
from runtime.api.finding import Finding
from runtime.api.health import Health
from runtime.api.identity import ContainerKey
from runtime.api.images import Images, Registries
from runtime.api.network import NetworkSpec
from runtime.api.observed import Observed, ObservedContainer, ObservedNetwork, ObservedService
from runtime.api.report import LogLine, Query, Report, VolumeUse
from runtime.api.service import PortSpec, ServiceSpec
from runtime.api.volume import VolumeSpec
from runtime.part import PartVersion


class Runtime(Protocol):
    """The verbs of a runtime. Each may be called again after it was interrupted or done, and
    then finishes or does nothing; each raises a ``Fault`` with the object, cause and next step.
    All but ``observe``, ``containers``, ``logs`` and ``versions`` are called by the holder of the
    project's lock, from several threads at a time for different objects."""

    def observe(self, query: Query) -> Observed: ...

    def containers(self) -> tuple[ObservedContainer, ...]:
        """Every container of every project."""
        ...

    def services(self) -> tuple[ObservedService, ...]: ...

    def networks(self) -> tuple[ObservedNetwork, ...]: ...

    def volumes(self) -> tuple[VolumeUse, ...]: ...

    def projects(self) -> dict[str, str]:
        """The projects that are applied here, and the folder that each is applied from."""
        ...

    def adopt_project(self, project: str, spec_path: str) -> None:
        """Record that the project is applied from ``spec_path``."""
        ...

    def forget_project(self, project: str) -> None:
        """Nothing of the project is left: drop its record, and the router with the last one."""
        ...

    @property
    def images(self) -> Images:
        """The images of this runtime; they belong to no project."""
        ...

    @property
    def registries(self) -> Registries: ...

    def create_network(self, network: NetworkSpec) -> None:
        """Make the network, or make one that is there as ``network`` says: containers in it get
        their new addresses without noticing more than that connections end."""
        ...

    def remove_network(self, project: str, name: str) -> None: ...

    def create_volume(self, volume: VolumeSpec) -> None: ...

    def remove_volume(self, project: str, name: str) -> None:
        """Delete the volume with all data in it."""
        ...

    def register(self, project: str, services: Sequence[ServiceSpec]) -> None:
        """Give services their names, addresses and published ports, or change them, in one go.

        A service that leads nowhere yet refuses connections at once. Raises ``PortTaken``.
        """
        ...

    def unregister(self, project: str, names: Sequence[str]) -> None:
        """Take names, addresses and published ports back."""
        ...

    def create(self, key: ContainerKey, generation: int, spec: ContainerSpec) -> None:
        """Make a generation, whole but not running."""
        ...

    def start(self, id: str) -> None:
        """Make a created, exited or lost generation run. Ends a hold."""
        ...

    def await_ready(self, id: str, ports: Sequence[PortSpec], timeout: float) -> None:
        """Wait until it listens on the TCP ports given, at most ``timeout`` seconds; raises when
        it does not, or ends before. A runtime that can see where the generation that serves now
        listens waits for that, too, without insisting on it."""
        ...

    def serve(self, project: str, service: str, ids: Sequence[str]) -> None:
        """Lead the service to these generations, in one transaction."""
        ...

    def await_healthy(self, id: str, timeout: float, report: Report) -> None:
        """Ask its health check, as often as that says, until it is healthy; raises with what the
        check said when it is unhealthy, ends, or is not healthy after ``timeout`` seconds.
        ``report`` hears of each failed try: ``what`` is the container, ``doing`` the words."""
        ...

    def await_completed(self, id: str, timeout: float | None) -> None:
        """Wait for its end; raises unless it ends with exit code 0."""
        ...

    def probe(self, id: str, *, due: bool = False) -> Health | None:
        """Ask its health check once and keep what came of it; None without one, and when it does
        not run. With ``due`` nothing is asked before its time: others may have asked meanwhile.
        """
        ...

    def execute(self, id: str, process: ExecSpec, stdio: Stdio) -> int:
        """Run a further process in it, wait, and return its exit code (128 + signal; 126, 127 as a
        shell has them). With ``process.tty`` the caller's descriptors are a terminal that is in
        raw mode meanwhile, or pipes."""
        ...

    def processes(self, id: str) -> tuple[ProcessRow, ...]:
        """What runs in it."""
        ...

    def findings(self) -> tuple[Finding, ...]:
        """What the host has and lacks."""
        ...

    def update(self, id: str, spec: ContainerSpec) -> None:
        """Make what can change in place as ``spec`` says; the process is not touched."""
        ...

    def mend(self, id: str | None) -> None:
        """Restore what the observed defects named: of the host (None) or of one generation."""
        ...

    def stop(self, id: str, *, by_hand: bool = False) -> None:
        """Signal, wait for the grace period, kill. ``by_hand`` makes it held."""
        ...

    def remove(self, id: str) -> None:
        """Kill what is left of a generation and remove all of it; its volumes stay."""
        ...

    def logs(self, id: str, *, tail: int | None, follow: bool) -> Iterator[LogLine]: ...

    def keep_logs(self, projects: Collection[str], timeout: float) -> None:
        """For ``timeout`` seconds have the logs of these projects' containers rotated as their
        specs say, nothing lost. Without it a log that has reached its size may begin anew without
        what was in it. Called without a lock, by one thread at a time."""
        ...

    def wait_for_change(self, timeout: float) -> bool:
        """Block until something in the runtime may have changed; False when only time passed."""
        ...

    def versions(self) -> tuple[PartVersion, ...]: ...

    def close(self) -> None: ...
