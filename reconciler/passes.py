"""One pass: look, plan, and make it so. ``apply``, ``down`` and ``watch`` differ in what they aim
at and in whom they tell, not in how.

A first look takes no lock: where nothing is to be done, nothing is written and nobody waits.
Otherwise the project's lock is taken and the look is taken again, since whoever held the lock
may have changed everything.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, Protocol

import msgspec

from reconciler.desired import Desired
from reconciler.plan import Plan
from runtime.api import Observed, Query, RegistryAccess, Runtime
from runtime.errors import Fault

if TYPE_CHECKING:
    from reconciler.executor.events import Outcome, StepEvent
    from reconciler.records.plan_file import KeptPlan

_TOLD = 5  # of the objects that moved


class CannotBegin(Fault):
    """Something forbids the first step; nothing was done."""

    def __init__(self, project: str, problems: tuple[str, ...]) -> None:
        self.problems = problems
        super().__init__(f"{project}: nothing was changed", hint="\n".join(problems))


class WorldMoved(Fault):
    """The world is not the one that a plan was made for."""

    def __init__(self, project: str, moved: Sequence[str]) -> None:
        self.project, self.moved = project, tuple(moved)
        told = ", ".join(moved[:_TOLD]) + (", ..." if len(moved) > _TOLD else "")
        super().__init__(
            f"{project}: the world has moved since the plan was made, and nothing was changed",
            why=f"different now: {told}",
            hint="make a new plan with `trueup plan -o FILE`, or apply without --plan",
        )


class Aim(Protocol):
    """What a pass makes true."""

    @property
    def project(self) -> str: ...

    @property
    def registries(self) -> tuple[RegistryAccess, ...]: ...

    def plan(self, runtime: Runtime) -> Plan:
        """What is to be done now; only looks."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """The project as a spec wants it. ``explicit``: somebody asked for it now, so that what
    failed or was stopped by hand starts again; ``only`` names containers, empty means all;
    ``recreate`` names volumes whose data may go."""

    desired: Desired
    explicit: bool
    only: frozenset[str] = frozenset()
    take_over: bool = False
    recreate: frozenset[str] = frozenset()

    @property
    def project(self) -> str:
        return self.desired.project

    @property
    def registries(self) -> tuple[RegistryAccess, ...]:
        return self.desired.registries

    def plan(self, runtime: Runtime) -> Plan:
        return self._plan(runtime, runtime.observe(self.desired.query()))

    def _plan(self, runtime: Runtime, observed: Observed) -> Plan:
        from reconciler.planning import plan

        made = plan(
            self.desired,
            observed,
            explicit=self.explicit,
            only=self.only,
            take_over=self.take_over,
            recreate=self.recreate,
        )
        return _noted(made, self.desired.spec_path, runtime)

    def kept(self, runtime: Runtime, spec: str) -> "KeptPlan":
        """The plan together with the world that it is for; ``spec`` is the path that it is of."""
        from reconciler.planning.world import parts
        from reconciler.records.plan_file import KeptPlan

        query = self.desired.query()
        observed = runtime.observe(query)
        return KeptPlan(
            spec=spec,
            plan=self._plan(runtime, observed),
            world=parts(observed),
            query=msgspec.structs.replace(query, registries=()),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Exactly:
    """What a kept plan says, in the world that it was made for."""

    kept: "KeptPlan"
    registries: tuple[RegistryAccess, ...]

    @property
    def project(self) -> str:
        return self.kept.plan.project

    def plan(self, runtime: Runtime) -> Plan:
        """Raises ``WorldMoved``."""
        from reconciler.planning.world import moved, parts

        query = msgspec.structs.replace(self.kept.query, registries=self.registries)
        if names := moved(self.kept.world, parts(runtime.observe(query))):
            raise WorldMoved(self.project, names)
        return self.kept.plan


@dataclass(frozen=True, slots=True, kw_only=True)
class Absence:
    """Nothing of the project, except its volumes; those named in ``volumes`` go, too.
    ``folder`` is the one whose spec named the project, "" when somebody named it outright."""

    project: str
    folder: str = ""
    volumes: frozenset[str] = frozenset()
    every_volume: bool = False

    @property
    def registries(self) -> tuple[RegistryAccess, ...]:
        return ()

    def plan(self, runtime: Runtime) -> Plan:
        from reconciler.planning import plan_down

        observed = runtime.observe(Query(project=self.project))
        volumes = frozenset(observed.volumes) if self.every_volume else self.volumes
        made = plan_down(observed, volumes=volumes, folder=self.folder)
        nothing = made.converged and not observed.volumes
        return _noted(made, self.folder, runtime) if self.folder or nothing else made


def _noted(plan: Plan, folder: str, runtime: Runtime) -> Plan:
    """The plan that also notes which projects were left behind in its folder; where its project
    was named outright (""), that it is not here."""
    from reconciler import strays

    applied = runtime.projects()
    if folder:
        notes = strays.notes(plan.project, folder, applied)
    else:
        notes = strays.unknown(plan.project, applied)
    return msgspec.structs.replace(plan, notes=(*plan.notes, *notes)) if notes else plan


class Spectator(Protocol):
    """Who is told what a pass does, and may stop it."""

    def waiting(self, holder: str) -> None:
        """Somebody else works on the project."""
        ...

    def resuming(self, told: str) -> None:
        """A run before this one was killed."""
        ...

    def refused(self, plan: Plan) -> None:
        """Problems of the plan forbid to begin; ``CannotBegin`` follows."""
        ...

    def planned(self, plan: Plan) -> bool:
        """This will be done, unless the answer is False."""
        ...

    def stepped(self, event: "StepEvent") -> None:
        """A step began, went on or ended."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """What a pass came to; ``outcome`` is None when nothing was to be done or it was declined."""

    plan: Plan
    outcome: "Outcome | None" = None


def _nothing() -> None:
    """The folders are there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Records:
    """Where a pass keeps its journal and finds the locks; ``lock_timeout`` in seconds,
    ``command`` is what the journal calls us. ``prepare`` is called before either is made."""

    command: str
    journal: Path
    locks: Path
    lock_timeout: float | None = None
    prepare: Callable[[], None] = _nothing


