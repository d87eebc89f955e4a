"""The steps of one container's life: make, start, wait, change, stop, remove."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from reconciler.plan import (
    AwaitReady,
    CreateContainer,
    Impact,
    Mend,
    RemoveContainer,
    StartContainer,
    StopContainer,
    UpdateContainer,
)
from reconciler.planning.containers import Fate
from reconciler.planning.edges import Draft, Name
from reconciler.planning.stopped import RUNNING
from reconciler.planning.update_order import is_broken, shared_writable
from runtime.api import (
    ObservedContainer,
    ObservedService,
    Phase,
    PortSpec,
    ServiceSpec,
    VolumeMount,
)

READY_SECONDS = 10.0
GROUND: frozenset[Name] = frozenset({("adopt", "project"), ("mend host", "host")})


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What a container's steps depend on beside itself: its service as it shall be and as it
    is, the fates of all, and the undeclared generations that are about to stop."""

    service: ServiceSpec | None
    served: ObservedService | None
    fates: Mapping[str, tuple[Fate, ...]]
    leaving: tuple[ObservedContainer, ...] = ()


def label(container: ObservedContainer | Fate) -> str:
    """``container web``, ``container web.2``."""
    return f"container {str(container.key).partition('/')[2]}"


def steps(fate: Fate, around: Surroundings) -> Iterator[Draft]:
    """All steps for a declared container but those of its service."""
    if fate.create is not None:
        yield _create(fate)
    if fate.updates and fate.keep is not None:
        yield _update(fate, fate.keep)
    if fate.mends:
        yield _mend(fate)
    if fate.starts:
        yield _start(fate, around)
    if (gate := _gate(fate, around)) is not None:
        yield _await(fate, gate)
    for old in fate.olds:
        yield from _retire(fate, old, around)


def arrival(name: str, fates: Iterable[Fate]) -> frozenset[Name]:
    """What must be done before others may count on a container."""
    ids = [fate.id for fate in fates if fate.id]
    verbs = ("create", "update", "mend", "start", "ready")
    return frozenset({("serve", name), *((verb, id) for verb in verbs for id in ids)})


def _reasons(fate: Fate) -> tuple[str, ...]:
    return tuple(difference.text for difference in fate.differences)


def _places(fate: Fate) -> tuple[str, ...]:
    return tuple(difference.place for difference in fate.differences)


def _create(fate: Fate) -> Draft:
    assert fate.create is not None
    mounted = {m.volume for m in fate.spec.mounts if isinstance(m, VolumeMount)}
    needs: set[Name] = {("pull", fate.spec.image)}
    needs |= {("volume", name) for name in mounted}
    needs |= {("network", each.network) for each in fate.spec.networks}
    return Draft(
        name=("create", fate.id),
        action=CreateContainer(key=fate.key, generation=fate.create, spec=fate.spec),
        object=label(fate),
        after=GROUND | needs,
        reasons=_reasons(fate),
        places=_places(fate),
    )


def _update(fate: Fate, keep: ObservedContainer) -> Draft:
    return Draft(
        name=("update", keep.id),
        action=UpdateContainer(id=keep.id, spec=fate.spec),
        object=label(fate),
        after=GROUND | {("pull", fate.spec.image)},
        reasons=_reasons(fate),
        places=_places(fate),
    )


def _mend(fate: Fate) -> Draft:
    return Draft(
        name=("mend", fate.id),
        action=Mend(id=fate.id),
        object=label(fate),
        after=GROUND | {("register", "services")},
        reasons=fate.mends,
    )


def _start(fate: Fate, around: Surroundings) -> Draft:
    """It waits for its own old generations last of all, where they may not meet."""
    stops = {("stop", old.id) for old in fate.olds} if fate.stop_first else set()
    return Draft(
        name=("start", fate.id),
        action=StartContainer(id=fate.id, fallback=_fallback(fate, around)),
        object=label(fate),
        after=_before_start(fate, around) | stops,
        reasons=(fate.verdict.why,) if fate.verdict.why else (),
    )


