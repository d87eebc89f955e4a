"""A project's spec as the runtime's values: what shall be.

The translation is one to one, but for the names of images: those of registries are called by their
complete reference, those of files by name and project, so that a name means one image everywhere.
"""

import os
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, assert_never

from reconciler.credentials import accesses
from runtime.api import (
    DEFAULT_PIDS_LIMIT,
    AnonymousMount,
    ArchiveSource,
    BindMount,
    Condition,
    ContainerKey,
    ContainerSpec,
    Dependency,
    ImageDefaults,
    ImageSource,
    ImageSpec,
    Mount,
    NetworkSpec,
    PortSpec,
    PullPolicy,
    Query,
    RegistryAccess,
    RegistrySource,
    RestartKind,
    RestartPolicy,
    RootfsSource,
    ServiceSpec,
    TmpfsMount,
    VolumeMount,
    VolumeSpec,
)
from runtime.reference import parse

if TYPE_CHECKING:
    from specs.model.container import Container
    from specs.model.image import Image, ImageConfig
    from specs.model.project import Project

_DEFAULT_NETWORK = "default"
Place = tuple[str, str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Desired:
    """What a project shall be. ``spec_path`` is the folder that it is applied from.

    ``in_place`` names the fields of ContainerSpec that change without a new process; ``places``
    leads from (kind, name, field), as in ("container", "web", "mem_limit"), to file:line.
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

    def place(self, kind: str, name: str, field: str = "") -> str:
        """Where the spec says it, or where it says the object; "" when nowhere."""
        for key in (field, field.partition(".")[0], ""):
            if found := self.places.get((kind, name, key)):
                return found
        return ""

    def query(self) -> Query:
        """What a runtime must look at beside the project's own objects."""
        services = (self.services[name] for name in sorted(self.services))
        return Query(
            project=self.project,
            images=tuple(self.images[name] for name in sorted(self.images)),
            ports=tuple((each.name, port) for each in services for port in each.ports),
            networks=tuple(n for _, n in sorted(self.networks.items()) if n.external),
            volumes=tuple(v for _, v in sorted(self.volumes.items()) if v.external),
            registries=self.registries,
        )


def image_label(image: ImageSpec) -> str:
    """An image as people call it: ``nginx:1.27``, ``site``."""
    if isinstance(image.source, RegistrySource):
        return parse(image.source.reference).familiar
    return image.name.partition("@")[0]


# --- translation --------------------------------------------------------------------------------


def desire(project: "Project", environ: Mapping[str, str] = os.environ) -> Desired:
    """The loaded project as values of the runtime.

    ``environ`` holds the registries' passwords that the spec says are there.
    Raises ``BadReference``.
    """
    names = {
        name: _image_name(project.name, str(name), image) for name, image in project.images.items()
    }
    containers = {
        ContainerKey(project=project.name, name=name): _container(each, names)
        for name, each in sorted(project.containers.items())
    }
    used = {each.image for each in containers.values()}
    return Desired(
        project=project.name,
        spec_path=str(project.directory),
        images=_images(project, names, used),
        volumes={
            str(name): VolumeSpec(
                project=project.name, name=str(name), owner=each.owner, mode=each.mode
            )
            for name, each in sorted(project.volumes.items())
        },
        networks=_networks(project),
        services={
            str(name): _service(project.name, str(name), each)
            for name, each in sorted(project.containers.items())
        },
        containers=containers,
        registries=accesses(project, environ),
        in_place=_in_place(),
        places=_places(project, names),
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
    "mounts": ("volumes", "tmpfs"),
    "environment": ("environment", "env_file"),
}
_NOTHING_RUNS_ON = {"secret_environment"}


# --- images -------------------------------------------------------------------------------------

_EAGERNESS = (PullPolicy.NEVER, PullPolicy.MISSING, PullPolicy.NEWER, PullPolicy.ALWAYS)


def _image_name(project: str, name: str, image: "Image") -> str:
    """What containers call it: the complete reference, or of a file ``site@shop``, since another
    project may use the same name for another file. No reference looks like that."""
    return str(parse(image.from_)) if image.from_ else f"{name}@{project}"


def _images(
    project: "Project", names: Mapping[str, str], used: Collection[str]
) -> dict[str, ImageSpec]:
    """Images declared or used, by the name that containers call them.

    Of several declarations of one reference the one that asks the registry most often counts.
    """
    images: dict[str, ImageSpec] = {}
    for key, image in sorted(project.images.items()):
        spec = ImageSpec(name=names[key], source=_source(image))
        images[spec.name] = _eager(images.get(spec.name), spec)
    for name in sorted(used):
        images.setdefault(name, ImageSpec(name=name, source=RegistrySource(reference=name)))
    return images


def _eager(one: ImageSpec | None, other: ImageSpec) -> ImageSpec:
    return other if one is None else max(one, other, key=_eagerness)


def _eagerness(image: ImageSpec) -> int:
    source = image.source
    return _EAGERNESS.index(source.pull) if isinstance(source, RegistrySource) else 0


def _source(image: "Image") -> ImageSource:
    if image.from_:
        return RegistrySource(reference=str(parse(image.from_)), pull=PullPolicy(image.pull.value))
    if image.archive:
        return ArchiveSource(path=str(image.archive))
    return RootfsSource(path=str(image.rootfs), config=_defaults(image.config))


def _defaults(config: "ImageConfig | None") -> ImageDefaults:
    if config is None:
        return ImageDefaults()
    return ImageDefaults(
        cmd=_words(config.cmd),
        entrypoint=_words(config.entrypoint),
        env=tuple(f"{key}={value}" for key, value in sorted(config.env.items())),
        user=str(config.user or ""),
        working_dir=str(config.working_dir or ""),
    )


# --- containers ---------------------------------------------------------------------------------


def _container(container: "Container", images: Mapping[str, str]) -> ContainerSpec:
    image = str(container.image)
    pids = container.pids_limit
    return ContainerSpec(
        image=images[image] if image in images else str(parse(image)),
        entrypoint=None if container.entrypoint is None else _words(container.entrypoint),
        command=None if container.command is None else _words(container.command),
        environment=_texts(container.environment),
        secret_environment=tuple(sorted(map(str, container.secret_environment))),
        user=_text(container.user),
        working_dir=_text(container.working_dir),
        hostname=_text(container.hostname),
        labels=_texts(container.labels),
        mem_limit=container.mem_limit,
        cpus=container.cpus,
        pids_limit=DEFAULT_PIDS_LIMIT if pids is None else pids,
        restart=RestartPolicy(
            kind=RestartKind(container.restart.kind.value),
            max_retries=container.restart.max_retries,
        ),
        stop_signal=_text(container.stop_signal),
        stop_grace_period=float(container.stop_grace_period),
        read_only=container.read_only,
        cap_add=_words(container.cap_add),
        cap_drop=_words(container.cap_drop),
        depends_on=tuple(
            Dependency(name=str(name), condition=Condition(each.condition.value))
            for name, each in sorted(container.depends_on.items())
        ),
        mounts=_mounts(container),
    )


def _mounts(container: "Container") -> tuple[Mount, ...]:
    """Sorted by target: their order in the file means nothing."""
    from specs.model import mount as spec

    mounts: list[Mount] = [
        TmpfsMount(target=str(each.target), size=each.size, mode=each.mode)
        for each in container.tmpfs
    ]
    for each in container.volumes:
        target = str(each.target)
        match each:
            case spec.VolumeMount():
                mounts.append(
                    VolumeMount(volume=str(each.volume), target=target, read_only=each.read_only)
                )
            case spec.BindMount():
                mounts.append(
                    BindMount(source=str(each.source), target=target, read_only=each.read_only)
                )
            case spec.AnonymousVolume():
                mounts.append(AnonymousMount(target=target))
            case _:
                assert_never(each)
    return tuple(sorted(mounts, key=lambda mount: mount.target))


def _text(value: str | None) -> str | None:
    return None if value is None else str(value)


def _texts(values: Mapping[str, str]) -> dict[str, str]:
    """Plain texts: the spec's own ones carry their places."""
    return {str(key): str(value) for key, value in values.items()}


def _words(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(map(str, values))


# --- services, networks, registries ---------------------------------------------------------------


def _service(project: str, name: str, container: "Container") -> ServiceSpec:
    ports = (
        PortSpec(
            container_port=each.container_port,
            protocol=each.protocol.value,
            host_ip=_text(each.host_ip),
            host_port=each.host_port,
            count=each.count,
            choices=each.choices,
        )
        for each in container.ports
    )
    return ServiceSpec(project=project, name=name, ports=tuple(sorted(ports, key=_port_order)))


def _port_order(port: PortSpec) -> tuple[int, str, str, int]:
    return port.container_port, port.protocol, port.host_ip or "", port.host_port or 0


def _networks(project: "Project") -> dict[str, NetworkSpec]:
    """Those declared, and the one that containers join by default."""
    declared = {str(name): each.subnet for name, each in project.networks.items()}
    if project.containers:
        declared.setdefault(_DEFAULT_NETWORK, None)
    return {
        name: NetworkSpec(project=project.name, name=name, subnet=_text(subnet))
        for name, subnet in sorted(declared.items())
    }


# --- places -------------------------------------------------------------------------------------


def _places(project: "Project", names: Mapping[str, str]) -> dict[Place, str]:
    """file:line of every object, field and variable that the files have."""
    places: dict[Place, str] = {}

    def note(kind: str, name: str, field: str, *path: str) -> None:
        if span := project.span(*path):
            places[kind, name, field] = span.brief

    for name, container in project.containers.items():
        path = ("containers", str(name))
        note("container", str(name), "", *path)
        for written in container.model_fields_set:
            note("container", str(name), written, *path, written)
        for group in ("environment", "labels"):
            for key in getattr(container, group):
                note("container", str(name), f"{group}.{key}", *path, group, str(key))
    for kind, section in (("volume", "volumes"), ("network", "networks")):
        for name, declared in getattr(project, section).items():
            note(kind, str(name), "", section, str(name))
            for written in declared.model_fields_set:
                note(kind, str(name), written, section, str(name), written)
    for name in project.images:
        note("image", names[name], "", "images", str(name))
    return places
