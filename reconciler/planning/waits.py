"""What a container waits for before it starts: that others are there, well, or done.

Whoever is waited for is waited for once, however many need it. What is well or done already is no
step.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from reconciler.desired import Desired
from reconciler.plan import AwaitCompleted, AwaitHealthy
from reconciler.planning.containers import Fate, label
from reconciler.planning.edges import Draft, Name
from reconciler.planning.fates import Fates
from reconciler.planning.stopped import RUNNING, Fortune
from runtime.api import (
    Condition,
    ContainerSpec,
    Dependency,
    Healthcheck,
    HealthStatus,
    Observed,
    ObservedContainer,
    Phase,
)

_VERB = {Condition.HEALTHY: "healthy", Condition.COMPLETED: "completed"}


def serves(name: str, fates: Iterable[Fate]) -> frozenset[Name]:
    """The steps that lead a service from wave to wave."""
    last = max((fate.wave for fate in fates), default=0)
    return frozenset(("serve", name, str(wave)) for wave in range(last + 1))


def arrival(name: str, fates: Iterable[Fate]) -> frozenset[Name]:
    """What must be done before others may count on a container."""
    fates = tuple(fates)
    verbs = ("create", "update", "mend", "start", "ready", "proof")
    return serves(name, fates) | {(verb, f.id) for f in fates if f.id for verb in verbs}


@dataclass(frozen=True, slots=True, kw_only=True)
class Waits:
    """Who needs whom in a plan."""

    desired: Desired
    observed: Observed
    fates: Fates

    def before(self, fate: Fate) -> tuple[frozenset[Name], frozenset[Name]]:
        """What must be done before it starts, and what must only have been tried."""
        done: set[Name] = set()
        tried: set[Name] = set()
        for dependency in fate.spec.depends_on:
            (done if dependency.required else tried).update(self._met(dependency))
        for name in fate.spec.shares:
            done |= arrival(name, self.fates.get(name, ()))
        return frozenset(done), frozenset(tried - done)

    def _met(self, dependency: Dependency) -> frozenset[Name]:
        """The steps after which the condition holds."""
        of_it = self.fates.get(dependency.name, ())
        names = arrival(dependency.name, of_it)
        if dependency.condition is Condition.STARTED:
            return names
        verb = _VERB[dependency.condition]
        return names | {(verb, one.id) for one in self._ones(dependency.name)}

    def drafts(self) -> Iterator[Draft]:
        """The waiting itself. A job that runs anew is waited for even if nobody starts for it."""
        for (name, condition), who in sorted(self._asked().items()):
            starting = any(fate.starts for each in who for fate in self.fates[each])
            for one in self._ones(name):
                job = condition is Condition.COMPLETED
                wanted = starting or (job and one.starts)
                if wanted and (job or one.checked) and not one.meets(condition):
                    yield _await(one, condition, who)

    def problems(self) -> Iterator[str]:
        """Waits for the health of what has no health check."""
        for name, fates in self.fates.items():
            starting = [fate for fate in fates if fate.starts]
            for each in starting[0].spec.depends_on if starting else ():
                if each.required and self._checkless(each):
                    place = self.desired.place("container", name, "depends_on")
                    yield (
                        f"{name}{f' ({place})' if place else ''} waits for {each.name} to be"
                        f" healthy, and {each.name} has no health check; give it a"
                        " `healthcheck:`, or write `condition: service_started`"
                    )

    def _checkless(self, dependency: Dependency) -> bool:
        ones = self._ones(dependency.name)
        return dependency.condition is Condition.HEALTHY and any(not one.checked for one in ones)

    def _asked(self) -> dict[tuple[str, Condition], list[str]]:
        """By dependency and condition those that name them."""
        asked: dict[tuple[str, Condition], list[str]] = {}
        for name, fates in self.fates.items():
            for each in fates[0].spec.depends_on:
                if each.condition is not Condition.STARTED:
                    asked.setdefault((each.name, each.condition), []).append(name)
        return asked

    def _ones(self, name: str) -> list["_One"]:
        """The generations of a container that others wait for; of one that the plan leaves out
        those that run."""
        if name in self.fates:
            return [_planned(fate) for fate in self.fates[name] if fate.id]
        running = (c for c in self.observed.containers if c.key.name == name)
        return [_standing(each) for each in running if each.phase in RUNNING and each.applied]


@dataclass(frozen=True, slots=True, kw_only=True)
class _One:
    """A generation that is waited for. ``there`` is it as it is, None while it is to be made."""

    id: str
    of: Fate | ObservedContainer
    spec: ContainerSpec
    there: ObservedContainer | None
    starts: bool = False
    done: bool = False

    @property
    def checked(self) -> bool:
        """Whether it has a health check, as far as can be known: an image that is not here yet
        may bring one."""
        if self.spec.healthcheck is not None:
            return not self.spec.healthcheck.disabled
        known = self.there is not None and self.there.phase is Phase.RUNNING
        return not known or (self.there is not None and self.there.healthcheck is not None)

    @property
    def patience(self) -> float:
        """Seconds until it must be healthy, if every check takes its time and fails."""
        at_work = self.there.healthcheck if self.there else None
        check = self.spec.healthcheck or at_work or Healthcheck()
        tries = (check.retries + 1) * (check.interval + check.timeout)
        return max(check.start_period + tries, self.spec.update.healthy_within)

    def meets(self, condition: Condition) -> bool:
        """Whether the condition holds already."""
        if self.starts:
            return False
        if condition is Condition.COMPLETED:
            return self.done
        health = self.there.health if self.there else None
        return health is not None and health.status is HealthStatus.HEALTHY


def _planned(fate: Fate) -> _One:
    return _One(
        id=fate.id,
        of=fate,
        spec=fate.spec,
        there=fate.keep,
        starts=fate.starts,
        done=fate.verdict.fortune is not Fortune.RUNS,
    )


def _standing(container: ObservedContainer) -> _One:
    assert container.applied is not None
    return _One(id=container.id, of=container, spec=container.applied, there=container)


def _await(one: _One, condition: Condition, who: Iterable[str]) -> Draft:
    verb = _VERB[condition]
    healthy = condition is Condition.HEALTHY
    return Draft(
        name=(verb, one.id),
        action=AwaitHealthy(id=one.id, timeout=one.patience)
        if healthy
        else AwaitCompleted(id=one.id),
        object=label(one.of),
        after=frozenset((v, one.id) for v in ("start", "update", "mend", "ready", "proof")),
        reasons=(f"{' and '.join(who)} needs it {'healthy' if healthy else 'done'}",),
    )
