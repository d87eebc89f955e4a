"""A runtime in memory: the whole protocol, with the rules that a real engine holds its callers to.

Faults can be injected per verb, the caller can be killed at any effect, and the world can be
changed behind its back. A broken rule is an AssertionError: a defect of the planner, not a
fault to be handled.
"""

import time
from collections.abc import Collection, Iterator, Sequence

import msgspec

from runtime.api import (
    AnonymousMount,
    BindMount,
    ContainerKey,
    ContainerSpec,
    DefectKind,
    ExecSpec,
    Finding,
    Health,
    Healthcheck,
    HealthStatus,
    Limits,
    LogLine,
    NetworkSpec,
    ObservedContainer,
    ObservedNetwork,
    ObservedService,
    ObservedVolume,
    PartVersion,
    Phase,
    PortSpec,
    ProcessRow,
    Progress,
    PublishedPort,
    Report,
    ServiceSpec,
    Stdio,
    VolumeMount,
    VolumeSpec,
    VolumeUse,
    container_id,
)
from runtime.errors import Fault
from tests.fake_world import RUNNING, FakeFault, FakeWorld, clash, of

_NO = ContainerSpec(image="")


class FakeRuntime(FakeWorld):
    """The verbs, on what ``FakeWorld`` knows."""

    # --- projects, networks, volumes -----------------------------------------------------

    def adopt_project(self, project: str, spec_path: str) -> None:
        with self.verb("adopt", project):
            self.effect(f"adopt {project}")
            self.specs[project] = spec_path

    def forget_project(self, project: str) -> None:
        with self.verb("forget", project):
            assert not of(project, self.networks_made), "networks are left"
            assert not of(project, self.services_made), "services are left"
            assert all(each.key.project != project for each in self.containers())
            self.effect(f"forget {project}")
            self.specs.pop(project, None)

    def create_network(self, network: NetworkSpec) -> None:
        with self.verb("create network", network.name):
            self._need_host()
            self._need_record(network.project)
            if network.external:
                known = {each.applied.known_as for each in self.networks_made.values()}
                assert network.known_as in known, f"nobody has {network.known_as}"
                self.foreign.add((network.project, network.name))
                return
            where = (network.project, network.name)
            there = self.networks_made.get(where)
            if there is None or there.applied != network:
                self.effect(f"create network {network.name}")
                kept = there.subnet if there else f"10.240.{len(self.networks_made)}.0/24"
                subnet6 = network.subnet6 or (there.subnet6 if there else "")
                self.networks_made[where] = ObservedNetwork(
                    applied=network, subnet=network.subnet or kept, subnet6=subnet6
                )

    def remove_network(self, project: str, name: str) -> None:
        with self.verb("remove network", name):
            for each in self.containers():
                joined = {network.network for network in (each.applied or _NO).networks}
                assert each.key.project != project or name not in joined
            assert all(
                name not in {each.network for each in service.applied.networks}
                for service in of(project, self.services_made).values()
            )
            self.effect(f"remove network {name}")
            self.networks_made.pop((project, name), None)

    def create_volume(self, volume: VolumeSpec) -> None:
        with self.verb("create volume", volume.name):
            self._need_record(volume.project)
            if volume.external:
                known = {each.applied.known_as for each in self.volumes_made.values()}
                assert volume.known_as in known, f"nobody has {volume.known_as}"
                self.foreign.add((volume.project, volume.name))
            elif self.volumes_made.get((volume.project, volume.name)) != (
                made := ObservedVolume(applied=volume)
            ):
                self.effect(f"create volume {volume.name}")
                self.volumes_made[volume.project, volume.name] = made

    def remove_volume(self, project: str, name: str) -> None:
        with self.verb("remove volume", name):
            for each in self.containers():
                mine = each.key.project == project and each.phase in RUNNING
                mounts = (each.applied or _NO).mounts if mine else ()
                assert all(not isinstance(m, VolumeMount) or m.volume != name for m in mounts)
            self.effect(f"remove volume {name}")
            self.volumes_made.pop((project, name), None)

    # --- services -------------------------------------------------------------------------------

    def register(self, project: str, services: Sequence[ServiceSpec]) -> None:
        with self.verb("register", project):
            self._need_host()
            self._need_record(project)
            changed = {service.name for service in services}
            for service in services:
                for network in service.networks:
                    self._need_network(project, network.network)
                self._check_ports(project, service, changed)
            self.effect(f"register {' '.join(sorted(changed))}")
            for service in services:
                old = self.services_made.get((project, service.name))
                self.services_made[project, service.name] = ObservedService(
                    applied=service,
                    ports=tuple(
                        PublishedPort(spec=port, host_port=port.host_port or 49152 + number)
                        for number, port in enumerate(service.ports)
                    ),
                    targets=old.targets if old else (),
                )

    def _check_ports(self, project: str, service: ServiceSpec, changed: set[str]) -> None:
        for port in service.ports:
            if holder := self.taken(project, port):
                raise FakeFault(f"port {port} is taken", why=f"{holder} has it")
            for (owner, name), other in self.services_made.items():
                if owner == project and name != service.name and name not in changed:
                    both = any(clash(port, p) for p in other.applied.ports)
                    assert not both, f"{service.name} wants {port} of {name}"

    def unregister(self, project: str, names: Sequence[str]) -> None:
        with self.verb("unregister", project):
            self.effect(f"unregister {' '.join(names)}")
            for name in names:
                self.services_made.pop((project, name), None)

    def serve(self, project: str, service: str, ids: Sequence[str]) -> None:
        with self.verb("serve", service):
            self._need_host()
            there = self.services_made.get((project, service))
            assert there is not None, f"service {service} is not registered"
            assert all(id in self.generations for id in ids), f"{service} to what is not there"
            self.effect(f"serve {service}")
            made = msgspec.structs.replace(there, targets=tuple(ids))
            self.services_made[project, service] = made

    # --- containers -----------------------------------------------------------------------------

    def create(self, key: ContainerKey, generation: int, spec: ContainerSpec) -> None:
        with self.verb("create", key.name):
            self._need_host()
            self._need_record(key.project)
            assert spec.image in self.images.local, f"no image {spec.image}"
            for network in spec.networks:
                self._need_network(key.project, network.network)
            for mount in spec.mounts:
                if isinstance(mount, VolumeMount):
                    where = (key.project, mount.volume)
                    assert where in {*self.volumes_made, *self.foreign}, f"no {mount}"
            id = container_id(key, generation)
            there = self.generations.get(id)
            if there is None:
                self.effect(f"begin {key.name}@{generation}")
                self.last[str(key)] = max(generation, self.last.get(str(key), 0))
                there = self.generations[id] = ObservedContainer(
                    key=key, id=id, generation=generation, phase=Phase.CREATING
                )
            if there.phase is Phase.CREATING:
                self.effect(f"create {key.name}@{generation}")
                anonymous = (m.target for m in spec.mounts if isinstance(m, AnonymousMount))
                self.change(
                    id,
                    phase=Phase.CREATED,
                    applied=spec,
                    image_id=self.images.local[spec.image],
                    healthcheck=self._check(spec),
                    shares=self._joined(key, spec),
                    created_at=float(next(self.clock)),
                    volumes=tuple(sorted(anonymous)),
                )

    def _check(self, spec: ContainerSpec) -> Healthcheck | None:
        """The spec's own, else the image's."""
        check = spec.healthcheck or self.checks.get(spec.image)
        return None if check is None or check.disabled else check

    def _joined(self, key: ContainerKey, spec: ContainerSpec) -> dict[str, str]:
        """The newest whole generations of those in whose namespaces it shall live."""
        joined: dict[str, str] = {}
        for name in spec.shares:
            there = [
                c
                for c in self.containers()
                if c.key == ContainerKey(project=key.project, name=name)
            ]
            whole = [c for c in there if c.phase is not Phase.CREATING]
            assert whole, f"{name} is not there for {key.name}"
            joined[name] = max(whole, key=lambda each: each.generation).id
        return joined

    def start(self, id: str) -> None:
        try:
            self._start(id)
        except Fault:  # whoever could not start it has cleared it away
            self.change(id, stopped=True)
            raise

    def _start(self, id: str) -> None:
        with self.verb("start", self._name(id)):
            self._need_host()
            there = self.generations[id]
            assert there.phase is not Phase.CREATING, "half made"
            assert there.applied is not None
            if there.phase in RUNNING:
                self.effect(f"start {there.key.name}@{there.generation}")
                wanted = tuple(d for d in there.defects if d.kind is not DefectKind.WISH)
                self.change(id, defects=wanted)
                return
            self._nobody_else_writes(there, there.applied)
            for host in there.shares.values():
                began = self.generations[host].phase in (*RUNNING, Phase.EXITED)
                assert began, f"{there.key} lives in namespaces that are not there"
            self.effect(f"start {there.key.name}@{there.generation}")
            gone = (DefectKind.LINK, DefectKind.WISH)
            left = tuple(d for d in there.defects if d.kind not in gone)
            self.change(
                id,
                phase=Phase.RUNNING,
                pid=1000 + next(self.clock) % 1000,
                exit_code=None,
                held=False,
                stopped=False,
                restarts=0,
                limits=_limits(there.applied),
                restart=there.applied.restart,
                health=Health() if there.healthcheck else None,
                started_at=float(next(self.clock)),
                defects=left,
            )

    def _nobody_else_writes(self, one: ObservedContainer, spec: ContainerSpec) -> None:
        for other in self.containers():
            if other.key == one.key and other.id != one.id and other.phase in RUNNING:
                both = _written(spec) & _written(other.applied or _NO)
                assert not both, f"two generations of {one.key} write to {both}"

    def await_ready(self, id: str, ports: Sequence[PortSpec], timeout: float) -> None:
        with self.verb("ready", self._name(id)):
            there = self.generations[id]
            if there.phase not in RUNNING or not self.ready(there.applied or _NO):
                raise FakeFault(f"{there.key.name} does not listen", why=f"after {timeout:.0f} s")

    def update(self, id: str, spec: ContainerSpec) -> None:
        with self.verb("update", self._name(id)):
            there = self.generations[id]
            self.effect(f"update {there.key.name}@{there.generation}")
            self.change(id, applied=spec, healthcheck=self._check(spec))
            for network in spec.networks:
                self._need_network(there.key.project, network.network)
            if there.phase in RUNNING:
                self.change(id, limits=_limits(spec), restart=spec.restart)

    def mend(self, id: str | None) -> None:
        with self.verb("mend", self._name(id) if id else "host"):
            self.effect(f"mend {self._name(id) if id else 'host'}")
            if id is None:
                self.broken.clear()
            else:
                defects = self.generations[id].defects
                self.change(id, defects=tuple(d for d in defects if d.kind is not DefectKind.LINK))

    def stop(self, id: str, *, by_hand: bool = False) -> None:
        with self.verb("stop", self._name(id)):
            there = self.generations.get(id)
            if there is None:
                return
            if there.phase not in RUNNING:
                self.change(id, held=by_hand, stopped=not by_hand)
                return
            self.effect(f"stop {there.key.name}@{there.generation}")
            self.exit(id, 143)
            self.change(id, held=by_hand, stopped=not by_hand)

    def remove(self, id: str) -> None:
        with self.verb("remove", self._name(id)):
            there = self.generations.get(id)
            if there is None:
                return
            assert there.phase not in RUNNING, f"{there.key} is removed while it runs"
            self.effect(f"unlink {there.key.name}@{there.generation}")
            self.change(id, phase=Phase.CREATING, pid=None, limits=None, restart=None)
            self.effect(f"remove {there.key.name}@{there.generation}")
            del self.generations[id]
            for where, service in self.services_made.items():
                left = tuple(target for target in service.targets if target != id)
                self.services_made[where] = msgspec.structs.replace(service, targets=left)

    def _name(self, id: str) -> str:
        there = self.generations.get(id)
        return there.key.name if there else id[:12]

    def _need_host(self) -> None:
        assert not self.broken, "the host's part must be mended first"

    def _need_network(self, project: str, name: str) -> None:
        assert (project, name) in {*self.networks_made, *self.foreign}, f"no network {name}"

    def _need_record(self, project: str) -> None:
        assert project in self.specs, "the project must be recorded first"

    # --- the rest -------------------------------------------------------------------------------

    def logs(self, id: str, *, tail: int | None, follow: bool) -> Iterator[LogLine]:
        return iter(())

    def networks(self) -> tuple[ObservedNetwork, ...]:
        with self.lock:
            return tuple(each for _, each in sorted(self.networks_made.items()))

    def volumes(self) -> tuple[VolumeUse, ...]:
        with self.lock:
            return tuple(
                VolumeUse(project=project, volume=each)
                for (project, _), each in sorted(self.volumes_made.items())
            )

    def await_healthy(self, id: str, timeout: float, report: Report) -> None:
        with self.verb("healthy", self._name(id)):
            there = self.generations[id]
            name = there.key.name
            if there.healthcheck is None:
                raise FakeFault(f"{name} has no health check")
            if there.phase not in RUNNING:
                raise FakeFault(f"{name} does not run")
            if not self.well(there.applied or _NO):
                self.change(id, health=Health(status=HealthStatus.UNHEALTHY))
                report(Progress(what=name, doing="1 of 3 tries failed"))
                raise FakeFault(f"{name} is unhealthy", why=f"after {timeout:.0f} s")
            self.change(id, health=Health(status=HealthStatus.HEALTHY))

    def await_completed(self, id: str, timeout: float | None) -> None:
        with self.verb("completed", self._name(id)):
            there = self.generations[id]
            if there.phase in RUNNING:
                self.exit(id, self.ends(there.applied or _NO))
            code = self.generations[id].exit_code
            if code != 0:
                raise FakeFault(f"{there.key.name} ended with exit code {code}")

    def probe(self, id: str, *, due: bool = False) -> Health | None:
        raise NotImplementedError

    def execute(self, id: str, process: ExecSpec, stdio: Stdio) -> int:
        raise NotImplementedError

    def processes(self, id: str) -> tuple[ProcessRow, ...]:
        raise NotImplementedError

    def findings(self) -> tuple[Finding, ...]:
        raise NotImplementedError

    def keep_logs(self, projects: Collection[str], timeout: float) -> None:
        self.logs_kept.append(tuple(sorted(projects)))
        time.sleep(timeout)

    def wait_for_change(self, timeout: float) -> bool:
        return False

    def versions(self) -> tuple[PartVersion, ...]:
        return (PartVersion(part="fake", version="1"),)

    def close(self) -> None:
        pass


def _limits(spec: ContainerSpec) -> Limits:
    pids = spec.pids_limit
    return Limits(mem_limit=spec.mem_limit, cpus=spec.cpus, pids_limit=None if pids < 0 else pids)


def _written(spec: ContainerSpec) -> set[str]:
    """What a generation may write to that another one could share."""
    found: set[str] = set()
    for mount in spec.mounts:
        match mount:
            case VolumeMount(read_only=False):
                found.add(f"volume {mount.volume}")
            case BindMount(read_only=False):
                found.add(mount.source)
            case AnonymousMount():
                found.add(f"anonymous {mount.target}")
            case _:
                pass
    return found
