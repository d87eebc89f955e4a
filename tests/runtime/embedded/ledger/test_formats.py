"""A ledger that an older trueup wrote becomes today's, in place, with all that it promised."""

import sqlite3
from contextlib import closing
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from runtime.api import Attachment, ContainerKey
from runtime.embedded.ledger import DamagedLedger, Ledger, Place

FORMAT_1 = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE projects (name TEXT PRIMARY KEY, spec_path TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE networks (
    id INTEGER PRIMARY KEY AUTOINCREMENT, project TEXT NOT NULL, name TEXT NOT NULL,
    spec BLOB NOT NULL, subnet TEXT NOT NULL, gateway TEXT NOT NULL,
    last_address TEXT, UNIQUE (project, name));
CREATE TABLE services (
    project TEXT NOT NULL, name TEXT NOT NULL, spec BLOB NOT NULL,
    PRIMARY KEY (project, name)) WITHOUT ROWID;
CREATE TABLE service_addresses (
    network INTEGER NOT NULL, address TEXT NOT NULL, project TEXT NOT NULL, service TEXT NOT NULL,
    PRIMARY KEY (network, address)) WITHOUT ROWID;
CREATE TABLE ports (
    project TEXT NOT NULL, service TEXT NOT NULL, spec BLOB NOT NULL, host_port INTEGER NOT NULL,
    PRIMARY KEY (project, service, spec)) WITHOUT ROWID;
CREATE TABLE containers (
    id TEXT PRIMARY KEY, project TEXT NOT NULL, name TEXT NOT NULL, replica INTEGER NOT NULL,
    generation INTEGER NOT NULL, serial INTEGER NOT NULL UNIQUE, whole INTEGER NOT NULL,
    spec BLOB NOT NULL, image TEXT NOT NULL, command BLOB NOT NULL, volumes BLOB NOT NULL,
    created REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE addresses (
    network INTEGER NOT NULL, address TEXT NOT NULL, container TEXT NOT NULL,
    PRIMARY KEY (network, address)) WITHOUT ROWID;
CREATE TABLE targets (
    project TEXT NOT NULL, service TEXT NOT NULL, container TEXT NOT NULL,
    PRIMARY KEY (project, service, container)) WITHOUT ROWID;
CREATE TABLE generations (
    project TEXT NOT NULL, name TEXT NOT NULL, replica INTEGER NOT NULL, last INTEGER NOT NULL,
    PRIMARY KEY (project, name, replica)) WITHOUT ROWID;
INSERT INTO meta VALUES ('pool', '10.201.0.0/16 10.251.0.0/16'), ('serial', '7');
INSERT INTO projects VALUES ('shop', '/shop');
INSERT INTO networks VALUES
    (3, 'shop', 'front', CAST('{"project":"shop","name":"front"}' AS BLOB), '10.201.2.0/23',
    '10.201.2.1', '10.201.3.4');
INSERT INTO services VALUES
    ('shop', 'web', CAST('{"project":"shop","name":"web","networks":["front"]}' AS BLOB));
INSERT INTO service_addresses VALUES (3, '10.201.2.2', 'shop', 'web');
INSERT INTO ports VALUES ('shop', 'web', CAST('{"container_port":80}' AS BLOB), 8080);
INSERT INTO containers VALUES
    ('abc', 'shop', 'web', 1, 2, 7, 1,
    CAST('{"image":"nginx","networks":["front"],"depends_on":[{"name":"db"}]}' AS BLOB),
    'sha256:1', CAST('["nginx"]' AS BLOB), CAST('[]' AS BLOB), 1.5);
INSERT INTO addresses VALUES (3, '10.201.3.4', 'abc');
INSERT INTO targets VALUES ('shop', 'web', 'abc');
INSERT INTO generations VALUES ('shop', 'web', 1, 2);
PRAGMA user_version = 1;
PRAGMA journal_mode = WAL;
"""


def test_format_1_becomes_todays(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    with closing(sqlite3.connect(path)) as old:
        old.executescript(FORMAT_1)
    with closing(Ledger(path)) as ledger:
        state = ledger.state()
        with ledger.writing() as writer:
            assert writer.next_serial() == 8
    network = state.networks["shop", "front"]
    assert (network.id, network.subnet6, str(network.last_address)) == (3, None, "10.201.3.4")
    service = state.services["shop", "web"]
    assert service.spec.networks == (Attachment(network="front"),)
    assert service.addresses == {3: IPv4Address("10.201.2.2")}
    assert (service.addresses6, service.targets) == ({}, ("abc",))
    assert [host_port for _, host_port in service.ports] == [8080]
    row = state.containers["abc"]
    assert row.key == ContainerKey(project="shop", name="web")
    assert row.spec.networks == (Attachment(network="front"),)
    assert (row.generation, row.whole, row.shares) == (2, True, {})
    assert row.places == (Place(network=3, address=IPv4Address("10.201.3.4"), index=0, serial=7),)
    assert state.generations == {row.key: 2}


def test_a_change_of_format_that_is_interrupted_changes_nothing(tmp_path: Path) -> None:
    """A row that cannot be read stops it half way; the old file is what it was."""
    path = tmp_path / "ledger.db"
    with closing(sqlite3.connect(path)) as old:
        old.executescript(FORMAT_1)
        old.execute("UPDATE containers SET spec = CAST('{' AS BLOB)")
        old.commit()
        before = list(old.iterdump())
    with closing(Ledger(path)) as ledger, pytest.raises(DamagedLedger):
        ledger.state()
    with closing(sqlite3.connect(path)) as old:
        assert list(old.iterdump()) == before
