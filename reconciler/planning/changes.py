"""What people see of a plan: one change per object with all its reasons.

Derived from the fates of containers and the drafts of steps; nothing is decided here.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping

from reconciler.compare import Difference
from reconciler.plan import Change, ChangeKind, CreateNetwork, CreateVolume, Impact, Serve, worst
from reconciler.planning.containers import Fate, label
from reconciler.planning.edges import Draft
from reconciler.planning.images import MISSING
from runtime.api import Observed, ObservedService

_KINDS = {
    "network": ChangeKind.CREATE,
    "volume": ChangeKind.CREATE,
    "mend host": ChangeKind.CHANGE,
    "remove network": ChangeKind.REMOVE,
    "remove volume": ChangeKind.REMOVE,
}


def of_objects(drafts: Iterable[Draft], *, taken_over: bool) -> Iterator[Change]:
    """Changes of everything but containers."""
    drafts = tuple(drafts)
    yield from _of_images([draft for draft in drafts if draft.name[0] in ("pull", "tag", "push")])
    remade = {draft.name[1] for draft in drafts if draft.name[0] == "remove volume"}
    remade &= {draft.name[1] for draft in drafts if draft.name[0] == "volume"}
    for draft in drafts:
        verb = draft.name[0]
        kind = _KINDS.get(verb)
        in_place = verb in ("network", "volume") and bool(draft.reasons)
        if in_place or (verb == "adopt" and taken_over):
            kind = ChangeKind.CHANGE
        if verb.endswith("volume") and draft.name[1] in remade:
            kind = ChangeKind.REPLACE if verb == "remove volume" else None
        if kind is not None and not _of_others(draft):
            yield Change(
                kind=kind,
                object=draft.object,
                reasons=draft.reasons,
                impact=draft.impact,
                in_place=in_place,
            )


def of_adoption(drafts: Iterable[Draft]) -> Iterator[Change]:
    """That the project is new here: worth a word only where it is all that there is to do."""
    for draft in drafts:
        if draft.name[0] == "adopt":
            yield Change(kind=ChangeKind.CREATE, object=draft.object, reasons=draft.reasons)


def _of_others(draft: Draft) -> bool:
    """Whether nothing is made, but only a name given to what another project has."""
    match draft.action:
        case CreateNetwork(network=network):
            return network.external
        case CreateVolume(volume=volume):
            return volume.external
        case _:
            return False


def _of_images(drafts: Iterable[Draft]) -> Iterator[Change]:
    """One change for each image: new here, another one, other tags, or (a file that was read in
    before) nothing to speak of."""
    by_image: dict[str, list[Draft]] = {}
    for draft in drafts:
        by_image.setdefault(draft.name[1], []).append(draft)
    for each in by_image.values():
        reasons = tuple(reason for draft in each for reason in draft.reasons)
        if reasons:
            kind = ChangeKind.CREATE if reasons[0] == MISSING else ChangeKind.CHANGE
            yield Change(kind=kind, object=each[0].object, reasons=reasons)


def of_containers(
    fates: Iterable[Fate],
    services: Mapping[str, tuple[Difference, ...]],
    observed: Observed,
    drafts: Collection[Draft],
) -> Iterator[Change]:
    """Changes of declared containers; those of its service count as the container's."""
    drafted = {draft.name: draft for draft in drafts}
    led = {d.action.service: d for d in drafts if isinstance(d.action, Serve)}
    for fate in fates:
        kind = _kind(fate)
        reasons = [*_reasons(fate)]
        if kind is not ChangeKind.CREATE:
            there = observed.services.get(fate.key.name)
            reasons += _service_reasons(fate, services, there, led.get(fate.key.name))
        if kind is not None or reasons:
            yield Change(
                kind=kind or ChangeKind.CHANGE,
                object=label(fate),
                reasons=tuple(dict.fromkeys(reasons)),
                impact=_impact(fate, drafted),
                in_place=_in_place(fate, kind),
            )


def _in_place(fate: Fate, kind: ChangeKind | None) -> bool:
    """Whether something of it changes, and what runs goes on running."""
    runs = fate.runs and not fate.starts
    return runs and kind in (None, ChangeKind.CHANGE)


def _service_reasons(
    fate: Fate,
    services: Mapping[str, tuple[Difference, ...]],
    there: ObservedService | None,
    led: Draft | None,
) -> Iterator[str]:
    """What is wrong with the service of a container that is there already."""
    name = fate.key.name
    if name in services:
        yield from (d.text for d in services[name]) if services[name] else ["it has no service"]
    elif led is not None and fate.create is None and not (fate.starts or fate.olds):
        assert isinstance(led.action, Serve)
        answers, shall = fate.id in (there.targets if there else ()), fate.id in led.action.ids
        if answers != shall or not fate.id:
            yield from (f"its service: {why}" for why in led.reasons)


def _kind(fate: Fate) -> ChangeKind | None:
    if fate.create is not None:
        return ChangeKind.REPLACE if fate.differences else ChangeKind.CREATE
    if fate.unfinished:
        return ChangeKind.REPLACE
    touched = fate.starts or fate.updates or fate.mends or fate.olds
    return ChangeKind.CHANGE if touched else None


def _reasons(fate: Fate) -> Iterator[str]:
    """First what makes a new process necessary."""
    found = (*fate.unfinished, *fate.differences)
    yield from (each.text for each in sorted(found, key=lambda each: not each.replaces))
    yield from fate.mends
    if fate.starts and fate.verdict.why:
        yield fate.verdict.why
    if fate.unfinished and not fate.starts:
        yield "the new one runs and does not answer yet"
    elif fate.olds and fate.create is None and not fate.starts:
        yield _left_over(fate)
    if fate.stop_first:
        yield f"the old one stops first: {fate.stop_first}"


def _left_over(fate: Fate) -> str:
    taken_back = fate.keep and any(o.generation > fate.keep.generation for o in fate.olds)
    return "its update was taken back" if taken_back else "a left-over generation goes"


def _impact(fate: Fate, drafted: Mapping[tuple[str, ...], Draft]) -> Impact:
    mine = (fate.id, *(old.id for old in fate.olds))
    verbs = ("create", "update", "mend", "start", "stop", "remove")
    names = [(verb, id) for verb in verbs for id in mine]
    return worst(drafted[name].impact for name in names if name in drafted)


def of_leaving(leaving: Mapping[str, str]) -> Iterator[Change]:
    """``leaving`` gives the reason for each label of an object."""
    for each, why in sorted(leaving.items()):
        yield Change(kind=ChangeKind.REMOVE, object=each, reasons=(why,), impact=Impact.DOWNTIME)


_ORDER = ("project", "the", "network", "volume", "image", "container")


def ordered(changes: Iterable[Change]) -> tuple[Change, ...]:
    """Removals last; before that the ground first, then by name."""
    return tuple(
        sorted(
            changes,
            key=lambda change: (
                change.kind is ChangeKind.REMOVE,
                _ORDER.index(change.object.partition(" ")[0]),
                change.object,
            ),
        )
    )
