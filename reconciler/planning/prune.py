"""What the project has and its spec does not name any more goes; volumes never do by themselves.

The same steps take a whole project down: containers in the reverse order of their dependencies,
then names, then networks.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

from reconciler.plan import Impact, RemoveContainer, RemoveNetwork, StopContainer
from reconciler.planning.containers import label
from reconciler.planning.edges import Draft, Name
from reconciler.planning.lifecycle import GROUND
from reconciler.planning.stopped import RUNNING
from runtime.api import ObservedContainer

UNDECLARED = "no longer in the spec"


def containers(
    leaving: Collection[ObservedContainer],
    *,
    reason: Callable[[ObservedContainer], str],
    after: Callable[[ObservedContainer], Collection[Name]] = lambda _leaving: (),
) -> Iterator[Draft]:
    """Each stops after all that depend on it have stopped, and is then removed."""
    dependants = _dependants(leaving)
    for each in leaving:
        first = GROUND | frozenset(after(each))
        if each.phase in RUNNING:
            yield Draft(
                name=("stop", each.id),
                action=StopContainer(id=each.id),
                object=label(each),
                after=first | {("stop", id) for id in dependants.get(each.key.name, ())},
                reasons=(reason(each),),
                impact=Impact.DOWNTIME,
            )
        yield Draft(
            name=("remove", each.id),
            action=RemoveContainer(id=each.id),
            object=label(each),
            after=first | {("stop", each.id)},
            reasons=(reason(each),),
        )


def _dependants(leaving: Collection[ObservedContainer]) -> dict[str, list[str]]:
    """Per name the running generations that depend on it.

    What was applied at different times may form a circle: the edge that closes it is left out.
    """
    running = [each for each in leaving if each.phase in RUNNING]
    needs: dict[str, set[str]] = {}
    found: dict[str, list[str]] = {}
    for each in sorted(running, key=lambda one: (one.key, one.generation)):
        for dependency in each.applied.depends_on if each.applied else ():
            if not _reaches(needs, dependency.name, each.key.name):
                needs.setdefault(each.key.name, set()).add(dependency.name)
                found.setdefault(dependency.name, []).append(each.id)
    return found


def _reaches(needs: Mapping[str, set[str]], start: str, goal: str) -> bool:
    """Whether ``start`` needs ``goal``, directly or by others."""
    seen, todo = {start}, [start]
    while todo:
        name = todo.pop()
        if name == goal:
            return True
        new = needs.get(name, set()) - seen
        seen |= new
        todo.extend(new)
    return False


def networks(names: Collection[str], *, reason: str, after: Iterable[Name]) -> Iterator[Draft]:
    for name in sorted(names):
        yield Draft(
            name=("remove network", name),
            action=RemoveNetwork(name=name),
            object=f"network {name}",
            after=GROUND | frozenset(after),
            reasons=(reason,),
        )
