"""What containers stand on: the project's record, the host's part, networks."""

from collections.abc import Collection, Iterator

from reconciler.desired import Desired
from reconciler.plan import AdoptProject, CreateNetwork, Mend
from reconciler.planning.edges import Draft
from reconciler.planning.lifecycle import GROUND
from runtime.api import DefectKind, NetworkSpec, Observed, ObservedNetwork


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


# --- networks -----------------------------------------------------------------------------------


def networks(
    desired: Desired, observed: Observed, names: Collection[str], joined: Collection[str]
) -> Iterator[Draft]:
    """Those to make, and those to change while they are used; of others those that somebody is
    about to join, so that the runtime knows what is meant."""
    for name in sorted(names):
        network, there = desired.networks[name], observed.networks.get(name)
        own = there is not None and not network.external
        reasons = tuple(_changes(desired, network, there)) if there and own else ()
        if name in joined if network.external else there is None or reasons:
            yield Draft(
                name=("network", name),
                action=CreateNetwork(network=network),
                object=f"network {name}",
                after=GROUND,
                reasons=reasons,
                places=(desired.place("network", name),),
            )


def _changes(desired: Desired, network: NetworkSpec, there: ObservedNetwork) -> Iterator[str]:
    """A subnet that the spec leaves to the engine stays the one that was picked."""
    applied = there.applied
    if network.subnet not in (None, there.subnet):
        yield f"subnet {there.subnet} → {_renumbered(desired, network, 'subnet', network.subnet)}"
    if network.subnet6 not in (None, there.subnet6):
        was = there.subnet6 or "none"
        yield f"subnet {was} → {_renumbered(desired, network, 'subnet6', network.subnet6)}"
    if network.ipv6 != applied.ipv6:
        yield f"ipv6 {_yes(applied.ipv6)} → {_yes(network.ipv6)}{at(desired, network, 'ipv6')}"
    if network.internal != applied.internal:
        yield (
            f"internal {_yes(applied.internal)} → {_yes(network.internal)}"
            f"{at(desired, network, 'internal')}"
        )
    if network.known_as != applied.known_as:
        yield f"name {applied.known_as} → {network.known_as}{at(desired, network, 'name')}"
    if network.labels != applied.labels:
        yield f"labels changed{at(desired, network, 'labels')}"


def _renumbered(desired: Desired, network: NetworkSpec, field: str, subnet: str | None) -> str:
    return f"{subnet}{at(desired, network, field)}, its connections end"


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def at(desired: Desired, network: NetworkSpec, field: str) -> str:
    place = desired.place("network", network.name, field)
    return f" ({place})" if place else ""


def own_networks(observed: Observed) -> frozenset[str]:
    """Networks of the project itself, by name: others belong to other projects."""
    return frozenset(
        name
        for name, each in observed.networks.items()
        if each.applied.project == observed.project and not each.applied.external
    )


def missing_networks(desired: Desired, observed: Observed) -> Iterator[str]:
    """Networks of others that nobody has, as problems."""
    for name, network in sorted(desired.networks.items()):
        if network.external and name not in observed.networks:
            yield (
                f"network {name}{at(desired, network, 'external')} is external, and nobody has a"
                f" network {network.known_as}; apply the project that it belongs to, or see"
                " `trueup network ls`"
            )
