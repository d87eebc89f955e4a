"""What containers stand on: the project's record, the host's part, networks, volumes."""

from collections.abc import Collection, Iterator

from reconciler.desired import Desired
from reconciler.plan import AdoptProject, CreateNetwork, CreateVolume, Mend
from reconciler.planning.edges import Draft
from reconciler.planning.lifecycle import GROUND
from runtime.api import DefectKind, Observed, VolumeSpec
from specs.scalars import render_mode, render_owner


def adoption(desired: Desired, observed: Observed) -> Iterator[Draft]:
    """The project is recorded before anything of it is made."""
    if desired.spec_path != observed.spec_path:
        taken = f"taken over from {observed.spec_path}" if observed.spec_path else "new here"
        yield Draft(
            name=("adopt", "project"),
            action=AdoptProject(spec_path=desired.spec_path),
            object=f"project {desired.project}",
            reasons=(taken,),
        )


def foreign_path(desired: Desired, observed: Observed, *, take_over: bool) -> Iterator[str]:
    """A second folder of the same name is refused: it would remove what the first declared."""
    if observed.spec_path and desired.spec_path != observed.spec_path and not take_over:
        yield (
            f"project {desired.project} is applied from {observed.spec_path}, not from"
            f" {desired.spec_path}; --take-over makes this folder its spec"
        )


def host_mend(observed: Observed) -> Iterator[Draft]:
    causes = tuple(d.cause for d in observed.defects if d.kind is DefectKind.HOST)
    if causes:
        yield Draft(
            name=("mend host", "host"),
            action=Mend(),
            object="the host's network",
            after=frozenset({("adopt", "project")}),
            reasons=causes,
        )


def networks(desired: Desired, observed: Observed, names: Collection[str]) -> Iterator[Draft]:
    for name in sorted(names):
        if name not in observed.networks:
            yield Draft(
                name=("network", name),
                action=CreateNetwork(network=desired.networks[name]),
                object=f"network {name}",
                after=GROUND,
                places=(desired.place("network", name),),
            )


def volumes(desired: Desired, observed: Observed, names: Collection[str]) -> Iterator[Draft]:
    for name in sorted(names):
        if name not in observed.volumes:
            yield Draft(
                name=("volume", name),
                action=CreateVolume(volume=desired.volumes[name]),
                object=f"volume {name}",
                after=GROUND,
                places=(desired.place("volume", name),),
            )


# --- what cannot change while it is used --------------------------------------------------------


def network_problems(desired: Desired, observed: Observed) -> Iterator[str]:
    for name, network in sorted(desired.networks.items()):
        there = observed.networks.get(name)
        if there and network.subnet and network.subnet not in (there.applied.subnet, there.subnet):
            yield (
                f"network {name}: subnet {there.subnet} → {network.subnet}"
                f"{_at(desired, 'network', name, 'subnet')} cannot change while the project runs;"
                " `trueup down`, then apply again"
            )


def volume_notes(desired: Desired, observed: Observed) -> Iterator[str]:
    """Owner and mode are given to a volume when it is made; its data is not touched later."""
    for name, volume in sorted(desired.volumes.items()):
        there = observed.volumes.get(name)
        if there is None or there.applied == volume:
            continue
        for field, was, now in _volume_changes(there.applied, volume):
            where = _at(desired, "volume", name, field)
            yield f"volume {name}: {field} {was} → {now}{where} takes effect on a new volume only"


def _volume_changes(was: VolumeSpec, now: VolumeSpec) -> Iterator[tuple[str, str, str]]:
    if was.owner != now.owner:
        yield "owner", _owner(was), _owner(now)
    if was.mode != now.mode:
        yield "mode", _mode(was), _mode(now)


def _owner(volume: VolumeSpec) -> str:
    return render_owner(volume.owner) if volume.owner else "unset"


def _mode(volume: VolumeSpec) -> str:
    return "unset" if volume.mode is None else render_mode(volume.mode)


def _at(desired: Desired, kind: str, name: str, field: str) -> str:
    place = desired.place(kind, name, field)
    return f" ({place})" if place else ""
