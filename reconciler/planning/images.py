"""Images to bring here, those that a new generation needs or that shall have tags; and the tags
themselves, here and in their registries."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

from reconciler.desired import Desired, image_label, image_name
from reconciler.plan import PullImage, PushImage, TagImage
from reconciler.planning.edges import Draft
from runtime.api import ImageSpec, Observed, ObservedImage, PullPolicy, RegistrySource
from runtime.reference import parse

MISSING = "not here yet"
_UNHEARD = "its registry does not tell what it is now"


def needed(
    desired: Desired, observed: Observed, names: Collection[str], *, explicit: bool
) -> list[str]:
    """Those of ``names`` that are not here or not what the spec means any more.

    An image that the project alone calls so, of a file or one that several registries may have, is
    always among them: that costs nothing when it is here, and only that makes the name mean it.
    """
    return [
        name
        for name in sorted(set(names))
        if why(observed, name)
        or not observed.images[name].named
        or _is_called_by_project(desired.images[name])
        or (explicit and is_unsure(desired, observed, name))
    ]


def is_unsure(desired: Desired, observed: Observed, name: str) -> bool:
    """Whether an image that must be asked for each time could not be. Who says apply wants to know
    that it failed; the loop, which asks again by itself, must not be held up by it each time."""
    image, there = desired.images[name], observed.images.get(name)
    always = isinstance(image.source, RegistrySource) and image.source.pull is PullPolicy.ALWAYS
    return always and there is not None and not there.unheard.keys() <= {*image.push}


def why(observed: Observed, name: str) -> str:
    """Why an image must be fetched, in words; "" when it need not be."""
    here = observed.images.get(name)
    if here is None or here.id is None:
        return MISSING
    return here.stale


def pulls(desired: Desired, observed: Observed, names: Collection[str]) -> Iterator[Draft]:
    for name in names:
        image = desired.images[name]
        yield Draft(
            name=("pull", name),
            action=PullImage(image=image),
            object=f"image {image_label(image)}",
            reasons=_reasons(desired, observed, name),
            places=(desired.place("image", name),),
        )


def _reasons(desired: Desired, observed: Observed, name: str) -> tuple[str, ...]:
    if reason := why(observed, name):
        return (reason,)
    return (f"{_UNHEARD} (pull: always)",) if is_unsure(desired, observed, name) else ()


def notes(observed: Observed) -> Iterator[str]:
    """Of each registry that did not tell what its tags mean one note, and why."""
    silent: dict[str, dict[str, str]] = {}
    for image in observed.images.values():
        for text, cause in image.unheard.items():
            asked = parse(text)
            silent.setdefault(asked.host, {})[asked.familiar] = cause
    for host, causes in sorted(silent.items()):
        tags = sorted(causes)
        yield f"registry {host}, asked for {', '.join(tags)}: {causes[tags[0]]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tags:
    """The tags of an image that are not as they shall be: those that must come to mean it here,
    and those that must be pushed, with the reason, "" where it follows from the image's own."""

    here: tuple[str, ...] = ()
    pushed: Mapping[str, str] = field(default_factory=dict)


def tags(desired: Desired, observed: Observed, names: Collection[str]) -> dict[str, Tags]:
    """What is to be done about the tags of these images, by name; nothing for an image whose tags
    all hold. Of an image that is fetched anew nobody knows whether it will be another one, so
    all of its tags follow it."""
    found: dict[str, Tags] = {}
    for name in sorted(names):
        image, there = desired.images[name], observed.images.get(name)
        held = there if there and not why(observed, name) else ObservedImage(name=name)
        here = tuple(tag for tag in image.tags if tag not in held.tags)
        pushed = {tag: _astray(held, tag) for tag in image.push if tag not in held.pushed}
        if here or pushed:
            found[name] = Tags(here=here, pushed=pushed)
    return found


def _astray(there: ObservedImage, tag: str) -> str:
    """A tag that nobody could ask for is pushed: whoever does that hears why not."""
    return there.astray.get(tag, "") or (_UNHEARD if tag in there.unheard else "")


def tagging(desired: Desired, wanted: Mapping[str, Tags]) -> Iterator[Draft]:
    """Each tag is given once its image is here, and pushed once it is given."""
    for name, each in wanted.items():
        image = desired.images[name]
        label, place = image_label(image), desired.place("image", name, "tags")
        said = f" ({place})" if place else ""
        for tag in each.here:
            yield Draft(
                name=("tag", name, tag),
                action=TagImage(name=name, reference=tag),
                object=f"image {label}",
                after=frozenset({("pull", name)}),
                reasons=(f"gets the tag {parse(tag).familiar}{said}",),
                places=(place,),
            )
        for tag, cause in each.pushed.items():
            because = f": {cause}" if cause else ""
            yield Draft(
                name=("push", name, tag),
                action=PushImage(reference=tag),
                object=f"image {label}",
                after=frozenset({("pull", name), ("tag", name, tag)}),
                reasons=(f"is pushed as {parse(tag).familiar}{said}{because}",),
                places=(place,),
            )


def losses(desired: Desired, observed: Observed, wanted: Mapping[str, Tags]) -> Iterator[str]:
    """What does not go with the images that are pushed, as far as that is known before they are
    fetched."""
    for name, each in wanted.items():
        there = observed.images.get(name)
        if each.pushed and there and there.alone:
            yield (
                f"image {image_label(desired.images[name])} came for several platforms, and only"
                f" {there.alone} is pushed"
            )


def problems(desired: Desired, observed: Observed, names: Collection[str]) -> Iterator[str]:
    """Images that are needed, not here or not as they shall be, and not to be fetched."""
    for name in names:
        image, reason = desired.images[name], why(observed, name)
        if _never(image) and reason:
            place = desired.place("image", name)
            where = f" ({place})" if place else ""
            called = image_label(image)
            lack = "is not here" if reason == MISSING else f"is not as it shall be ({reason})"
            yield (
                f"image {called}{where} {lack}, and `pull: never` forbids a pull;"
                f" `trueup pull {image_name(image)}`, or allow it"
            )


def _is_called_by_project(image: ImageSpec) -> bool:
    return not isinstance(image.source, RegistrySource) or bool(image.source.alternatives)


def _never(image: ImageSpec) -> bool:
    return isinstance(image.source, RegistrySource) and image.source.pull is PullPolicy.NEVER
