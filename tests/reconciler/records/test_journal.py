"""The journal: what is kept, when it is synced, and that looking leaves no trace."""

import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from reconciler.plan import Plan, decode
from reconciler.records.database import VERSION, RecordsTooNew
from reconciler.records.journal import KEPT, Journal
from tests.fake_runtime import FakeRuntime
from tests.reconciler.world import plan_for, shop, spec

WEB = shop({"web": spec(environment={"PW": "hunter2", "A": "b"}, secret_environment=("PW",))})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "lib" / "records.db"


@pytest.fixture
def plan() -> Plan:
    return plan_for(WEB, FakeRuntime())


def traces(path: Path) -> dict[str, tuple[int, int, int]]:
    """All that a file shows of being touched."""
    if not path.parent.exists():
        return {}
    found = {each.name: each.stat() for each in path.parent.iterdir()}
    return {name: (s.st_ino, s.st_size, s.st_mtime_ns) for name, s in found.items()}


def test_looking_creates_nothing(path: Path) -> None:
    with Journal(path) as journal:
        assert journal.unended("shop") is None
    assert traces(path) == {}


def test_looking_changes_nothing(path: Path, plan: Plan) -> None:
    with Journal(path) as journal:
        journal.begin(plan)
    before = traces(path)
    assert Journal(path).unended("shop") is not None
    assert traces(path) == before


def test_looking_at_a_journal_without_runs_under_way_changes_nothing(
    path: Path, plan: Plan
) -> None:
    with Journal(path) as journal:
        journal.end(journal.begin(plan), "complete")
    before = traces(path)
    assert Journal(path).unended("shop") is None
    assert traces(path) == before


def test_what_a_writer_does_while_somebody_looks_is_seen(
    path: Path, plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Journal(path, now=lambda: 1.0) as journal:
        run = journal.begin(plan)
        for number in range(1, 3000):
            journal.finished(run, number, "")

    def meanwhile(text: bytes) -> Plan:
        monkeypatch.undo()
        with sqlite3.connect(path) as connection:
            connection.execute("DELETE FROM results")
        connection.close()
        with Journal(path, now=lambda: 2.0) as journal:
            journal.begin(plan)
        return decode(text)

    monkeypatch.setattr("reconciler.records.journal.decode", meanwhile)
    found = Journal(path).unended("shop")
    assert found is not None
    assert (found.began, found.done) == (2.0, frozenset())


def test_a_run_is_found_with_its_plan_and_what_was_done(path: Path, plan: Plan) -> None:
    with Journal(path, now=lambda: 17.5) as journal:
        run = journal.begin(plan)
        journal.finished(run, 1, "")
        journal.finished(run, 2, "no such image")
        found = journal.unended("shop")
    assert found is not None
    assert (found.began, found.done) == (17.5, frozenset({1}))
    assert [step.number for step in found.plan.steps] == [step.number for step in plan.steps]
    following = found.next()
    assert following is not None
    assert following.number == 2


def test_secrets_are_not_kept(path: Path, plan: Plan) -> None:
    with Journal(path) as journal:
        journal.begin(plan)
        parts = [each.read_bytes() for each in path.parent.iterdir()]
    assert all(b"hunter2" not in part for part in [*parts, path.read_bytes()])
    assert b"(hidden)" in path.read_bytes()


def test_a_run_survives_that_its_writer_is_killed(path: Path, plan: Plan) -> None:
    code = f"""
import os, signal
from pathlib import Path
from reconciler.records.journal import Journal
from tests.reconciler.records.test_journal import WEB, FakeRuntime, plan_for
journal = Journal(Path({str(path)!r}))
journal.finished(journal.begin(plan_for(WEB, FakeRuntime())), 1, "")
os.kill(os.getpid(), signal.SIGKILL)
"""
    top = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=top, env={**os.environ, "PYTHONPATH": "."}
    )
    assert done.returncode == -signal.SIGKILL
    found = Journal(path).unended("shop")
    assert found is not None
    assert found.done == {1}
    with Journal(path) as journal:
        journal.end(journal.begin(plan), "complete")
    assert Journal(path).unended("shop") is None


def test_the_next_run_closes_one_that_was_killed(path: Path, plan: Plan) -> None:
    with Journal(path) as journal:
        journal.begin(plan)
        journal.end(journal.begin(plan), "complete")
        assert journal.unended("shop") is None
    with sqlite3.connect(path) as connection:
        outcomes = connection.execute("SELECT outcome FROM runs ORDER BY id").fetchall()
    connection.close()
    assert outcomes == [("killed",), ("complete",)]


def test_only_the_last_runs_are_kept(path: Path, plan: Plan) -> None:
    with Journal(path) as journal:
        for _ in range(KEPT + 5):
            run = journal.begin(plan)
            journal.finished(run, 1, "")
            journal.end(run, "complete")
    with sqlite3.connect(path) as connection:
        counts = connection.execute(
            "SELECT (SELECT count(*) FROM runs), (SELECT count(*) FROM results)"
        ).fetchone()
    connection.close()
    assert counts == (KEPT, KEPT)


def test_a_damaged_file_is_put_aside(path: Path, plan: Plan) -> None:
    path.parent.mkdir()
    path.write_bytes(b"not a database, " * 400)
    assert Journal(path).unended("shop") is None
    with Journal(path) as journal:
        journal.begin(plan)
        assert journal.unended("shop") is not None
    assert path.with_name("records.db.damaged").exists()


def test_records_of_a_newer_version_are_refused_and_left(path: Path, plan: Plan) -> None:
    path.parent.mkdir()
    with sqlite3.connect(path) as connection:
        connection.execute(f"PRAGMA user_version = {VERSION + 1}")
    connection.close()
    before = path.read_bytes()
    with Journal(path) as journal, pytest.raises(RecordsTooNew):
        journal.begin(plan)
    assert path.read_bytes()[:18] == before[:18]


def test_the_plan_is_synced_and_results_are_not(path: Path, plan: Plan) -> None:
    with Journal(path) as journal:
        journal.finished(journal.begin(plan), 1, "")
        assert journal._connection is not None
        (how,) = journal._connection.execute("PRAGMA synchronous").fetchone()
        assert how == 1  # NORMAL: in WAL mode only a checkpoint syncs
