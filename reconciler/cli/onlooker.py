"""Somebody at a terminal, or a log of CI, sees a pass: the plan, every step, what came of it."""

import sys
import time
from collections.abc import Sequence

import msgspec

from reconciler.cli.defects import keep
from reconciler.executor.events import Ended, Outcome, State, StepDefect, StepEvent
from reconciler.passes import Finished
from reconciler.plan import (
    AdoptProject,
    AwaitCompleted,
    AwaitHealthy,
    AwaitReady,
    CreateContainer,
    ForgetProject,
    Impact,
    Plan,
    Register,
    Serve,
    StartContainer,
    Step,
    Unregister,
)
from reconciler.views.outcome import failure, report, words
from reconciler.views.plan import render
from reconciler.views.progress import Area
from reconciler.views.quantities import elapsed
from reconciler.views.terminal import escape, is_terminal
from reconciler.views.transfer import Transfer
from reconciler.views.verdict import verdict
from runtime.api import Runtime, encode
from runtime.errors import Fault

INTERRUPTED = 130
LAST_WORDS = 10
# Steps that say nothing when they succeed: another step of the same object does.
_QUIET = AdoptProject | AwaitReady | CreateContainer | ForgetProject | Register | Serve | Unregister


class WouldDeleteData(Fault):
    """Nobody could be asked whether data may go."""

    def __init__(self, objects: Sequence[str]) -> None:
        super().__init__(
            "nothing was changed",
            why=f"data of {', '.join(objects)} would be deleted",
            hint="run it on a terminal, without --yes, and answer the question",
        )


class Onlooker:
    """``form`` is text or json. ``asks``: somebody must agree before data is deleted, but for
    that of the objects ``agreed``; ``may_ask``: it is allowed to ask for that here and now."""

    def __init__(
        self, form: str, *, asks: bool, may_ask: bool, agreed: frozenset[str] = frozenset()
    ) -> None:
        self._text = form == "text"
        self._asks, self._may_ask, self._agreed_to = asks, may_ask, agreed
        self._area = Area(sys.stdout if self._text else sys.stderr)
        self._transfers: dict[str, Transfer] = {}
        self._began = time.monotonic()

    def waiting(self, holder: str) -> None:
        sys.stderr.write(f"waiting for {escape(holder)}, which works on the same project\n")

    def resuming(self, told: str) -> None:
        sys.stderr.write(f"{escape(told)}\n")

    def refused(self, plan: Plan) -> None:
        if not self._text:
            sys.stdout.write(f"{encode(report(plan, None)).decode()}\n")
        elif plan.changes:
            # The problems themselves are the error that follows.
            sys.stdout.write(f"{render(msgspec.structs.replace(plan, problems=()))}\n")
            sys.stdout.flush()

    def planned(self, plan: Plan) -> bool:
        if self._text:
            sys.stdout.write(f"{render(plan)}\n")
            sys.stdout.flush()
        lost = [step.object for step in plan.steps if step.impact is Impact.DATA]
        endangered = [name for name in lost if name not in self._agreed_to]
        if self._asks and endangered:
            return self._agreed(endangered)
        self._began = time.monotonic()
        return True

    def _agreed(self, objects: Sequence[str]) -> bool:
        if not self._may_ask or not (is_terminal(sys.stdin) and is_terminal(sys.stdout)):
            raise WouldDeleteData(objects)
        sys.stdout.write(f"Delete the data of {', '.join(objects)}? [y/N] ")
        sys.stdout.flush()
        return sys.stdin.readline().strip().lower() in ("y", "yes")

    def stepped(self, event: StepEvent) -> None:
        key, text = str(event.step.number), words(event.step)
        if event.state is State.STARTED:
            self._area.doing(key, text)
        elif event.progress is not None:
            if key not in self._transfers:
                self._transfers[key] = Transfer(self._area, key=key, head=text, lines=False)
            self._transfers[key].report(event.progress)
        elif event.state is State.DONE and not isinstance(event.step.action, _QUIET):
            self._area.done(key, f"{text}  {elapsed(event.seconds)}")
        else:
            self._area.done(key, None)

    def finish(self, finished: Finished, runtime: Runtime) -> int:
        """Tell what came of it and return the exit status."""
        self._area.close()
        plan, outcome = finished.plan, finished.outcome
        if not self._text:
            sys.stdout.write(f"{encode(report(plan, outcome)).decode()}\n")
        elif outcome is not None:
            self._tell(plan, outcome, runtime)
        elif plan.converged:
            sys.stdout.write(render(plan))
        if outcome is None:
            return 0 if plan.converged else 1
        if outcome.ended is Ended.INTERRUPTED:
            return INTERRUPTED
        return 0 if outcome.succeeded else 1

    def _tell(self, plan: Plan, outcome: Outcome, runtime: Runtime) -> None:
        out = sys.stdout if outcome.succeeded else sys.stderr
        for step, fault in outcome.failed:
            out.write(f"{failure(step, fault, last_words(step, runtime))}\n")
            if isinstance(fault, StepDefect):
                out.write(f"  details are in {keep(fault.trace)}\n")
            out.write("\n")
        out.write(f"{verdict(plan, outcome, time.monotonic() - self._began)}\n")


def last_words(step: Step, runtime: Runtime) -> list[str]:
    """The end of the log of a container that did not come up."""
    if not isinstance(step.action, StartContainer | AwaitReady | AwaitHealthy | AwaitCompleted):
        return []
    try:
        lines = list(runtime.logs(step.action.id, tail=LAST_WORDS, follow=False))
    except Fault:  # it was not even made; the failure itself says why
        return []
    return [line.text.decode(errors="surrogateescape").rstrip("\n") for line in lines]
