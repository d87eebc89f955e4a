"""A project's spec as the runtime's values: what shall be.

The translation is one to one, but for the names of images: those of registries are called by their
complete reference, which has its digest when the lock file says it, those of files by name and
project, so that a name means one image everywhere.
"""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from reconciler.lock_file import Locking, compared, wanted
from reconciler.registries import known
from reconciler.short_names import own_name, pinned
from reconciler.values.container import container_spec
from reconciler.values.images import check_images, image_names, images
from reconciler.values.names import Names
from reconciler.values.networks import full_name, networks, service
from reconciler.values.places import Place, places, veils
from reconciler.values.texts import texts
from runtime.api import (
    ContainerKey,
    ContainerSpec,
    ImageSpec,
    NetworkSpec,
    Query,
    RegistryAccess,
    RegistrySource,
    ServiceSpec,
    VolumeSpec,
)
from runtime.reference import parse

if TYPE_CHECKING:
    from specs.lock import Lock
    from specs.model.container import Container
    from specs.model.project import Project
    from specs.model.volume import Volume


_SHOWN = 12  # digits of a digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Desired:
    """What a project shall be. ``spec_path`` is the folder that it is applied from.

    ``in_place`` names the fields of ContainerSpec that change without a new process; ``places``
    leads from (kind, name, field), as in ("container", "web", "mem_limit"), to file:line; ``veils``
    are those whose values no message may show; ``locking`` says how the spec goes with its lock
    file.
    """

    project: str
    spec_path: str
    images: Mapping[str, ImageSpec] = field(default_factory=dict)
    volumes: Mapping[str, VolumeSpec] = field(default_factory=dict)
    networks: Mapping[str, NetworkSpec] = field(default_factory=dict)
    services: Mapping[str, ServiceSpec] = field(default_factory=dict)
    containers: Mapping[ContainerKey, ContainerSpec] = field(default_factory=dict)
    registries: tuple[RegistryAccess, ...] = ()
    in_place: frozenset[str] = frozenset()
    places: Mapping[Place, str] = field(default_factory=dict)
    veils: frozenset[Place] = frozenset()
    locking: Locking = field(default_factory=Locking)

    def place(self, kind: str, name: str, field: str = "") -> str:
        """Where the spec says it, or where it says the object; "" when nowhere."""
        for key in (field, field.partition(".")[0], ""):
            if found := self.places.get((kind, name, key)):
                return found
        return ""

    def query(self, *, offline: bool = False) -> Query:
        """What a runtime must look at beside the project's own objects; ``offline`` asks no
        registry."""
        services = (self.services[name] for name in sorted(self.services))
        return Query(
            project=self.project,
            images=tuple(self.images[name] for name in sorted(self.images)),
            ports=tuple((each.name, port) for each in services for port in each.ports),
            networks=tuple(n for _, n in sorted(self.networks.items()) if n.external),
            volumes=tuple(v for _, v in sorted(self.volumes.items()) if v.external),
            registries=self.registries,
            offline=offline,
        )


def image_label(image: ImageSpec) -> str:
    """An image as people call it: ``nginx:1.27``, ``nginx:1.27@sha256:0123456789ab``, ``site``."""
    return shortened(image_name(image))


def image_name(image: ImageSpec) -> str:
    """As ``image_label``, with all of a digest."""
    if isinstance(image.source, RegistrySource) and not image.source.alternatives:
        return parse(image.source.reference).familiar
    return own_name(image.name) or image.name


def shortened(name: str) -> str:
    """An image's name with the first twelve digits of its digest."""
    text, at, digest = name.partition("@sha256:")
    return f"{text}{at}{digest[:_SHOWN]}"


# --- translation --------------------------------------------------------------------------------


def desire(
    project: "Project", environ: Mapping[str, str] = os.environ, lock: "Lock | None" = None
) -> Desired:
    """The loaded project as values of the runtime, its images as ``lock`` pins them.

    ``environ`` holds the registries' passwords that the spec says are there.
    Raises ``BadReference``, and ``SpecBroken`` for what the machine's file of registries says.
    """
    registries = known(project, environ)
    unlocked = image_names(project, registries.search)
    locking = compared(wanted(project, unlocked, registries.search), lock)
    pins = locking.pinned
    called = {text: pinned(name, pins.get(name)) for text, name in unlocked.items()}
    check_images(project, called)  # two references may have become one
    names = Names.of(project, called)
    containers = sorted(project.containers.items())
    return Desired(
        project=project.name,
        spec_path=str(project.directory),
        images=images(project, names.images, registries.search, pins),
        volumes={
            str(name): _volume(project.name, str(name), each)
            for name, each in sorted(project.volumes.items())
        },
        networks=networks(project),
        services={
            str(name): service(project.name, str(name), each, names) for name, each in containers
        },
        containers={
            key: spec
            for name, each in containers
            for key, spec in _replicas(project.name, str(name), each, names)
        },
        registries=registries.access,
        in_place=_in_place(),
        places=places(project, names.images),
        veils=veils(project),
        locking=locking,
    )


def _replicas(
    project: str, name: str, container: "Container", names: Names
) -> Iterator[tuple[ContainerKey, ContainerSpec]]:
    spec = container_spec(container, names)
    for replica in range(1, container.count + 1):
        yield ContainerKey(project=project, name=name, replica=replica), spec


def _volume(project: str, name: str, volume: "Volume") -> VolumeSpec:
    options = volume.driver_opts.model_dump(exclude_none=True) if volume.driver_opts else {}
    return VolumeSpec(
        project=project,
        name=name,
        owner=volume.owner,
        mode=volume.mode,
        driver_opts=texts(options),
        external=volume.external is not None,
        full_name=full_name(name, volume.name, volume.external),
        labels=texts(volume.labels),
    )


def _in_place() -> frozenset[str]:
    """Fields of ContainerSpec that change without a new process, as the spec's fields say."""
    from specs.fields import Effect, effects
    from specs.model.container import Container

    said = effects(Container)
    of_spec = {ours: _SPEC_FIELDS.get(ours, (ours,)) for ours in ContainerSpec.__struct_fields__}
    return frozenset(
        ours
        for ours, names in of_spec.items()
        if ours in _NOTHING_RUNS_ON
        or all(said.get(name, Effect.REPLACE) is Effect.IN_PLACE for name in names)
    )


# Fields that go by other names in the spec, and one that only says what may be shown.
_SPEC_FIELDS = {
    "mounts": ("volumes", "tmpfs", "volumes_from"),
    "environment": ("environment", "env_file"),
    "security": ("security_opt",),
}
_NOTHING_RUNS_ON = {"secret_environment"}
