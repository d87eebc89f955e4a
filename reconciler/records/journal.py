"""The journal: a plan is stored before its first step, results follow as they come.

The plan is one synced write, so that whoever comes after a crash can say what was under way.
Results are not synced: they are a help, and what really happened is in the world itself.
"""

import sqlite3
import time
from collections.abc import Callable
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import Self

import msgspec

from reconciler.plan import Plan, Step, decode, encode, redacted
from reconciler.records.database import open_to_write, translated
from runtime import at_rest

KEPT = 20  # runs per project
_NOT_AS_WRITTEN = (msgspec.MsgspecError, ValueError, TypeError)


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """A run as the journal tells it. ``began`` is in seconds since the epoch, ``done`` holds
    the numbers of steps that were done."""

    project: str
    command: str
    began: float
    plan: Plan
    done: frozenset[int] = frozenset()

    def next(self) -> Step | None:
        """The first step that was not done."""
        return next((step for step in self.plan.steps if step.number not in self.done), None)


class Journal:
    """The journal in the records file; use it in a ``with``. Nothing is opened or made before the
    first plan is begun. One thread at a time."""

    def __init__(
        self, path: Path, *, command: str = "apply", now: Callable[[], float] = time.time
    ) -> None:
        self.path, self.command, self.now = path, command, now
        self._connection: sqlite3.Connection | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_failure: object) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def begin(self, plan: Plan) -> int:
        """Store the plan and return the number of the run. It survives power loss.

        The caller holds the project's lock, so whatever runs of it never ended were killed.
        Raises ``DiskFull``, ``RecordsTooNew``.
        """
        connection = self._open()
        with translated(self.path), at_rest.transaction(connection):
            connection.execute(
                "UPDATE runs SET ended = ?, outcome = 'killed' WHERE project = ? AND ended IS NULL",
                (self.now(), plan.project),
            )
            run = connection.execute(
                "INSERT INTO runs (project, command, began, plan) VALUES (?, ?, ?, ?)",
                (plan.project, self.command, self.now(), encode(redacted(plan))),
            ).lastrowid
            connection.execute(
                "DELETE FROM runs WHERE project = ? AND id NOT IN"
                " (SELECT id FROM runs WHERE project = ? ORDER BY id DESC LIMIT ?)",
                (plan.project, plan.project, KEPT),
            )
        connection.execute("PRAGMA synchronous = NORMAL")
        assert run is not None
        return run

    def finished(self, run: int, number: int, error: str) -> None:
        """A step ended, with this error or with none. A full disk loses the note, not the run."""
        self._note(
            "INSERT OR REPLACE INTO results (run, step, at, error) VALUES (?, ?, ?, ?)",
            (run, number, self.now(), error),
        )

    def end(self, run: int, outcome: str) -> None:
        """The run is over."""
        self._note(
            "UPDATE runs SET ended = ?, outcome = ? WHERE id = ?", (self.now(), outcome, run)
        )

    def unended(self, project: str) -> Run | None:
        """The run of the project that is under way, or was killed; makes and changes no file,
        unless somebody writes meanwhile."""
        look = partial(_unended, project=project)
        found = at_rest.read(self.path, look)
        if found is None:  # somebody writes, or was killed while he did
            found = _beside_writers(self.path, look)
        return next(iter(found), None)

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = open_to_write(self.path)
        else:
            self._connection.execute("PRAGMA synchronous = FULL")
        return self._connection

    def _note(self, statement: str, values: tuple[object, ...]) -> None:
        assert self._connection is not None, "begin comes first"
        try:
            self._connection.execute(statement, values)
        except sqlite3.OperationalError:
            return  # full or busy


def _beside_writers(
    path: Path, look: Callable[[sqlite3.Connection], tuple[Run, ...]]
) -> tuple[Run, ...]:
    """What ``look`` finds, whoever has the database open; nothing in what cannot be read, as
    nothing depends on it."""
    uri = f"{path.absolute().as_uri()}?mode=ro"
    try:
        with closing(sqlite3.connect(uri, uri=True, isolation_level=None)) as connection:
            return look(connection)
    except sqlite3.Error:
        return ()


def _unended(connection: sqlite3.Connection, project: str) -> tuple[Run, ...]:
    """The newest run of the project that did not end, if there is one; one that was written by
    another version, or is just being written, is none."""
    row = connection.execute(
        "SELECT id, command, began, plan FROM runs WHERE project = ? AND ended IS NULL"
        " ORDER BY id DESC LIMIT 1",
        (project,),
    ).fetchone()
    if row is None:
        return ()
    run, command, began, plan = row
    done = connection.execute("SELECT step FROM results WHERE run = ? AND error = ''", (run,))
    with suppress(*_NOT_AS_WRITTEN):
        found = Run(
            project=project,
            command=command,
            began=began,
            plan=decode(plan),
            done=frozenset(number for (number,) in done),
        )
        return (found,)
    return ()
