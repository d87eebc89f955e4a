"""The steps of one container's life: make, start, wait, change, stop, remove."""

from collections.abc import Iterator

from reconciler.plan import (
    CreateContainer,
    Impact,
    Mend,
    RemoveContainer,
    StartContainer,
    StopContainer,
    UpdateContainer,
)
from reconciler.planning.containers import Fate, label
from reconciler.planning.edges import Draft, Name
from reconciler.planning.fates import evictors
from reconciler.planning.gates import gates
from reconciler.planning.stopped import RUNNING
from reconciler.planning.surroundings import Surroundings
from reconciler.planning.update_order import holders, is_broken, shared_writable, uses
from reconciler.planning.waits import arrival
from runtime.api import ObservedContainer, Phase, VolumeMount

GROUND: frozenset[Name] = frozenset({("adopt", "project"), ("mend host", "host")})


def steps(fate: Fate, around: Surroundings) -> Iterator[Draft]:
    """All steps for a declared container but those of its service."""
    if fate.create is not None:
        yield _create(fate, around)
    if fate.updates and fate.keep is not None:
        yield _update(fate, fate.keep)
    if fate.mends:
        yield _mend(fate)
    if fate.starts:
        yield _start(fate, around)
    yield from gates(fate, around)
    for old in fate.olds:
        yield from _retire(fate, old, around)


def _reasons(fate: Fate) -> tuple[str, ...]:
    return tuple(difference.text for difference in fate.differences)


def _places(fate: Fate) -> tuple[str, ...]:
    return tuple(difference.place for difference in fate.differences)


def _create(fate: Fate, around: Surroundings) -> Draft:
    assert fate.create is not None
    mounted = {m.volume for m in fate.spec.mounts if isinstance(m, VolumeMount)}
    needs: set[Name] = {("pull", fate.spec.image)}
    needs |= {("volume", name) for name in mounted}
    needs |= _networks(fate)
    needs |= {("remove", each.id) for each in holders(fate.spec.networks, around.leaving)}
    needs |= {("create", f.id) for n in fate.spec.shares for f in around.waits.fates.get(n, ())}
    return Draft(
        name=("create", fate.id),
        action=CreateContainer(key=fate.key, generation=fate.create, spec=fate.spec),
        object=label(fate),
        after=GROUND | needs,
        reasons=_reasons(fate),
        places=_places(fate),
    )


def _networks(fate: Fate) -> set[Name]:
    return {("network", each.network) for each in fate.spec.networks}


def _update(fate: Fate, keep: ObservedContainer) -> Draft:
    return Draft(
        name=("update", keep.id),
        action=UpdateContainer(id=keep.id, spec=fate.spec),
        object=label(fate),
        after=GROUND | {("pull", fate.spec.image), *_networks(fate), *_names_first(fate)},
        reasons=_reasons(fate),
        places=_places(fate),
    )


def _names_first(fate: Fate) -> set[Name]:
    """A new network has its names and addresses before a container that runs joins it."""
    joins = any(difference.field == "networks" for difference in fate.differences)
    return {("register", "services")} if joins else set()


def _mend(fate: Fate) -> Draft:
    """After its update: both carry out what the ledger says at their beginning."""
    return Draft(
        name=("mend", fate.id),
        action=Mend(id=fate.id),
        object=label(fate),
        after=GROUND | {("register", "services"), ("update", fate.id), *_networks(fate)},
        reasons=fate.mends,
    )


def _start(fate: Fate, around: Surroundings) -> Draft:
    """It waits for its own old generations last of all, where they may not meet."""
    stops = {("stop", old.id) for old in fate.olds} if fate.stop_first else set()
    done, tried = _before_start(fate, around)
    return Draft(
        name=("start", fate.id),
        action=StartContainer(id=fate.id, fallback=around.fallback(fate)),
        object=label(fate),
        after=done | stops,
        ended=tried,
        reasons=(fate.verdict.why,) if fate.verdict.why else (),
    )


def _before_start(fate: Fate, around: Surroundings) -> tuple[frozenset[Name], frozenset[Name]]:
    """Its names, what it depends on, whom it may not meet, and the waves before its own. What
    stops for it stops after these: none of them can fail any more and leave nobody running."""
    needs: set[Name] = {("create", fate.id), ("update", fate.id), ("register", "services")}
    needs |= _networks(fate)
    needs |= {("stop", each.id) for each in around.leaving if _meets(each, fate)}
    for other in around.siblings:
        if other.wave < fate.wave:
            needs |= arrival(fate.key.name, [other])
            needs |= {("stop", old.id) for old in other.olds if not _lodgers(old, around)}
    done, tried = around.waits.before(fate)
    return GROUND | needs | done, tried


def _lodgers(host: ObservedContainer, around: Surroundings) -> set[Name]:
    """The stops of those that live in its namespaces; they may wait for every wave."""
    return {("stop", each.id) for each in around.lodgers if host.id in each.shares.values()}


def _meets(leaving: ObservedContainer, fate: Fate) -> bool:
    """Whether a container that leaves the project would write where this one does. Replicas of
    one container share what they have."""
    if leaving.applied is None or leaving.key.name == fate.key.name:
        return False
    return bool(shared_writable(leaving.applied, fate.spec))


def _retire(fate: Fate, old: ObservedContainer, around: Surroundings) -> Iterator[Draft]:
    """A generation goes: at once when it never was whole, else after its successor came."""
    if old.phase is Phase.CREATING:
        yield _discard(old)
        return
    came = arrival(fate.key.name, [fate])
    if old.phase in RUNNING or is_broken(old):
        done, tried = _before_stop(fate, old, around)
        yield Draft(
            name=("stop", old.id),
            action=StopContainer(id=old.id),
            object=label(old),
            after=done,
            ended=tried,
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


def _before_stop(
    fate: Fate, old: ObservedContainer, around: Surroundings
) -> tuple[frozenset[Name], frozenset[Name]]:
    """An old generation stops once the new one came; where it must stop first, once everything
    is there that the new one needs. Whose data goes has nothing to wait for, and who lives in
    namespaces that go only for his own successor to be made. Lodgers stop before their host."""
    lodgers = _lodgers(old, around)
    if not fate.stop_first:
        return GROUND | arrival(fate.key.name, [fate]) | lodgers, frozenset()
    if uses(old, around.remade):
        return GROUND | lodgers, frozenset()
    if hosts := evictors(fate, around.waits.fates):
        emptied = any(uses(each, around.remade) for host in hosts for each in host.olds)
        return GROUND | lodgers | (set() if emptied else {("create", fate.id)}), frozenset()
    done, tried = _before_start(fate, around)
    return done | lodgers, tried


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
