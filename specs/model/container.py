"""Containers: the fields of a Compose service, with Compose's names, forms and meaning."""

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, Final, Self

from pydantic import Field, model_validator

from specs.fields import Effect, Spec, about
from specs.model.attachment import Attachments
from specs.model.capabilities import Capabilities
from specs.model.dependency import Dependencies
from specs.model.deploy import Deploy, Replicas
from specs.model.device import DeviceRules, Devices
from specs.model.env_file import EnvFiles
from specs.model.health import Healthcheck
from specs.model.image import Platform, Pull
from specs.model.limits import (
    CpuPeriod,
    CpuQuota,
    Cpus,
    Cpuset,
    CpuShares,
    MemoryLimit,
    OomScore,
    PidsLimit,
    Reservation,
    SwapLimit,
)
from specs.model.logging import Logging
from specs.model.modes import Cgroup, Ipc, NetworkMode, Pid, Userns, Uts
from specs.model.mount import Mounts
from specs.model.pairs import Environment, Labels
from specs.model.port import Ports
from specs.model.resolving import Domains, Exposed, ExtraHosts, Links, ResolverOptions, Servers
from specs.model.restart import NO_RESTART, RestartPolicy
from specs.model.security import NO_OPTIONS, SecurityOpt, Sysctls
from specs.model.tmpfs import Tmpfs, take_tmpfs
from specs.model.ulimits import Ulimits
from specs.model.update import Update
from specs.notations import (
    OBJECT_NAME,
    OBJECT_RULE,
    Absolute,
    Argv,
    Filled,
    Flag,
    Hostname,
    Reference,
    Seconds,
    Signal,
    Size,
    User,
    list_of,
    name_of,
    scalar,
)
from specs.scalars import Unreadable, parse_user

_COMPOSE_LATER: Final = frozenset(
    """
    attach blkio_config build cgroup_parent configs cpu_count cpu_percent cpu_rt_period
    cpu_rt_runtime credential_spec develop extends external_links gpus isolation label_file
    mem_swappiness models oom_kill_disable post_start pre_start pre_stop profiles provider
    pull_refresh_after secrets storage_opt use_api_socket
    """.split()  # noqa: SIM905  # as words it can be read
)
_RENAMED: Final = {
    "args": "command", "bind": "volumes", "binds": "volumes", "capabilities": "cap_add",
    "cmd": "command", "cpu": "cpus", "cpu_limit": "cpus", "env": "environment",
    "envs": "environment", "environments": "environment", "expose_ports": "ports",
    "mem": "mem_limit", "memory": "mem_limit", "memory_limit": "mem_limit", "mounts": "volumes",
    "health": "healthcheck", "health_check": "healthcheck", "memory_reservation": "mem_reservation",
    "network": "networks", "pids": "pids_limit", "publish": "ports", "pull": "pull_policy",
    "readonly": "read_only", "restart_policy": "restart", "security_opts": "security_opt",
    "stop_timeout": "stop_grace_period", "ulimit": "ulimits", "workdir": "working_dir",
}  # fmt: skip
_IN_PLACE: Final = Effect.IN_PLACE
_MAC: Final = "a hardware address such as 02:42:ac:11:00:05"
_FROM: Final = "`NAME`, `NAME:ro` or `container:NAME`"


def _mac_address(text: str) -> str:
    """Six bytes with colons; that of a group of hosts is no interface's."""
    if not re.fullmatch(r"[0-9a-fA-F]{2}([:-][0-9a-fA-F]{2}){5}", text):
        raise Unreadable(_MAC)
    if int(text[:2], 16) & 1:
        raise Unreadable(_MAC, reason="is the address of a group")
    return text.lower().replace("-", ":")


def _source(text: str) -> tuple[str, bool]:
    """A container, and whether its mounts are taken read-only."""
    parts = text.removeprefix("container:").split(":")
    if len(parts) > 2 or not parts[0] or parts[-1] not in {parts[0], "ro", "rw"}:
        raise Unreadable(_FROM)
    return parts[0], parts[-1] == "ro" and len(parts) == 2


