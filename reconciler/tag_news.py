"""What registries say about a project's images now: tags that have moved, and newer ones that
may be taken. Nothing comes of it by itself: a pull policy, the lock file or the spec decide.
"""

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from reconciler.desired import Desired
from reconciler.lock_file import Locking, Wanted
from reconciler.resolving import Asker
from runtime.api import ImageSummary, Observed, PullPolicy, RegistrySource, Runtime
from runtime.asking import ask_each
from runtime.errors import Absent, Fault
from runtime.reference import Reference

PATIENCE = 3.0  # seconds for all of them together
_SHOWN = len("sha256:") + 12


@dataclass(frozen=True, slots=True, kw_only=True)
class TagNews:
    """``texts`` are news by the name that containers call the image; ``notes`` say of whom nothing
    is known."""

    texts: Mapping[str, tuple[str, ...]]
    notes: tuple[str, ...] = ()


def tag_news(
    desired: Desired,
    observed: Observed,
    runtime: Runtime,
    *,
    now: float,
    clock: Callable[[], float] = time.monotonic,
) -> TagNews:
    """Ask for every tag of the spec whose image is here or locked, all at a time and for
    ``PATIENCE`` seconds at most; a registry that does not answer is no fault. What must never be
    pulled is not asked for, nor what has just been asked for in vain. ``now`` is in seconds since
    the epoch."""
    if not desired.locking.wanted:
        return TagNews(texts={})
    images = {each.id: each for each in runtime.images.list()}
    asker = Asker(registries=runtime.registries, access=desired.registries, now=now)
    known = {
        each: digests
        for each in desired.locking.wanted
        if not _is_left_alone(desired, observed, each)
        and (digests := _known(desired.locking, each, _here(desired, observed, images, each)))
    }
    answers = ask_each(
        known, lambda each: tuple(_news(asker, desired.locking, each, known[each])),
        within=PATIENCE, clock=clock,
    )  # fmt: skip
    silent: dict[str, str] = {}
    for each, answer in answers.items():
        if isinstance(answer, Fault):
            silent.setdefault(each.candidates[0].host, answer.what)
    return TagNews(
        texts={
            desired.locking.called(each.name): answer
            for each, answer in answers.items()
            if not isinstance(answer, Fault)
        },
        notes=tuple(f"{host} was not asked for its tags: {why}" for host, why in silent.items()),
    )


def _is_left_alone(desired: Desired, observed: Observed, wanted: Wanted) -> bool:
    name = desired.locking.called(wanted.name)
    source, there = desired.images[name].source, observed.images.get(name)
    never = isinstance(source, RegistrySource) and source.pull is PullPolicy.NEVER
    unheard = there.unheard if there else {}
    return never or any(str(each) in unheard for each in wanted.candidates)


def _here(
    desired: Desired, observed: Observed, images: Mapping[str, ImageSummary], wanted: Wanted
) -> Sequence[str]:
    """The names of the image that is here, those by digest included."""
    there = observed.images.get(desired.locking.called(wanted.name))
    image = images.get(there.id) if there and there.id else None
    return image.references if image else ()


def _known(locking: Locking, wanted: Wanted, here: Collection[str]) -> tuple[str, ...]:
    """The digest that is locked, else those by which the image that is here is known in its
    repository; none for one that did not come from there."""
    if pin := locking.pins.get(wanted.entry):
        return (pin.digest,)
    starts = [f"{each.host}/{each.repository}@" for each in wanted.candidates]
    return tuple(name.removeprefix(at) for name in here for at in starts if name.startswith(at))


def _news(asker: Asker, locking: Locking, wanted: Wanted, known: Sequence[str]) -> Iterator[str]:
    """Raises what registries raise."""
    pin = locking.pins.get(wanted.entry)
    tag = pin.tag if pin and pin.tag else wanted.candidates[0].tag
    try:
        there = asker.digest([_tagged(each, tag) for each in wanted.candidates])
    except Absent:
        yield "its tag is not in the registry any more"
    else:
        if there not in known:
            held = "locked" if pin else "here"
            yield f"its tag moved: the registry has {_short(there)} ({held} {_short(known[0])})"
    newest = asker.newest(wanted, tag)
    if newest is not None and newest[0] != tag:
        name = wanted.names[0] if wanted.names else wanted.entry
        yield f"newer tag {newest[0]} may be taken (`trueup lock --update {name}`)"


def _tagged(reference: Reference, tag: str) -> Reference:
    return msgspec.structs.replace(reference, tag=tag)


def _short(digest: str) -> str:
    return f"{digest[:_SHOWN]}…"
