"""Images: from a registry, from an archive on disk, or from a bare file system."""

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Final, Self

from pydantic import ValidationInfo, model_validator

from specs.fields import Effect, Spec, about, context_of
from specs.model.pairs import Environment
from specs.model.paths import resolved_node
from specs.nodes import Text
from specs.notations import (
    WORD_SCHEMA,
    Absolute,
    Argv,
    Filled,
    Flag,
    Reference,
    Seconds,
    User,
    list_of,
    reference,
    scalar,
)
from specs.problems import nearest_word
from specs.scalars import Unreadable
from specs.tags import BadPattern, Choice, TagPattern
from specs.versions import NotAVersion, Range


class PullPolicy(StrEnum):
    """When the registry is asked for an image that may be here already."""

    MISSING = "missing"
    ALWAYS = "always"
    NEWER = "newer"
    NEVER = "never"


_UNSUPPORTED: Final = re.compile(r"build|daily|weekly|every_\w+")


def _pull_policy(text: str) -> PullPolicy:
    """Compose's words; those that look at the clock, or build, have no translation."""
    known = [each.value for each in PullPolicy]
    expected = "one of " + ", ".join(known)
    if text == "if_not_present":
        return PullPolicy.MISSING
    if _UNSUPPORTED.fullmatch(text):
        instead = "" if text == "build" else "`newer` asks the registry at every apply"
        raise Unreadable(expected, reason="is not carried out yet", hint=instead)
    if text not in known:
        near = nearest_word(text, known)
        raise Unreadable(expected, reason="is not a pull policy", nearest=near)
    return PullPolicy(text)


def _platform(text: str) -> str:
    """OS/ARCH[/VARIANT]; an architecture alone is one of Linux, by whatever name."""
    parts = text.lower().split("/")
    system, machine, *variant = parts if len(parts) > 1 else ["linux", *parts]
    if len(variant) > 1 or not all(re.fullmatch(r"[a-z0-9_.]+", each) for each in parts):
        raise Unreadable(_PLATFORM)
    if system != "linux":
        raise Unreadable(_PLATFORM, reason="is not a platform of Linux")
    return "/".join([system, _MACHINES.get(machine, machine), *variant])


_PLATFORM: Final = "a platform such as linux/amd64 or linux/arm/v7"
_MACHINES: Final = {"x86_64": "amd64", "x86-64": "amd64", "aarch64": "arm64", "i386": "386"}
_WORDS: Final = ", ".join(PullPolicy)

Pull = Annotated[
    PullPolicy,
    *scalar(
        _pull_policy, f"one of {_WORDS}", {"type": "string", "examples": [*PullPolicy]}, PullPolicy
    ),
]
Platform = Annotated[str, *scalar(_platform, _PLATFORM, {"type": "string"})]


class ImageConfig(Spec):
    """What a bare file system does not say of itself."""

    noun: ClassVar[str] = "`config`"
    renamed: ClassVar[Mapping[str, str]] = {
        "command": "cmd", "environment": "env", "workdir": "working_dir",
    }  # fmt: skip

    cmd: Argv = about("Default command.", default=())
    entrypoint: Argv = about("Program that the command is given to.", default=())
    env: Environment = about("Default environment.", default_factory=dict)
    user: User | None = about("Default user.", default=None)
    working_dir: Absolute | None = about("Default working directory.", default=None)


_TAG: Final = "a tag such as registry.example:5000/team/app:1.4"


def _tag(text: str) -> str:
    """A name in a registry; a digest follows from what an image is, nobody can give it."""
    if "@" in text:
        raise Unreadable(_TAG, reason="has a digest, which follows from what an image is")
    return reference(text)


_RANGE: Final = "a range of versions such as >=1.27 <2, ^1.4 or 1.x"


def _range(text: str) -> str:
    try:
        Range.parse(text)
    except NotAVersion as error:
        raise Unreadable(_RANGE) from error
    return text


_PATTERN: Final = "a pattern of tags such as 1.27.*-alpine, or /^1\\.27\\.[0-9]+$/"


