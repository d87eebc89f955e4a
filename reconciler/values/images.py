"""Images of the spec: those declared, and those that containers name by reference."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from reconciler.short_names import Search, called, candidates
from reconciler.spec import SpecBroken
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
from runtime.reference import DEFAULT_HOST, has_host

if TYPE_CHECKING:
    from specs.model.image import Image, ImageConfig
    from specs.model.project import Project

_EAGERNESS = (PullPolicy.NEVER, PullPolicy.MISSING, PullPolicy.NEWER, PullPolicy.ALWAYS)


def image_names(project: "Project", search: Search) -> dict[str, str]:
    """What containers call the images that the spec names: the complete reference, or of a file
    ``site@shop``, since another project may use the same name for another file. No reference looks
    like that. Raises ``BadReference``, and ``SpecBroken`` for short names where they are off."""
    _check_short_names(project, search)
    return {
        **{text: called(text, search, project.name) for _, text in _references(project)},
        **{
            str(name): called(str(image.from_), search, project.name)
            if image.from_
            else f"{name}@{project.name}"
            for name, image in project.images.items()
        },
    }


def _references(project: "Project") -> Iterator[tuple[tuple[str, ...], str]]:
    """Every reference to a registry, as written, and where."""
    for name, image in project.images.items():
        if image.from_:
            yield ("images", str(name), "from"), str(image.from_)
    for name, container in project.containers.items():
        if container.image not in project.images:
            yield ("containers", str(name), "image"), str(container.image)


def _check_short_names(project: "Project", search: Search) -> None:
    from specs.problems import Problem, quoted, render

    if search.hosts:
        return
    problems = [
        Problem(
            text=f"{quoted(text)} names no registry, and short names are off ({search.place})",
            span=project.span(*path),
            hint=f"write the registry, too: {DEFAULT_HOST}/{text}, if that one is meant",
        )
        for path, text in _references(project)
        if not has_host(text)
    ]
    if problems:
        raise SpecBroken(render(problems), len(problems))


def images(project: "Project", names: Mapping[str, str], search: Search) -> dict[str, ImageSpec]:
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
    meant = {
        called(text, search, project.name): candidates(text, search)
        for _, text in _references(project)
    }
    sources: dict[str, ImageSource] = {
        names[str(key)]: _file(image) for key, image in project.images.items() if not image.from_
    }
    for name, said in policies.items():
        if name in sources:
            continue
        pull = max(said, key=_EAGERNESS.index, default=PullPolicy.MISSING)
        first, *others = map(str, meant[name])
        sources[name] = RegistrySource(
            reference=first,
            alternatives=tuple(others),
            pull=pull,
            platform=platforms.get(name),
        )
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
        policy = container.pull_policy
        yield (
            names[str(container.image)],
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
