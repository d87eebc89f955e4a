"""What the reconciler and every runtime say to each other: values, and one protocol of verbs.

Everything here is plain, immutable and serialisable (msgspec): the same values are compared
by the planner, written into plans, and kept beside the objects that they describe as
``applied``. Nothing here knows YAML, plans or a backend.

Three nouns carry a container:

* a *service* is what others see of it: a name, one stable address, published ports;
* a *generation* is one concrete container of it, with an id, a writable layer and a process;
* ``serve`` leads the service to the generation that shall answer.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from enum import StrEnum
from typing import Protocol

import msgspec

DEFAULT_PIDS_LIMIT = 2048


# --- identities -----------------------------------------------------------------------------


class ContainerKey(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, order=True):
    """A replica of a project's container, whatever generation of it lives."""

    project: str
    name: str
    replica: int = 1

    def __str__(self) -> str:
        suffix = "" if self.replica == 1 else f".{self.replica}"
        return f"{self.project}/{self.name}{suffix}"

    def __hash__(self) -> int:
        return hash((self.project, self.name, self.replica))


def container_id(key: ContainerKey, generation: int) -> str:
    """The id (64 hex digits) of a generation: known before it exists, so that plans can name it
    and a repeated step finds its own earlier work."""
    text = f"{key.project}/{key.name}.{key.replica}@{generation}"
    return hashlib.sha256(text.encode()).hexdigest()


# --- images ---------------------------------------------------------------------------------


class PullPolicy(StrEnum):
    MISSING = "missing"
    ALWAYS = "always"
    NEWER = "newer"
    NEVER = "never"


