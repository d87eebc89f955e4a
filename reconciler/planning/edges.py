"""From drafts of steps, which name their predecessors, to a numbered graph.

Parts of the planner write drafts without knowing which other drafts there will be: a predecessor
that nobody drafted is nothing to wait for. One that may fail (``ended``) is waited for all the
same. Numbers follow the order of verbs and names among
what may be done next, so that the same drafts give the same plan; of the edges only those
stay that others do not imply.
"""

import heapq
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from reconciler.plan import Action, Impact, Step

Name = tuple[str, ...]

# In this order the verbs stand in a plan where nothing else decides.
_ORDER = (
    "adopt",
    "mend host",
    "unregister",
    "lead away",
    "discard",
    "pull",
    "tag",
    "push",
    "network",
    "remove volume",
    "volume",
    "register",
    "create",
    "update",
    "mend",
    "stop",
    "start",
    "ready",
    "serve",
    "proof",
    "healthy",
    "completed",
    "remove",
    "remove network",
    "forget",
)
_RANK = {verb: rank for rank, verb in enumerate(_ORDER)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A step to be: ``name`` is (verb, what), ``after`` names what must be done before, ``ended``
    what must have been tried."""

    name: Name
    action: Action
    object: str
    after: frozenset[Name] = frozenset()
    ended: frozenset[Name] = frozenset()
    reasons: tuple[str, ...] = ()
    places: tuple[str, ...] = ()
    impact: Impact = Impact.NONE


def number(drafts: Collection[Draft]) -> tuple[Step, ...]:
    """The drafts as steps 1, 2, 3 ..., each with the steps that it waits for.

    Raises ValueError when drafts wait for each other: a defect of the planner.
    """
    named = {draft.name: draft for draft in drafts}
    ordered = _sorted(named)
    numbers = {name: place for place, name in enumerate(ordered, start=1)}

    def placed(names: Iterable[Name]) -> list[int]:
        return [numbers[name] for name in names if name in named]

    steps: list[Step] = []
    before: list[int] = [0]  # per step a bit set of all that is done before it
    for name, place in numbers.items():
        after, done = _needed(placed(named[name].after), 0, before)
        ended, _ = _needed(placed(named[name].ended), done, before)
        steps.append(_step(named[name], place, after, ended))
        before.append(done)
    return tuple(steps)


def _step(draft: Draft, number: int, after: tuple[int, ...], ended: tuple[int, ...]) -> Step:
    return Step(
        number=number,
        action=draft.action,
        object=draft.object,
        after=after,
        ended=ended,
        reasons=draft.reasons,
        places=tuple(dict.fromkeys(place for place in draft.places if place)),
        impact=draft.impact,
    )


def _sorted(named: Mapping[Name, Draft]) -> list[Name]:
    """Topological order; among what is free, by verb and then by object (Kahn, 1962)."""
    waits = {
        name: {n for n in draft.after | draft.ended if n in named} for name, draft in named.items()
    }
    followers: dict[Name, list[Name]] = {name: [] for name in named}
    for name, before in waits.items():
        for each in before:
            followers[each].append(name)
    free = [_sort_key(named[name]) for name, before in waits.items() if not before]
    heapq.heapify(free)
    ordered: list[Name] = []
    while free:
        name = heapq.heappop(free)[-1]
        ordered.append(name)
        for follower in followers[name]:
            waits[follower].discard(name)
            if not waits[follower]:
                heapq.heappush(free, _sort_key(named[follower]))
    if len(ordered) < len(named):
        raise ValueError(f"steps wait for each other: {sorted(set(named) - set(ordered))}")
    return ordered


def _sort_key(draft: Draft) -> tuple[int, str, Name]:
    return _RANK[draft.name[0]], draft.object, draft.name


def _needed(
    direct: Iterable[int], reached: int, before: Sequence[int]
) -> tuple[tuple[int, ...], int]:
    """The edges that do not follow from others, and all that is done then. ``reached`` is a bit
    set of what is done anyway, ``before[i]`` of what is done before step i."""
    needed: list[int] = []
    for each in sorted(direct, reverse=True):  # a later step can imply an earlier, only so
        if not reached >> each & 1:
            needed.append(each)
            reached |= before[each] | 1 << each
    return tuple(sorted(needed)), reached
