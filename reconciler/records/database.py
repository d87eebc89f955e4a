"""``records.db``: SQLite in WAL mode, opened to write by whoever carries out a plan.

Its content explains; nothing depends on it. A damaged file is put aside and begun anew.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from runtime.at_rest import transaction
from runtime.errors import DiskFull, Fault

VERSION = 1
BUSY_SECONDS = 10.0

_SCHEMA = """
CREATE TABLE runs (
    id INTEGER PRIMARY KEY,
    project TEXT NOT NULL,
    command TEXT NOT NULL,
    began REAL NOT NULL,      -- seconds since the epoch
    ended REAL,               -- NULL while it runs, and for good when it was killed
    outcome TEXT,
    plan BLOB NOT NULL        -- JSON of reconciler.plan.Plan, secrets hidden
);
CREATE INDEX runs_of_project ON runs (project, id);
CREATE TABLE results (
    run INTEGER NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    step INTEGER NOT NULL,
    at REAL NOT NULL,
    error TEXT NOT NULL,      -- empty when the step was done
    PRIMARY KEY (run, step)
) WITHOUT ROWID;
"""


class RecordsTooNew(Fault):
    """A newer trueup wrote the records."""

    def __init__(self, path: Path, version: int) -> None:
        self.path, self.version = path, version
        super().__init__(
            f"{path} was written by a newer trueup",
            why=f"its version is {version}, this trueup knows {VERSION}",
            hint="use the newer trueup, or move the file away: it only holds the journal",
        )


def open_to_write(path: Path) -> sqlite3.Connection:
    """The database, made if it is not there; the caller closes it.

    A commit survives power loss (synchronous FULL). Raises ``RecordsTooNew``, ``DiskFull``.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with translated(path):
        try:
            return _opened(path)
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):
                raise
            _put_aside(path)
            return _opened(path)


def _opened(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        _migrate(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    if _version(connection) == VERSION:
        return
    with transaction(connection):
        version = _version(connection)  # again: somebody else may have been first
        if version > VERSION:
            raise RecordsTooNew(path, version)
        if version == 0:
            for statement in _SCHEMA.split(";\n"):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {VERSION}")


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _put_aside(path: Path) -> None:
    """Keep a damaged database for whoever wants to look, out of the way."""
    for suffix in ("", "-wal", "-shm"):
        part = path.with_name(path.name + suffix)
        if part.exists():
            part.rename(path.with_name(f"{path.name}.damaged{suffix}"))


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """SQLite's errors as ours."""
    try:
        yield
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode == sqlite3.SQLITE_FULL:
            raise DiskFull(str(path)) from error
        raise Fault(f"{path} cannot be written", why=str(error)) from error
