"""``watch``: the loop on one spec, its sources, and its end.

The loop runs in the main thread, so that a signal can end it: between passes at once, within a
pass after the steps that run. Containers go on; their restart policies need nobody.
"""

import random
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from reconciler.loop.controller import Wakes, run
from reconciler.loop.sources.runtime_changes import RuntimeChanges
from reconciler.loop.sources.spec_files import SpecFiles
from reconciler.loop.spec_in_force import SpecInForce
from reconciler.passes import Records, Spec, make_true
from reconciler.plan import Impact, Plan
from reconciler.records.writer_lock import watch_lock
from reconciler.views.outcome import words
from reconciler.views.plan import summary
from runtime.api import Health, HealthStatus, ObservedContainer, Runtime
from runtime.errors import Fault

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

    from reconciler.executor.walk import StepEvent
    from reconciler.loop.health import HealthChecks

Handler = Callable[[int, FrameType | None], None]


class Service:
    """Keeps one project as its spec says until a signal ends it."""

    def __init__(
        self,
        path: Path,
        runtime: Runtime,
        records: Records,
        log: "FilteringBoundLogger",
        *,
        interval: float,
    ) -> None:
        self._spec = SpecInForce(path)
        self._runtime, self._records, self._log = runtime, records, log
        self._interval = interval
        self._wakes = Wakes()
        self._passing = False
        self._broken = ""
        self._health: HealthChecks | None = None
        self._notes: frozenset[str] = frozenset()

    @property
    def project(self) -> str:
        return self._spec.desired.project

    def run(self) -> None:
        """Make passes until SIGTERM or SIGINT."""
        with ExitStack() as stack:
            stack.enter_context(_signals(self._end))
            self._log.info("watching", project=self.project, interval=self._interval)
            if holder := stack.enter_context(self._alone()):
                self._log.warning("second watch", project=self.project, holder=holder)
            self._files = SpecFiles(self._spec_saved, self._source_failed)
            stack.callback(self._files.close)
            changes = RuntimeChanges(self._runtime, self._changed, self._source_failed)
            stack.callback(changes.close)
            stack.callback(self._end_health)
            self._wakes.ask(self.project, "start")
            run(
                self._wakes,
                self._look,
                failed=self._failed,
                interval=self._interval,
                chance=random.random,
            )
        self._log.info("ended", project=self.project)

    def _alone(self) -> AbstractContextManager[str]:
        """Gives who else watches the project; two watches do no harm, but seldom somebody wants
        them."""
        self._records.prepare()
        return watch_lock(self._records.locks, self.project)

    # --- what wakes it ----------------------------------------------------------------------

    def _spec_saved(self) -> None:
        self._wakes.ask(self.project, "spec", urgent=True)

    def _changed(self) -> None:
        self._wakes.ask(self.project, "runtime")

    def _source_failed(self, error: Exception) -> None:
        self._log.warning("source failed", error=repr(error))

    def _end(self, _signal: int, _frame: FrameType | None) -> None:
        self._wakes.end()
        if self._passing:
            raise KeyboardInterrupt

    # --- a pass -----------------------------------------------------------------------------

    def _look(self, _key: str, causes: tuple[str, ...]) -> bool:
        """One pass; says whether it succeeded and never raises what a later pass could mend."""
        self._passing = True
        try:
            return self._pass(causes)
        except KeyboardInterrupt:
            return True  # the end was asked for
        except Fault as fault:
            self._log.error("pass failed", causes=",".join(causes), **_words(fault))
        except Exception as error:  # noqa: BLE001  # a defect of ours must not end the loop
            self._log.exception("defect", error=repr(error))
        finally:
            self._passing = False
        return False

    def _pass(self, causes: tuple[str, ...]) -> bool:
        refused = self._spec.refresh()
        self._tell_spec("" if refused is None else str(refused))
        self._files.watch(self._spec.folders)
        aim = Spec(desired=self._spec.desired, explicit=False)
        try:
            finished = make_true(aim, self._runtime, self._records, _Onlooker(self._log, causes))
        finally:
            self._follow_health()
        self._tell_notes((*self._spec.warnings, *finished.plan.notes))
        return finished.outcome is None or finished.outcome.succeeded

    # --- health -----------------------------------------------------------------------------

    def _follow_health(self) -> None:
        """Have those containers asked that run now and have a check."""
        asked = [
            each
            for each in self._runtime.containers()
            if each.key.project == self.project and each.health is not None
        ]
        if self._health is None and asked:
            from reconciler.loop import health

            self._health = health.HealthChecks(
                self._runtime, self._health_changed, self._check_failed
            )
        if self._health is not None:
            self._health.follow(asked)

    def _health_changed(
        self, container: ObservedContainer, before: HealthStatus, now: Health
    ) -> None:
        tell = self._log.warning if now.status is HealthStatus.UNHEALTHY else self._log.info
        said = now.output.strip().splitlines()[-1:]
        tell(
            "health",
            container=str(container.key),
            status=now.status,
            before=before,
            code=now.exit_code,
            said="".join(said) if now.exit_code else "",
        )
        self._wakes.ask(self.project, "health")

    def _check_failed(self, container: ObservedContainer, error: Exception) -> None:
        self._log.warning("check failed", container=str(container.key), error=str(error))

    def _end_health(self) -> None:
        if self._health is not None:
            self._health.close()

    # --- what is told -----------------------------------------------------------------------

    def _tell_spec(self, broken: str) -> None:
        """Log what is amiss once, not at every pass, and once that it is over."""
        if broken and broken != self._broken:
            self._log.warning("spec broken", text=broken)
        elif self._broken and not broken:
            self._log.info("spec ok")
        self._broken = broken

    def _tell_notes(self, notes: Sequence[str]) -> None:
        """Log each when it appears, not at every pass."""
        for note in dict.fromkeys(notes):
            if note not in self._notes:
                self._log.warning("note", text=note)
        self._notes = frozenset(notes)

    def _failed(self, _key: str, seconds: float) -> None:
        self._log.info("retry", after=round(seconds, 1))


class _Onlooker:
    """Tells the log what a pass does; refuses what would delete data."""

    def __init__(self, log: "FilteringBoundLogger", causes: tuple[str, ...]) -> None:
        self._log, self._causes = log, causes

    def waiting(self, holder: str) -> None:
        self._log.info("waiting", holder=holder)

    def resuming(self, told: str) -> None:
        self._log.info("resuming", told=told)

    def refused(self, plan: Plan) -> None:
        """The error that follows is logged."""

    def planned(self, plan: Plan) -> bool:
        self._log.info("plan", causes=",".join(self._causes), changes=summary(plan))
        for change in plan.changes:
            why = "; ".join(change.reasons)
            self._log.info("change", object=change.object, kind=change.kind, why=why)
        if plan.impact is Impact.DATA:
            self._log.error("refused", why="it would delete data; run `trueup apply`")
            return False
        return True

    def stepped(self, event: "StepEvent") -> None:
        facts = {"step": words(event.step)}
        if event.fault is not None:
            self._log.error("failed", **facts, **_words(event.fault))
        elif event.state == "done":
            self._log.info("done", **facts, seconds=round(event.seconds, 3))


def _words(fault: Fault) -> dict[str, str]:
    return {"what": fault.what, "why": fault.why, "hint": fault.hint}


@contextmanager
def _signals(handler: Handler) -> Iterator[None]:
    """Have SIGTERM and SIGINT handled, and as before afterwards."""
    before = {each: signal.signal(each, handler) for each in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for each, old in before.items():
            signal.signal(each, old)
