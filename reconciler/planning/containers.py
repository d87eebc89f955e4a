"""What becomes of each container: which generation stays, which comes, which go.

A generation *fits* when nothing about it needs a new process. Of several generations (an update
was interrupted) the one that fits and runs stays; a stopped one that fits takes over.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from reconciler import compare
from reconciler.compare import Cause, Difference
from reconciler.desired import Desired, image_label
from reconciler.planning.stopped import RUNNING, Fortune, Verdict, ending, judge
from reconciler.planning.update_order import is_broken, stop_first
from runtime.api import (
    ContainerKey,
    ContainerSpec,
    DefectKind,
    Observed,
    ObservedContainer,
    Phase,
    RegistrySource,
    container_id,
)

_NEW = Verdict(fortune=Fortune.START)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fate:
    """What becomes of one container that the spec names.

    Either ``keep`` stays or ``create`` is the generation to make, or neither: then ``alone`` are
    left as they are. ``olds`` go; ``stop_first`` says why they must stop before ``id`` starts.
    ``unfinished`` is what sets ``keep`` apart from the old generation whose place it did not get.
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


def decide(
    desired: Desired,
    observed: Observed,
    key: ContainerKey,
    generations: Sequence[ObservedContainer],
    *,
    explicit: bool,
) -> Fate:
    """The fate of one declared container with these generations. ``explicit``: somebody said
    `apply`."""
    spec = desired.containers[key]
    half_made = tuple(each for each in generations if each.phase is Phase.CREATING)
    whole = [each for each in generations if each.phase is not Phase.CREATING]
    differences = {
        each.id: _differences(desired, observed, spec, each, explicit=explicit) for each in whole
    }
    served = observed.services[key.name].targets if key.name in observed.services else ()
    by_worth = sorted(whole, key=lambda each: _worth(each, served), reverse=True)
    fitting = [each for each in by_worth if not _replaces(differences[each.id])]
    if fitting:
        fate = _stay(key, spec, fitting[0], whole, differences[fitting[0].id], explicit=explicit)
        fate = _resume(fate, whole, served, differences, explicit=explicit)
    elif by_worth:
        current = by_worth[0]
        generation = observed.last_generation(key) + 1
        fate = _replace(
            key, spec, current, whole, differences[current.id], generation, explicit=explicit
        )
    else:
        fate = Fate(key=key, spec=spec, create=observed.last_generation(key) + 1)
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
    differences: tuple[Difference, ...],
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
        differences=differences,
        mends=_mends(keep),
        olds=gone,
        alone=left,
        stop_first=_stop_first(gone, spec) if verdict.fortune is Fortune.START else "",
        notes=(*_life_note(key, keep, verdict), *_monitor_note(key, keep)),
    )