def _pattern(text: str) -> str:
    try:
        TagPattern.parse(text)
    except BadPattern as error:
        raise Unreadable(_PATTERN, reason=str(error)) from error
    return text


class Track(Spec):
    """Which newer tag of its repository may take an image's place in the lock file."""

    noun: ClassVar[str] = "`track`"
    renamed: ClassVar[Mapping[str, str]] = {
        "tag": "tags", "pattern": "tags", "version": "semver", "range": "semver", "age": "min_age",
    }  # fmt: skip

    tags: Annotated[str, *scalar(_pattern, _PATTERN, {"type": "string"})] | None = about(
        "Tags that may be taken: with `*`, `?` and `[...]`, or between slashes an expression.",
        Effect.IN_PLACE,
        default=None,
    )
    semver: Annotated[str, *scalar(_range, _RANGE, WORD_SCHEMA)] | None = about(
        "Versions that may be taken, as npm writes ranges.", Effect.IN_PLACE, default=None
    )
    min_age: Seconds = about(
        "Only what was made at least so long ago.", Effect.IN_PLACE, default=0.0
    )

    @model_validator(mode="after")
    def _check_choice(self) -> Self:
        if self.tags is None and self.semver is None:
            raise ValueError("takes `tags` or `semver`, or both")
        return self

    @property
    def choice(self) -> Choice:
        """The tags that may be taken."""
        return Choice.parse(self.tags, self.semver)


class Image(Spec):
    """Where an image comes from: exactly one of `from`, `archive`, `rootfs`."""

    noun: ClassVar[str] = "an image"
    not_yet: ClassVar[frozenset[str]] = frozenset({"build"})
    renamed: ClassVar[Mapping[str, str]] = {
        "image": "from", "file": "archive", "tar": "archive", "tag": "tags", "update": "track",
    }  # fmt: skip

    from_: Reference | None = about(
        "Reference in a registry, such as docker.io/library/nginx:1.27.",
        default=None,
        validation_alias="from",
    )
    archive: Filled | None = about(
        "Path of a docker-archive or OCI archive, relative to the project.", default=None
    )
    rootfs: Filled | None = about(
        "Path of a bare file system as a tar, relative to the project.", default=None
    )
    pull: Pull = about(
        "When to ask the registry again.", Effect.IN_PLACE, default=PullPolicy.MISSING
    )
    platform: Platform | None = about(
        "Platform of an image with several, such as linux/arm64; none: the host's.", default=None
    )
    config: ImageConfig | None = about("Defaults for a `rootfs` image.", default=None)
    tags: Annotated[tuple[str, ...], *list_of(_tag, _TAG, alone=True)] = about(
        "Further names of the image, on this host.", Effect.IN_PLACE, default=()
    )
    push: Flag = about(
        "Keep the registries of `tags` at this image, too.", Effect.IN_PLACE, default=False
    )
    track: Track | None = about(
        "Which newer tags `trueup lock --update` may take.", Effect.IN_PLACE, default=None
    )

    @model_validator(mode="before")
    @classmethod
    def _resolve_paths(cls, value: Any, info: ValidationInfo) -> Any:
        if not isinstance(value, dict):
            return value
        paths = {k: value[k] for k in ("archive", "rootfs") if isinstance(value.get(k), Text)}
        context = context_of(info)
        return {**value, **{k: resolved_node(path, context) for k, path in paths.items()}}

    @model_validator(mode="after")
    def _check_one_source(self) -> Self:
        sources = [self.from_, self.archive, self.rootfs]
        if sum(each is not None for each in sources) != 1:
            raise ValueError("takes exactly one of `from`, `archive` and `rootfs`")
        if self.config is not None and self.rootfs is None:
            raise ValueError("takes `config` only together with `rootfs`")
        if self.platform is not None and self.from_ is None:
            raise ValueError("takes `platform` only together with `from`")
        if self.push and not self.tags:
            raise ValueError("takes `push` only together with `tags`, which say where to")
        if self.track is not None and (self.from_ is None or "@" in self.from_):
            raise ValueError("takes `track` only together with a `from` that has no digest")
        return self
