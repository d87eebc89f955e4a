"""Volumes: made once, never removed by themselves, and made anew only by somebody who says so.

What a volume is made from (owner, mode, options of its driver, name) cannot change under its data;
its labels can.
"""

from collections.abc import Collection, Iterator

from reconciler.desired import Desired
from reconciler.plan import CreateVolume, Impact, RemoveVolume
from reconciler.planning.edges import Draft, Name
from reconciler.planning.lifecycle import GROUND
from reconciler.planning.update_order import uses
from runtime.api import Observed, VolumeSpec
from specs.scalars import render_mode, render_owner


def volumes(
    desired: Desired,
    observed: Observed,
    names: Collection[str],
    mounted: Collection[str],
    remade: frozenset[str],
) -> Iterator[Draft]:
    """Those to make, and those whose data goes so that they can be made anew; of others those that
    somebody is about to mount, so that the runtime knows what is meant."""
    for name in sorted(names):
        volume = desired.volumes[name]
        if name in remade:
            yield _remove(observed, name, tuple(_changes(desired, observed, volume)))
        new = name in remade or name not in observed.volumes
        reasons = () if new else tuple(_relabelled(desired, observed, volume))
        if name in mounted if volume.external else new or reasons:
            yield Draft(
                name=("volume", name),
                action=CreateVolume(volume=volume),
                object=f"volume {name}",
                after=GROUND | {("remove volume", name)},
                reasons=reasons,
                places=(desired.place("volume", name),),
            )


def _remove(observed: Observed, name: str, why: tuple[str, ...]) -> Draft:
    users = [each for each in observed.containers if uses(each, frozenset({name}))]
    stopped: set[Name] = {("stop", each.id) for each in users}
    return Draft(
        name=("remove volume", name),
        action=RemoveVolume(name=name),
        object=f"volume {name}",
        after=GROUND | stopped,
        reasons=(*why, "made anew, deleted with all data in it"),
        impact=Impact.DATA,
    )


def to_remake(desired: Desired, observed: Observed, allowed: frozenset[str]) -> frozenset[str]:
    """Of the volumes that may be made anew those that must be."""
    return frozenset(
        name for name in allowed & desired.volumes.keys() if _changed(desired, observed, name)
    )


def _changed(desired: Desired, observed: Observed, name: str) -> bool:
    return any(True for _ in _changes(desired, observed, desired.volumes[name]))


def problems(desired: Desired, observed: Observed, allowed: frozenset[str]) -> Iterator[str]:
    """Definitions that changed, where nobody said that data may go; volumes of others that are
    not there; names that are none."""
    for name, volume in sorted(desired.volumes.items()):
        changes = ", ".join(_changes(desired, observed, volume))
        if changes and name not in allowed:
            yield (
                f"volume {name}: {changes} needs a new volume, and all data in it would be lost;"
                f" take the change back, or allow it with `trueup apply --recreate-volume {name}`"
            )
        if volume.external and name not in observed.volumes:
            yield (
                f"volume {name}{_at(desired, name, 'external')} is external, and nobody has a"
                f" volume {volume.known_as}; apply the project that it belongs to, or see"
                " `trueup volume ls`"
            )
    for name in sorted(allowed - desired.volumes.keys()):
        known = ", ".join(sorted(desired.volumes)) or "none"
        yield f"the spec has no volume {name}; its volumes: {known}"


def notes(desired: Desired, observed: Observed, allowed: frozenset[str]) -> Iterator[str]:
    for name in sorted(allowed & desired.volumes.keys()):
        if name in observed.volumes and not _changed(desired, observed, name):
            yield f"volume {name} is as its spec says; its data is kept"


def own_volumes(observed: Observed) -> frozenset[str]:
    """Volumes of the project itself, by name: others belong to other projects."""
    return frozenset(
        name
        for name, each in observed.volumes.items()
        if each.applied.project == observed.project and not each.applied.external
    )


def _changes(desired: Desired, observed: Observed, volume: VolumeSpec) -> Iterator[str]:
    """``owner 27:27 → 28:28 (shop.yaml:5)``"""
    there = observed.volumes.get(volume.name)
    if there is None or volume.external:
        return
    was = there.applied
    if was.owner != volume.owner:
        yield f"owner {_owner(was)} → {_owner(volume)}{_at(desired, volume.name, 'owner')}"
    if was.mode != volume.mode:
        yield f"mode {_mode(was)} → {_mode(volume)}{_at(desired, volume.name, 'mode')}"
    for key in sorted(was.driver_opts.keys() | volume.driver_opts.keys()):
        old, new = was.driver_opts.get(key), volume.driver_opts.get(key)
        if old != new:
            place = _at(desired, volume.name, "driver_opts")
            yield f"driver_opts {key} {old or 'unset'} → {new or 'unset'}{place}"
    if was.known_as != volume.known_as:
        yield f"name {was.known_as} → {volume.known_as}{_at(desired, volume.name, 'name')}"


def _relabelled(desired: Desired, observed: Observed, volume: VolumeSpec) -> Iterator[str]:
    """What can change under the data."""
    if not volume.external and observed.volumes[volume.name].applied.labels != volume.labels:
        yield f"labels changed{_at(desired, volume.name, 'labels')}"


def _owner(volume: VolumeSpec) -> str:
    return render_owner(volume.owner) if volume.owner else "unset"


def _mode(volume: VolumeSpec) -> str:
    return "unset" if volume.mode is None else render_mode(volume.mode)


def _at(desired: Desired, name: str, field: str) -> str:
    place = desired.place("volume", name, field)
    return f" ({place})" if place else ""
