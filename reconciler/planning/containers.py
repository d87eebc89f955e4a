"""What becomes of each container: which generation stays, which comes, which go.

A generation *fits* when nothing about it needs a new process. Of several generations (an update
was interrupted) the one that fits and runs stays; a stopped one that fits takes over.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from reconciler.compare import Cause, Difference
from reconciler.planning.differences import Outlook, differences
from reconciler.planning.stopped import RUNNING, Fortune, Verdict, ending, judge
from reconciler.planning.update_order import is_broken, refusal, stop_first
from runtime.api import (
    ContainerKey,
    ContainerSpec,
    DefectKind,
    HealthStatus,
    ObservedContainer,
    Phase,
    container_id,
)

_NEW = Verdict(fortune=Fortune.START)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fate:
    """What becomes of one container that the spec names.

    Either ``keep`` stays or ``create`` is the generation to make, or neither: then ``alone`` are
    left as they are. ``olds`` go; ``stop_first`` says why they must stop before ``id`` starts.
    ``unfinished`` is what sets ``keep`` apart from the old generation whose place it did not get.
    ``failure`` says why an update is not tried again, ``wave`` when it has its turn: replicas are
    replaced one wave after the other, and whatever replaces nothing has its turn at once.
    """

    key: ContainerKey
    spec: ContainerSpec
    keep: ObservedContainer | None = None
    create: int | None = None
    verdict: Verdict = _NEW
    differences: tuple[Difference, ...] = ()
    unfinished: tuple[Difference, ...] = ()
    mends: tuple[str, ...] = ()
    olds: tuple[ObservedContainer, ...] = ()
    alone: tuple[ObservedContainer, ...] = ()
    stop_first: str = ""
    notes: tuple[str, ...] = ()
    failure: str = ""
    wave: int = 0

    @property
    def id(self) -> str:
        """The generation that shall be there; "" when all are left alone."""
        if self.create is not None:
            return container_id(self.key, self.create)
        return self.keep.id if self.keep else ""

    @property
    def starts(self) -> bool:
        return bool(self.id) and self.verdict.fortune is Fortune.START

    @property
    def updates(self) -> bool:
        return self.keep is not None and bool(self.differences)

    @property
    def runs(self) -> bool:
        """Whether ``id`` runs once the plan is done."""
        return bool(self.id) and self.verdict.fortune in (Fortune.START, Fortune.RUNS)

    @property
    def renews(self) -> bool:
        """Whether ``id`` takes the place of a generation that is there."""
        made = self.create is not None or bool(self.unfinished)
        return made and any(old.phase is not Phase.CREATING for old in self.olds)


def called(key: ContainerKey) -> str:
    """A container as people call it within its project: ``web``, ``web.2``."""
    return str(key).partition("/")[2]


def label(container: ObservedContainer | Fate) -> str:
    """``container web``, ``container web.2``."""
    return f"container {called(container.key)}"


def decide(
    outlook: Outlook, key: ContainerKey, generations: Sequence[ObservedContainer], *, why: str = ""
) -> Fate:
    """The fate of one declared container with these generations; ``why`` says in words why it is
    made where none is there."""
    desired, observed, explicit = outlook.desired, outlook.observed, outlook.explicit
    spec = desired.containers[key]
    half_made = tuple(each for each in generations if each.phase is Phase.CREATING)
    whole = [each for each in generations if each.phase is not Phase.CREATING]
    found = {each.id: differences(outlook, spec, each) for each in whole}
    served = observed.services[key.name].targets if key.name in observed.services else ()
    by_worth = sorted(whole, key=lambda each: _worth(each, served), reverse=True)
    fitting = [each for each in by_worth if not _replaces(found[each.id])]
    generation = observed.last_generation(key) + 1
    if fitting:
        fate = _stay(key, spec, fitting[0], whole, found[fitting[0].id], explicit=explicit)
        fate = _resume(fate, whole, served, found, explicit=explicit)
    elif by_worth:
        current = by_worth[0]
        fate = _replace(outlook, key, current, whole, found[current.id], generation)
    else:
        new = Verdict(fortune=Fortune.START, why=why)
        fate = Fate(key=key, spec=spec, create=generation, verdict=new)
    return _also_removing(fate, half_made)


def _worth(container: ObservedContainer, served: Sequence[str]) -> tuple[bool, bool, int]:
    """What runs is worth more than what stands, what answers more than what does not."""
    return container.phase in RUNNING, container.id in served, container.generation


def _replaces(differences: Sequence[Difference]) -> bool:
    return any(difference.replaces for difference in differences)


def _stay(
    key: ContainerKey,
    spec: ContainerSpec,
    keep: ObservedContainer,
    whole: Sequence[ObservedContainer],
    found: tuple[Difference, ...],
    *,
    explicit: bool,
) -> Fate:
    """A generation fits: it stays or takes over, and the others go."""
    others = tuple(each for each in whole if each.id != keep.id)
    verdict = judge(keep, spec.restart, explicit=explicit)
    if keep.stopped and any(o.generation > keep.generation for o in others):
        verdict = replace(verdict, why="its update was taken back")
    waits = verdict.fortune in (Fortune.FAILED, Fortune.HELD)
    left = tuple(each for each in others if waits and each.phase in RUNNING)
    gone = tuple(each for each in others if each not in left)
    return Fate(
        key=key,
        spec=spec,
        keep=keep,
        verdict=verdict,
        differences=found,
        mends=_mends(keep),
        olds=gone,
        alone=left,
        stop_first=_stop_first(gone, spec, frozenset()) if verdict.fortune is Fortune.START else "",
        notes=(
            *_life_note(key, keep, verdict),
            *_health_note(key, keep),
            *_monitor_note(key, keep),
        ),
    )


def _resume(
    fate: Fate,
    whole: Sequence[ObservedContainer],
    served: Sequence[str],
    found: Mapping[str, tuple[Difference, ...]],
    *,
    explicit: bool,
) -> Fate:
    """What becomes of an update that stopped halfway: clients are led to another generation than
    the one that fits. One that failed is tried again by an explicit apply only, as long as
    another one answers."""
    keep = fate.keep
    old = next((each for each in whole if each.id in served), None)
    if keep is None or old is None or keep.id in served or keep.held:
        return fate
    failure = _failure(keep, old, fate.verdict)
    if failure and old.phase in RUNNING and not explicit:
        note = f"the update of {called(fate.key)} failed: {failure}; `trueup apply` tries again"
        return Fate(
            key=fate.key, spec=fate.spec, alone=tuple(whole), notes=(note,), failure=failure
        )
    verdict = fate.verdict
    if verdict.fortune not in (Fortune.START, Fortune.RUNS):
        return fate
    if failure:
        verdict = replace(verdict, why="the last attempt failed")
    elif keep.phase is Phase.CREATED:
        verdict = replace(verdict, why="the last attempt was interrupted")
    return replace(fate, verdict=verdict, unfinished=found[old.id])


def _failure(keep: ObservedContainer, old: ObservedContainer, verdict: Verdict) -> str:
    """How a generation failed to take the place of the old one, in words; "" when it did not."""
    if keep.phase is Phase.CREATED:
        return "it did not start" if keep.stopped else ""
    if keep.stopped and old.generation < keep.generation:
        return "it did not show that it works"
    ended = keep.phase is Phase.EXITED and verdict.fortune in (Fortune.START, Fortune.FAILED)
    return ending(keep) if ended and old.generation < keep.generation else ""


def _replace(
    outlook: Outlook,
    key: ContainerKey,
    current: ObservedContainer,
    whole: Sequence[ObservedContainer],
    found: tuple[Difference, ...],
    generation: int,
) -> Fate:
    """No generation fits: a new one comes, unless what is there must be left alone."""
    spec = outlook.desired.containers[key]
    if reason := "" if outlook.explicit else _hands_off(current, found):
        note = f"{called(key)} is left as it is: {reason}"
        return Fate(key=key, spec=spec, alone=tuple(whole), notes=(note,))
    return Fate(
        key=key,
        spec=spec,
        create=generation,
        differences=found,
        olds=tuple(whole),
        stop_first=_stop_first(whole, spec, outlook.remade),
    )


def _hands_off(current: ObservedContainer, differences: Sequence[Difference]) -> str:
    """Why the loop does not replace a container by itself."""
    if current.held and current.phase not in RUNNING:
        return "it was stopped by hand, and its spec has changed since"
    unknown = (each.text for each in differences if each.cause is Cause.UNKNOWN)
    return next(unknown, "")


def _stop_first(
    olds: Sequence[ObservedContainer], spec: ContainerSpec, remade: frozenset[str]
) -> str:
    running = (each for each in olds if each.phase in RUNNING or is_broken(each))
    return next((why for each in running if (why := stop_first(each, spec, remade))), "")


def _also_removing(fate: Fate, half_made: tuple[ObservedContainer, ...]) -> Fate:
    return replace(fate, olds=(*half_made, *fate.olds)) if half_made else fate


def _mends(keep: ObservedContainer) -> tuple[str, ...]:
    """Causes of what `mend` restores without touching the process."""
    if keep.phase not in RUNNING:
        return ()
    return tuple(d.cause for d in keep.defects if d.kind is DefectKind.LINK)


def refusals(fates: Iterable[Fate], place: Callable[[str], str]) -> Iterator[str]:
    """Updates that shall start first and must not, as problems; ``place`` gives file:line of
    ``update`` by name."""
    for fate in fates:
        running = (old for old in fate.olds if fate.starts and old.phase in RUNNING)
        why = next((what for old in running if (what := refusal(old, fate.spec))), "")
        if why:
            where = place(fate.key.name)
            yield (
                f"{called(fate.key)}{f' ({where})' if where else ''}: `order: start-first` is not"
                f" possible, old and new would use {why}; leave the order out, or stop-first"
            )


def _life_note(key: ContainerKey, keep: ObservedContainer, verdict: Verdict) -> Iterator[str]:
    if keep.phase is Phase.RESTARTING:
        yield f"{called(key)} does not stay up: {ending(keep)}; restarts so far: {keep.restarts}"
    if verdict.fortune is Fortune.FAILED:
        yield f"{called(key)} failed: {verdict.why}; `trueup apply` starts it again"
    if verdict.fortune is Fortune.HELD:
        yield f"{called(key)} is held: {verdict.why}; `trueup apply` starts it again"


def _health_note(key: ContainerKey, keep: ObservedContainer) -> Iterator[str]:
    health = keep.health
    if keep.phase is Phase.RUNNING and health and health.status is HealthStatus.UNHEALTHY:
        last = health.output.strip().rpartition("\n")[2]
        yield f"{called(key)} is unhealthy{f': {last}' if last else ''}"


def _monitor_note(key: ContainerKey, keep: ObservedContainer) -> Iterator[str]:
    if any(defect.kind is DefectKind.MONITOR for defect in keep.defects):
        lost = "its log and exit code are not kept"
        yield f"{called(key)} runs without its monitor: {lost}; `trueup apply` replaces it"
