"""The checks of one instance's containers: asked once, or as often as it takes to wait for health
and for the end of a job."""

import time
import uuid

import msgspec

from runtime import durable
from runtime.api import ExecSpec, Health, Healthcheck, HealthStatus, Phase, Progress, Report
from runtime.embedded import cgroups, faults
from runtime.embedded.execution import Execution
from runtime.embedded.health import probe, record, verdict
from runtime.embedded.ledger import ContainerRow
from runtime.embedded.paths import Paths
from runtime.embedded.process import identity, run
from runtime.embedded.process import state as states
from runtime.embedded.process.intent import Want
from runtime.embedded.process.state import ProcessState
from runtime.embedded.process.supervise import Supervisor

_LOOK = 0.5  # seconds after which the record is read again: others ask, too
_BACK = 0.05  # seconds from look to look at a container that comes back
# With a container's first process all others are killed, and seen dead before it is.
_KILLED, _DEATH = 128 + 9, 0.5  # exit code; seconds
# Restarts after which nobody waits any more: the back-off has come to six seconds by then.
_CRASHES = 6
_LIVE = (Phase.RUNNING, Phase.RESTARTING)


class Checks(msgspec.Struct, frozen=True, kw_only=True):
    paths: Paths
    supervisor: Supervisor
    execution: Execution
    layout: cgroups.Layout

    def at_work(self, row: ContainerRow) -> Healthcheck | None:
        """The check that holds for the container, None for none."""
        own = record.of_image(self.paths.container(row.id))
        return verdict.at_work(row.spec.healthcheck, own)

    def probe(self, row: ContainerRow, *, due: bool = False) -> Health | None:
        """Ask once, or only when that is ``due``; whoever else asks meanwhile is waited for, and
        its result is ours. None without a check, and when it does not run or has ended meanwhile.
        """
        check, process = self.at_work(row), self.supervisor.state(row.id)
        if check is None or process.phase is not Phase.RUNNING or process.started_at is None:
            return None
        bundle = self.paths.bundle(row.id)
        try:
            before = record.read(bundle, process)
            with durable.lock(bundle / "checking", what=f"the health check of {row.key}"):
                now = record.read(bundle, process)
                if now.checked_at != before.checked_at or (due and _is_early(check, process, now)):
                    return now
                return self._asked(row, check, process, now)
        except FileNotFoundError:  # the bundle: it was removed
            return None

    def _asked(
        self, row: ContainerRow, check: Healthcheck, process: ProcessState, before: Health
    ) -> Health | None:
        mark = uuid.uuid4().hex
        spec = ExecSpec(command=verdict.command(check), environment={probe.MARK: mark})
        group = probe.Group(
            layout=self.layout, path=cgroups.path_for(self.paths.cgroup, row.key.project, row.id)
        )
        result = probe.ask(self.execution.further(row, spec), mark, group, check.timeout)
        if self._ends(row, process, result):
            return None
        health = verdict.judged(check, before, result, process.started_at or 0.0)
        record.write(self.paths.bundle(row.id), process, health)
        return health

    def _ends(self, row: ContainerRow, process: ProcessState, result: verdict.Result) -> bool:
        """Whether the run is over or shall be: then the result says nothing of it."""
        last = run.read_run(self.paths.bundle(row.id))
        if last is not None and result.code == _KILLED:
            identity.wait(last.init, _DEATH)
        now = self.supervisor.state(row.id)
        same = (now.pid, now.started_at) == (process.pid, process.started_at)
        return not same or now.want is not Want.RUN

    # --- waiting ----------------------------------------------------------------------------

    def await_healthy(self, row: ContainerRow, timeout: float, report: Report) -> None:
        """Raises ``NoHealthcheck``, ``Unhealthy``, ``NotHealthy`` and ``EndedEarly``."""
        check = self.at_work(row)
        if check is None:
            raise faults.NoHealthcheck(str(row.key))
        began, told, crashes = time.monotonic(), -1.0, self.supervisor.state(row.id).restarts
        while True:
            process = self.supervisor.state(row.id)
            if process.phase not in _LIVE:
                raise faults.EndedEarly(str(row.key), process.exit_code)
            health, wait = self._next(row, check, process)
            if health.checked_at and health.checked_at != told:
                told = health.checked_at
                _tell(row, check, health, report)
            if health.status is HealthStatus.HEALTHY:
                return
            if health.status is HealthStatus.UNHEALTHY:
                raise faults.Unhealthy(str(row.key), health)
            waited = time.monotonic() - began
            left = timeout - waited
            if left <= 0 or process.restarts - crashes >= _CRASHES:
                seconds, restarts = min(timeout, round(waited, 1)), process.restarts
                raise faults.NotHealthy(str(row.key), health, seconds, restarts=restarts)
            self._sleep(process, row.id, min(wait, left, _LOOK))

    def _next(
        self, row: ContainerRow, check: Healthcheck, process: ProcessState
    ) -> tuple[Health, float]:
        """Its health, asked if that is due, and the seconds to the next time."""
        if process.phase is not Phase.RUNNING or process.started_at is None:
            return Health(), _BACK
        health = record.read(self.paths.bundle(row.id), process)
        if check.wait(health, process.started_at, time.time()) <= 0:
            health = self.probe(row, due=True) or Health()
        return health, check.wait(health, process.started_at, time.time())

    def await_completed(self, row: ContainerRow, timeout: float | None) -> None:
        """Raises ``NotCompleted`` and ``StillRunning``."""
        until = None if timeout is None else time.monotonic() + timeout
        while True:
            process = self.supervisor.state(row.id)
            if process.phase is Phase.CREATED:  # not launched since the machine was started
                process = states.remembered(self.paths.container(row.id), bundled=True)
            if process.phase not in _LIVE:
                break
            left = _LOOK if until is None else min(_LOOK, until - time.monotonic())
            if timeout is not None and left <= 0:
                raise faults.StillRunning(str(row.key), timeout)
            self._sleep(process, row.id, left)
        if process.exit_code != 0:
            raise faults.NotCompleted(str(row.key), process.exit_code)

    def _sleep(self, process: ProcessState, id: str, seconds: float) -> None:
        """At most so long, and not beyond the end of the run."""
        last = run.read_run(self.paths.bundle(id)) if process.phase is Phase.RUNNING else None
        if last is None:
            time.sleep(min(seconds, _BACK))
        else:
            identity.wait(last.init, seconds)


def _is_early(check: Healthcheck, process: ProcessState, health: Health) -> bool:
    return check.wait(health, process.started_at or 0.0, time.time()) > 0


def _tell(row: ContainerRow, check: Healthcheck, health: Health, report: Report) -> None:
    """Words for a try that failed; one within the start period counts for nothing."""
    if health.exit_code == 0:
        return
    tries = f"{health.failing_streak} of {check.retries} tries failed"
    if not health.failing_streak:
        tries = "not healthy yet"
    said = health.output.strip().splitlines()[-1:] or [f"exit code {health.exit_code}"]
    report(Progress(what=str(row.key), doing=f"{tries}: {said[0]}"))