ContainerName = Annotated[
    str, *scalar(name_of("a container", OBJECT_NAME, OBJECT_RULE), OBJECT_RULE, {"type": "string"})
]
MacAddress = Annotated[str, *scalar(_mac_address, _MAC, {"type": "string"})]
Groups = Annotated[tuple[str, ...], *list_of(parse_user, "a group as name or number")]
Sources = Annotated[tuple[tuple[str, bool], ...], *list_of(_source, _FROM)]


class Container(Spec):
    """What one container should be."""

    noun: ClassVar[str] = "a container"
    filled_in: ClassVar[frozenset[str]] = frozenset({"secret_environment"})
    not_yet: ClassVar[frozenset[str]] = _COMPOSE_LATER
    planned: ClassVar[frozenset[str]] = frozenset({"on_change"})
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
    group_add: Groups = about("Further groups of the process, by name or number.", default=())
    working_dir: Absolute | None = about("Directory that the process starts in.", default=None)
    hostname: Hostname | None = about("Name that the container has for itself.", default=None)
    domainname: Hostname | None = about("Domain that the container has for itself.", default=None)
    container_name: ContainerName | None = about(
        "A further name of the container, the only one of its kind.", _IN_PLACE, default=None
    )
    labels: Labels = about("Labels for people and tools.", _IN_PLACE, default_factory=dict)
    annotations: Labels = about("Annotations of the OCI runtime.", default_factory=dict)
    platform: Platform | None = about(
        "Platform of the image, such as linux/arm64; none: the host's.", default=None
    )
    pull_policy: Pull | None = about(
        "When to ask the registry again: `missing`, `always`, `newer`, `never`.",
        _IN_PLACE,
        default=None,
    )
    runtime: Filled | None = about("OCI runtime, by name or path.", default=None)
    init: Flag = about("Whether an init process reaps what its programs leave.", default=False)
    tty: Flag = about("Whether the process has a terminal.", default=False)
    stdin_open: Flag = about("Whether its input stays open.", default=False)
    mem_limit: MemoryLimit | None = about(
        "Most memory, in bytes; none: unlimited.", _IN_PLACE, default=None
    )
    memswap_limit: SwapLimit | None = about(
        "Most memory and swap together, -1: unlimited.", _IN_PLACE, default=None
    )
    mem_reservation: Reservation | None = about(
        "Memory that is left to it when there is little.", _IN_PLACE, default=None
    )
    cpus: Cpus | None = about(
        "Most processors' worth of time; none: unlimited.", _IN_PLACE, default=None
    )
    cpu_quota: CpuQuota | None = about(
        "Processor time in each `cpu_period`; the same as `cpus`.", _IN_PLACE, default=None
    )
    cpu_period: CpuPeriod | None = about(
        "Period of `cpu_quota`; none: 100 ms.", _IN_PLACE, default=None
    )
    cpu_shares: CpuShares | None = about(
        "Its weight when processors are short; none: 1024.", _IN_PLACE, default=None
    )
    cpuset: Cpuset | None = about("Processors that it may run on.", _IN_PLACE, default=None)
    pids_limit: PidsLimit | None = about(
        "Most processes and threads; none: the engine's default, -1: unlimited.",
        _IN_PLACE,
        default=None,
    )
    oom_score_adj: OomScore | None = about(
        "How likely the kernel kills it when memory is out, -1000 to 1000.", default=None
    )
    ulimits: Ulimits = about("Resource limits of the process.", default_factory=dict)
    shm_size: Size | None = about("Size of /dev/shm; none: 64m.", default=None)
    sysctls: Sysctls = about("Settings of its own part of the kernel.", default_factory=dict)
    restart: RestartPolicy = about(
        "What follows when the process ends; none: nothing.", _IN_PLACE, default=NO_RESTART
    )
    stop_signal: Signal | None = about(
        "Signal that asks the process to end.", _IN_PLACE, default=None
    )
    stop_grace_period: Annotated[Seconds, Field(ge=0, le=86_400 * 365)] = about(
        "Time that the process has to end before it is killed.", _IN_PLACE, default=10.0
    )
    healthcheck: Healthcheck | None = about(
        "Program that tells whether it is well; none: the image's own.", _IN_PLACE, default=None
    )
    logging: Logging | None = about(
        "Where its output goes; another driver from the next start on.", _IN_PLACE, default=None
    )
    replicas: Replicas | None = about("How many there are of it.", _IN_PLACE, default=None)
    scale: Replicas | None = about("The same as `replicas`.", _IN_PLACE, default=None)
    update: Update | None = about(
        "How a new container takes the place of the old one.", _IN_PLACE, default=None
    )
    deploy: Deploy | None = about(
        "Limits, replicas, restarts and updates as Compose writes them.", _IN_PLACE, default=None
    )
    read_only: Flag = about("Whether the root file system refuses writing.", default=False)
    privileged: Flag = about("Whether it may do all that the host's root may.", default=False)
    cap_add: Capabilities = about("Capabilities to add to the default ones.", default=())
    cap_drop: Capabilities = about("Capabilities to take from the default ones.", default=())
    security_opt: SecurityOpt = about("What the kernel lets its processes do.", default=NO_OPTIONS)
    devices: Devices = about("Devices of the host.", default=())
    device_cgroup_rules: DeviceRules = about("Devices that it may make and use.", default=())
    userns_mode: Userns = about("Whose user ids it has: `host`.", default="")
    cgroup: Cgroup = about("Whose control groups it sees: `private` or `host`.", default="")
    pid: Pid = about("Whose processes it sees: `host`, `service:NAME`.", default="")
    ipc: Ipc = about(
        "Whose shared memory it sees: `shareable`, `host`, `service:NAME`.", default=""
    )
    uts: Uts = about("Whose host name it has: `host`.", default="")
    depends_on: Dependencies = about(
        "Containers that start before this one.", _IN_PLACE, default_factory=dict
    )
    links: Links = about(
        "Containers that start before this one, with further names.", _IN_PLACE, default=()
    )
    ports: Ports = about("Ports that the host publishes.", _IN_PLACE, default=())
    expose: Exposed = about(
        "Ports that it listens on, for people and tools.", _IN_PLACE, default=()
    )
    network_mode: NetworkMode = about(
        "Whose network it is in: `bridge`, `host`, `none`, `service:NAME`.", default=""
    )
    networks: Attachments = about(
        "Networks that it is in; none: `default`.", _IN_PLACE, default_factory=dict
    )
    mac_address: MacAddress | None = about("Hardware address of its first interface.", default=None)
    extra_hosts: ExtraHosts = about(
        "Names with addresses, `host-gateway` for the host's.", _IN_PLACE, default=()
    )
    dns: Servers = about("Name servers that are asked for what is not here.", _IN_PLACE, default=())
    dns_search: Domains = about("Domains that names are looked up in.", _IN_PLACE, default=())
    dns_opt: ResolverOptions = about("Options of the resolver.", _IN_PLACE, default=())
    volumes: Mounts = about("Volumes and paths of the host to mount.", default=())
    volumes_from: Sources = about("Containers whose mounts it has, too.", default=())
    tmpfs: Tmpfs = about("Memory to mount.", default=())

    @model_validator(mode="before")
    @classmethod
    def _take_tmpfs(cls, value: Any) -> Any:
        return take_tmpfs(value) if isinstance(value, dict) else value

    @property
    def count(self) -> int:
        """How many there shall be of it, whichever field says so."""
        deployed = self.deploy.replicas if self.deploy else None
        said = (self.replicas, self.scale, deployed)
        return next((each for each in said if each is not None), 1)

    def with_environment(self, environment: dict[str, str], secret: frozenset[str]) -> Self:
        """The same container with its environment files read in."""
        return self.model_copy(update={"environment": environment, "secret_environment": secret})

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        """Fields for people and logs, secret values left out."""
        for name, value in super().__repr_args__():
            yield name, _masked(value, self.secret_environment) if name == "environment" else value


def _masked(environment: Mapping[str, str], secret: frozenset[str]) -> dict[str, str]:
    return {name: "***" if name in secret else text for name, text in environment.items()}
