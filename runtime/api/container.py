"""What one generation of a container shall be."""

from enum import StrEnum

import msgspec

DEFAULT_PIDS_LIMIT = 2048


class VolumeMount(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="volume"):
    volume: str
    target: str
    read_only: bool = False


class BindMount(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="bind"):
    source: str
    target: str
    read_only: bool = False


class TmpfsMount(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="tmpfs"):
    """``size`` in bytes."""

    target: str
    size: int | None = None
    mode: int | None = None


class AnonymousMount(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="anonymous"
):
    """A volume without a name: it belongs to the container and goes with it from generation to
    generation."""

    target: str


Mount = VolumeMount | BindMount | TmpfsMount | AnonymousMount


class RestartKind(StrEnum):
    NO = "no"
    ALWAYS = "always"
    ON_FAILURE = "on-failure"
    UNLESS_STOPPED = "unless-stopped"


class RestartPolicy(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    kind: RestartKind = RestartKind.NO
    max_retries: int | None = None

    def __str__(self) -> str:
        return self.kind if self.max_retries is None else f"{self.kind}:{self.max_retries}"


class Dependency(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    name: str
    condition: str = "service_started"


class ContainerSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a generation shall be. Field names are those of the spec's container.

    Sizes are bytes, times seconds; ``pids_limit`` -1 is unlimited; capabilities are written
    without CAP_; ``command`` and ``entrypoint`` None mean what the image says.
    ``secret_environment`` names the variables whose values must never be shown.
    """

    image: str
    entrypoint: tuple[str, ...] | None = None
    command: tuple[str, ...] | None = None
    environment: dict[str, str] = {}
    secret_environment: tuple[str, ...] = ()
    user: str | None = None
    working_dir: str | None = None
    hostname: str | None = None
    labels: dict[str, str] = {}
    mem_limit: int | None = None
    cpus: float | None = None
    pids_limit: int = DEFAULT_PIDS_LIMIT
    restart: RestartPolicy = RestartPolicy()
    stop_signal: str | None = None
    stop_grace_period: float = 10.0
    read_only: bool = False
    cap_add: tuple[str, ...] = ()
    cap_drop: tuple[str, ...] = ()
    depends_on: tuple[Dependency, ...] = ()
    mounts: tuple[Mount, ...] = ()
    networks: tuple[str, ...] = ("default",)
