"""Images of the spec: those declared, and those that containers name by reference."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from reconciler.values.texts import words
from runtime.api import (
    ArchiveSource,
    ImageDefaults,
    ImageSource,
    ImageSpec,
    PullPolicy,
    RegistrySource,
    RootfsSource,
)
from runtime.reference import parse

if TYPE_CHECKING:
    from specs.model.image import Image, ImageConfig
    from specs.model.project import Project

_EAGERNESS = (PullPolicy.NEVER, PullPolicy.MISSING, PullPolicy.NEWER, PullPolicy.ALWAYS)


def image_names(project: "Project") -> dict[str, str]:
    """What containers call the declared images: the complete reference, or of a file ``site@shop``,
    since another project may use the same name for another file. No reference looks like that."""
    return {
        str(name): str(parse(image.from_)) if image.from_ else f"{name}@{project.name}"
        for name, image in project.images.items()
    }


def images(project: "Project", names: Mapping[str, str]) -> dict[str, ImageSpec]:
    """Images declared or used, by the name that containers call them.

    Of several that speak of one reference the one that asks the registry most often counts.
    """
    policies: dict[str, list[PullPolicy]] = {}
    platforms: dict[str, str] = {}
    for name, policy, platform in _wishes(project, names):
        said = policies.setdefault(name, [])
        if policy is not None:
            said.append(policy)
        if platform is not None:
            platforms[name] = platform
    sources: dict[str, ImageSource] = {
        names[str(key)]: _file(image) for key, image in project.images.items() if not image.from_
    }
    for name, said in policies.items():
        pull = max(said, key=_EAGERNESS.index, default=PullPolicy.MISSING)
        registry = RegistrySource(reference=name, pull=pull, platform=platforms.get(name))
        sources.setdefault(name, registry)
    return {name: ImageSpec(name=name, source=sources[name]) for name in sorted(sources)}


def _wishes(
    project: "Project", names: Mapping[str, str]
) -> Iterator[tuple[str, PullPolicy | None, str | None]]:
    """Every (reference, policy, platform) that is said somewhere; None: nothing is."""
    for key, image in project.images.items():
        if image.from_:
            pull = PullPolicy(image.pull.value) if "pull" in image.model_fields_set else None
            yield names[str(key)], pull, image.platform
    for container in project.containers.values():
        image_name = str(container.image)
        policy = container.pull_policy
        yield (
            names[image_name] if image_name in names else str(parse(image_name)),
            None if policy is None else PullPolicy(policy.value),
            container.platform,
        )


def _file(image: "Image") -> ImageSource:
    if image.archive:
        return ArchiveSource(path=str(image.archive))
    return RootfsSource(path=str(image.rootfs), config=_defaults(image.config))


def _defaults(config: "ImageConfig | None") -> ImageDefaults:
    if config is None:
        return ImageDefaults()
    return ImageDefaults(
        cmd=words(config.cmd),
        entrypoint=words(config.entrypoint),
        env=tuple(f"{key}={value}" for key, value in sorted(config.env.items())),
        user=str(config.user or ""),
        working_dir=str(config.working_dir or ""),
    )
