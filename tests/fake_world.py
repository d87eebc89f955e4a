"""What the runtime in memory knows: how it is changed behind its back, and how it is seen."""

import itertools
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import msgspec

from runtime.api import (
    ContainerSpec,
    Defect,
    DefectKind,
    Healthcheck,
    NetworkSpec,
    Observed,
    ObservedContainer,
    ObservedNetwork,
    ObservedService,
    ObservedVolume,
    Phase,
    PortHolder,
    PortSpec,
    Query,
    VolumeSpec,
)
from runtime.errors import Fault
from tests.fake_images import FakeImages, FakeRegistries, image_id

Made = TypeVar("Made", ObservedNetwork, ObservedVolume)
T = TypeVar("T")
RUNNING = (Phase.RUNNING, Phase.RESTARTING)


class Killed(BaseException):
    """The caller dies here, as if by SIGKILL: nothing of it goes on."""


class FakeFault(Fault):
    """A fault that a test asked for."""


class FakeWorld:
    """Attributes without underscore are knobs and facts for tests and for the verbs."""

    def __init__(self, ready: Callable[[ContainerSpec], bool] = lambda _spec: True) -> None:
        self.images = FakeImages(self)
        self.registries = FakeRegistries()
        self.faults: dict[tuple[str, str], Fault] = {}
        self.kill_at: int | None = None
        self.effects: list[str] = []
        self.logs_kept: list[tuple[str, ...]] = []
        self.foreign_ports: dict[tuple[str | None, int, str], str] = {}
        self.foreign: set[tuple[str, str]] = set()
        self.checks: dict[str, Healthcheck] = {}
        self.well: Callable[[ContainerSpec], bool] = lambda _spec: True
        self.ends: Callable[[ContainerSpec], int | None] = lambda _spec: 0
        self.ready = ready
        self.specs: dict[str, str] = {}
        self.volumes_made: dict[tuple[str, str], ObservedVolume] = {}
        self.networks_made: dict[tuple[str, str], ObservedNetwork] = {}
        self.services_made: dict[tuple[str, str], ObservedService] = {}
        self.generations: dict[str, ObservedContainer] = {}
        self.last: dict[str, int] = {}
        self.broken: list[Defect] = []
        self.pause: dict[tuple[str, str], threading.Event] = {}
        self.lock = threading.RLock()
        self._dead = False
        self.clock = itertools.count(1_700_000_000)

    # --- knobs ----------------------------------------------------------------------------------

    def change(self, id: str, **fields: object) -> None:
        """Drift: change facts of a generation behind everybody's back."""
        self.generations[id] = msgspec.structs.replace(self.generations[id], **fields)

    def exit(self, id: str, code: int | None) -> None:
        """The process ends with this exit code; None when nobody saw it."""
        phase = Phase.LOST if code is None else Phase.EXITED
        self.change(
            id, phase=phase, exit_code=code, pid=None, limits=None, restart=None, health=None
        )

    def reboot(self, project: str | None = None) -> None:
        """Every process (of one project, to tell them apart) and the host's part are gone."""
        for id, each in self.generations.items():
            if each.phase in RUNNING and project in (None, each.key.project):
                self.exit(id, None)
        if self.networks_made:
            self.break_host("the router namespace is gone")

    def break_host(self, cause: str) -> None:
        self.broken.append(Defect(kind=DefectKind.HOST, cause=cause))

    def damage(self, id: str, kind: DefectKind, cause: str) -> None:
        defects = (*self.generations[id].defects, Defect(kind=kind, cause=cause))
        self.change(id, defects=defects)

    def publish_image(self, name: str) -> None:
        """The registry has something newer under this name; the policy makes us look."""
        self.images.registry[name] = image_id(name, next(self.clock))
        if name in self.images.local:
            self.images.stale[name] = "the registry has a newer one"

    def revive(self) -> None:
        """A new caller after the old one was killed."""
        self._dead, self.kill_at = False, None
        self.effects = []

    # --- effects --------------------------------------------------------------------------------

    @contextmanager
    def verb(self, verb: str, what: str) -> Iterator[None]:
        if event := self.pause.get((verb, what)):
            assert event.wait(10)
        with self.lock:
            if self._dead:
                raise Killed
            if fault := self.faults.get((verb, what)):
                raise fault
            yield

    def effect(self, text: str) -> None:
        """One change of the world; the caller may be killed just before it."""
        if self.kill_at is not None and len(self.effects) >= self.kill_at:
            self._dead = True
            raise Killed
        self.effects.append(text)

    # --- looking --------------------------------------------------------------------------------

    def observe(self, query: Query) -> Observed:
        project = query.project
        with self.lock:
            return Observed(
                project=project,
                spec_path=self.specs.get(project, ""),
                images=self.images.states(query),
                volumes={
                    **of(project, self.volumes_made),
                    **_externals(query.volumes, self.volumes_made.values()),
                },
                networks={
                    **of(project, self.networks_made),
                    **_externals(query.networks, self.networks_made.values()),
                },
                services=of(project, self.services_made),
                containers=tuple(c for c in self.containers() if c.key.project == project),
                generations={k: n for k, n in self.last.items() if k.startswith(f"{project}/")},
                port_holders=tuple(self._holders(query)),
                defects=tuple(self.broken),
            )

    def _holders(self, query: Query) -> Iterator[PortHolder]:
        for _, port in query.ports:
            if holder := self.taken(query.project, port):
                yield PortHolder(port=port, holder=holder)

    def taken(self, project: str, port: PortSpec) -> str | None:
        if port.host_port is None:
            return None
        for owner, service in self.services_made.items():
            if owner[0] != project and any(clash(port, p) for p in service.applied.ports):
                return f"project {owner[0]}, container {owner[1]}"
        return self.foreign_ports.get((port.host_ip, port.host_port, port.protocol))

    def containers(self) -> tuple[ObservedContainer, ...]:
        with self.lock:
            return tuple(self.generations[id] for id in sorted(self.generations))

    def services(self) -> tuple[ObservedService, ...]:
        with self.lock:
            return tuple(each for _, each in sorted(self.services_made.items()))

    def projects(self) -> dict[str, str]:
        with self.lock:
            return dict(sorted(self.specs.items()))


def _externals(wanted: Iterable[NetworkSpec | VolumeSpec], made: Iterable[Made]) -> dict[str, Made]:
    """What belongs to other projects, by the name that the asking one has for it."""
    by_name = {each.applied.known_as: each for each in made}
    return {each.name: by_name[each.known_as] for each in wanted if each.known_as in by_name}


def of(project: str, made: dict[tuple[str, str], T]) -> dict[str, T]:
    return {name: made[owner, name] for owner, name in sorted(made) if owner == project}


def clash(one: PortSpec, other: PortSpec) -> bool:
    if one.host_port is None or (one.host_port, one.protocol) != (other.host_port, other.protocol):
        return False
    return one.host_ip is None or other.host_ip is None or one.host_ip == other.host_ip
