"""The planner: from what shall be and what is to what shall be done.

Pure: it asks nothing, reads no clock, and gives the same plan for the same input. Each
container's fate is decided first; the other parts draft what the fates need; `edges`
numbers it all.
"""

import hashlib
from collections.abc import Collection, Iterator, Mapping

import msgspec

from reconciler.compare import Difference
from reconciler.desired import Desired
from reconciler.plan import Change, Plan
from reconciler.planning import changes, ground, images, prune, services
from reconciler.planning.containers import Fate, decide
from reconciler.planning.edges import Draft, number
from reconciler.planning.lifecycle import Surroundings, label, steps
from reconciler.planning.stopped import RUNNING
from runtime.api import ContainerKey, Observed, ObservedContainer, VolumeMount, encode

Fates = Mapping[str, tuple[Fate, ...]]


def plan(
    desired: Desired,
    observed: Observed,
    *,
    explicit: bool,
    only: frozenset[str] = frozenset(),
    take_over: bool = False,
) -> Plan:
    """What makes the project as desired.

    ``explicit``: somebody said `apply`, so what failed or is held is started again. ``only``
    restricts the plan to these containers and what they need; empty means the whole project.
    """
    chosen = _chosen(desired, observed, only)
    fates = _fates(desired, observed, chosen, explicit=explicit)
    leaving = () if only else _leaving(desired, observed)
    names = sorted(fates)
    changed = services.changed(desired, observed, names)
    drafts = [
        *ground.adoption(desired, observed),
        *ground.host_mend(observed),
        *_needs(desired, observed, fates, changed, whole=not only),
        *services.register(desired, changed),
        *_lives(desired, observed, fates, leaving),
        *(() if only else _pruned(desired, observed, leaving)),
    ]
    problems, port_notes = services.port_reports(desired, observed, changed)
    return Plan(
        project=desired.project,
        steps=number(drafts),
        changes=_changes(fates, changed, drafts, leaving, taken_over=bool(observed.spec_path)),
        notes=(*_notes(desired, observed, fates), *port_notes),
        problems=(
            *(f"there is no container {name}" for name in sorted(only - _names(desired))),
            *ground.foreign_path(desired, observed, take_over=take_over),
            *ground.network_problems(desired, observed),
            *images.problems(desired, observed, _pulled(desired, observed, fates)),
            *problems,
        ),
        fingerprint=fingerprint(observed),
    )


# --- which containers ---------------------------------------------------------------------------


def _names(desired: Desired) -> frozenset[str]:
    return frozenset(key.name for key in desired.containers)


def _chosen(desired: Desired, observed: Observed, only: frozenset[str]) -> frozenset[str]:
    """The containers to plan for: those named and what they depend on that does not run."""
    if not only:
        return _names(desired)
    running = {each.key.name for each in observed.containers if each.phase in RUNNING}
    needs: dict[str, set[str]] = {}
    for key, spec in desired.containers.items():
        needs.setdefault(key.name, set()).update(each.name for each in spec.depends_on)
    chosen = only & _names(desired)
    while more := {n for name in chosen for n in needs[name]} - running - chosen:
        chosen |= more & _names(desired)
    return chosen


def _fates(
    desired: Desired, observed: Observed, chosen: Collection[str], *, explicit: bool
) -> dict[str, tuple[Fate, ...]]:
    generations: dict[ContainerKey, list[ObservedContainer]] = {}
    for each in observed.containers:
        generations.setdefault(each.key, []).append(each)
    fates: dict[str, tuple[Fate, ...]] = {}
    for key in sorted(desired.containers):
        if key.name in chosen:
            fate = decide(desired, observed, key, generations.get(key, ()), explicit=explicit)
            fates[key.name] = (*fates.get(key.name, ()), fate)
    return fates


def _leaving(desired: Desired, observed: Observed) -> tuple[ObservedContainer, ...]:
    """Generations of containers that the spec does not name (any more)."""
    left = (each for each in observed.containers if each.key not in desired.containers)
    return tuple(sorted(left, key=lambda each: (each.key, each.generation)))


# --- drafts -------------------------------------------------------------------------------------


def _needs(
    desired: Desired,
    observed: Observed,
    fates: Fates,
    changed: Collection[str],
    *,
    whole: bool,
) -> Iterator[Draft]:
    """What the fates stand on; of a whole project all that is declared."""
    specs = [fate.spec for each in fates.values() for fate in each]
    mounted = {m.volume for spec in specs for m in spec.mounts if isinstance(m, VolumeMount)}
    joined = {each.network for spec in specs for each in spec.networks}
    joined |= {n.network for each in changed for n in desired.services[each].networks}
    yield from ground.networks(desired, observed, desired.networks if whole else joined)
    yield from ground.volumes(desired, observed, desired.volumes if whole else mounted)
    yield from images.pulls(desired, observed, _pulled(desired, observed, fates))


def _pulled(desired: Desired, observed: Observed, fates: Fates) -> list[str]:
    made = (fate for each in fates.values() for fate in each if fate.create is not None)
    return images.needed(desired, observed, {fate.spec.image for fate in made})


def _lives(
    desired: Desired,
    observed: Observed,
    fates: Fates,
    leaving: tuple[ObservedContainer, ...],
) -> Iterator[Draft]:
    stopping = tuple(each for each in leaving if each.phase in RUNNING)
    for name, each in fates.items():
        around = Surroundings(
            service=desired.services.get(name),
            served=observed.services.get(name),
            fates=fates,
            leaving=stopping,
        )
        for fate in each:
            yield from steps(fate, around)
        if name in desired.services:
            yield from services.lead(name, each, observed)


def _pruned(
    desired: Desired, observed: Observed, leaving: tuple[ObservedContainer, ...]
) -> Iterator[Draft]:
    yield from services.unregister(observed.services.keys() - desired.services.keys())
    yield from prune.containers(leaving, reason=prune.UNDECLARED, after=[services.UNREGISTER])
    gone = [("remove", each.id) for each in leaving]
    olds = [("remove", e.id) for e in observed.containers if e.key in desired.containers]
    yield from prune.networks(
        observed.networks.keys() - desired.networks.keys(),
        reason=prune.UNDECLARED,
        after=[*gone, *olds, services.REGISTER, services.UNREGISTER],
    )


# --- for people ---------------------------------------------------------------------------------


def _changes(
    fates: Fates,
    changed: Mapping[str, tuple[Difference, ...]],
    drafts: list[Draft],
    leaving: tuple[ObservedContainer, ...],
    *,
    taken_over: bool,
) -> tuple[Change, ...]:
    flat = [fate for each in fates.values() for fate in each]
    return changes.ordered(
        (
            *changes.of_objects(drafts, taken_over=taken_over),
            *changes.of_containers(flat, changed, drafts),
            *changes.of_leaving(map(label, leaving), reason=prune.UNDECLARED),
        )
    )


def _notes(desired: Desired, observed: Observed, fates: Fates) -> Iterator[str]:
    yield from (note for each in fates.values() for fate in each for note in fate.notes)
    yield from ground.volume_notes(desired, observed)
    yield from observed.warnings


# --- the world that a plan was made for ---------------------------------------------------------


def fingerprint(observed: Observed) -> str:
    """Of all that plans depend on; what changes by itself (pids, times, counts) is left out."""
    still = (
        msgspec.structs.replace(
            each, pid=None, restarts=0, started_at=None, finished_at=None, created_at=0.0
        )
        for each in observed.containers
    )
    world = msgspec.structs.replace(observed, containers=tuple(still), warnings=())
    return hashlib.sha256(encode(world)).hexdigest()[:16]