class ImageDefaults(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What an image says about running it (OCI image-spec, config)."""

    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    user: str = ""
    working_dir: str = ""
    volumes: tuple[str, ...] = ()
    exposed_ports: tuple[str, ...] = ()
    stop_signal: str = ""
    labels: dict[str, str] = {}


class RegistrySource(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="registry"):
    """An image of a registry; ``reference`` is complete (host/repository:tag or @digest)."""

    reference: str
    pull: PullPolicy = PullPolicy.MISSING


class ArchiveSource(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="archive"):
    """A docker-archive or OCI archive file, by absolute path."""

    path: str


class RootfsSource(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="rootfs"):
    """A bare file system as a tar file, by absolute path."""

    path: str
    config: ImageDefaults = ImageDefaults()


ImageSource = RegistrySource | ArchiveSource | RootfsSource


class ImageSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """``name`` is what containers call it: a key of ``images:`` or the reference as written."""

    name: str
    source: ImageSource


class RegistryAccess(msgspec.Struct, frozen=True, kw_only=True):
    """How to reach one registry. Never persisted: it may carry a password."""

    host: str
    insecure: bool = False
    username: str = ""
    password: str = ""

    def __repr__(self) -> str:
        return f"RegistryAccess(host={self.host!r}, insecure={self.insecure})"


# --- volumes and networks -------------------------------------------------------------------


class VolumeSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A named volume; ``owner`` is (uid, gid), ``mode`` the permission bits of its root."""

    project: str
    name: str
    owner: tuple[int, int] | None = None
    mode: int | None = None


class NetworkSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A network of a project; ``subnet`` in CIDR form, None for one that the engine picks."""

    project: str
    name: str
    subnet: str | None = None


# --- services -------------------------------------------------------------------------------


class PortSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, order=True):
    """One published port. No ``host_ip``: every address; no ``host_port``: a free one is picked
    once and kept for the life of the service."""

    container_port: int
    protocol: str = "tcp"
    host_ip: str | None = None
    host_port: int | None = None

    def __str__(self) -> str:
        host = f"{self.host_ip}:" if self.host_ip else ""
        return f"{host}{self.host_port or ''}:{self.container_port}/{self.protocol}"

    def __hash__(self) -> int:
        return hash((self.container_port, self.protocol, self.host_ip, self.host_port))


class ServiceSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a container is to others: its name in DNS, its networks and its published ports."""

    project: str
    name: str
    networks: tuple[str, ...] = ("default",)
    aliases: tuple[str, ...] = ()
    ports: tuple[PortSpec, ...] = ()


# --- containers -----------------------------------------------------------------------------


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


# --- observed -------------------------------------------------------------------------------


class Phase(StrEnum):
    """Where a generation stands in its life."""

    CREATING = "creating"  # half made: its maker died
    CREATED = "created"  # whole, never started in its life
    RUNNING = "running"
    RESTARTING = "restarting"  # between two runs, its restart policy at work
    EXITED = "exited"  # ended, with an exit file
    LOST = (
        "lost"  # should run, but no process and no exit code: a reboot, or kill -9 of its monitor
    )


class DefectKind(StrEnum):
    """What can be broken while the spec did not change."""

    HOST = "host"  # router, tables, maps, DNS, port reservation: `mend(None)` restores it
    LINK = "link"  # a container's namespace or veth: `mend(id)` restores it, the process untouched
    BUNDLE = "bundle"  # its files are gone: only a new generation helps
    MONITOR = "monitor"  # no conmon: runs, but nobody keeps its log or exit code


class Defect(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """``cause`` in words for people: "the veth of web is gone"."""

    kind: DefectKind
    cause: str


class Limits(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Live values of the cgroup; None is unlimited."""

    mem_limit: int | None = None
    cpus: float | None = None
    pids_limit: int | None = None


class ObservedImage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An image that the project names. ``id`` is None while it is not here; ``stale`` says why
    what is here is not what the spec means any more ("site.tar changed", "registry has …")."""

    name: str
    id: str | None = None
    stale: str = ""


class ObservedVolume(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    applied: VolumeSpec


class ObservedNetwork(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """``subnet`` is the real one, also when the engine picked it."""

    applied: NetworkSpec
    subnet: str


class PublishedPort(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, order=True):
    """A published port with the host port that it really has."""

    spec: PortSpec
    host_port: int


class ObservedService(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """``targets`` are ids of generations that the service leads to."""

    applied: ServiceSpec
    addresses: dict[str, str] = {}
    ports: tuple[PublishedPort, ...] = ()
    targets: tuple[str, ...] = ()


class ObservedContainer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One generation. Times are seconds since the epoch; ``exit_code`` is None while it runs and
    when it is unknown."""

    key: ContainerKey
    id: str
    generation: int
    phase: Phase
    applied: ContainerSpec | None = None
    image_id: str = ""
    pid: int | None = None
    exit_code: int | None = None
    oom_killed: bool = False
    held: bool = False
    restarts: int = 0
    created_at: float = 0.0
    started_at: float | None = None
    finished_at: float | None = None
    addresses: dict[str, str] = {}
    limits: Limits | None = None
    volumes: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    defects: tuple[Defect, ...] = ()


class PortHolder(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A port that the project wants and somebody else has; ``holder`` is a name for people,
    as in ``nginx[812]`` or ``project blog, container web``."""

    port: PortSpec
    holder: str


class Observed(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The world as far as one project is concerned.

    ``generations`` holds the last generation ever used per container, also of removed ones.
    ``spec_path`` is the folder that the project was last applied from, "" for a new one.
    """

    project: str
    spec_path: str = ""
    images: dict[str, ObservedImage] = {}
    volumes: dict[str, ObservedVolume] = {}
    networks: dict[str, ObservedNetwork] = {}
    services: dict[str, ObservedService] = {}
    containers: tuple[ObservedContainer, ...] = ()
    generations: dict[str, int] = {}
    port_holders: tuple[PortHolder, ...] = ()
    defects: tuple[Defect, ...] = ()
    warnings: tuple[str, ...] = ()

    def last_generation(self, key: ContainerKey) -> int:
        return self.generations.get(str(key), 0)


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """What the project wants to know beside its own objects: the images it names, the ports
    that it will publish. Registries are asked only for images whose policy demands it."""

    project: str
    images: tuple[ImageSpec, ...] = ()
    ports: tuple[tuple[str, PortSpec], ...] = ()
    registries: tuple[RegistryAccess, ...] = ()


class ImageSummary(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A row of ``images``: sizes in bytes, times in seconds since the epoch."""

    id: str
    references: tuple[str, ...] = ()
    created: float = 0.0
    size: int = 0


class LogLine(msgspec.Struct, frozen=True, kw_only=True):
    """``time`` is RFC 3339 in UTC; ``text`` has no newline unless ``partial`` is False and the
    program wrote one."""

    time: str
    stream: str
    text: bytes


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """How far a long step is; sizes in bytes, ``total`` None while unknown."""

    what: str
    doing: str
    done: int = 0
    total: int | None = None


Report = Callable[[Progress], None]


class PartVersion(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A row of ``version``: a part of the engine and which one it is."""

    part: str
    version: str


class Runtime(Protocol):
    """The verbs of a runtime. Each may be called again after it was interrupted or done, and
    then finishes or does nothing; each raises a ``Fault`` with the object, cause and next step.
    All but ``observe``, ``containers``, ``images``, ``logs`` and ``versions`` are called by the
    holder of the project's lock, from several threads at a time for different objects."""

    def observe(self, query: Query) -> Observed: ...

    def containers(self) -> tuple[ObservedContainer, ...]:
        """Every container of every project."""
        ...

    def services(self) -> tuple[ObservedService, ...]: ...

    def projects(self) -> tuple[str, ...]: ...

    def adopt_project(self, project: str, spec_path: str) -> None:
        """Record that the project is applied from ``spec_path``."""
        ...

    def forget_project(self, project: str) -> None:
        """Nothing of the project is left: drop its record, and the router with the last one."""
        ...

    def images(self) -> tuple[ImageSummary, ...]: ...

    def pull(self, image: ImageSpec, registries: Sequence[RegistryAccess], report: Report) -> str:
        """Bring the image here and return its id."""
        ...

    def create_network(self, network: NetworkSpec) -> None: ...

    def remove_network(self, project: str, name: str) -> None: ...

    def create_volume(self, volume: VolumeSpec) -> None: ...

    def remove_volume(self, project: str, name: str) -> None:
        """Delete the volume with all data in it."""
        ...

    def register(self, project: str, services: Sequence[ServiceSpec]) -> None:
        """Give services their names, addresses and published ports, or change them, in one go.

        A service that leads nowhere yet refuses connections at once. Raises ``PortTaken``.
        """
        ...

    def unregister(self, project: str, names: Sequence[str]) -> None:
        """Take names, addresses and published ports back."""
        ...

    def create(self, key: ContainerKey, generation: int, spec: ContainerSpec) -> None:
        """Make a generation, whole but not running."""
        ...

    def start(self, id: str) -> None:
        """Make a created, exited or lost generation run. Ends a hold."""
        ...

    def await_ready(self, id: str, ports: Sequence[PortSpec], timeout: float) -> None:
        """Wait until it listens on the TCP ports given, at most ``timeout`` seconds; raises when
        it ends before."""
        ...

    def serve(self, project: str, service: str, ids: Sequence[str]) -> None:
        """Lead the service to these generations, in one transaction."""
        ...

    def update(self, id: str, spec: ContainerSpec) -> None:
        """Make what can change in place as ``spec`` says; the process is not touched."""
        ...

    def mend(self, id: str | None) -> None:
        """Restore what the observed defects named: of the host (None) or of one generation."""
        ...

    def stop(self, id: str, *, by_hand: bool = False) -> None:
        """Signal, wait for the grace period, kill. ``by_hand`` makes it held."""
        ...

    def remove(self, id: str) -> None:
        """Kill what is left of a generation and remove all of it; its volumes stay."""
        ...

    def logs(self, id: str, *, tail: int | None, follow: bool) -> Iterator[LogLine]: ...

    def wait_for_change(self, timeout: float) -> bool:
        """Block until something in the runtime may have changed; False when only time passed."""
        ...

    def versions(self) -> tuple[PartVersion, ...]: ...

    def close(self) -> None: ...


def encode(value: msgspec.Struct) -> bytes:
    """JSON with sorted keys, so that equal values give equal bytes."""
    return msgspec.json.encode(value, order="sorted")
