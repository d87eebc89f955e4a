"""``watch``: the loop on one project or on a tree of them, its sources, and its end.

The loop runs in the main thread, so that a signal can end it: between passes at once, within a
pass after the steps that run. Containers go on; their restart policies need nobody. Passes of
several projects take turns; each project has its own place in the queue and its own back-off.
"""

import random
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from reconciler.loop.controller import Wakes, run
from reconciler.loop.log_keeping import LogKeeping
from reconciler.loop.project import WatchedProject, told
from reconciler.loop.sources.runtime_changes import RuntimeChanges
from reconciler.loop.sources.spec_files import SpecFiles
from reconciler.loop.spec_in_force import SpecInForce
from reconciler.loop.spec_tree import SpecTree
from reconciler.passes import Records
from reconciler.records.writer_lock import watch_lock
from reconciler.trees import Member
from runtime.api import Health, HealthStatus, ObservedContainer, Runtime
from runtime.durable import Locked
from runtime.errors import Fault

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

    from reconciler.loop.health import HealthChecks

Handler = Callable[[int, FrameType | None], None]

# The queue's key of the tree itself; no project has an empty name.
TREE = ""
# Seconds until a project that somebody else works on is looked at again.
BUSY = 0.5


class Service:
    """Keeps projects as their specs say until a signal ends it: those given, and those of a tree
    as they appear in it."""

    def __init__(
        self,
        first: Sequence[Member],
        runtime: Runtime,
        records: Records,
        log: "FilteringBoundLogger",
        *,
        interval: float,
        tree: SpecTree | None = None,
    ) -> None:
        self._first, self._tree = first, tree
        self._runtime, self._log = runtime, log
        self._records = replace(records, lock_timeout=0.0)
        self._interval = interval
        self._projects: dict[str, WatchedProject] = {}
        self._marks: dict[str, ExitStack] = {}
        self._refused: frozenset[str] = frozenset()
        self._wakes = Wakes()
        self._passing = False
        self._health: HealthChecks | None = None
        self._files = SpecFiles(self._saved, self._source_failed)
        self._held = ExitStack()

    def run(self) -> None:
        """Make passes until SIGTERM or SIGINT."""
        with self._held as held:
            held.enter_context(_signals(self._end))
            held.callback(self._files.close)
            changes = RuntimeChanges(self._runtime, self._changed, self._source_failed)
            held.callback(changes.close)
            logs = LogKeeping(self._runtime, lambda: tuple(self._projects), self._source_failed)
            held.callback(logs.close)
            held.callback(self._end_health)
            self._records.prepare()
            self._start()
            run(
                self._wakes,
                self._look,
                failed=self._failed,
                interval=self._interval,
                chance=random.random,
            )
        self._log.info("ended", project=",".join(self._projects))

    def _start(self) -> None:
        if self._tree is not None:
            self._log.info("watching", tree=str(self._tree.folder), interval=self._interval)
            self._wakes.ask(TREE, "start")
        for member in self._first:
            self._take_up(member)

    def _take_up(self, member: Member) -> None:
        """Watch it from now on. Two watches of one project do no harm, but seldom somebody wants
        them."""
        project = WatchedProject(SpecInForce(member), self._runtime, self._records, self._log)
        self._log.info(
            "watching", project=project.name, spec=str(member.path), interval=self._interval
        )
        mark = self._marks[project.name] = self._held.enter_context(ExitStack())
        if holder := mark.enter_context(watch_lock(self._records.locks, project.name)):
            self._log.warning("second watch", project=project.name, holder=holder)
        self._projects[project.name] = project
        self._wakes.ask(project.name, "start")

    def _let_go(self, name: str) -> None:
        del self._projects[name]
        self._marks.pop(name).close()
        self._log.info("let go", project=name, why="its spec has vanished, and it was taken down")

    # --- what wakes it ----------------------------------------------------------------------

    def _saved(self, folders: frozenset[Path]) -> None:
        for name, project in tuple(self._projects.items()):
            if project.spec.folders & folders:
                self._wakes.ask(name, "spec", urgent=True)
        if self._tree is not None and self._tree.folders & folders:
            self._wakes.ask(TREE, "spec", urgent=True)

    def _changed(self) -> None:
        for name in tuple(self._projects):
            self._wakes.ask(name, "runtime")

    def _source_failed(self, error: Exception) -> None:
        self._log.warning("source failed", error=repr(error))

    def _end(self, _signal: int, _frame: FrameType | None) -> None:
        self._wakes.end()
        if self._passing:
            raise KeyboardInterrupt

    # --- a pass -----------------------------------------------------------------------------

    def _look(self, key: str, causes: tuple[str, ...]) -> bool:
        """One pass; says whether it succeeded and never raises what a later pass could mend."""
        facts = {"project": key, "causes": ",".join(causes)}
        self._passing = True
        try:
            if key == TREE:
                return self._look_around()
            project = self._projects.get(key)
            return project is None or self._pass(project, causes)
        except KeyboardInterrupt:
            return True  # the end was asked for
        except Fault as fault:
            self._log.error("pass failed", **facts, **told(fault))
        except Exception as error:  # noqa: BLE001  # a defect of ours must not end the loop
            self._log.exception("defect", **facts, error=repr(error))
        finally:
            self._passing = False
        return False

    def _pass(self, project: WatchedProject, causes: tuple[str, ...]) -> bool:
        project.refresh()
        if over := self._is_over(project):
            self._let_go(project.name)
        self._follow_files()
        try:
            return over or project.make_true(causes)
        except Locked as busy:
            project.tell_busy(busy.holder)
            self._wakes.ask(project.name, "lock", delay=BUSY)
            return True
        finally:
            self._follow_health()

    def _is_over(self, project: WatchedProject) -> bool:
        """Whether somebody took it out of the tree and from the machine: to make it again would
        be to undo that."""
        gone = self._tree is not None and not project.spec.path.exists()
        return gone and project.name not in self._runtime.projects()

    def _look_around(self) -> bool:
        """Take up what is new in the tree, and tell once why something cannot be."""
        assert self._tree is not None
        news = self._tree.look([each.spec for each in self._projects.values()])
        for member in news.members:
            self._take_up(member)
        refused = dict.fromkeys(map(str, news.refused))
        for text in refused:
            if text not in self._refused:
                self._log.warning("spec broken", text=text)
        self._refused = frozenset(refused)
        self._follow_files()
        return True

    def _follow_files(self) -> None:
        """Hear of what is saved where specs are or may be."""
        folders = set[Path]() if self._tree is None else set(self._tree.folders)
        self._files.watch(folders.union(*(p.spec.folders for p in self._projects.values())))

    def _failed(self, key: str, seconds: float) -> None:
        self._log.info("retry", project=key, after=round(seconds, 1))

    # --- health -----------------------------------------------------------------------------

    def _follow_health(self) -> None:
        """Have those containers asked that run now and have a check."""
        asked = [
            each
            for each in self._runtime.containers()
            if each.key.project in self._projects and each.health is not None
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
        self._wakes.ask(container.key.project, "health")

    def _check_failed(self, container: ObservedContainer, error: Exception) -> None:
        self._log.warning("check failed", container=str(container.key), error=str(error))

    def _end_health(self) -> None:
        if self._health is not None:
            self._health.close()


@contextmanager
def _signals(handler: Handler) -> Iterator[None]:
    """Have SIGTERM and SIGINT handled, and as before afterwards."""
    before = {each: signal.signal(each, handler) for each in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for each, old in before.items():
            signal.signal(each, old)
