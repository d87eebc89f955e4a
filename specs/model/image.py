"""Images: from a registry, from an archive on disk, or from a bare file system."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Self

from pydantic import ValidationInfo, model_validator

from specs.fields import Effect, Spec, about, context_of
from specs.model.pairs import Environment
from specs.model.paths import resolved_node
from specs.nodes import Text
from specs.notations import Absolute, Argv, Filled, Reference, User, choice


class PullPolicy(StrEnum):
    """When the registry is asked for an image that may be here already."""

    MISSING = "missing"
    ALWAYS = "always"
    NEWER = "newer"
    NEVER = "never"


Pull = Annotated[PullPolicy, *choice(PullPolicy, "a pull policy")]


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


class Image(Spec):
    """Where an image comes from: exactly one of `from`, `archive`, `rootfs`."""

    noun: ClassVar[str] = "an image"
    planned: ClassVar[frozenset[str]] = frozenset({"platform"})
    not_yet: ClassVar[frozenset[str]] = frozenset({"build"})
    renamed: ClassVar[Mapping[str, str]] = {"image": "from", "file": "archive", "tar": "archive"}

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
    config: ImageConfig | None = about("Defaults for a `rootfs` image.", default=None)

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
        return self
