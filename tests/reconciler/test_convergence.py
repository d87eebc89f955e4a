"""Properties of planner and runtime together, on random worlds.

A plan applied to the world in memory gives what was desired, a second plan is empty, foreign
objects and volumes stay; killed at any effect, the next plan finishes. Steps are carried out in
random orders that their edges allow, so a missing edge shows as a broken rule of the fake.
"""

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.desired import Desired
from reconciler.executor import gate
from reconciler.executor.steps import perform
from reconciler.plan import Plan, decode, encode
from reconciler.planning import plan, plan_down
from runtime.api import (
    AnonymousMount,
    Attachment,
    BindMount,
    Condition,
    ContainerSpec,
    DefectKind,
    Dependency,
    Health,
    Healthcheck,
    HealthStatus,
    ImageSpec,
    Limits,
    Mount,
    NetworkSpec,
    Observed,
    ObservedContainer,
    ObservedNetwork,
    OnFailure,
    Phase,
    Query,
    RestartKind,
    RestartPolicy,
    TmpfsMount,
    UpdateOrder,
    UpdatePolicy,
    VolumeMount,
)
from tests.fake_images import image_id
from tests.fake_runtime import FakeRuntime
from tests.fake_world import RUNNING, Killed
from tests.reconciler.world import MYSQL, NGINX, applied, plan_for, shop, spec


