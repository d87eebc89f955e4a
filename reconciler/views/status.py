"""``status``: every object of a project, whether it is as its spec says, and its containers."""

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from reconciler.desired import Desired, image_label
from reconciler.plan import Plan
from reconciler.planning.stopped import RUNNING
from reconciler.views.containers import STATES, status
from reconciler.views.ports import ports
from reconciler.views.quantities import binary_size
from reconciler.views.tables import aligned, table
from reconciler.views.terminal import escape
from runtime.api import Observed, ObservedContainer


class ObjectState(msgspec.Struct, frozen=True, kw_only=True):
    """``change`` is what ``apply`` would do to the object, "" when it is in sync; ``news`` is what
    registries say about an image now."""

    object: str
    change: str = ""
    reasons: tuple[str, ...] = ()
    news: tuple[str, ...] = ()


class ContainerState(msgspec.Struct, frozen=True, kw_only=True):
    """One generation; ``status`` in Docker's words, ``mem_limit`` in bytes."""

    name: str
    id: str
    generation: int
    state: str
    status: str
    started_at: float | None
    restarts: int
    exit_code: int | None
    pid: int | None
    address: str
    ports: str
    mem_limit: int | None
    defects: tuple[str, ...]


class ProjectState(msgspec.Struct, frozen=True, kw_only=True):
    """All that ``status`` tells."""

    project: str
    spec: str
    in_sync: bool
    containers: tuple[ContainerState, ...]
    objects: tuple[ObjectState, ...]
    problems: tuple[str, ...]
    notes: tuple[str, ...]


def state(
    desired: Desired,
    observed: Observed,
    plan: Plan,
    notes: tuple[str, ...],
    now: float,
    news: Mapping[str, tuple[str, ...]] | None = None,
) -> ProjectState:
    """Put together what is wanted, what is and what ``apply`` would do; ``now`` is in seconds
    since the epoch, ``news`` are those of images, by the name that containers call them."""
    ordered = sorted(observed.containers, key=lambda each: (str(each.key), each.generation))
    return ProjectState(
        project=desired.project,
        spec=desired.spec_path,
        in_sync=plan.converged,
        containers=tuple(_container(each, observed, now) for each in ordered),
        objects=tuple(_objects(desired, plan, news or {})),
        problems=plan.problems,
        notes=tuple(dict.fromkeys((*plan.notes, *notes))),
    )


def _objects(
    desired: Desired, plan: Plan, news: Mapping[str, tuple[str, ...]]
) -> Iterable[ObjectState]:
    """Every declared object, then those that are to be removed or mended."""
    told = {f"image {image_label(desired.images[name])}": each for name, each in news.items()}
    changes = {change.object: (str(change.kind), change.reasons) for change in plan.changes}
    for name in dict.fromkeys((*_declared(desired), *changes)):
        change, reasons = changes.get(name, ("", ()))
        yield ObjectState(object=name, change=change, reasons=reasons, news=told.get(name, ()))


def _declared(desired: Desired) -> list[str]:
    return [
        *(f"image {image_label(desired.images[name])}" for name in sorted(desired.images)),
        *(f"volume {name}" for name in sorted(desired.volumes)),
        *(f"network {name}" for name in sorted(desired.networks)),
        *(f"container {_short(str(key))}" for key in sorted(desired.containers)),
    ]


def _short(name: str) -> str:
    """A container's name inside its project."""
    return name.partition("/")[2]


def _container(container: ObservedContainer, observed: Observed, now: float) -> ContainerState:
    service = observed.services.get(container.key.name)
    serves = service is not None and container.id in service.targets
    return ContainerState(
        name=_short(str(container.key)),
        id=container.id,
        generation=container.generation,
        state=STATES[container.phase],
        status=status(container, now) + _remark(container, now),
        started_at=container.started_at,
        restarts=container.restarts,
        exit_code=container.exit_code,
        pid=container.pid,
        address=", ".join(service.addresses.values()) if service is not None and serves else "",
        ports=ports(service.ports) if service is not None and serves else "",
        mem_limit=container.limits.mem_limit if container.limits else None,
        defects=tuple(defect.cause for defect in container.defects),
    )


_OFTEN = 60.0  # seconds


def _remark(container: ObservedContainer, now: float) -> str:
    """What Docker's words do not tell: a loop of restarts looks like a fresh start there."""
    if container.held:
        return " (held)"
    last = max(container.started_at or 0.0, container.finished_at or 0.0)
    often = container.phase in RUNNING and container.restarts and now - last < _OFTEN
    return " (restarting often)" if often else ""


def render(found: ProjectState) -> str:
    """The state for a terminal."""
    verdict = "in sync" if found.in_sync else "changes are pending"
    parts = [
        f"{found.project} ({found.spec}): {verdict}\n",
        _containers(found.containers),
        aligned([row for each in found.objects for row in _rows(each)]),
        "".join(f"{problem}\n" for problem in found.problems),
        "".join(f"{note}\n" for note in found.notes),
    ]
    return "\n".join(escape(part, keep="\n") for part in parts if part)


_HEADER = ("NAME", "CONTAINER ID", "STATUS", "RESTARTS", "ADDRESS", "PORTS", "MEMORY LIMIT")


def _containers(containers: Sequence[ContainerState]) -> str:
    return table(_HEADER, [_row(each) for each in containers]) if containers else ""


def _row(container: ContainerState) -> Sequence[str]:
    return (
        container.name,
        container.id[:12],
        container.status,
        str(container.restarts),
        container.address,
        container.ports,
        _limit(container),
    )


def _limit(container: ContainerState) -> str:
    """What the kernel holds it to; nothing of what does not run."""
    if container.pid is None:
        return ""
    return "none" if container.mem_limit is None else binary_size(container.mem_limit)


def _rows(found: ObjectState) -> Iterable[tuple[str, str]]:
    verdict = f"pending: {found.change}" if found.change else "in sync"
    yield found.object, "; ".join((verdict, *found.news))
    for reason in found.reasons:
        yield "", reason
