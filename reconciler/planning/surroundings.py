"""What a container's steps depend on beside the container itself."""

from dataclasses import dataclass

from reconciler.planning.containers import Fate
from reconciler.planning.stopped import RUNNING
from reconciler.planning.update_order import is_broken, uses
from reconciler.planning.waits import Waits
from runtime.api import ObservedContainer, ObservedService, Phase, ServiceSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """The service of a container as it shall be and as it is, the fates of all its replicas, whom
    it waits for, generations that live in namespaces of others and go, the undeclared ones,
    which go, too, the volumes whose data goes."""

    service: ServiceSpec | None
    served: ObservedService | None
    siblings: tuple[Fate, ...]
    waits: Waits
    explicit: bool
    lodgers: tuple[ObservedContainer, ...] = ()
    leaving: tuple[ObservedContainer, ...] = ()
    remade: frozenset[str] = frozenset()

    @property
    def targets(self) -> tuple[str, ...]:
        """The generations that the service leads to now."""
        return self.served.targets if self.served else ()

    def somebody_answers(self, id: str) -> bool:
        """Whether another generation than this one answers now."""
        there = (
            each
            for fate in self.siblings
            for each in (*((fate.keep,) if fate.keep else ()), *fate.olds, *fate.alone)
        )
        return any(e.id in self.targets and e.phase in RUNNING and e.id != id for e in there)

    @property
    def shares_network(self) -> bool:
        """Whether other containers live in its network namespace."""
        modes = {f"service:{fate.key.name}" for fate in self.siblings}
        found = self.waits.desired.containers.values()
        return any(spec.network_mode in modes for spec in found)

    def fallback(self, fate: Fate) -> str:
        """The generation that answers and is stopped for the new one (or was, by a run before);
        "" when there is none, or what it worked on is gone."""
        if any(uses(old, self.remade) for old in fate.olds):
            return ""
        answering = (old for old in fate.olds if old.id in self.targets and _makes_way(fate, old))
        return next((old.id for old in answering), "")


def _makes_way(fate: Fate, old: ObservedContainer) -> bool:
    if old.held or is_broken(old):
        return False
    if old.phase is Phase.EXITED:
        return old.stopped
    return old.phase is Phase.LOST or (old.phase in RUNNING and bool(fate.stop_first))
