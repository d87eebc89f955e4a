"""One project that ``watch`` keeps as its spec says: its spec in force, its passes, and what of
them has been told."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from reconciler.loop.spec_in_force import SpecInForce
from reconciler.passes import Records, Spec, make_true
from reconciler.plan import Impact, Plan
from reconciler.views.outcome import words
from reconciler.views.plan import summary
from runtime.api import Runtime
from runtime.errors import Fault

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

    from reconciler.executor.events import StepEvent


class WatchedProject:
    """``records`` must not let a pass wait for the project's lock: others would wait, too."""

    def __init__(
        self, spec: SpecInForce, runtime: Runtime, records: Records, log: "FilteringBoundLogger"
    ) -> None:
        self.spec = spec
        self._runtime, self._records = runtime, records
        self._log = log.bind(project=self.name)
        self._broken = self._holder = ""
        self._notes: frozenset[str] = frozenset()

    @property
    def name(self) -> str:
        return self.spec.desired.project

    def refresh(self) -> None:
        """Read the spec again, and tell what is wrong with it."""
        refused = self.spec.refresh()
        self._tell_spec("" if refused is None else str(refused))

    def make_true(self, causes: tuple[str, ...]) -> bool:
        """One pass; says whether it succeeded. Raises what looking raises, and ``Locked``."""
        aim = Spec(desired=self.spec.desired, explicit=False)
        finished = make_true(aim, self._runtime, self._records, _Onlooker(self._log, causes))
        self._holder = ""
        self._tell_notes((*self.spec.warnings, *finished.plan.notes))
        return finished.outcome is None or finished.outcome.succeeded

    def tell_busy(self, holder: str) -> None:
        """Log once for whom the project waits."""
        if holder != self._holder:
            self._log.info("waiting", holder=holder)
        self._holder = holder

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
            self._log.error("failed", **facts, **told(event.fault))
        elif event.state == "done":
            self._log.info("done", **facts, seconds=round(event.seconds, 3))


def told(fault: Fault) -> dict[str, str]:
    """A fault as fields of a line of the log."""
    return {"what": fault.what, "why": fault.why, "hint": fault.hint}
