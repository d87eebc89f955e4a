"""Images of the spec: those declared, and those that containers name by reference."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import msgspec

from reconciler.short_names import Search, called, candidates, pinned, undigested
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
from runtime.reference import DEFAULT_HOST, Reference, has_host, parse

if TYPE_CHECKING:
    from specs.lock import Pin
    from specs.model.image import Image, ImageConfig
    from specs.model.project import Project

_EAGERNESS = (PullPolicy.NEVER, PullPolicy.MISSING, PullPolicy.NEWER, PullPolicy.ALWAYS)


def image_names(project: "Project", search: Search) -> dict[str, str]:
    """What containers call the images that the spec names: the complete reference, or of a file
    ``site@shop``, since another project may use the same name for another file. No reference looks
    like that. Raises ``BadReference``, and ``SpecBroken`` for short names where they are off, for
    tags that would mean two images, and for images that would be for two platforms."""
    _check_short_names(project, search)
    names = _names(project, search)
    check_images(project, names)
    return names


def check_images(project: "Project", names: Mapping[str, str]) -> None:
    """By these names each tag must mean one image, and each image be for one platform. Raises
    ``SpecBroken``, ``BadReference``."""
    _check_tags(project, names)
    _check_platforms(project, names)


def _names(project: "Project", search: Search) -> dict[str, str]:
    return {
        **{text: called(text, search, project.name) for _, text in references(project)},
        **{
            str(name): called(str(image.from_), search, project.name)
            if image.from_
            else f"{name}@{project.name}"
            for name, image in project.images.items()
        },
    }


def references(project: "Project") -> Iterator[tuple[tuple[str, ...], str]]:
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
        for path, text in references(project)
        if not has_host(text)
    ]
    if problems:
        raise SpecBroken(render(problems), len(problems))


def images(
    project: "Project", names: Mapping[str, str], search: Search, pins: "Mapping[str, Pin]"
) -> dict[str, ImageSpec]:
    """Images declared or used, by the name that containers call them; ``names`` are those;
    ``pins`` are the lock file's, by what the names would be without it.

    Of several that speak of one reference the one that asks the registry most often counts.
    """
    policies: dict[str, list[PullPolicy]] = {}
    platforms: dict[str, str] = {}
    for name, policy, platform in wishes(project, names):
        said = policies.setdefault(name, [])
        if policy is not None:
            said.append(policy)
        if platform is not None:
            platforms[name] = platform
    meant: dict[str, tuple[tuple[Reference, ...], Pin | None]] = {}
    for _, text in references(project):
        name = called(text, search, project.name)
        pin = pins.get(name)
        meant[pinned(name, pin)] = candidates(text, search), pin
    sources: dict[str, ImageSource] = {
        names[str(key)]: _file(image) for key, image in project.images.items() if not image.from_
    }
    for name, said in policies.items():
        if name in sources:
            continue
        pull = max(said, key=_EAGERNESS.index, default=PullPolicy.MISSING)
        found, pin = meant[name]
        first, *others = (str(_pinned(each, pin)) for each in found)
        sources[name] = RegistrySource(
            reference=first,
            alternatives=tuple(others),
            variants=tuple(sorted(pin.platforms.values())) if pin else (),
            pull=pull,
            platform=platforms.get(name),
        )
    tags = _tags(project, names)
    pushed = _tags(project, names, pushed=True)
    return {
        name: ImageSpec(
            name=name,
            source=sources[name],
            tags=tags.get(name, ()),
            push=pushed.get(name, ()),
        )
        for name in sorted(sources)
    }


def _pinned(reference: Reference, pin: "Pin | None") -> Reference:
    if pin is None:
        return reference
    return msgspec.structs.replace(reference, tag=pin.tag or reference.tag, digest=pin.digest)


def _tags(
    project: "Project", names: Mapping[str, str], *, pushed: bool = False
) -> dict[str, tuple[str, ...]]:
    """Complete references that shall mean an image, by its name; those to be ``pushed`` are of the
    entries that say so, also where another entry speaks of the same image."""
    found: dict[str, dict[str, None]] = {}
    for key, image in project.images.items():
        if image.push or not pushed:
            said = found.setdefault(names[str(key)], {})
            said |= dict.fromkeys(str(parse(text)) for text in image.tags)
    return {name: tuple(said) for name, said in found.items()}


def _check_tags(project: "Project", names: Mapping[str, str]) -> None:
    """A tag means one image: two would take it from each other at each apply. Nor is an image
    pushed back to where it comes from, since only what is for one platform would be left there.
    Raises ``SpecBroken``, ``BadReference``."""
    from specs.problems import Problem, quoted, render

    problems: list[Problem] = []
    taken = {names[text]: (names[text], path) for path, text in references(project)}
    for key, image in project.images.items():
        name = names[str(key)]
        for number, text in enumerate(image.tags):
            path = ("images", str(key), "tags", str(number))
            owner, first = taken.setdefault(str(parse(text)), (name, path))
            told, hint = "", ""
            if owner != name:
                told, there = "would mean two images", project.span(*first)
                hint = f"the other one is at {there.brief}" if there else ""
            elif str(parse(text)) == undigested(name) and image.push:
                told, hint = "is where the image comes from", "push it under another name"
            if told:
                text = f"the tag {quoted(text)} {told}"
                problems.append(Problem(text=text, span=project.span(*path), hint=hint))
    if problems:
        raise SpecBroken(render(problems), len(problems))


def _check_platforms(project: "Project", names: Mapping[str, str]) -> None:
    """An image is here once, for one platform. Raises ``SpecBroken``."""
    from specs.problems import Problem, quoted, render

    said: dict[str, tuple[str, tuple[str, ...]]] = {}
    problems: list[Problem] = []
    for path, text, platform in _platforms(project):
        first, there = said.setdefault(names[text], (platform, path))
        if platform != first:
            place = project.span(*there)
            problems.append(
                Problem(
                    text=f"{quoted(text)} cannot be here for two platforms at a time",
                    span=project.span(*path),
                    hint=f"for {first} at {place.brief}" if place else "",
                )
            )
    if problems:
        raise SpecBroken(render(problems), len(problems))


def _platforms(project: "Project") -> Iterator[tuple[tuple[str, ...], str, str]]:
    """(where, image, platform) of all that is said of platforms."""
    for key, image in project.images.items():
        if image.platform:
            yield ("images", str(key), "platform"), str(key), image.platform
    for key, container in project.containers.items():
        if container.platform:
            yield ("containers", str(key), "platform"), str(container.image), container.platform


def wishes(
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
