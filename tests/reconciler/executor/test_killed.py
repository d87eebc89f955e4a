"""Killed at every effect while threads work: the next run says so, finishes, and leaves nothing."""

from pathlib import Path

import pytest

from reconciler.desired import Desired
from reconciler.executor.recovery import interrupted
from reconciler.executor.walk import execute
from reconciler.records.journal import Journal
from runtime.api import VolumeMount
from tests.fake_runtime import FakeRuntime
from tests.fake_world import Killed
from tests.reconciler.world import MYSQL, applied, plan_for, shop, spec

DATA = VolumeMount(volume="data", target="/data")
BEFORE = shop(
    {"db": spec(MYSQL, mounts=(DATA,)), "old": spec(), "web": spec(needs=("db",))},
    {"old": ("8081:80",), "web": ("8080:80",)},
)
AFTER = shop(
    {"db": spec(MYSQL, user="1", mounts=(DATA,)), "new": spec(), "web": spec("nginx.example/w:2")},
    {"new": ("8081:80",), "web": ("8080:80",)},
)


def _run(desired: Desired, runtime: FakeRuntime, records: Path) -> str | None:
    """One apply; what it was told of the one before."""
    with Journal(records) as journal:
        told = interrupted(journal, "shop")
        plan = plan_for(desired, runtime)
        outcome = execute(plan, runtime, journal, (), progress=lambda _event: None)
    assert outcome.succeeded, outcome.failed
    return told


@pytest.mark.parametrize("start", [None, BEFORE], ids=["from nothing", "an update"])
def test_killed_anywhere_the_next_run_converges(start: Desired | None, tmp_path: Path) -> None:
    at = 0
    while True:
        runtime = applied(start) if start else FakeRuntime()
        records = tmp_path / f"{at}.db"
        runtime.revive()
        runtime.kill_at = at
        try:
            _run(AFTER, runtime, records)
            break  # there are no more effects to be killed at
        except Killed:
            runtime.revive()
        assert "was interrupted at" in (_run(AFTER, runtime, records) or "")
        assert plan_for(AFTER, runtime).converged
        assert {each.key.name for each in runtime.containers()} == {"db", "new", "web"}
        assert len(runtime.containers()) == 3
        assert _run(AFTER, runtime, records) is None
        at += 1
    assert at > 15
