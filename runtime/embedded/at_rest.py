"""Reading an SQLite database without a trace, as long as nobody has it open.

In WAL mode even a reader makes and removes files, unless SQLite is told that nothing changes
(https://www.sqlite.org/uri.html, "immutable"). Whether that was true is seen afterwards: a writer
leaves its log beside the database, and at its end another time on it.
"""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TypeVar

Found = TypeVar("Found")


def read(path: Path, look: Callable[[sqlite3.Connection], Found]) -> Found | None:
    """What ``look`` finds in the database; None when it must be opened like any other: somebody
    has it open, was killed while he had, or it is damaged."""
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
    """What no writer leaves as it was; None while a log is there."""
    if path.with_name(f"{path.name}-wal").exists():
        return None
    seen = path.stat()
    return seen.st_ino, seen.st_size, seen.st_mtime_ns
