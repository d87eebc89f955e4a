"""The world as a runtime finds it."""

from enum import StrEnum

import msgspec

from runtime.api.container import ContainerSpec, RestartPolicy
from runtime.api.health import Health, Healthcheck
from runtime.api.identity import ContainerKey
from runtime.api.network import NetworkSpec
from runtime.api.service import PortSpec, ServiceSpec
from runtime.api.volume import VolumeSpec


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
    WISH = "wish"  # runs, and shall not: `start` takes that back, the process untouched


class Defect(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """``cause`` in words for people: "the veth of web is gone"."""

    kind: DefectKind
    cause: str


class Limits(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Live values of the cgroup; None is unlimited, and for ``mem_reservation``, ``cpu_shares`` and
    ``cpuset`` the kernel's default."""

    mem_limit: int | None = None
    memswap_limit: int | None = None
    mem_reservation: int | None = None
    cpus: float | None = None
    cpu_shares: int | None = None
    cpuset: str | None = None
    pids_limit: int | None = None


class ObservedImage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An image that the project names. ``id`` is None while it is not here; ``stale`` says why
    what is here is not what the spec means any more ("site.tar changed", "registry has …").
    ``named``: the spec's name leads to it; else that takes an `ensure`, which asks no registry.
    ``tags`` are those of the spec that mean it here, ``pushed`` those of its ``push`` that mean it
    in their registries, too; ``astray`` says what registries have in place of others of them.
    ``unheard`` leads from references whose registry was asked what they mean, and did not tell, to
    why in words. ``alone`` is the one platform that leaves when an image is pushed that came for
    several, "" when nothing is left behind."""

    name: str
    id: str | None = None
    stale: str = ""
    named: bool = True
    tags: tuple[str, ...] = ()
    pushed: tuple[str, ...] = ()
    astray: dict[str, str] = {}
    unheard: dict[str, str] = {}
    alone: str = ""


class ObservedVolume(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """``path`` is where the data lies on the host; ``created`` in seconds since the epoch."""

    applied: VolumeSpec
    path: str = ""
    created: float = 0.0


class ObservedNetwork(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """``subnet`` and ``subnet6`` are the real ones, also when the engine picked them; gateways
    are the router's addresses in them. Of an external network ``applied`` is what its owner
    said."""

    applied: NetworkSpec
    subnet: str
    gateway: str = ""
    subnet6: str = ""
    gateway6: str = ""


class PublishedPort(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, order=True):
    """A published port with the host port that it really has."""

    spec: PortSpec
    host_port: int


class ObservedService(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """``targets`` are ids of generations that the service leads to."""

    applied: ServiceSpec
    addresses: dict[str, str] = {}
    addresses6: dict[str, str] = {}
    ports: tuple[PublishedPort, ...] = ()
    targets: tuple[str, ...] = ()


class ObservedContainer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One generation. Times are seconds since the epoch; ``exit_code`` is None while it runs and
    when it is unknown; ``limits`` and ``restart`` are those at work, None when none is.

    ``held`` was stopped by hand, ``stopped`` by us: for a successor, or since it did not start.
    ``healthcheck`` is the one at work, the image's own included, None for none; ``health`` is None
    without one and while it does not run. ``shares`` leads from names of containers whose
    namespaces it lives in to the ids of the generations that it joined.
    ``addresses`` by the project's name of the network; ``interfaces`` too (``eth0``).
    """

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
    stopped: bool = False
    restarts: int = 0
    created_at: float = 0.0
    started_at: float | None = None
    finished_at: float | None = None
    healthcheck: Healthcheck | None = None
    health: Health | None = None
    addresses: dict[str, str] = {}
    addresses6: dict[str, str] = {}
    interfaces: dict[str, str] = {}
    shares: dict[str, str] = {}
    limits: Limits | None = None
    restart: RestartPolicy | None = None
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
