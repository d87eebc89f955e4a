"""The planner: from what shall be and what is to what shall be done.

Pure: it asks nothing, reads no clock, and gives the same plan for the same input. Each
container's fate is decided first; the other parts draft what the fates need; `edges`
numbers it all.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping

from reconciler.compare import Difference
from reconciler.desired import Desired
from reconciler.plan import Change, Plan
from reconciler.planning import changes, ground, images, prune, services, volumes
from reconciler.planning.containers import Fate, label, refusals
from reconciler.planning.differences import Outlook
from reconciler.planning.edges import Draft, Name, number
from reconciler.planning.fates import Fates, chosen, fates, names, scaled
from reconciler.planning.lifecycle import steps
from reconciler.planning.surroundings import Surroundings
from reconciler.planning.update_order import uses
from reconciler.planning.waits import Waits
from reconciler.planning.world import fingerprint
from runtime.api import Observed, ObservedContainer, VolumeMount


def plan(
    desired: Desired,
    observed: Observed,
    *,
    explicit: bool,
    only: frozenset[str] = frozenset(),
    take_over: bool = False,
    recreate: frozenset[str] = frozenset(),
) -> Plan:
    """What makes the project as desired.

    ``explicit``: somebody said `apply`, so what failed or is held is started again. ``only``
    restricts the plan to these containers and what they need; empty means the whole project.
    ``recreate`` names volumes that may be made anew if that must be, their data lost.
    """
    remade = volumes.to_remake(desired, observed, recreate)
    outlook = Outlook(desired=desired, observed=observed, explicit=explicit, remade=remade)
    wanted = chosen(desired, observed, only) | _users(observed, remade) & names(desired)
    found = fates(outlook, wanted)
    waits = Waits(desired=desired, observed=observed, fates=found)
    leaving = () if only else _leaving(desired, observed)
    changed = services.changed(desired, observed, sorted(found))
    drafts = [
        *ground.adoption(desired, observed),
        *ground.host_mend(observed),
        *_needs(outlook, found, changed, whole=not only),
        *services.register(desired, changed, leaving),
        *_lives(outlook, waits, leaving),
        *waits.drafts(),
        *(() if only else _pruned(desired, observed, found, leaving)),
    ]
    problems, port_notes = services.port_reports(desired, observed, changed)
    return Plan(
        project=desired.project,
        steps=number(drafts),
        changes=_changes(outlook, found, changed, drafts, leaving),
        notes=(
            *(note for each in found.values() for fate in each for note in fate.notes),
            *volumes.notes(desired, observed, recreate),
            *observed.warnings,
            *images.notes(observed),
            *images.losses(desired, observed, _tags(outlook, found, whole=not only)),
            *port_notes,
        ),
        problems=(
            *(f"there is no container {name}" for name in sorted(only - names(desired))),
            *ground.foreign_path(desired, observed, take_over=take_over),
            *ground.missing_networks(desired, observed),
            *volumes.problems(desired, observed, recreate),
            *_order_problems(desired, found),
            *waits.problems(),
            *images.problems(desired, observed, _pulled(outlook, found, whole=not only)),
            *problems,
        ),
        fingerprint=fingerprint(observed),
    )


def _users(observed: Observed, remade: frozenset[str]) -> frozenset[str]:
    return frozenset(each.key.name for each in observed.containers if uses(each, remade))


def _leaving(desired: Desired, observed: Observed) -> tuple[ObservedContainer, ...]:
    """Generations of containers that the spec does not name (any more), surplus replicas too."""
    left = (each for each in observed.containers if each.key not in desired.containers)
    return tuple(sorted(left, key=lambda each: (each.key, each.generation)))


def _order_problems(desired: Desired, found: Fates) -> Iterator[str]:
    flat = (fate for each in found.values() for fate in each)
    return refusals(flat, lambda name: desired.place("container", name, "update"))


# --- drafts -------------------------------------------------------------------------------------


def _needs(
    outlook: Outlook, found: Fates, changed: Collection[str], *, whole: bool
) -> Iterator[Draft]:
    """What the fates stand on; of a whole project all that is declared."""
    desired, observed = outlook.desired, outlook.observed
    flat = [fate for each in found.values() for fate in each]
    registered = {n.network for each in changed for n in desired.services[each].networks}
    joined = _joined(flat) | registered
    joining = _joined(fate for fate in flat if fate.create or fate.updates) | registered
    mounting = _mounted(fate for fate in flat if fate.create)
    declared = desired.networks if whole else joined
    yield from ground.networks(desired, observed, declared, joining)
    needed = desired.volumes if whole else _mounted(flat) | outlook.remade
    yield from volumes.volumes(desired, observed, needed, mounting, outlook.remade)
    yield from images.pulls(desired, observed, _pulled(outlook, found, whole=whole))
    yield from images.tagging(desired, _tags(outlook, found, whole=whole))


def _joined(fates: Iterable[Fate]) -> set[str]:
    return {each.network for fate in fates for each in fate.spec.networks}


def _mounted(fates: Iterable[Fate]) -> set[str]:
    mounts = (mount for fate in fates for mount in fate.spec.mounts)
    return {mount.volume for mount in mounts if isinstance(mount, VolumeMount)}


def _pulled(outlook: Outlook, found: Fates, *, whole: bool) -> list[str]:
    desired, observed = outlook.desired, outlook.observed
    made = (fate for each in found.values() for fate in each if fate.create is not None)
    names = {*(fate.spec.image for fate in made), *_tags(outlook, found, whole=whole)}
    if outlook.explicit:
        asked = _images(outlook, found, whole=whole)
        names |= {name for name in asked if images.is_unsure(desired, observed, name)}
    return images.needed(desired, observed, names, explicit=outlook.explicit)


def _tags(outlook: Outlook, found: Fates, *, whole: bool) -> dict[str, images.Tags]:
    """Of the whole project every declared image has its tags, used or not."""
    names = _images(outlook, found, whole=whole)
    return images.tags(outlook.desired, outlook.observed, names)


def _images(outlook: Outlook, found: Fates, *, whole: bool) -> Collection[str]:
    used = {fate.spec.image for each in found.values() for fate in each}
    return outlook.desired.images if whole else used


def _lives(
    outlook: Outlook, waits: Waits, leaving: tuple[ObservedContainer, ...]
) -> Iterator[Draft]:
    desired, observed = outlook.desired, outlook.observed
    olds = [old for each in waits.fates.values() for fate in each for old in fate.olds]
    alien = [each for each in leaving if each.key.name not in waits.fates]
    for name, each in waits.fates.items():
        around = Surroundings(
            service=desired.services.get(name),
            served=observed.services.get(name),
            siblings=each,
            waits=waits,
            explicit=outlook.explicit,
            lodgers=tuple(one for one in (*olds, *alien) if name in one.shares),
            leaving=leaving,
            remade=outlook.remade,
        )
        for fate in each:
            yield from steps(fate, around)
        if name in desired.services:
            yield from services.lead(name, each, observed, explicit=outlook.explicit)


def _pruned(
    desired: Desired, observed: Observed, found: Fates, leaving: tuple[ObservedContainer, ...]
) -> Iterator[Draft]:
    def after(each: ObservedContainer) -> set[Name]:
        """Clients are led elsewhere first."""
        return {services.UNREGISTER, services.lead_away(each.key.name)}

    yield from services.unregister(observed.services.keys() - desired.services.keys())
    yield from prune.containers(
        leaving, reason=lambda each: _why(desired, observed, each), after=after
    )
    mine = [c.id for c in observed.containers]
    yield from prune.networks(
        ground.own_networks(observed) - desired.networks.keys() - _still_joined(found),
        reason=prune.UNDECLARED,
        after=[
            *((verb, id) for verb in ("discard", "remove", "update") for id in mine),
            services.REGISTER,
            services.UNREGISTER,
        ],
    )


def _still_joined(found: Fates) -> set[str]:
    """Networks of generations that are left as they are."""
    alone = (each for fates in found.values() for fate in fates for each in fate.alone)
    return {n.network for each in alone if each.applied for n in each.applied.networks}


# --- for people ---------------------------------------------------------------------------------


def _why(desired: Desired, observed: Observed, leaving: ObservedContainer) -> str:
    """Why a container goes: the spec names it no more, or fewer of its kind."""
    name = leaving.key.name
    return (scaled(desired, observed, name) if name in names(desired) else "") or prune.UNDECLARED


def _changes(
    outlook: Outlook,
    found: Fates,
    changed: Mapping[str, tuple[Difference, ...]],
    drafts: list[Draft],
    leaving: tuple[ObservedContainer, ...],
) -> tuple[Change, ...]:
    desired, observed = outlook.desired, outlook.observed
    flat = [fate for each in found.values() for fate in each]
    told = (
        *changes.of_objects(drafts, taken_over=bool(observed.spec_path)),
        *changes.of_containers(flat, changed, observed, drafts),
        *changes.of_leaving({label(each): _why(desired, observed, each) for each in leaving}),
    )
    return changes.ordered(told or changes.of_adoption(drafts))