def _before_start(fate: Fate, around: Surroundings) -> frozenset[Name]:
    """Its names, what it depends on, and whom it may not meet. What stops for it stops after
    these: none of them can fail any more and leave nobody running."""
    needs: set[Name] = {("create", fate.id), ("update", fate.id), ("register", "services")}
    for dependency in fate.spec.depends_on:
        needs |= arrival(dependency.name, around.fates.get(dependency.name, ()))
    needs |= {("stop", each.id) for each in around.leaving if _meets(each, fate)}
    return GROUND | needs


def _fallback(fate: Fate, around: Surroundings) -> str:
    """The generation that answers and is stopped for the new one (or was, by a run before)."""
    answering = around.served.targets if around.served else ()
    stopped = (old.id for old in fate.olds if old.id in answering and _makes_way(fate, old))
    return next(stopped, "")


def _makes_way(fate: Fate, old: ObservedContainer) -> bool:
    if old.held or is_broken(old):
        return False
    if old.phase is Phase.EXITED:
        return old.stopped
    return old.phase is Phase.LOST or (old.phase in RUNNING and bool(fate.stop_first))


def _meets(leaving: ObservedContainer, fate: Fate) -> bool:
    """Whether a container that leaves the project would write where this one does."""
    return leaving.applied is not None and bool(shared_writable(leaving.applied, fate.spec))


def _gate(fate: Fate, around: Surroundings) -> tuple[PortSpec, ...] | None:
    """The published ports that must listen before the service may leave the old generation, which
    answers meanwhile; None where no old one does."""
    if fate.stop_first or not fate.runs or around.service is None or around.served is None:
        return None
    targets = around.served.targets
    if fate.id in targets or not any(o.id in targets and o.phase in RUNNING for o in fate.olds):
        return None
    return tuple(port for port in around.service.ports if port.protocol == "tcp")


def _await(fate: Fate, ports: tuple[PortSpec, ...]) -> Draft:
    listed = ", ".join(str(port) for port in sorted({each.container_port for each in ports}))
    return Draft(
        name=("ready", fate.id),
        action=AwaitReady(
            id=fate.id,
            ports=ports,
            timeout=READY_SECONDS,
            healthy_within=fate.spec.update.healthy_within,
        ),
        object=label(fate),
        after=frozenset({("start", fate.id)}),
        reasons=(
            f"port {listed} must listen before the old one stops"
            if listed
            else "it must listen where the old one does before that stops",
        ),
    )


def _retire(fate: Fate, old: ObservedContainer, around: Surroundings) -> Iterator[Draft]:
    """A generation goes: at once when it never was whole, else after its successor came."""
    if old.phase is Phase.CREATING:
        yield _discard(old)
        return
    came = arrival(fate.key.name, [fate])
    if old.phase in RUNNING or is_broken(old):
        yield Draft(
            name=("stop", old.id),
            action=StopContainer(id=old.id),
            object=label(old),
            after=_before_start(fate, around) if fate.stop_first else GROUND | came,
            reasons=(fate.stop_first,) if fate.stop_first else (),
            impact=Impact.DOWNTIME if fate.stop_first else Impact.RESTART,
        )
    yield Draft(
        name=("remove", old.id),
        action=RemoveContainer(id=old.id),
        object=label(old),
        after=GROUND | came | {("stop", old.id)},
        reasons=(former(fate, old),),
    )


def former(fate: Fate, old: ObservedContainer) -> str:
    """Why a generation goes that was whole."""
    taken_back = fate.keep is not None and old.generation > fate.keep.generation
    return "its update was taken back" if taken_back else "an older generation"


def _discard(half_made: ObservedContainer) -> Draft:
    return Draft(
        name=("discard", half_made.id),
        action=RemoveContainer(id=half_made.id),
        object=label(half_made),
        after=GROUND,
        reasons=("it was only half made",),
    )
