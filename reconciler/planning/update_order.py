"""Whether an old generation must stop before the new one starts.

Starting first leaves no gap, but two generations at a time must not share what only one may
use: a writable volume or folder, or the volumes without a name that go with the container.
"""

from collections.abc import Iterator

from runtime.api import (
    AnonymousMount,
    BindMount,
    ContainerSpec,
    DefectKind,
    ObservedContainer,
    VolumeMount,
)


def stop_first(old: ObservedContainer, new: ContainerSpec) -> str:
    """Why the old one must stop first, in words; "" when the new one may start beside it."""
    if old.applied is None:
        return "what it uses is not known"
    if is_broken(old):
        return "its files are gone"
    inherited = next(iter(sorted(_inherited(old, old.applied, new))), "")
    if inherited:
        return f"both would use its volume {inherited}"
    shared = shared_writable(old.applied, new)
    return f"both would use {shared}" if shared else ""


def is_broken(container: ObservedContainer) -> bool:
    """Whether its files are gone: then nothing else that is said of it can be relied on, and a
    process of it may run that does not show."""
    return any(defect.kind is DefectKind.BUNDLE for defect in container.defects)


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
