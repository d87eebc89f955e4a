"""A watch in this thread, on real files and on a runtime in memory, while a script plays."""

import io
import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from reconciler.loop.log import logger
from reconciler.loop.service import Service
from reconciler.loop.spec_tree import SpecTree
from reconciler.passes import Records
from reconciler.trees import Member, member
from runtime.api import Health, HealthStatus
from tests.eventually import eventually
from tests.fake_runtime import FakeRuntime

SPEC = "project: shop\ncontainers: {web: {image: 'nginx:1.27', restart: always}}\n"


class Machine(FakeRuntime):
    """The runtime in memory that can say "something changed"."""

    def __init__(self) -> None:
        super().__init__()
        self.changed = threading.Semaphore(0)

    def wait_for_change(self, timeout: float) -> bool:
        return self.changed.acquire(timeout=timeout)

    def probe(self, id: str, *, due: bool = False) -> Health | None:
        health = Health(status=HealthStatus.HEALTHY, checked_at=time.time())
        self.change(id, health=health)
        return health


class Stage:
    """A spec, a machine, and the log of a watch that runs in this thread while a script plays in
    another."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.spec = folder, folder / "trueup.yaml"
        self.spec.write_text(SPEC)
        self.records = Records(
            command="watch", journal=folder / "records.db", locks=folder / "locks"
        )
        self.machine, self.log = Machine(), io.StringIO()
        self.failure: BaseException | None = None

    def play(
        self, script: Callable[[], object], interval: float = 60.0, *, frozen: bool = False
    ) -> str:
        """Watch while the script runs, then end by SIGTERM; returns the log."""
        self._run([member(self.spec, frozen=frozen)], None, script, interval)
        return self.log.getvalue()

    def play_tree(self, script: Callable[[], object], interval: float = 60.0) -> str:
        """The same on the tree of specs in the folder."""
        self._run([], SpecTree(self.folder), script, interval)
        return self.log.getvalue()

    def _run(
        self,
        first: Sequence[Member],
        tree: SpecTree | None,
        script: Callable[[], object],
        interval: float,
    ) -> None:
        log = logger(self.log, "logfmt")
        service = Service(first, self.machine, self.records, log, interval=interval, tree=tree)
        thread = threading.Thread(target=self._play, args=(script,))
        thread.start()
        service.run()
        thread.join()
        if self.failure is not None:
            raise self.failure

    def _play(self, script: Callable[[], object]) -> None:
        try:
            eventually(lambda: "watching" in self.log.getvalue())
            script()
        except BaseException as failure:  # noqa: BLE001  # told by the test's thread
            self.failure = failure
        finally:
            os.kill(os.getpid(), signal.SIGTERM)

    def running(self) -> list[str]:
        return [each.key.name for each in self.machine.containers() if each.phase == "running"]
