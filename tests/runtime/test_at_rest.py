"""A database is looked at without a trace, unless somebody has it open."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from runtime import at_rest


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "some.db"
    with closing(_opened(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE words (word TEXT)")
        connection.execute("INSERT INTO words VALUES ('one')")
    return path


def _opened(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, isolation_level=None)


def _words(connection: sqlite3.Connection) -> list[str]:
    return [word for (word,) in connection.execute("SELECT word FROM words")]


def test_looking_leaves_no_trace(database: Path) -> None:
    os.utime(database.parent, ns=(0, 0))
    assert at_rest.read(database, _words) == ["one"]
    assert database.parent.stat().st_mtime_ns == 0
    assert os.listdir(database.parent) == ["some.db"]


def test_who_has_it_open_is_heeded(database: Path) -> None:
    with closing(_opened(database)) as writer:
        writer.execute("INSERT INTO words VALUES ('two')")
        assert at_rest.read(database, _words) is None
    assert at_rest.read(database, _words) == ["one", "two"]


def test_what_was_written_meanwhile_is_noticed(database: Path) -> None:
    def look(connection: sqlite3.Connection) -> list[str]:
        with closing(_opened(database)) as writer:
            writer.execute("INSERT INTO words VALUES ('two')")
        return _words(connection)

    assert at_rest.read(database, look) is None


def test_a_damaged_one_is_left_to_who_opens_it(database: Path) -> None:
    database.write_bytes(b"not a database at all" * 100)
    assert at_rest.read(database, _words) is None
