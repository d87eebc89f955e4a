"""The rows of ``ps``: Docker's columns, fields and words."""

import shlex
from collections.abc import Mapping, Sequence

from reconciler.views.ports import ports
from reconciler.views.quantities import ago, duration, timestamp
from reconciler.views.terminal import cut
from runtime.api import (
    BindMount,
    ContainerSpec,
    HealthStatus,
    ObservedContainer,
    ObservedService,
    Phase,
    TmpfsMount,
    VolumeMount,
)

COLUMNS = ("ID", "Image", "Command", "RunningFor", "Status", "Ports", "Names")
TITLES = {
    "ID": "CONTAINER ID",
    "Image": "IMAGE",
    "Command": "COMMAND",
    "RunningFor": "CREATED",
    "CreatedAt": "CREATED AT",
    "Status": "STATUS",
    "State": "STATE",
    "Ports": "PORTS",
    "Names": "NAMES",
    "Labels": "LABELS",
    "Mounts": "MOUNTS",
    "Networks": "NETWORKS",
    "LocalVolumes": "LOCAL VOLUMES",
    "Project": "PROJECT",
    "Generation": "GENERATION",
}
_COMMAND_COLUMNS = 20
_STALE = 2  # times that a check may take, after which nobody seems to ask any more

# Docker's states; a lost container is what it calls dead: no process and no exit code.
STATES = {
    Phase.CREATING: "created",
    Phase.CREATED: "created",
    Phase.RUNNING: "running",
    Phase.RESTARTING: "restarting",
    Phase.EXITED: "exited",
    Phase.LOST: "dead",
}


def rows(
    containers: Sequence[ObservedContainer],
    services: Sequence[ObservedService],
    *,
    now: float,
    full: bool,
) -> list[dict[str, object]]:
    """A row per container; ``full`` cuts neither ids nor commands, ``now`` is in seconds since
    the epoch."""
    named = {(each.applied.project, each.applied.name): each for each in services}
    return [
        _row(each, named.get((each.key.project, each.key.name)), now=now, full=full)
        for each in containers
    ]


def _row(
    container: ObservedContainer, service: ObservedService | None, *, now: float, full: bool
) -> dict[str, object]:
    spec = container.applied or ContainerSpec(image=container.image_id)
    command = shlex.join(container.command)
    serves = service is not None and container.id in service.targets
    mounts = _mounts(spec)
    return {
        "ID": container.id if full else container.id[:12],
        "Image": image(spec.image) if full else _image_column(spec.image),
        "Command": _quoted(command if full else cut(command, _COMMAND_COLUMNS)),
        "CreatedAt": timestamp(container.created_at),
        "RunningFor": ago(container.created_at, now),
        "Status": status(container, now),
        "State": STATES[container.phase],
        "Ports": ports(service.ports) if service is not None and serves else "",
        "Names": str(container.key),
        "Labels": ",".join(f"{key}={value}" for key, value in sorted(spec.labels.items())),
        "Mounts": ",".join(mounts if full else [cut(mount, 15) for mount in mounts]),
        "Networks": ",".join(each.network for each in spec.networks),
        "LocalVolumes": str(len(container.volumes)),
        "Project": container.key.project,
        "Generation": container.generation,
    }


def _quoted(command: str) -> str:
    """In double quotes, as Go's strconv.Quote; control characters are dealt with elsewhere."""
    escaped = command.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def image(name: str) -> str:
    """An image as people call it: of a complete reference the short form; ``site@shop``, which is
    the spec's own, as it is."""
    if "/" not in name:
        return name
    from reconciler.short_names import own_name
    from runtime.reference import parse

    return name if own_name(name) else parse(name).familiar


def _image_column(name: str) -> str:
    if "@" not in name:
        return image(name)
    from reconciler.short_names import undigested

    return undigested(image(name))


def _mounts(spec: ContainerSpec) -> list[str]:
    named = {VolumeMount: "volume", BindMount: "source", TmpfsMount: "target"}
    return [getattr(mount, named[type(mount)]) for mount in spec.mounts if type(mount) in named]


def status(container: ObservedContainer, now: float) -> str:
    """``Up 3 minutes``, ``Exited (0) 5 seconds ago``."""
    code = "?" if container.exit_code is None else str(container.exit_code)
    ended = ago(container.finished_at, now) if container.finished_at else ""
    match container.phase:
        case Phase.RUNNING:
            return f"Up {duration(now - (container.started_at or now))}{_health(container, now)}"
        case Phase.RESTARTING:
            return f"Restarting ({code}) {ended}".rstrip()
        case Phase.EXITED:
            return f"Exited ({code}) {ended}".rstrip()
        case Phase.LOST:
            return "Dead"
        case Phase.CREATED | Phase.CREATING:
            return "Created"


def _health(container: ObservedContainer, now: float) -> str:
    """`` (healthy)`` behind how long it runs, as Docker has it; with the age of the last check
    when nobody has asked for a long time."""
    health, check = container.health, container.healthcheck
    if health is None or check is None:
        return ""
    word = "health: starting" if health.status is HealthStatus.STARTING else str(health.status)
    if health.checked_at is None or now - health.checked_at < _STALE * (
        check.interval + check.timeout
    ):
        return f" ({word})"
    return f" ({word}, checked {ago(health.checked_at, now)})"


def chosen(
    containers: Sequence[ObservedContainer],
    *,
    everything: bool,
    filters: Mapping[str, Sequence[str]],
    last: int | None,
) -> list[ObservedContainer]:
    """The containers that ``ps`` shall show, newest first: the living ones, or all with
    ``everything``, a filter for a status or ``last``; filters of one key are alternatives."""
    everything = everything or last is not None or "status" in filters
    found = [
        each
        for each in containers
        if (everything or each.phase in (Phase.RUNNING, Phase.RESTARTING)) and _fits(each, filters)
    ]
    found.sort(key=lambda each: (-each.created_at, str(each.key), -each.generation))
    return found if last is None else found[:last]


def _fits(container: ObservedContainer, filters: Mapping[str, Sequence[str]]) -> bool:
    tests = {
        "status": lambda wanted: STATES[container.phase] == wanted,
        "name": lambda wanted: wanted in str(container.key),
        "project": lambda wanted: container.key.project == wanted,
        "id": lambda wanted: container.id.startswith(wanted),
        "label": lambda wanted: _labelled(container, wanted),
        "health": lambda wanted: (
            (container.health.status if container.health else "none") == wanted
        ),
    }
    return all(any(map(tests[key], wanted)) for key, wanted in filters.items())


def _labelled(container: ObservedContainer, wanted: str) -> bool:
    labels = container.applied.labels if container.applied else {}
    key, equals, value = wanted.partition("=")
    return key in labels and (not equals or labels[key] == value)


FILTERS = ("status", "name", "project", "id", "label", "health")
HEALTH = (*HealthStatus, "none")
