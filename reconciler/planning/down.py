"""Taking a project down: everything of it goes, and of its volumes those that are named."""

from collections.abc import Iterator

from reconciler.plan import ForgetProject, Impact, Plan, RemoveVolume
from reconciler.planning import changes, prune, services
from reconciler.planning.containers import label
from reconciler.planning.edges import Draft, number
from reconciler.planning.ground import own_networks
from reconciler.planning.volumes import own_volumes
from reconciler.planning.world import fingerprint
from runtime.api import Observed, ObservedContainer

REASON = "the project is taken down"


def plan_down(
    observed: Observed, *, volumes: frozenset[str] = frozenset(), folder: str = ""
) -> Plan:
    """What leaves nothing of the project but the volumes that are not named. ``folder`` is
    where the caller has the project's name from; "" when it was given by itself."""
    leaving = tuple(sorted(observed.containers, key=lambda each: (each.key, each.generation)))
    removed = [("remove", each.id) for each in leaving]
    drafts = [
        *prune.containers(leaving, reason=lambda _leaving: REASON),
        *services.unregister(observed.services, after=removed),
        *prune.networks(
            own_networks(observed), reason=REASON, after=[*removed, services.UNREGISTER]
        ),
        *_volumes(observed, volumes, leaving),
    ]
    kept = own_volumes(observed) - volumes
    return Plan(
        project=observed.project,
        steps=number([*drafts, *_forget(observed, drafts)]),
        changes=changes.ordered(
            (
                *changes.of_objects(drafts, taken_over=False),
                *changes.of_leaving({label(each): REASON for each in leaving}),
            )
        ),
        notes=tuple(f"volume {name} is kept" for name in sorted(kept)) if drafts else (),
        problems=(*_foreign(observed, folder), *_unknown(observed, volumes)),
        fingerprint=fingerprint(observed),
    )


def _foreign(observed: Observed, folder: str) -> Iterator[str]:
    """A second folder of the same name is refused: what it would remove is another spec's."""
    if folder and observed.spec_path and folder != observed.spec_path:
        yield (
            f"project {observed.project} is applied from {observed.spec_path}, not from"
            f" {folder}; `trueup down --project {observed.project}` removes it all the same"
        )


def _unknown(observed: Observed, volumes: frozenset[str]) -> Iterator[str]:
    there = own_volumes(observed)
    known = ", ".join(sorted(there)) or "none"
    for name in sorted(volumes - there):
        yield f"project {observed.project} has no volume {name}; its volumes: {known}"


def _volumes(
    observed: Observed, names: frozenset[str], leaving: tuple[ObservedContainer, ...]
) -> Iterator[Draft]:
    for name in sorted(names & own_volumes(observed)):
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
