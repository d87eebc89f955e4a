"""Images to bring here: only those that a new generation needs."""

from collections.abc import Collection, Iterator

from reconciler.desired import Desired, image_label
from reconciler.plan import PullImage
from reconciler.planning.edges import Draft
from runtime.api import ImageSpec, Observed, PullPolicy, RegistrySource

MISSING = "not here yet"


def needed(desired: Desired, observed: Observed, names: Collection[str]) -> list[str]:
    """Those of ``names`` that are not here or not what the spec means any more.

    An image of a file is always among them: reading it in costs nothing when it is here, and only
    that makes its name mean this file.
    """
    return [
        name
        for name in sorted(set(names))
        if why(observed, name) or not isinstance(desired.images[name].source, RegistrySource)
    ]


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
            reasons=(why(observed, name),) if why(observed, name) else (),
            places=(desired.place("image", name),),
        )


def problems(desired: Desired, observed: Observed, names: Collection[str]) -> Iterator[str]:
    """Images that are needed, not here, and not to be fetched."""
    for name in names:
        image, here = desired.images[name], observed.images.get(name)
        if _never(image) and (here is None or here.id is None):
            place = desired.place("image", name)
            where = f" ({place})" if place else ""
            called = image_label(image)
            yield (
                f"image {called}{where} is not here, and `pull: never` forbids a pull;"
                f" `trueup pull {called}`, or allow it"
            )


def _never(image: ImageSpec) -> bool:
    return isinstance(image.source, RegistrySource) and image.source.pull is PullPolicy.NEVER
