"""Taking a project down: everything of it goes, and of its volumes those that are named."""

from collections.abc import Iterator

from reconciler.plan import ForgetProject, Impact, Plan, RemoveVolume
from reconciler.planning import changes, prune, services
from reconciler.planning.edges import Draft, number
from reconciler.planning.lifecycle import label
from reconciler.planning.project import fingerprint
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
    there = ", ".join(sorted(observed.volumes)) or "none"
    for name in sorted(volumes - observed.volumes.keys()):
        yield f"project {observed.project} has no volume {name}; its volumes: {there}"


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
