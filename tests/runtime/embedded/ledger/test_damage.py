"""A ledger that is damaged, full or kept by others is told in words, to whoever reads or writes."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from ipaddress import IPv4Network
from pathlib import Path

import pytest

from reconciler.cli.main import main
from runtime.api import NetworkSpec
from runtime.embedded import boot
from runtime.embedded.ledger import DamagedLedger, Ledger, database
from runtime.embedded.paths import Paths
from runtime.errors import DiskFull


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A ledger of several pages that nobody has open."""
    place = tmp_path / "ledger.db"
    with closing(Ledger(place)) as ledger, ledger.writing() as writer:
        subnet = IPv4Network("10.201.0.0/24")
        for number in range(200):
            spec = NetworkSpec(project="shop", name=f"net{number}")
            writer.put_network(spec, subnet, subnet[1])
    return place


@pytest.fixture
def ledger(path: Path) -> Iterator[Ledger]:
    with closing(Ledger(path)) as opened:
        yield opened


def write(ledger: Ledger, names: int = 1) -> None:
    with ledger.writing() as writer:
        for number in range(names):
            writer.put_project(f"shop{number or ''}", "/shop")


def altered(statement: str) -> Callable[[Path], None]:
    def alter(path: Path) -> None:
        with closing(sqlite3.connect(path)) as connection:
            connection.execute(statement)
            connection.commit()

    return alter


def overwritten(start: int) -> Callable[[Path], None]:
    def overwrite(path: Path) -> None:
        content = path.read_bytes()
        path.write_bytes(content[:start] + b"\xa5" * (len(content) - start))

    return overwrite


DAMAGES = {
    "no database": overwritten(0),
    "pages of rubbish": overwritten(4096),
    "cut off": lambda path: path.write_bytes(path.read_bytes()[:6000]),
    "a table is missing": altered("DROP TABLE services"),
    "JSON cut off": altered("UPDATE networks SET spec = CAST('{\"na' AS BLOB)"),
    "other JSON": altered("UPDATE networks SET spec = CAST('{\"a\": 1}' AS BLOB)"),
    "no address": altered("UPDATE networks SET gateway = 'x'"),
    "no text": altered("UPDATE networks SET subnet = CAST(X'ff' AS TEXT)"),
    "nothing": altered("UPDATE networks SET spec = X''"),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_damage_is_told_to_readers_and_writers(
    damage: Callable[[Path], None], path: Path, ledger: Ledger
) -> None:
    damage(path)
    for call in (Ledger.state, write, Ledger.known):
        with pytest.raises(DamagedLedger, match=f"{path} cannot be read"):
            call(ledger)


@pytest.mark.root
@pytest.mark.parametrize("command", ["down --project shop", "ps"])
def test_a_command_tells_of_it_in_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    paths = Paths.below(tmp_path / "i")
    boot.prepare(paths)
    with closing(Ledger(paths.ledger)) as ledger:
        write(ledger)
    overwritten(4096)(paths.ledger)
    assert main(["--root", str(tmp_path / "i"), *command.split()]) == 1
    told = capsys.readouterr().err
    assert f"{paths.ledger} cannot be read" in told
    assert "defect" not in told


def test_a_full_disk_undoes_the_transaction(ledger: Ledger) -> None:
    write(ledger)
    connection = ledger._open()
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    connection.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(DiskFull):
        write(ledger, names=1000)
    assert ledger.state().projects == {"shop": "/shop"}
    connection.execute("PRAGMA max_page_count = 100000")
    write(ledger)


def test_whoever_waits_too_long_is_told(
    path: Path, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "_BUSY_SECONDS", 0.05)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(database.LedgerBusy, match="is busy"):
            write(ledger)
        assert len(ledger.state().networks) == 200
    write(ledger)
