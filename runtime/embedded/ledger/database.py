"""The database file: opened, brought to its format, read and written as a whole."""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from runtime import at_rest
from runtime.embedded.ledger.reader import read
from runtime.embedded.ledger.rows import State
from runtime.embedded.ledger.schema import SCHEMA, bring_up
from runtime.embedded.ledger.writer import Writer
from runtime.errors import DiskFull, Fault

_BUSY_SECONDS = 30.0


class NewerLedger(Fault):
    """The ledger was written by a newer trueup."""

    def __init__(self, path: Path, found: int) -> None:
        super().__init__(
            f"{path} has format {found}, this trueup knows up to {SCHEMA}",
            why="a newer trueup has written it",
            hint="use the newer trueup; nothing was changed",
        )


class DamagedLedger(Fault):
    """The ledger cannot be read, or not be written: SQLite, or what stands in its rows, says so."""

    def __init__(self, path: Path, why: str) -> None:
        self.path = path
        super().__init__(
            f"{path} cannot be read",
            why=why,
            hint="containers go on running; move the file aside only after a copy was made",
        )


class LedgerBusy(Fault):
    """Others wrote to the ledger all the time that we waited."""

    def __init__(self, path: Path) -> None:
        self.path = path
        super().__init__(
            f"{path} is busy",
            why=f"another process has kept it for more than {_BUSY_SECONDS:.0f} s",
            hint=f"`fuser {path}` shows which; run the same command again when it has ended",
        )


class Ledger:
    """The database at ``path``. Safe to use from several threads and processes. Its calls raise
    ``DamagedLedger``, ``NewerLedger``, ``LedgerBusy`` and ``DiskFull``."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        self._cached: tuple[int, State] | None = None

    def close(self) -> None:
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def state(self) -> State:
        """All rows; an empty state while there is no database. Looking makes no files."""
        with self._lock, _translated(self._path):
            if self._connection is None:
                if not self._path.exists():
                    return State()
                if (resting := at_rest.read(self._path, _look)) is not None:
                    return resting
            return self._current(self._open())

    def known(self) -> State:
        """What this process read or wrote last, without waiting for anybody: good enough for
        rows that only the caller changes, as the holder of their project's lock does."""
        cached = self._cached
        return self.state() if cached is None else cached[1]

    @contextmanager
    def writing(self) -> Iterator["Writer"]:
        """One transaction, durable when the block ends, undone when it raises."""
        with self._lock, _translated(self._path):
            connection = self._open()
            with at_rest.transaction(connection):
                writer = Writer(connection, self._current(connection))
                yield writer
            # Our own commits do not change data_version: what was written is what is known.
            assert self._cached is not None
            self._cached = (self._cached[0], writer.state())

    def _current(self, connection: sqlite3.Connection) -> State:
        """All rows, read again only when another process has committed since."""
        version = int(connection.execute("PRAGMA data_version").fetchone()[0])
        if self._cached is None or self._cached[0] != version:
            self._cached = (version, _read(connection, self._path))
        return self._cached[1]

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = _connect(self._path)
        return self._connection


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(
        path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
    )
    try:
        (found,) = connection.execute("PRAGMA user_version").fetchone()
        if found > SCHEMA:
            raise NewerLedger(path, found)
        connection.execute("PRAGMA synchronous = FULL")
        if found < SCHEMA:
            path.chmod(0o600)
            connection.execute("PRAGMA journal_mode = WAL")
            bring_up(connection)
    except _NOT_AS_WRITTEN as error:
        connection.close()
        raise _unreadable(path, error) from error
    except BaseException:
        connection.close()
        raise
    return connection


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    """SQLite's errors as ours, but for those that only a defect of ours can cause."""
    try:
        yield
    except (sqlite3.ProgrammingError, sqlite3.IntegrityError):
        raise
    except sqlite3.DatabaseError as error:
        # The low byte is the kind, https://sqlite.org/rescode.html; text that is no UTF-8 has none.
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF
        if code == sqlite3.SQLITE_FULL:
            raise DiskFull(str(path)) from error
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            raise LedgerBusy(path) from error
        raise DamagedLedger(path, str(error)) from error


_NOT_AS_WRITTEN = (msgspec.MsgspecError, ValueError, TypeError)


def _read(connection: sqlite3.Connection, path: Path) -> State:
    try:
        return read(connection)
    except _NOT_AS_WRITTEN as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> DamagedLedger:
    return DamagedLedger(path, f"a row is not what was written: {error}")


def _look(connection: sqlite3.Connection) -> State | None:
    """All rows of a database in our own format; what is damaged is looked at again in earnest."""
    (found,) = connection.execute("PRAGMA user_version").fetchone()
    with suppress(*_NOT_AS_WRITTEN):
        return read(connection) if found == SCHEMA else None
    return None
