"""What is said after a killed run."""

from datetime import datetime
from pathlib import Path

from reconciler.executor.recovery import interrupted
from reconciler.records.journal import Journal
from tests.fake_runtime import FakeRuntime
from tests.reconciler.world import plan_for, shop, spec

WEB = shop({"web": spec()})
AFTERNOON = datetime(2026, 11, 24, 14, 2).astimezone().timestamp()


def test_a_run_that_did_not_end_is_named_with_its_time_and_step(tmp_path: Path) -> None:
    path = tmp_path / "records.db"
    plan = plan_for(WEB, FakeRuntime())
    with Journal(path, now=lambda: AFTERNOON) as journal:
        run = journal.begin(plan)
        for step in plan.steps[:4]:
            journal.finished(run, step.number, "")
    assert _said(path, AFTERNOON + 60) == (
        "the apply of 14:02 was interrupted at create container web; finishing it"
    )
    assert _said(path, AFTERNOON + 100_000) == (
        "the apply of 2026-11-24 14:02 was interrupted at create container web; finishing it"
    )


def test_a_run_that_ended_is_not(tmp_path: Path) -> None:
    path = tmp_path / "records.db"
    with Journal(path, command="down") as journal:
        run = journal.begin(plan_for(WEB, FakeRuntime()))
        assert "the down of" in (interrupted(journal, "shop") or "")
        journal.end(run, "complete")
        assert interrupted(journal, "shop") is None


def test_other_projects_are_none_of_it(tmp_path: Path) -> None:
    with Journal(tmp_path / "records.db") as journal:
        journal.begin(plan_for(WEB, FakeRuntime()))
        assert interrupted(journal, "blog") is None


def _said(path: Path, now: float) -> str | None:
    return interrupted(Journal(path, now=lambda: now), "shop")
