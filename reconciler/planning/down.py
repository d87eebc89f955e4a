"""Taking a project down: everything of it goes, and of its volumes those that are named."""

from collections.abc import Iterator

from reconciler.plan import ForgetProject, Impact, Plan, RemoveVolume
from reconciler.planning import changes, prune, services
from reconciler.planning.edges import Draft, number
from reconciler.planning.lifecycle import label
from reconciler.planning.project import fingerprint
from runtime.api import Observed, ObservedContainer

REASON = "the project is taken down"


def plan_down(observed: Observed, *, volumes: frozenset[str] = frozenset()) -> Plan:
    """What leaves nothing of the project but the volumes that are not named."""
    leaving = tuple(sorted(observed.containers, key=lambda each: (each.key, each.generation)))
    removed = [("remove", each.id) for each in leaving]
    drafts = [
        *prune.containers(leaving, reason=REASON),
        *services.unregister(observed.services, after=removed),
        *prune.networks(observed.networks, reason=REASON, after=[*removed, services.UNREGISTER]),
        *_volumes(observed, volumes, leaving),
    ]
    kept = observed.volumes.keys() - volumes
    return Plan(
        project=observed.project,
        steps=number([*drafts, *_forget(observed, drafts)]),
        changes=changes.ordered(
            (
                *changes.of_objects(drafts, taken_over=False),
                *changes.of_leaving(map(label, leaving), reason=REASON),
            )
        ),
        notes=tuple(f"volume {name} is kept" for name in sorted(kept)) if drafts else (),
        problems=tuple(
            f"project {observed.project} has no volume {name}"
            for name in sorted(volumes - observed.volumes.keys())
        ),
        fingerprint=fingerprint(observed),
    )


def _volumes(
    observed: Observed, names: frozenset[str], leaving: tuple[ObservedContainer, ...]
) -> Iterator[Draft]:
    for name in sorted(names & observed.volumes.keys()):
        yield Draft(
            name=("remove volume", name),
            action=RemoveVolume(name=name),
            object=f"volume {name}",
            after=frozenset(("remove", each.id) for each in leaving),
            reasons=("deleted with all data in it",),
            impact=Impact.DATA,
        )


def _forget(observed: Observed, drafts: list[Draft]) -> Iterator[Draft]:
    if drafts or observed.spec_path:
        yield Draft(
            name=("forget", "project"),
            action=ForgetProject(),
            object=f"project {observed.project}",
            after=frozenset(draft.name for draft in drafts),
        )
