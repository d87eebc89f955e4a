"""What becomes of all containers of a project: each in the light of those that it depends on.

Dependencies are decided first. Afterwards the replicas of a service are looked at together: they
are replaced in waves, and not at all while the update of one of them has failed.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace

from reconciler.desired import Desired
from reconciler.planning.containers import Fate, called, decide
from reconciler.planning.differences import Kin, Outlook
from reconciler.planning.stopped import RUNNING, Fortune
from reconciler.planning.update_order import is_broken
from runtime.api import (
    Condition,
    ContainerKey,
    ContainerSpec,
    Dependency,
    Observed,
    ObservedContainer,
    Phase,
)

Fates = Mapping[str, tuple[Fate, ...]]


def names(desired: Desired) -> frozenset[str]:
    """The containers that the spec names."""
    return frozenset(key.name for key in desired.containers)


def chosen(desired: Desired, observed: Observed, only: frozenset[str]) -> frozenset[str]:
    """The containers to plan for: those named and what they depend on that does not run."""
    if not only:
        return names(desired)
    running = {each.key.name for each in observed.containers if each.phase in RUNNING}
    needs = _needs(desired)
    found = only & names(desired)
    while more := {n for name in found for n in needs[name]} - running - found:
        found |= more & names(desired)
    return found


def _needs(desired: Desired) -> dict[str, set[str]]:
    """By name of a container those that it depends on, or whose namespaces it lives in."""
    needs: dict[str, set[str]] = {}
    for key, spec in desired.containers.items():
        named = {*(each.name for each in spec.depends_on), *spec.shares}
        needs.setdefault(key.name, set()).update(named & names(desired))
    return needs


def _dependencies_first(needs: Mapping[str, Collection[str]]) -> list[str]:
    """Each after all that it needs, else by name."""
    ordered: dict[str, None] = {}

    def add(name: str) -> None:
        if name not in ordered:
            for each in sorted(needs[name]):
                add(each)
            ordered[name] = None

    for name in sorted(needs):
        add(name)
    return list(ordered)


def fates(outlook: Outlook, wanted: Collection[str]) -> dict[str, tuple[Fate, ...]]:
    """The fates of these containers, by name and then by replica."""
    generations: dict[ContainerKey, list[ObservedContainer]] = {}
    for each in outlook.observed.containers:
        generations.setdefault(each.key, []).append(each)
    keys: dict[str, list[ContainerKey]] = {}
    for key in sorted(outlook.desired.containers):
        keys.setdefault(key.name, []).append(key)
    kin: dict[str, Kin] = {}
    found: dict[str, tuple[Fate, ...]] = {}
    for name in _dependencies_first(_needs(outlook.desired)):
        if name not in wanted:
            continue
        known = replace(outlook, kin=kin)
        why = scaled(outlook.desired, outlook.observed, name)
        alone = [decide(known, key, generations.get(key, ()), why=why) for key in keys[name]]
        together = _in_waves(_with_siblings(alone), outlook.observed)
        found[name] = tuple(_held_back(fate, found) for fate in together)
        kin[name] = _kin(found[name])
    return _evicted(dict(sorted(found.items())))


def scaled(desired: Desired, observed: Observed, name: str) -> str:
    """``replicas 1 → 3 (shop.yaml:12)``; "" when their number stays, or nothing is there yet."""
    was = len({each.key for each in observed.containers if each.key.name == name})
    now = sum(key.name == name for key in desired.containers)
    if was in (0, now) or not now:
        return ""
    place = desired.place("container", name, "replicas")
    return f"replicas {was} → {now}{f' ({place})' if place else ''}"


def _kin(of_one: Iterable[Fate]) -> Kin:
    of_one = tuple(of_one)
    shall = {fate.id for fate in of_one if fate.id}
    left = {each.id for fate in of_one for each in fate.alone}
    return Kin(
        ids=frozenset(shall | left),
        renewed=any(fate.renews for fate in of_one),
    )


def evictors(fate: Fate, found: Fates) -> list[Fate]:
    """Those in whose namespaces its old generations live, and who stop before their own successors
    start."""
    may_run = (old for old in fate.olds if old.phase in RUNNING or is_broken(old))
    homes = {id for old in may_run for id in old.shares.values()}
    return [
        host
        for each in found.values()
        for host in each
        if host.stop_first and any(old.id in homes for old in host.olds)
    ]


def _evicted(found: dict[str, tuple[Fate, ...]]) -> dict[str, tuple[Fate, ...]]:
    """Who loses the namespaces that it lives in stops first, whatever its successor lives in."""
    while True:
        after = {
            name: tuple(_stopping_with_hosts(fate, found) for fate in each)
            for name, each in found.items()
        }
        if after == found:
            return found
        found = after


def _stopping_with_hosts(fate: Fate, found: Fates) -> Fate:
    hosts = () if fate.stop_first else evictors(fate, found)
    names = sorted({called(host.key) for host in hosts})
    return replace(fate, stop_first=f"{names[0]} stops, in which it lives") if names else fate


# --- replicas ---------------------------------------------------------------------------------


def _with_siblings(of_one: list[Fate]) -> list[Fate]:
    """While the update of one replica is not tried again, the others keep what they have."""
    failed = [fate for fate in of_one if fate.failure]
    return [_wait(fate) if failed and fate.renews else fate for fate in of_one]


def _wait(fate: Fate, *notes: str) -> Fate:
    """All that is there is left alone; what was only half made still goes."""
    there = (*((fate.keep,) if fate.keep else ()), *fate.olds)
    half_made = tuple(each for each in there if each.phase is Phase.CREATING)
    left = tuple(each for each in there if each not in half_made)
    return Fate(
        key=fate.key,
        spec=fate.spec,
        olds=half_made,
        alone=(*left, *fate.alone),
        notes=(*fate.notes, *notes),
    )


def _in_waves(of_one: Iterable[Fate], observed: Observed) -> Iterator[Fate]:
    """What takes the place of a generation that answers gets its turn, so many at a time."""
    turns = 0
    for fate in of_one:
        if fate.runs and _replaces_one_that_answers(fate, observed):
            at_a_time = fate.spec.update.parallelism
            yield replace(fate, wave=1 + turns // at_a_time if at_a_time else 1)
            turns += 1
        else:
            yield fate


def _replaces_one_that_answers(fate: Fate, observed: Observed) -> bool:
    service = observed.services.get(fate.key.name)
    targets = service.targets if service else ()
    return fate.id not in targets and any(old.id in targets for old in fate.olds)


# --- dependencies that will not come ------------------------------------------------------------


def _held_back(fate: Fate, found: Fates) -> Fate:
    """A container is not started while one that it needs is left failed or held: what waits for
    its end, its health or its namespaces would wait for good."""
    if not fate.starts:
        return fate
    for dependency in _needed(fate.spec):
        if why := _hopeless(dependency, found.get(dependency.name, ())):
            note = f"{called(fate.key)} is not started: {why}; `trueup apply` tries again"
            return _wait(fate, note)
    return fate


def _needed(spec: ContainerSpec) -> Iterator[Dependency]:
    yield from (each for each in spec.depends_on if each.required)
    yield from (Dependency(name=name, condition=Condition.HEALTHY) for name in spec.shares)


def _hopeless(dependency: Dependency, of_it: Iterable[Fate]) -> str:
    """Why the condition cannot come true by this plan, in words; "" when it can."""
    for fate in of_it:
        if not (fate.id or fate.alone):
            return f"{called(fate.key)} is not started either"
        if dependency.condition is Condition.STARTED:
            continue
        if fate.verdict.fortune in (Fortune.FAILED, Fortune.HELD):
            return f"{called(fate.key)} does not run: {fate.verdict.why}"
        if not fate.id and not any(each.phase in RUNNING for each in fate.alone):
            return f"{called(fate.key)} does not run"
    return ""
