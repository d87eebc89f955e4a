"""Whether an old generation must stop before the new one starts.

Starting first leaves no gap, but two generations at a time must not share what only one may
use: a writable volume or folder, the volumes without a name that go with the container, a fixed
address, a device, the namespaces of somebody else.
"""

from collections.abc import Iterable, Iterator

from runtime.api import (
    AnonymousMount,
    Attachment,
    BindMount,
    ContainerSpec,
    DefectKind,
    ObservedContainer,
    UpdateOrder,
    VolumeMount,
)


def stop_first(old: ObservedContainer, new: ContainerSpec, remade: frozenset[str]) -> str:
    """Why the old one must stop first, in words; "" when the new one may start beside it.
    ``remade`` are volumes whose data goes."""
    if old.applied is None:
        return "what it uses is not known"
    if is_broken(old):
        return "its files are gone"
    if what := exclusive(old, old.applied, new):
        return f"both would use {what}"
    if uses(old, remade):
        return "its data is deleted"
    return "update.order says so" if new.update.order is UpdateOrder.STOP_FIRST else ""


def refusal(old: ObservedContainer, new: ContainerSpec) -> str:
    """What forbids the start-first that the spec asks for; "" when nothing does."""
    if new.update.order is not UpdateOrder.START_FIRST or old.applied is None or is_broken(old):
        return ""
    return exclusive(old, old.applied, new)


def exclusive(old: ObservedContainer, applied: ContainerSpec, new: ContainerSpec) -> str:
    """What both generations would use and only one may, in words; or ""."""
    if inherited := min(_inherited(old, applied, new), default=""):
        return f"its volume {inherited}"
    return shared_writable(applied, new) or min(_singular(applied) & _singular(new), default="")


def fixed(places: Iterable[Attachment]) -> frozenset[str]:
    """The addresses that are asked for by number."""
    both = (address for each in places for address in (each.ipv4_address, each.ipv6_address))
    return frozenset(address for address in both if address)


def holders(
    places: Iterable[Attachment], leaving: Iterable[ObservedContainer]
) -> Iterator[ObservedContainer]:
    """Those that have one of the fixed addresses until they are removed."""
    wanted = fixed(places)
    for each in leaving:
        if each.applied and wanted & fixed(each.applied.networks):
            yield each


def _singular(spec: ContainerSpec) -> set[str]:
    """What only one process at a time can have: addresses, devices, namespaces of others."""
    modes = {"network": spec.network_mode, "pid": spec.pid, "ipc": spec.ipc, "uts": spec.uts}
    return {
        *(f"the address {address}" for address in fixed(spec.networks)),
        *(f"the device {each.source}" for each in spec.devices),
        *(_namespace(kind, mode) for kind, mode in modes.items() if _is_of_others(mode)),
    }


def _is_of_others(mode: str) -> bool:
    return mode == "host" or mode.startswith("service:")


def _namespace(kind: str, mode: str) -> str:
    """``the network namespace of the host``, ``the pid namespace of db``"""
    whose = "the host" if mode == "host" else mode.removeprefix("service:")
    return f"the {kind} namespace of {whose}"


def is_broken(container: ObservedContainer) -> bool:
    """Whether its files are gone: then nothing else that is said of it can be relied on, and a
    process of it may run that does not show."""
    return any(defect.kind is DefectKind.BUNDLE for defect in container.defects)


def uses(container: ObservedContainer, volumes: frozenset[str]) -> bool:
    """Whether it mounts one of these volumes."""
    mounts = container.applied.mounts if container.applied else ()
    return any(isinstance(mount, VolumeMount) and mount.volume in volumes for mount in mounts)


def shared_writable(one: ContainerSpec, other: ContainerSpec) -> str:
    """What both mount and at least one may write to: ``volume data``, ``/srv/www``; or ""."""
    shared = (
        what
        for what, writable in _uses(one)
        for also, writable_too in _uses(other)
        if (writable or writable_too) and _overlap(what, also)
    )
    return min(shared, default="")


def _uses(spec: ContainerSpec) -> Iterator[tuple[str, bool]]:
    """(what is mounted from outside, whether it may be written to)"""
    for mount in spec.mounts:
        if isinstance(mount, VolumeMount):
            yield f"volume {mount.volume}", not mount.read_only
        elif isinstance(mount, BindMount):
            yield mount.source.rstrip("/"), not mount.read_only


def _overlap(one: str, other: str) -> bool:
    """Whether two folders (or volumes) are the same or one holds the other."""
    return one == other or one.startswith(f"{other}/") or other.startswith(f"{one}/")


def _inherited(old: ObservedContainer, applied: ContainerSpec, new: ContainerSpec) -> Iterator[str]:
    """Volumes without a name that the new generation takes over from the old: those of the spec by
    target, those of its image by what the runtime calls them."""
    replaced = {m.target for m in new.mounts if not isinstance(m, AnonymousMount)}
    own = {m.target for m in applied.mounts if isinstance(m, AnonymousMount)}
    yield from own - replaced
    if len(old.volumes) > len(own):
        yield from {*old.volumes} - own - replaced
