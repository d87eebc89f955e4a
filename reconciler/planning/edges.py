"""From drafts of steps, which name their predecessors, to a numbered graph.

Parts of the planner write drafts without knowing which other drafts there will be: a predecessor
that nobody drafted is nothing to wait for. Numbers follow the order of verbs and names among
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
    "discard",
    "pull",
    "network",
    "volume",
    "register",
    "create",
    "update",
    "mend",
    "stop",
    "start",
    "ready",
    "serve",
    "remove",
    "remove network",
    "remove volume",
    "forget",
)
_RANK = {verb: rank for rank, verb in enumerate(_ORDER)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A step to be: ``name`` is (verb, what), ``after`` names what must be done before."""

    name: Name
    action: Action
    object: str
    after: frozenset[Name] = frozenset()
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
    edges = _needed([[numbers[n] for n in named[name].after if n in named] for name in ordered])
    return tuple(
        _step(named[name], place, after)
        for (name, place), after in zip(numbers.items(), edges, strict=True)
    )


def _step(draft: Draft, number: int, after: tuple[int, ...]) -> Step:
    return Step(
        number=number,
        action=draft.action,
        object=draft.object,
        after=after,
        reasons=draft.reasons,
        places=tuple(dict.fromkeys(place for place in draft.places if place)),
        impact=draft.impact,
    )


def _sorted(named: Mapping[Name, Draft]) -> list[Name]:
    """Topological order; among what is free, by verb and then by object (Kahn, 1962)."""
    waits = {name: {n for n in draft.after if n in named} for name, draft in named.items()}
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


def _needed(edges: Sequence[Iterable[int]]) -> list[tuple[int, ...]]:
    """Without the edges that follow from others. ``edges[i]`` are predecessors of step i + 1."""
    before: list[int] = [0]  # per step a bit set of all that is done before it
    kept: list[tuple[int, ...]] = []
    for direct in edges:
        needed: list[int] = []
        reached = 0
        for each in sorted(direct, reverse=True):  # a later step can imply an earlier, only so
            if not reached >> each & 1:
                needed.append(each)
                reached |= before[each] | 1 << each
        before.append(reached)
        kept.append(tuple(sorted(needed)))
    return kept
