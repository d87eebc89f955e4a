"""What one generation of a container shall be."""

from enum import StrEnum

import msgspec

from runtime.api.health import Healthcheck
from runtime.api.mount import Mount
from runtime.api.network import Attachment

DEFAULT_PIDS_LIMIT = 2048


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


class Condition(StrEnum):
    """What must hold of a dependency before the container that names it starts."""

    STARTED = "service_started"
    HEALTHY = "service_healthy"
    COMPLETED = "service_completed_successfully"


class Dependency(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """``required`` False: when it is not there or fails, that is told and no hindrance.
    ``restart``: a new generation of it makes this one start anew, too."""

    name: str
    condition: Condition = Condition.STARTED
    required: bool = True
    restart: bool = False


class Ulimit(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A resource limit of the process, setrlimit(2); ``name`` in lower case without RLIMIT_, -1
    is unlimited."""

    name: str
    soft: int
    hard: int


class Device(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A device of the host; ``permissions`` out of r, w and m (mknod)."""

    source: str
    target: str
    permissions: str = "rwm"


class SecurityOptions(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """None: the engine's default. ``seccomp`` and ``apparmor`` are ``unconfined`` for none, else
    the absolute path of a profile in Docker's form, or the name of a loaded one. ``label`` are
    SELinux words (``disable``, ``type:spc_t``), without effect where SELinux is off."""

    no_new_privileges: bool | None = None
    seccomp: str | None = None
    apparmor: str | None = None
    label: tuple[str, ...] = ()
    unmask: bool = False  # `systempaths=unconfined`


class Logging(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """``driver`` is "file" or "none"; ``max_size`` in bytes, None: the engine's default;
    ``max_file`` counts the files kept, the current one included."""

    driver: str = "file"
    max_size: int | None = None
    max_file: int = 1


class UpdateOrder(StrEnum):
    START_FIRST = "start-first"
    STOP_FIRST = "stop-first"


class OnFailure(StrEnum):
    ROLLBACK = "rollback"  # the former generation answers again
    PAUSE = "pause"  # what was begun stays as it is


class UpdatePolicy(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How a new generation takes the place of the old one. ``order`` None: whichever is safe;
    ``parallelism`` replicas at a time, 0 is all; ``healthy_within`` in seconds."""

    order: UpdateOrder | None = None
    parallelism: int = 1
    healthy_within: float = 60.0
    on_failure: OnFailure = OnFailure.ROLLBACK


class ContainerSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a generation shall be. Field names are those of the spec's container.

    Sizes are bytes, times seconds; ``pids_limit`` -1 is unlimited; capabilities are written
    without CAP_; ``command`` and ``entrypoint`` None mean what the image says.
    ``secret_environment`` names the variables whose values must never be shown.
    ``network_mode``, ``pid`` and ``ipc`` are "" for namespaces of its own, ``host``, ``none``
    (network only), ``shareable`` (ipc only) or ``service:NAME``, a container of the same project.
    ``extra_hosts`` are pairs (name, address or ``host-gateway``). ``networks`` are ordered.
    ``healthcheck`` None: what the image says. ``shm_size`` None: 64 MiB.
    """

    image: str
    entrypoint: tuple[str, ...] | None = None
    command: tuple[str, ...] | None = None
    environment: dict[str, str] = {}
    secret_environment: tuple[str, ...] = ()
    user: str | None = None
    group_add: tuple[str, ...] = ()
    working_dir: str | None = None
    hostname: str | None = None
    domainname: str | None = None
    container_name: str | None = None
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    platform: str | None = None
    runtime: str | None = None
    init: bool = False
    tty: bool = False
    stdin_open: bool = False
    mem_limit: int | None = None
    memswap_limit: int | None = None
    mem_reservation: int | None = None
    cpus: float | None = None
    cpu_shares: int | None = None
    cpuset: str | None = None
    pids_limit: int = DEFAULT_PIDS_LIMIT
    oom_score_adj: int | None = None
    ulimits: tuple[Ulimit, ...] = ()
    shm_size: int | None = None
    sysctls: dict[str, str] = {}
    restart: RestartPolicy = RestartPolicy()
    stop_signal: str | None = None
    stop_grace_period: float = 10.0
    healthcheck: Healthcheck | None = None
    logging: Logging = Logging()
    update: UpdatePolicy = UpdatePolicy()
    read_only: bool = False
    privileged: bool = False
    cap_add: tuple[str, ...] = ()
    cap_drop: tuple[str, ...] = ()
    security: SecurityOptions = SecurityOptions()
    userns_mode: str = ""
    cgroup: str = ""
    pid: str = ""
    ipc: str = ""
    uts: str = ""
    devices: tuple[Device, ...] = ()
    device_cgroup_rules: tuple[str, ...] = ()
    depends_on: tuple[Dependency, ...] = ()
    mounts: tuple[Mount, ...] = ()
    expose: tuple[str, ...] = ()
    network_mode: str = ""
    networks: tuple[Attachment, ...] = (Attachment(network="default"),)
    mac_address: str | None = None
    extra_hosts: tuple[tuple[str, str], ...] = ()
    dns: tuple[str, ...] = ()
    dns_search: tuple[str, ...] = ()
    dns_opt: tuple[str, ...] = ()

    @property
    def shares(self) -> tuple[str, ...]:
        """Names of the containers of the project whose namespaces it lives in."""
        modes = (self.network_mode, self.pid, self.ipc)
        named = (mode.removeprefix("service:") for mode in modes if mode.startswith("service:"))
        return tuple(dict.fromkeys(named))
