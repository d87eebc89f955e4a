"""How a generation differs from what it shall be, image and kin included."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from reconciler import compare
from reconciler.compare import Cause, Difference
from reconciler.desired import Desired, image_label, shortened
from reconciler.planning.stopped import RUNNING
from reconciler.short_names import own_name
from runtime.api import (
    ContainerSpec,
    DefectKind,
    Observed,
    ObservedContainer,
    RegistrySource,
    VolumeMount,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kin:
    """What becomes of a container that others depend on: ``ids`` are the generations that shall be
    there or are left alone, ``renewed`` says that one of them is new in the place of another."""

    ids: frozenset[str] = frozenset()
    renewed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """What a container is judged by beside itself. ``explicit``: somebody said `apply`;
    ``remade`` are the volumes whose data goes; ``kin`` holds what it depends on, decided already.
    """

    desired: Desired
    observed: Observed
    explicit: bool
    remade: frozenset[str] = frozenset()
    kin: Mapping[str, Kin] = field(default_factory=dict)


def differences(
    outlook: Outlook, spec: ContainerSpec, container: ObservedContainer
) -> tuple[Difference, ...]:
    """Everything that a generation is not as it shall be, but whether it runs."""
    desired = outlook.desired

    def place(field: str) -> str:
        return desired.place("container", container.key.name, field)

    veiled = {field for _, name, field in desired.veils if name == container.key.name}
    return (
        *_image(desired, outlook.observed, spec, container, place("image")),
        *compare.container(spec, container, in_place=desired.in_place, place=place, veiled=veiled),
        *_broken(container, explicit=outlook.explicit),
        *_kin(outlook, spec, container),
        *_remade(outlook, container),
    )


def _broken(container: ObservedContainer, *, explicit: bool) -> Iterator[Difference]:
    """What is broken beyond mending. A container without its monitor works, so only an explicit
    apply replaces it: its log and restart policy cannot be had otherwise."""
    fatal = {DefectKind.BUNDLE, DefectKind.MONITOR} if explicit else {DefectKind.BUNDLE}
    for defect in container.defects:
        if defect.kind in fatal:
            yield _from_outside("files", defect.cause)


def _from_outside(field: str, why: str) -> Difference:
    return Difference(field=field, cause=Cause.BROKEN, before=why, replaces=True)


def _kin(
    outlook: Outlook, spec: ContainerSpec, container: ObservedContainer
) -> Iterator[Difference]:
    """Whose namespaces it lives in, and with whom it shall start anew."""
    for name, id in sorted(container.shares.items()):
        kin = outlook.kin.get(name)
        if kin and kin.ids and id not in kin.ids and name in spec.shares:
            yield _from_outside("namespaces", f"it lives in namespaces of {name}, which is new")
    for dependency in spec.depends_on if container.phase in RUNNING else ():
        kin = outlook.kin.get(dependency.name)
        if dependency.restart and kin and kin.renewed and dependency.name not in container.shares:
            yield _from_outside("depends_on", f"it restarts with {dependency.name}, which is new")


def _remade(outlook: Outlook, container: ObservedContainer) -> Iterator[Difference]:
    for mount in container.applied.mounts if container.applied else ():
        if isinstance(mount, VolumeMount) and mount.volume in outlook.remade:
            yield _from_outside("volumes", f"its volume {mount.volume} is made anew")


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
    return shortened(own_name(name) or name.removeprefix("docker.io/").removeprefix("library/"))
