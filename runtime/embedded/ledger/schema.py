"""The tables, and the way from an older format to today's, in place."""

import sqlite3
from collections.abc import Iterator

import msgspec

from runtime.at_rest import transaction

SCHEMA = 2

_TABLES = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE projects (name TEXT PRIMARY KEY, spec_path TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE networks (
    id INTEGER PRIMARY KEY AUTOINCREMENT, project TEXT NOT NULL, name TEXT NOT NULL,
    spec BLOB NOT NULL, subnet TEXT NOT NULL, gateway TEXT NOT NULL, last_address TEXT,
    subnet6 TEXT, last_address6 TEXT, UNIQUE (project, name));
CREATE TABLE externals (
    project TEXT NOT NULL, name TEXT NOT NULL, spec BLOB NOT NULL,
    PRIMARY KEY (project, name)) WITHOUT ROWID;
CREATE TABLE services (
    project TEXT NOT NULL, name TEXT NOT NULL, spec BLOB NOT NULL,
    PRIMARY KEY (project, name)) WITHOUT ROWID;
CREATE TABLE service_addresses (
    project TEXT NOT NULL, service TEXT NOT NULL, network INTEGER NOT NULL, address TEXT NOT NULL,
    address6 TEXT, PRIMARY KEY (project, service, network)) WITHOUT ROWID;
CREATE TABLE ports (
    project TEXT NOT NULL, service TEXT NOT NULL, spec BLOB NOT NULL, host_port INTEGER NOT NULL,
    PRIMARY KEY (project, service, spec)) WITHOUT ROWID;
CREATE TABLE containers (
    id TEXT PRIMARY KEY, project TEXT NOT NULL, name TEXT NOT NULL, replica INTEGER NOT NULL,
    generation INTEGER NOT NULL, whole INTEGER NOT NULL, spec BLOB NOT NULL, image TEXT NOT NULL,
    command BLOB NOT NULL, volumes BLOB NOT NULL, created REAL NOT NULL,
    shares BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE places (
    container TEXT NOT NULL, network INTEGER NOT NULL, interface INTEGER NOT NULL,
    serial INTEGER NOT NULL UNIQUE, address TEXT NOT NULL, address6 TEXT,
    PRIMARY KEY (container, network)) WITHOUT ROWID;
CREATE TABLE targets (
    project TEXT NOT NULL, service TEXT NOT NULL, container TEXT NOT NULL,
    PRIMARY KEY (project, service, container)) WITHOUT ROWID;
CREATE TABLE generations (
    project TEXT NOT NULL, name TEXT NOT NULL, replica INTEGER NOT NULL, last INTEGER NOT NULL,
    PRIMARY KEY (project, name, replica)) WITHOUT ROWID
"""

# Format 1 knew one network per container: its link was named by the container's own serial.
_KEPT_FROM_1 = ("meta", "projects", "networks", "services", "ports", "targets", "generations")
_FROM_1 = """
INSERT INTO service_addresses SELECT project, service, network, address, NULL
    FROM old_service_addresses;
INSERT INTO containers
    SELECT id, project, name, replica, generation, whole, spec, image, command, volumes, created,
    CAST('{}' AS BLOB) FROM old_containers;
INSERT INTO places SELECT container, network, 0, serial, address, NULL
    FROM old_addresses JOIN old_containers ON container = id GROUP BY container;
DROP TABLE old_service_addresses;
DROP TABLE old_containers;
DROP TABLE old_addresses
"""


def bring_up(connection: sqlite3.Connection) -> None:
    """Make the tables, or make older ones today's; one transaction."""
    with transaction(connection):
        (found,) = connection.execute("PRAGMA user_version").fetchone()
        if found == 0:
            _run(connection, _TABLES)
        elif found == 1:
            _from_1(connection)
        connection.execute(f"PRAGMA user_version = {SCHEMA}")


def _from_1(connection: sqlite3.Connection) -> None:
    for table in ("service_addresses", "containers", "addresses"):
        connection.execute(f"ALTER TABLE {table} RENAME TO old_{table}")
    connection.execute("ALTER TABLE networks ADD COLUMN subnet6 TEXT")
    connection.execute("ALTER TABLE networks ADD COLUMN last_address6 TEXT")
    for statement in _statements(_TABLES):
        if statement.split()[2] not in _KEPT_FROM_1:
            connection.execute(statement)
    _run(connection, _FROM_1)
    for table, key in (("services", ("project", "name")), ("containers", ("id",))):
        _name_networks_by_objects(connection, table, key)


def _name_networks_by_objects(
    connection: sqlite3.Connection, table: str, key: tuple[str, ...]
) -> None:
    """``"networks": ["front"]`` of a spec becomes ``[{"network": "front"}]``."""
    rows = connection.execute(f"SELECT spec, {', '.join(key)} FROM {table}").fetchall()
    where = " AND ".join(f"{column} = ?" for column in key)
    for text, *names in rows:
        spec = msgspec.json.decode(text)
        if "networks" in spec:
            spec["networks"] = [{"network": name} for name in spec["networks"]]
            connection.execute(
                f"UPDATE {table} SET spec = ? WHERE {where}", (msgspec.json.encode(spec), *names)
            )


def _run(connection: sqlite3.Connection, statements: str) -> None:
    for statement in _statements(statements):
        connection.execute(statement)


def _statements(text: str) -> Iterator[str]:
    return (statement.strip() for statement in text.split(";\n"))
