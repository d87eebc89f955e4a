"""Small worlds for the planner's tests: what shall be, a runtime in memory, and a shorthand."""

from collections.abc import Mapping

import msgspec

from reconciler.desired import Desired
from reconciler.executor.events import Outcome
from reconciler.executor.walk import execute
from reconciler.plan import Plan
from reconciler.planning import plan
from reconciler.views.plan import steps
from runtime.api import (
    ContainerKey,
    ContainerSpec,
    Dependency,
    ImageSpec,
    NetworkSpec,
    ObservedContainer,
    PortSpec,
    PullPolicy,
    RegistrySource,
    ServiceSpec,
    VolumeMount,
    VolumeSpec,
)
from tests.fake_runtime import FakeRuntime

NGINX = "docker.io/library/nginx:1.27"
MYSQL = "docker.io/library/mysql:8.4"
_IN_PLACE = """
container_name cpu_shares cpus cpuset depends_on dns dns_opt dns_search expose extra_hosts
healthcheck labels logging mem_limit mem_reservation memswap_limit networks pids_limit
restart secret_environment stop_grace_period stop_signal update
"""
IN_PLACE = frozenset(_IN_PLACE.split())
LINES = {
    ("container", "web", ""): "shop.yaml:10",
    ("container", "web", "image"): "shop.yaml:11",
    ("container", "web", "ports"): "shop.yaml:12",
    ("container", "web", "mem_limit"): "shop.yaml:31",
    ("container", "db", ""): "shop.yaml:40",
}


def port(text: str) -> PortSpec:
    """``8080:80``, ``80``, ``127.0.0.1:8080:80``, ``53:53/udp``"""
    text, _, protocol = text.partition("/")
    *host, container = text.split(":")
    return PortSpec(
        container_port=int(container),
        protocol=protocol or "tcp",
        host_ip=host[0] if len(host) == 2 else None,
        host_port=int(host[-1]) if host and host[-1] else None,
    )


def spec(image: str = NGINX, *, needs: tuple[str, ...] = (), **fields: object) -> ContainerSpec:
    depends_on = tuple(Dependency(name=name) for name in needs)
    made = ContainerSpec(image=image, depends_on=depends_on)
    return msgspec.structs.replace(made, **fields)


def shop(
    containers: Mapping[str, ContainerSpec],
    ports: Mapping[str, tuple[str, ...]] | None = None,
    *,
    project: str = "shop",
    path: str = "/srv/shop",
    pull: PullPolicy = PullPolicy.MISSING,
    replicas: Mapping[str, int] | None = None,
) -> Desired:
    """A project with these containers, all that they mount and join, these published ports, and so
    many replicas of each, one where nothing else is said."""
    ports = ports or {}
    mounts = [m for each in containers.values() for m in each.mounts]
    volumes = {m.volume for m in mounts if isinstance(m, VolumeMount)}
    joined = {"default", *(n.network for each in containers.values() for n in each.networks)}
    images = {each.image for each in containers.values()}
    return Desired(
        project=project,
        spec_path=path,
        images={
            name: ImageSpec(name=name, source=RegistrySource(reference=name, pull=pull))
            for name in sorted(images)
        },
        volumes={name: VolumeSpec(project=project, name=name) for name in sorted(volumes)},
        networks={name: NetworkSpec(project=project, name=name) for name in sorted(joined)},
        services={
            name: ServiceSpec(
                project=project,
                name=name,
                networks=each.networks,
                ports=tuple(map(port, ports.get(name, ()))),
            )
            for name, each in sorted(containers.items())
        },
        containers={
            ContainerKey(project=project, name=name, replica=number): each
            for name, each in sorted(containers.items())
            for number in range(1, (replicas or {}).get(name, 1) + 1)
        },
        in_place=IN_PLACE,
        places=LINES,
    )


def plan_for(
    desired: Desired,
    runtime: FakeRuntime,
    *,
    explicit: bool = True,
    only: frozenset[str] = frozenset(),
    take_over: bool = False,
) -> Plan:
    return plan(
        desired,
        runtime.observe(desired.query()),
        explicit=explicit,
        only=only,
        take_over=take_over,
    )


def show(desired: Desired, runtime: FakeRuntime, *, explicit: bool = True) -> str:
    """The steps of the plan as text."""
    return named(plan_for(desired, runtime, explicit=explicit), runtime)


def named(plan: Plan, runtime: FakeRuntime) -> str:
    """The steps as text, with generations in place of ids."""
    text = steps(plan)
    for each in runtime.containers():
        text = text.replace(each.id[:12], f"@{each.generation}")
    return text


class NoJournal:
    """A journal that keeps nothing."""

    def begin(self, plan: Plan) -> int:
        return 0

    def finished(self, run: int, number: int, error: str) -> None:
        pass

    def end(self, run: int, outcome: str) -> None:
        pass


def events(plan: Plan, runtime: FakeRuntime) -> list[str]:
    """What carrying out the plan does to the world."""
    before = len(runtime.effects)
    outcome = carry_out(plan, runtime)
    assert not outcome.failed, outcome.failed
    return runtime.effects[before:]


def carry_out(plan: Plan, runtime: FakeRuntime) -> Outcome:
    return execute(plan, runtime, NoJournal(), (), progress=lambda _event: None)


def applied(desired: Desired, runtime: FakeRuntime | None = None) -> FakeRuntime:
    """A world where the project was applied without trouble."""
    runtime = runtime or FakeRuntime()
    outcome = carry_out(plan_for(desired, runtime), runtime)
    assert not outcome.failed, outcome.failed
    return runtime


def the(runtime: FakeRuntime, name: str) -> str:
    """The id of the newest generation of a container."""
    return newest(runtime, name, 1).id


def newest(runtime: FakeRuntime, name: str, replica: int) -> ObservedContainer:
    """The newest generation of a replica."""
    keys = (name, replica)
    found = [c for c in runtime.containers() if (c.key.name, c.key.replica) == keys]
    return max(found, key=lambda each: each.generation)