def _resume(
    fate: Fate,
    whole: Sequence[ObservedContainer],
    served: Sequence[str],
    differences: Mapping[str, tuple[Difference, ...]],
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
        note = f"the update of {fate.key.name} failed: {failure}; `trueup apply` tries again"
        return Fate(key=fate.key, spec=fate.spec, alone=tuple(whole), notes=(note,))
    verdict = fate.verdict
    if verdict.fortune not in (Fortune.START, Fortune.RUNS):
        return fate
    if failure:
        verdict = replace(verdict, why="the last attempt failed")
    elif keep.phase is Phase.CREATED:
        verdict = replace(verdict, why="the last attempt was interrupted")
    return replace(fate, verdict=verdict, unfinished=differences[old.id])


def _failure(keep: ObservedContainer, old: ObservedContainer, verdict: Verdict) -> str:
    """How a generation failed to take the place of the old one, in words; "" when it did not."""
    if keep.phase is Phase.CREATED:
        return "it did not start" if keep.stopped else ""
    ended = keep.phase is Phase.EXITED and verdict.fortune in (Fortune.START, Fortune.FAILED)
    return ending(keep) if ended and old.generation < keep.generation else ""


def _replace(
    key: ContainerKey,
    spec: ContainerSpec,
    current: ObservedContainer,
    whole: Sequence[ObservedContainer],
    differences: tuple[Difference, ...],
    generation: int,
    *,
    explicit: bool,
) -> Fate:
    """No generation fits: a new one comes, unless what is there must be left alone."""
    if reason := "" if explicit else _hands_off(current, differences):
        note = f"{key.name} is left as it is: {reason}"
        return Fate(key=key, spec=spec, alone=tuple(whole), notes=(note,))
    return Fate(
        key=key,
        spec=spec,
        create=generation,
        differences=differences,
        olds=tuple(whole),
        stop_first=_stop_first(whole, spec),
    )


def _hands_off(current: ObservedContainer, differences: Sequence[Difference]) -> str:
    """Why the loop does not replace a container by itself."""
    if current.held and current.phase not in RUNNING:
        return "it was stopped by hand, and its spec has changed since"
    unknown = (each.text for each in differences if each.cause is Cause.UNKNOWN)
    return next(unknown, "")


def _stop_first(olds: Sequence[ObservedContainer], spec: ContainerSpec) -> str:
    running = (each for each in olds if each.phase in RUNNING or is_broken(each))
    return next((why for each in running if (why := stop_first(each, spec))), "")


def _also_removing(fate: Fate, half_made: tuple[ObservedContainer, ...]) -> Fate:
    return replace(fate, olds=(*half_made, *fate.olds)) if half_made else fate


def _mends(keep: ObservedContainer) -> tuple[str, ...]:
    """Causes of what `mend` restores without touching the process."""
    if keep.phase not in RUNNING:
        return ()
    return tuple(d.cause for d in keep.defects if d.kind is DefectKind.LINK)


def _life_note(key: ContainerKey, keep: ObservedContainer, verdict: Verdict) -> Iterator[str]:
    if keep.phase is Phase.RESTARTING:
        yield f"{key.name} does not stay up: {ending(keep)}; restarts so far: {keep.restarts}"
    if verdict.fortune is Fortune.FAILED:
        yield f"{key.name} failed: {verdict.why}; `trueup apply` starts it again"
    if verdict.fortune is Fortune.HELD:
        yield f"{key.name} is held: {verdict.why}; `trueup apply` starts it again"


def _monitor_note(key: ContainerKey, keep: ObservedContainer) -> Iterator[str]:
    if any(defect.kind is DefectKind.MONITOR for defect in keep.defects):
        lost = "its log and exit code are not kept"
        yield f"{key.name} runs without its monitor: {lost}; `trueup apply` replaces it"


# --- differences that need more than the container itself --------------------------------------


def _differences(
    desired: Desired,
    observed: Observed,
    spec: ContainerSpec,
    container: ObservedContainer,
    *,
    explicit: bool,
) -> tuple[Difference, ...]:
    """What is broken beyond mending counts, too. A container without its monitor works, so only
    an explicit apply replaces it: its log and restart policy cannot be had otherwise."""

    def place(field: str) -> str:
        return desired.place("container", container.key.name, field)

    fields = compare.container(spec, container, in_place=desired.in_place, place=place)
    image = _image(desired, observed, spec, container, place("image"))
    fatal = {DefectKind.BUNDLE, DefectKind.MONITOR} if explicit else {DefectKind.BUNDLE}
    broken = (
        Difference(field="files", cause=Cause.BROKEN, before=defect.cause, replaces=True)
        for defect in container.defects
        if defect.kind in fatal
    )
    return (*image, *fields, *broken)


def _image(
    desired: Desired,
    observed: Observed,
    spec: ContainerSpec,
    container: ObservedContainer,
    place: str,
) -> Iterator[Difference]:
    """Whether the container runs another image than the spec means now."""
    here = observed.images.get(spec.image)
    label = image_label(desired.images[spec.image])
    if container.applied is not None and container.applied.image != spec.image:
        same = bool(here and here.id and not here.stale and here.id == container.image_id)
        yield Difference(
            field="image",
            cause=Cause.SPEC_CHANGED,
            before=_label_of(desired, container.applied.image),
            after=label,
            place=place,
            replaces=not same,
        )
    elif news := _image_news(desired, observed, spec.image, container):
        yield Difference(
            field=f"image {label}", cause=Cause.MOVED, after=news, place=place, replaces=True
        )


def _image_news(
    desired: Desired, observed: Observed, name: str, container: ObservedContainer
) -> str:
    """What is new about an image under the same name; "" when nothing is.

    An image of a registry that was removed here says nothing about the container that runs it; a
    file that was never read in is not what the container was made from.
    """
    here = observed.images.get(name)
    if here is None:
        return ""
    if here.stale:
        return here.stale
    if here.id is None:
        source = desired.images[name].source
        return "" if isinstance(source, RegistrySource) else "has not been read in yet"
    if container.image_id in ("", here.id):
        return ""
    return f"is now {here.id.removeprefix('sha256:')[:12]}"


def _label_of(desired: Desired, name: str) -> str:
    """A former image as people call it; it need not be in the spec any more."""
    if name in desired.images:
        return image_label(desired.images[name])
    if "/" not in name:  # of a file
        return name.partition("@")[0]
    return name.removeprefix("docker.io/").removeprefix("library/")