@pytest.fixture(autouse=True, scope="module")
def in_no_time() -> Iterator[None]:
    """Nothing happens here by itself: there is no moment to wait for."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gate, "MOMENT", 0.0)
        yield


NAMES = ("a", "b", "c")
CHECKS = (None, Healthcheck(test=("CMD", "true")), Healthcheck(test=("NONE",)))
BOTH = (Attachment(network="default"), Attachment(network="back"))
MOUNTS: tuple[Mount, ...] = (
    VolumeMount(volume="data", target="/data"),
    VolumeMount(volume="data", target="/data", read_only=True),
    VolumeMount(volume="more", target="/more"),
    BindMount(source="/srv/www", target="/www"),
    TmpfsMount(target="/tmp"),
    AnonymousMount(target="/anonymous"),
)
# One volume or folder per container: two of them may share, as people do.
PORTS = ("8080:80", "53:53/udp", "80", "8081:80")


RARELY = st.sampled_from([True, False, False, False])


@st.composite
def dependencies(draw: st.DrawFn, name: str) -> Dependency:
    return Dependency(
        name=name,
        condition=draw(st.sampled_from(Condition)),
        required=draw(st.booleans()),
        restart=draw(RARELY),
    )


@st.composite
def updates(draw: st.DrawFn) -> UpdatePolicy:
    return UpdatePolicy(
        order=draw(st.sampled_from([None, UpdateOrder.STOP_FIRST])),
        parallelism=draw(st.integers(0, 2)),
        on_failure=draw(st.sampled_from(OnFailure)),
    )


@st.composite
def specs(draw: st.DrawFn, name: str) -> ContainerSpec:
    kind = draw(st.sampled_from(RestartKind))
    retries = draw(st.sampled_from([None, 2])) if kind is RestartKind.ON_FAILURE else None
    needs = draw(st.lists(st.sampled_from(NAMES), unique=True, max_size=2))
    lodges = draw(st.sampled_from([n for n in NAMES if n < name] or [""])) if draw(RARELY) else ""
    mounts = draw(st.lists(st.sampled_from(MOUNTS), unique_by=lambda m: m.target, max_size=2))
    return spec(
        draw(st.sampled_from([NGINX, MYSQL])),
        depends_on=tuple([draw(dependencies(n)) for n in sorted(needs) if n < name]),
        healthcheck=draw(st.sampled_from(CHECKS)),
        network_mode=f"service:{lodges}" if lodges else "",
        networks=() if lodges else draw(st.sampled_from([BOTH[:1], BOTH])),
        update=draw(updates()),
        command=draw(st.sampled_from([None, ("sleep",)])),
        environment=draw(st.sampled_from([{}, {"A": "1"}, {"A": "2"}])),
        labels=draw(st.sampled_from([{}, {"x": "y"}])),
        mem_limit=draw(st.sampled_from([None, 512 << 20])),
        restart=RestartPolicy(kind=kind, max_retries=retries),
        mounts=tuple(mounts),
    )


@st.composite
def projects(draw: st.DrawFn) -> Desired:
    names = draw(st.lists(st.sampled_from(NAMES), unique=True, min_size=draw(st.integers(0, 2))))
    containers = {name: draw(specs(name)) for name in names}
    for name, each in containers.items():
        containers[name] = _sound(each, containers)
    free = list(PORTS)
    ports: dict[str, tuple[str, ...]] = {}
    for name in names:
        if draw(st.booleans()):
            ports[name] = (free.pop(draw(st.integers(0, 1))),)
    several = {name: draw(st.integers(1, 3)) for name in names if draw(RARELY)}
    made = shop(containers, ports, replicas=several)
    changed = {name: _renumbered(each, draw) for name, each in made.networks.items()}
    tagged = {name: _tagged(each, draw) for name, each in made.images.items()}
    return replace(made, networks=changed, images=tagged)


def _sound(each: ContainerSpec, there: Mapping[str, ContainerSpec]) -> ContainerSpec:
    """As the spec's own checks leave it: it names only what is there, waits for the health and the
    end only of what has a health check or an end, and not for the end of its host."""
    needs = tuple(
        d
        for d in each.depends_on
        if d.name in there and d.name not in each.shares and _comes_true(d, there[d.name])
    )
    if all(name in there for name in each.shares):
        return msgspec.structs.replace(each, depends_on=needs)
    return msgspec.structs.replace(
        each, depends_on=needs, network_mode="", networks=(Attachment(network="default"),)
    )


def _comes_true(dependency: Dependency, on: ContainerSpec) -> bool:
    if dependency.condition is Condition.HEALTHY:
        return on.healthcheck is not None and not on.healthcheck.disabled
    ends = on.restart.kind in (RestartKind.NO, RestartKind.ON_FAILURE) and not on.healthcheck
    return dependency.condition is Condition.STARTED or ends


def _renumbered(network: NetworkSpec, draw: st.DrawFn) -> NetworkSpec:
    subnet = draw(st.sampled_from([None, "10.90.0.0/24", "10.91.0.0/24"]))
    return msgspec.structs.replace(network, subnet=subnet, internal=draw(RARELY))


def _tagged(image: ImageSpec, draw: st.DrawFn) -> ImageSpec:
    """Each image has tags of its own: a tag means one image."""
    tags = (f"r.lab/{image.name.rpartition('/')[2]}", f"{image.name}-mine")[
        : draw(st.integers(0, 2))
    ]
    return msgspec.structs.replace(image, tags=tags, push=tags[: draw(st.integers(0, 2))])


# --- drift --------------------------------------------------------------------------------------

Drift = Callable[[FakeRuntime, str], None]


def _damage(kind: DefectKind) -> Drift:
    return lambda runtime, id: runtime.damage(id, kind, f"the {kind} is broken")


def _half_stop(runtime: FakeRuntime, id: str) -> None:
    if runtime.generations[id].phase in RUNNING:
        runtime.damage(id, DefectKind.WISH, "a stop was not finished")


def _limits(runtime: FakeRuntime, id: str) -> None:
    if runtime.generations[id].phase in RUNNING:
        runtime.change(id, limits=Limits(mem_limit=768 << 20, pids_limit=2048))


def _policy(runtime: FakeRuntime, id: str) -> None:
    if runtime.generations[id].phase in RUNNING:
        policy = RestartPolicy(kind=RestartKind.ON_FAILURE, max_retries=17)
        runtime.change(id, restart=policy)


def _unserve(runtime: FakeRuntime, id: str) -> None:
    where = ("shop", runtime.generations[id].key.name)
    if where in runtime.services_made:
        made = runtime.services_made[where]
        runtime.services_made[where] = msgspec.structs.replace(made, targets=())


def _unregister(runtime: FakeRuntime, id: str) -> None:
    runtime.services_made.pop(("shop", runtime.generations[id].key.name), None)


def _untag(runtime: FakeRuntime, _id: str) -> None:
    """Somebody gave one tag to another image, and took one away."""
    for name in sorted(runtime.images.local.keys() - {NGINX, MYSQL}):
        runtime.images.local[name] = image_id("another", 1)
        if name.startswith("r.lab/"):
            del runtime.images.local[name]


def _health(status: HealthStatus) -> Drift:
    def become(runtime: FakeRuntime, id: str) -> None:
        there = runtime.generations[id]
        if there.phase in RUNNING and there.healthcheck:
            runtime.change(id, health=Health(status=status))

    return become


DRIFTS: dict[str, Drift] = {
    "is unhealthy": _health(HealthStatus.UNHEALTHY),
    "is healthy": _health(HealthStatus.HEALTHY),
    "ends well": lambda runtime, id: runtime.exit(id, 0),
    "ends badly": lambda runtime, id: runtime.exit(id, 1),
    "is lost": lambda runtime, id: runtime.exit(id, None),
    "is held": lambda runtime, id: runtime.stop(id, by_hand=True),
    "has other limits": _limits,
    "has another policy": _policy,
    "lost its files": _damage(DefectKind.BUNDLE),
    "lost its link": _damage(DefectKind.LINK),
    "lost its monitor": _damage(DefectKind.MONITOR),
    "was half stopped": _half_stop,
    "lost its record": lambda runtime, id: runtime.change(id, applied=None),
    "is not served": _unserve,
    "has no service": _unregister,
    "restarts": lambda runtime, id: runtime.change(id, phase=Phase.RESTARTING),
    "reboot": lambda runtime, _id: runtime.reboot("shop"),
    "broken host": lambda runtime, _id: runtime.break_host("the table is gone"),
    "lost its tags": _untag,
    "was removed from its registry": lambda runtime, _id: runtime.images.pushed.clear(),
    "new image": lambda runtime, _id: runtime.publish_image(NGINX),
}


def _drift(runtime: FakeRuntime, drifts: list[str], chance: random.Random) -> None:
    for name in drifts:
        mine = [c.id for c in runtime.containers() if c.key.project == "shop"]
        whole = [id for id in mine if runtime.generations[id].phase is not Phase.CREATING]
        if whole:
            DRIFTS[name](runtime, chance.choice(sorted(whole)))


# --- carrying out -------------------------------------------------------------------------------


def walk(made: Plan, runtime: FakeRuntime, chance: random.Random) -> None:
    """Every step, in a random order that the edges allow. Raises what steps raise."""
    waits = {step.number: {*step.after, *step.ended} for step in made.steps}
    steps = {step.number: step for step in made.steps}
    while waits:
        number = chance.choice(sorted(n for n, before in waits.items() if not before))
        perform(steps[number].action, made.project, runtime, (), lambda _progress: None)
        del waits[number]
        for before in waits.values():
            before.discard(number)


def killed(made: Plan, runtime: FakeRuntime, at: int, chance: random.Random) -> None:
    """As above, by somebody who is killed before the effect ``at``."""
    runtime.revive()
    runtime.kill_at = at
    try:
        walk(made, runtime, chance)
    except Killed:
        pass
    runtime.revive()


def problems(desired: Desired, runtime: FakeRuntime) -> list[str]:
    """How the world differs from what is desired, judged without the planner."""
    found: list[str] = []
    observed = runtime.observe(desired.query())
    by_key = {key: [c for c in observed.containers if c.key == key] for key in desired.containers}
    for key, shall in desired.containers.items():
        generations = by_key.pop(key)
        if len(generations) != 1:
            found.append(f"{key} has {len(generations)} generations")
            continue
        found += _wrong(shall, generations[0], observed)
    found += [
        f"{c.key} is not declared" for c in observed.containers if c.key not in desired.containers
    ]
    services = {name: each.applied for name, each in observed.services.items()}
    found += [] if services == desired.services else [f"services are {services}"]
    found += [f"no network {name}" for name in desired.networks.keys() - observed.networks.keys()]
    found += [
        f"network {name}"
        for name, each in desired.networks.items()
        if not _is(each, observed.networks[name])
    ]
    found += [each for name in sorted(desired.services) for each in _astray(name, observed)]
    found += [f"no volume {name}" for name in desired.volumes.keys() - observed.volumes.keys()]
    found += [f"defect {d.cause}" for d in observed.defects]
    found += [
        each for name in sorted(desired.images) for each in _mistagged(desired, name, runtime)
    ]
    return found


def _mistagged(desired: Desired, name: str, runtime: FakeRuntime) -> Iterator[str]:
    """Tags that do not mean the image, here or where it was pushed."""
    image, images = desired.images[name], runtime.images
    for tag in image.tags:
        if images.local.get(tag) != images.local[name]:
            yield f"{tag} is not {name}"
        if tag in image.push and images.pushed.get(tag) != images.local[name]:
            yield f"{tag} was not pushed"


def _wrong(shall: ContainerSpec, real: object, observed: Observed) -> list[str]:
    from runtime.api import ObservedContainer

    assert isinstance(real, ObservedContainer)
    done = real.exit_code == 0 and shall.restart.kind in (RestartKind.NO, RestartKind.ON_FAILURE)
    runs = real.phase in RUNNING
    hosts = {c.key.name: c.id for c in observed.containers if c.key.replica == 1}
    facts = {
        "spec": _unordered(real.applied or spec()) == _unordered(shall),
        "image": real.image_id == observed.images[shall.image].id,
        "life": runs or (done and not real.held),
        "limits": real.limits is None or real.limits.mem_limit == shall.mem_limit,
        "policy": real.restart in (None, shall.restart),
        "namespaces": real.shares == {name: hosts[name] for name in shall.shares},
        "link": not any(d.kind in (DefectKind.LINK, DefectKind.BUNDLE) for d in real.defects)
        or not runs,
        "wish": not runs or all(d.kind is not DefectKind.WISH for d in real.defects),
    }
    return [f"{real.key}: {name}" for name, right in facts.items() if not right]


def _is(shall: NetworkSpec, real: ObservedNetwork) -> bool:
    subnet = shall.subnet in (None, real.subnet)
    return subnet and real.applied.internal == shall.internal


def _astray(name: str, observed: Observed) -> Iterator[str]:
    """Whether a service leads to all that run and are well, or, without such, to all that run."""
    mine = [c for c in observed.containers if c.key.name == name]
    running = {c.id for c in mine if c.phase in RUNNING}
    well = {c.id for c in mine if c.phase is Phase.RUNNING and not _ails(c)}
    targets = set(observed.services[name].targets)
    if targets != (well or running) and (running or not targets <= {c.id for c in mine}):
        yield f"{name} leads to {len(targets)} of {len(running)} that run, {len(well)} well"


def _ails(container: ObservedContainer) -> bool:
    return container.health is not None and container.health.status is HealthStatus.UNHEALTHY


def _unordered(each: ContainerSpec) -> ContainerSpec:
    """Mounts have targets, which no two share: their order means nothing."""
    mounts = tuple(sorted(each.mounts, key=lambda mount: mount.target))
    return msgspec.structs.replace(each, mounts=mounts)


def foreign() -> FakeRuntime:
    """A world where another project lives."""
    theirs = shop(
        {"web": spec(mounts=(VolumeMount(volume="data", target="/data"),))},
        {"web": ("9090:80",)},
        project="blog",
        path="/srv/blog",
    )
    return applied(theirs)


def picture(runtime: FakeRuntime, project: str) -> Observed:
    return runtime.observe(Query(project=project))


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """A project is applied, things happen to it, its spec may change, and whoever applies it anew
    is killed at these effects first."""

    first: Desired
    second: Desired
    drifts: list[str]
    kills: list[int]
    seed: int


@st.composite
def stories(draw: st.DrawFn) -> Story:
    first = draw(projects())
    return Story(
        first=first,
        second=draw(st.one_of(st.just(first), projects())),
        drifts=draw(st.lists(st.sampled_from(sorted(DRIFTS)), max_size=4)),
        kills=draw(st.lists(st.integers(0, 25), max_size=3)),
        seed=draw(st.integers(0, 2**32)),
    )


@settings(max_examples=300, deadline=None)
@given(stories())
def test_a_plan_gives_what_is_desired_and_a_second_one_is_empty(story: Story) -> None:
    chance, runtime = random.Random(story.seed), foreign()
    theirs = picture(runtime, "blog")
    walk(plan_for(story.first, runtime), runtime, chance)
    assert problems(story.first, runtime) == []
    _drift(runtime, story.drifts, chance)
    for at in story.kills:
        killed(plan_for(story.second, runtime), runtime, at, chance)
        assert set(picture(runtime, "shop").volumes) >= set(story.first.volumes)
    walk(plan_for(story.second, runtime), runtime, chance)
    again = plan_for(story.second, runtime)
    assert (problems(story.second, runtime), again.steps, again.changes) == ([], (), ())
    assert set(picture(runtime, "shop").volumes) >= set(story.first.volumes)
    after = picture(runtime, "blog")
    assert msgspec.structs.replace(after, defects=theirs.defects) == theirs


@settings(max_examples=200, deadline=None)
@given(stories())
def test_the_loop_leaves_what_people_must_decide_and_changes_nothing_twice(story: Story) -> None:
    chance, runtime = random.Random(story.seed), foreign()
    walk(plan_for(story.first, runtime, explicit=False), runtime, chance)
    _drift(runtime, story.drifts, chance)
    for at in story.kills:
        killed(plan_for(story.second, runtime, explicit=False), runtime, at, chance)
    walk(plan_for(story.second, runtime, explicit=False), runtime, chance)
    assert plan_for(story.second, runtime, explicit=False).steps == ()
    walk(plan_for(story.second, runtime), runtime, chance)
    assert problems(story.second, runtime) == []


@settings(max_examples=100, deadline=None)
@given(stories())
def test_a_plan_is_the_same_bytes_and_reads_back(story: Story) -> None:
    chance, runtime = random.Random(story.seed), FakeRuntime()
    walk(plan_for(story.first, runtime), runtime, chance)
    _drift(runtime, story.drifts, chance)
    observed = runtime.observe(story.second.query())
    shuffled = list(observed.containers)
    chance.shuffle(shuffled)
    mixed = msgspec.structs.replace(observed, containers=tuple(shuffled))
    one = plan(story.second, observed, explicit=True)
    other = plan(story.second, mixed, explicit=True)
    assert encode(msgspec.structs.replace(other, fingerprint=one.fingerprint)) == encode(one)
    assert decode(encode(one)) == one


@settings(max_examples=150, deadline=None)
@given(stories())
def test_down_leaves_nothing_but_volumes_wherever_it_was_killed(story: Story) -> None:
    chance, runtime = random.Random(story.seed), foreign()
    theirs = picture(runtime, "blog")
    walk(plan_for(story.first, runtime), runtime, chance)
    _drift(runtime, story.drifts, chance)
    killed(plan_for(story.second, runtime), runtime, story.kills[0] if story.kills else 0, chance)
    volumes = picture(runtime, "shop").volumes
    for at in story.kills[1:]:
        killed(plan_down(picture(runtime, "shop")), runtime, at, chance)
    walk(plan_down(picture(runtime, "shop")), runtime, chance)
    left = msgspec.structs.replace(picture(runtime, "shop"), defects=())
    assert left == Observed(project="shop", volumes=volumes, generations=left.generations)
    assert plan_down(left).steps == ()
    after = picture(runtime, "blog")
    assert msgspec.structs.replace(after, defects=theirs.defects) == theirs