def make_true(
    aim: Aim,
    runtime: Runtime,
    records: Records,
    spectator: Spectator,
    *,
    timeout: float | None = None,
) -> Finished:
    """Carry out what the aim needs; no step is begun after ``timeout`` seconds.

    Raises ``CannotBegin`` and ``Locked``, and whatever looking raises; what single steps raise
    is in the outcome.
    """
    plan = aim.plan(runtime)
    # What forbids the first step may only be somebody who is just taking it: a port that is being
    # reserved looks like a stranger's. So where others may be at work, nothing is refused on a
    # look without the lock.
    if plan.problems and not records.locks.exists():
        _refuse(plan, aim, spectator)
    if plan.converged and not plan.problems:
        return Finished(plan=plan)
    with _locked(aim.project, records, spectator):
        plan = aim.plan(runtime)
        if plan.problems:
            _refuse(plan, aim, spectator)
        if plan.converged or not spectator.planned(plan):
            return Finished(plan=plan)
        outcome = _execute(plan, aim, runtime, records, spectator, timeout)
        return Finished(plan=plan, outcome=outcome)


def _refuse(plan: Plan, aim: Aim, spectator: Spectator) -> NoReturn:
    spectator.refused(plan)
    raise CannotBegin(aim.project, plan.problems)


@contextmanager
def _locked(project: str, records: Records, spectator: Spectator) -> Iterator[None]:
    from reconciler.records.writer_lock import project_lock

    records.prepare()
    with project_lock(
        records.locks, project, timeout=records.lock_timeout, waiting=spectator.waiting
    ):
        yield


def _execute(
    plan: Plan,
    aim: Aim,
    runtime: Runtime,
    records: Records,
    spectator: Spectator,
    timeout: float | None,
) -> "Outcome":
    from reconciler.executor.aftermath import settle
    from reconciler.executor.recovery import interrupted
    from reconciler.executor.walk import execute
    from reconciler.records.journal import Journal

    began = time.time()
    with Journal(records.journal, command=records.command) as journal:
        if told := interrupted(journal, plan.project):
            spectator.resuming(told)
        outcome = execute(
            plan, runtime, journal, aim.registries, progress=spectator.stepped, timeout=timeout
        )
    return settle(outcome, runtime, spectator.stepped, since=began)
