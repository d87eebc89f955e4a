"""Containers: the fields of a Compose service, with Compose's names, forms and meaning."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, Final, Self

from pydantic import Field, model_validator

from specs.fields import Effect, Spec, about
from specs.model.capabilities import Capabilities
from specs.model.dependency import Dependencies
from specs.model.env_file import EnvFiles
from specs.model.limits import Cpus, MemoryLimit, PidsLimit
from specs.model.mount import Mounts
from specs.model.pairs import Environment, Labels
from specs.model.port import Ports
from specs.model.restart import NO_RESTART, RestartPolicy
from specs.model.tmpfs import Tmpfs, take_tmpfs
from specs.notations import (
    Absolute,
    Argv,
    Flag,
    Hostname,
    Reference,
    Seconds,
    Signal,
    User,
)

_COMPOSE_LATER: Final = frozenset(
    """
    annotations attach blkio_config build cgroup cgroup_parent configs container_name cpu_count
    cpu_percent cpu_period cpu_quota cpu_rt_period cpu_rt_runtime cpu_shares cpuset credential_spec
    deploy develop device_cgroup_rules devices dns dns_opt dns_search domainname expose extends
    external_links extra_hosts gpus group_add healthcheck init ipc isolation label_file links
    logging mac_address mem_reservation mem_swappiness memswap_limit models network_mode networks
    oom_kill_disable oom_score_adj pid platform post_start pre_start pre_stop privileged profiles
    provider pull_policy pull_refresh_after runtime scale secrets security_opt shm_size stdin_open
    storage_opt sysctls tty ulimits use_api_socket userns_mode uts volumes_from
    """.split()  # noqa: SIM905  # as words it can be read
)
_RENAMED: Final = {
    "args": "command", "bind": "volumes", "binds": "volumes", "capabilities": "cap_add",
    "cmd": "command", "cpu": "cpus", "cpu_limit": "cpus", "env": "environment",
    "envs": "environment", "environments": "environment", "expose_ports": "ports",
    "mem": "mem_limit", "memory": "mem_limit", "memory_limit": "mem_limit", "mounts": "volumes",
    "pids": "pids_limit", "publish": "ports", "readonly": "read_only", "restart_policy": "restart",
    "stop_timeout": "stop_grace_period", "workdir": "working_dir",
}  # fmt: skip
_IN_PLACE: Final = Effect.IN_PLACE


class Container(Spec):
    """What one container should be."""

    noun: ClassVar[str] = "a container"
    internal: ClassVar[frozenset[str]] = frozenset({"secret_environment"})
    not_yet: ClassVar[frozenset[str]] = _COMPOSE_LATER
    planned: ClassVar[frozenset[str]] = frozenset({"replicas", "update", "on_change"})
    renamed: ClassVar[Mapping[str, str]] = _RENAMED

    image: Reference = about("A name from `images:`, or a reference to a registry.")
    environment: Environment = about("Environment of the process.", default_factory=dict)
    env_file: EnvFiles = about(
        "Files with more environment; what `environment` says wins.", default=()
    )
    secret_environment: frozenset[str] = about(
        "Names in `environment` whose values come from a file or from the caller's environment.",
        default=frozenset(),
    )
    command: Argv | None = about("Arguments, in place of the image's own.", default=None)
    entrypoint: Argv | None = about("Program, in place of the image's own.", default=None)
    user: User | None = about("User and group of the process.", default=None)
    working_dir: Absolute | None = about("Directory that the process starts in.", default=None)
    hostname: Hostname | None = about("Name that the container has for itself.", default=None)
    labels: Labels = about("Labels for people and tools.", _IN_PLACE, default_factory=dict)
    mem_limit: MemoryLimit | None = about(
        "Most memory, in bytes; none: unlimited.", _IN_PLACE, default=None
    )
    cpus: Cpus | None = about(
        "Most processors' worth of time; none: unlimited.", _IN_PLACE, default=None
    )
    pids_limit: PidsLimit | None = about(
        "Most processes and threads; none: the engine's default, -1: unlimited.",
        _IN_PLACE,
        default=None,
    )
    restart: RestartPolicy = about(
        "What follows when the process ends.", _IN_PLACE, default=NO_RESTART
    )
    stop_signal: Signal | None = about(
        "Signal that asks the process to end.", _IN_PLACE, default=None
    )
    stop_grace_period: Annotated[Seconds, Field(ge=0, le=86_400 * 365)] = about(
        "Time that the process has to end before it is killed.", _IN_PLACE, default=10.0
    )
    read_only: Flag = about("Whether the root file system refuses writing.", default=False)
    cap_add: Capabilities = about("Capabilities to add to the default ones.", default=())
    cap_drop: Capabilities = about("Capabilities to take from the default ones.", default=())
    depends_on: Dependencies = about(
        "Containers that start before this one.", _IN_PLACE, default_factory=dict
    )
    ports: Ports = about("Ports that the host publishes.", _IN_PLACE, default=())
    volumes: Mounts = about("Volumes and paths of the host to mount.", default=())
    tmpfs: Tmpfs = about("Memory to mount.", default=())

    @model_validator(mode="before")
    @classmethod
    def _take_tmpfs(cls, value: Any) -> Any:
        return take_tmpfs(value) if isinstance(value, dict) else value

    def with_environment(self, environment: dict[str, str], secret: frozenset[str]) -> Self:
        """The same container with its environment files read in."""
        return self.model_copy(update={"environment": environment, "secret_environment": secret})

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        """Fields for people and logs, secret values left out."""
        for name, value in super().__repr_args__():
            yield name, _masked(value, self.secret_environment) if name == "environment" else value


def _masked(environment: Mapping[str, str], secret: frozenset[str]) -> dict[str, str]:
    return {name: "***" if name in secret else text for name, text in environment.items()}
