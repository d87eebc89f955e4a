"""SQLite databases: read without a trace as long as nobody has them open, written in one way.

In WAL mode even a reader makes and removes files, unless SQLite is told that nothing changes
(https://www.sqlite.org/uri.html, "immutable"). Whether that was true is seen afterwards: a writer
leaves its log beside the database, and at its end another time on it.
"""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TypeVar

Found = TypeVar("Found")


def read(path: Path, look: Callable[[sqlite3.Connection], Found]) -> Found | None:
    """What ``look`` finds in the database; None when it must be opened like any other: somebody
    has it open, was killed while he had, or it is damaged or not there."""
    before = _stamp(path)
    if before is None:
        return None
    uri = f"{path.absolute().as_uri()}?immutable=1"
    try:
        with closing(sqlite3.connect(uri, uri=True, isolation_level=None)) as connection:
            found = look(connection)
    except sqlite3.DatabaseError:
        return None
    return found if _stamp(path) == before else None


def _stamp(path: Path) -> tuple[int, int, int] | None:
    """What no writer leaves as it was; None while a log is there, or no database."""
    if path.with_name(f"{path.name}-wal").exists():
        return None
    try:
        seen = path.stat()
    except FileNotFoundError:
        return None
    return seen.st_ino, seen.st_size, seen.st_mtime_ns


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All that is written in the block, or nothing. BEGIN IMMEDIATE: with a plain BEGIN a reader
    that turns writer dies of "locked"."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # a full disk has undone it already
            connection.execute("ROLLBACK")
        raise
