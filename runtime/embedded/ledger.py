"""The engine's own records: what it has promised and to whom.

Rows say what shall be (addresses, ports, which generation serves) and what a generation was
made from (``applied``); whether it still is so, the kernel is asked. An intent is committed
here before the kernel is touched, so that a killed engine finds its half-made things again.

SQLite: WAL, synchronous FULL, every write in BEGIN IMMEDIATE (with a plain BEGIN concurrent
processes die of "locked"). ``State`` is a snapshot of all rows, read as one value.
"""

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import msgspec

from runtime.api import (
    ContainerKey,
    ContainerSpec,
    NetworkSpec,
    PortSpec,
    ServiceSpec,
    encode,
)
from runtime.embedded import at_rest
from runtime.errors import Fault

SCHEMA = 1

_TABLES = """
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
"""


class NewerLedger(Fault):
    """The ledger was written by a newer trueup."""

    def __init__(self, path: Path, found: int) -> None:
        super().__init__(
            f"{path} has format {found}, this trueup knows up to {SCHEMA}",
            why="a newer trueup has written it",
            hint="use the newer trueup; nothing was changed",
        )


class DamagedLedger(Fault):
    """SQLite cannot read the ledger."""

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(
            f"{path} cannot be read",
            why=why,
            hint="containers go on running; move the file aside only after a copy was made",
        )


class NetworkRow(msgspec.Struct, frozen=True, kw_only=True):
    id: int
    spec: NetworkSpec
    subnet: IPv4Network
    gateway: IPv4Address
    last_address: IPv4Address | None


class ServiceRow(msgspec.Struct, frozen=True, kw_only=True):
    """``addresses`` by network id; ``ports`` pairs of what was asked and the host port it got;
    ``targets`` ids of generations."""

    spec: ServiceSpec
    addresses: dict[int, IPv4Address]
    ports: tuple[tuple[PortSpec, int], ...]
    targets: tuple[str, ...]


class ContainerRow(msgspec.Struct, frozen=True, kw_only=True):
    """``serial`` is unique for ever: link names are made from it. ``whole`` is False until
    ``create`` has come to its end. ``volumes`` are names of its anonymous volumes."""

    id: str
    key: ContainerKey
    generation: int
    serial: int
    whole: bool
    spec: ContainerSpec
    image: str
    command: tuple[str, ...]
    volumes: tuple[str, ...]
    created: float
    addresses: dict[int, IPv4Address]


class State(msgspec.Struct, frozen=True, kw_only=True):
    """All rows as one value. ``pool`` is (container pool, shadow pool) once picked."""

    pool: tuple[IPv4Network, IPv4Network] | None = None
    projects: dict[str, str] = {}
    networks: dict[tuple[str, str], NetworkRow] = {}
    services: dict[tuple[str, str], ServiceRow] = {}
    containers: dict[str, ContainerRow] = {}
    generations: dict[ContainerKey, int] = {}

    def network_by_id(self, id: int) -> NetworkRow:
        return next(row for row in self.networks.values() if row.id == id)


class Ledger:
    """The database at ``path``. Safe to use from several threads and processes."""

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
        with self._lock:
            if self._connection is None:
                if not self._path.exists():
                    return State()
                if (resting := at_rest.read(self._path, _look)) is not None:
                    return resting
            connection = self._open()
            version = int(connection.execute("PRAGMA data_version").fetchone()[0])
            if self._cached is None or self._cached[0] != version:
                self._cached = (version, _read(connection))
            return self._cached[1]

    @contextmanager
    def writing(self) -> Iterator["Writer"]:
        """One transaction, durable when the block ends, undone when it raises."""
        with self._lock:
            connection = self._open()
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield Writer(connection)
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            finally:
                self._cached = None
            connection.execute("COMMIT")

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = _connect(self._path)
        return self._connection


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=30.0, isolation_level=None, check_same_thread=False)
    try:
        (found,) = connection.execute("PRAGMA user_version").fetchone()
        if found > SCHEMA:
            raise NewerLedger(path, found)
        connection.execute("PRAGMA synchronous = FULL")
        if found < SCHEMA:
            path.chmod(0o600)
            connection.execute("PRAGMA journal_mode = WAL")
            _create_tables(connection)
    except sqlite3.DatabaseError as error:
        connection.close()
        raise DamagedLedger(path, str(error)) from error
    except BaseException:
        connection.close()
        raise
    return connection


def _look(connection: sqlite3.Connection) -> State | None:
    """All rows of a database in our own format."""
    (found,) = connection.execute("PRAGMA user_version").fetchone()
    return _read(connection) if found == SCHEMA else None


def _create_tables(connection: sqlite3.Connection) -> None:
    connection.execute("BEGIN IMMEDIATE")
    if connection.execute("PRAGMA user_version").fetchone()[0] < SCHEMA:
        for statement in _TABLES.split(";\n"):
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {SCHEMA}")
    connection.execute("COMMIT")


class Writer:
    """The statements that change rows, inside one transaction. All are idempotent."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def state(self) -> State:
        """What the rows are now, with what this transaction has changed."""
        return _read(self._connection)

    def set_pool(self, pool: IPv4Network, shadow: IPv4Network) -> None:
        self._put("meta", key="pool", value=f"{pool} {shadow}")

    def put_project(self, name: str, spec_path: str) -> None:
        self._put("projects", name=name, spec_path=spec_path)

    def drop_project(self, name: str) -> None:
        self._run("DELETE FROM projects WHERE name = ?", name)

    def put_network(self, spec: NetworkSpec, subnet: IPv4Network, gateway: IPv4Address) -> None:
        self._run(
            "INSERT INTO networks (project, name, spec, subnet, gateway) VALUES (?, ?, ?, ?, ?)"
            " ON CONFLICT (project, name) DO UPDATE SET spec = excluded.spec",
            spec.project,
            spec.name,
            encode(spec),
            str(subnet),
            str(gateway),
        )

    def drop_network(self, project: str, name: str) -> None:
        self._run("DELETE FROM networks WHERE project = ? AND name = ?", project, name)

    def put_service(
        self,
        spec: ServiceSpec,
        addresses: dict[int, IPv4Address],
        ports: Sequence[tuple[PortSpec, int]],
    ) -> None:
        key = (spec.project, spec.name)
        self._put("services", project=spec.project, name=spec.name, spec=encode(spec))
        self._run("DELETE FROM service_addresses WHERE project = ? AND service = ?", *key)
        for network, address in addresses.items():
            self._run(
                "INSERT INTO service_addresses VALUES (?, ?, ?, ?)", network, str(address), *key
            )
        self._run("DELETE FROM ports WHERE project = ? AND service = ?", *key)
        for port, host_port in ports:
            self._run("INSERT INTO ports VALUES (?, ?, ?, ?)", *key, encode(port), host_port)

    def drop_service(self, project: str, name: str) -> None:
        for table in ("service_addresses", "ports", "targets"):
            self._run(f"DELETE FROM {table} WHERE project = ? AND service = ?", project, name)
        self._run("DELETE FROM services WHERE project = ? AND name = ?", project, name)

    def set_targets(self, project: str, service: str, ids: Sequence[str]) -> None:
        self._run("DELETE FROM targets WHERE project = ? AND service = ?", project, service)
        for id in ids:
            self._run("INSERT INTO targets VALUES (?, ?, ?)", project, service, id)

    def put_container(self, row: ContainerRow) -> None:
        self._put(
            "containers",
            id=row.id,
            project=row.key.project,
            name=row.key.name,
            replica=row.key.replica,
            generation=row.generation,
            serial=row.serial,
            whole=int(row.whole),
            spec=encode(row.spec),
            image=row.image,
            command=msgspec.json.encode(row.command),
            volumes=msgspec.json.encode(row.volumes),
            created=row.created,
        )
        for network, address in row.addresses.items():
            self._put("addresses", network=network, address=str(address), container=row.id)
            self._run("UPDATE networks SET last_address = ? WHERE id = ?", str(address), network)
        self._run(
            "INSERT INTO generations VALUES (?, ?, ?, ?) ON CONFLICT (project, name, replica)"
            " DO UPDATE SET last = max(last, excluded.last)",
            row.key.project,
            row.key.name,
            row.key.replica,
            row.generation,
        )

    def mark_whole(self, id: str) -> None:
        """``create`` has come to its end."""
        self._run("UPDATE containers SET whole = 1 WHERE id = ?", id)

    def set_spec(self, id: str, spec: ContainerSpec) -> None:
        self._run("UPDATE containers SET spec = ? WHERE id = ?", encode(spec), id)

    def restore(self, before: State) -> None:
        """Put networks and services back to what they were."""
        now = self.state()
        for key in now.networks.keys() - before.networks.keys():
            self.drop_network(*key)
        for key in now.services.keys() - before.services.keys():
            self.drop_service(*key)
        for key, row in before.services.items():
            if now.services.get(key) != row:
                self.put_service(row.spec, row.addresses, row.ports)
                self.set_targets(*key, row.targets)

    def next_serial(self) -> int:
        """A number that was never used before on this instance."""
        self._run(
            "INSERT INTO meta VALUES ('serial', '1') ON CONFLICT (key)"
            " DO UPDATE SET value = CAST(CAST(value AS INTEGER) + 1 AS TEXT)"
        )
        row = self._connection.execute("SELECT value FROM meta WHERE key = 'serial'").fetchone()
        return int(row[0])

    def drop_container(self, id: str) -> None:
        self._run("DELETE FROM targets WHERE container = ?", id)
        self._run("DELETE FROM addresses WHERE container = ?", id)
        self._run("DELETE FROM containers WHERE id = ?", id)

    def _put(self, table: str, **columns: object) -> None:
        names = ", ".join(columns)
        marks = ", ".join("?" * len(columns))
        self._run(f"INSERT OR REPLACE INTO {table} ({names}) VALUES ({marks})", *columns.values())

    def _run(self, statement: str, *values: object) -> None:
        self._connection.execute(statement, values)


_decode_network = msgspec.json.Decoder(NetworkSpec).decode
_decode_service = msgspec.json.Decoder(ServiceSpec).decode
_decode_port = msgspec.json.Decoder(PortSpec).decode
_decode_container = msgspec.json.Decoder(ContainerSpec).decode
_decode_words = msgspec.json.Decoder(tuple[str, ...]).decode


def _read(connection: sqlite3.Connection) -> State:
    with closing(connection.cursor()) as cursor:
        rows = cursor.execute
        pool = next((value for (value,) in rows("SELECT value FROM meta WHERE key = 'pool'")), None)
        return State(
            pool=None if pool is None else _pools(pool),
            projects=dict(rows("SELECT name, spec_path FROM projects").fetchall()),
            networks=_read_networks(cursor),
            services=_read_services(cursor),
            containers=_read_containers(cursor),
            generations={
                ContainerKey(project=project, name=name, replica=replica): last
                for project, name, replica, last in rows("SELECT * FROM generations")
            },
        )


def _pools(text: str) -> tuple[IPv4Network, IPv4Network]:
    pool, shadow = text.split()
    return IPv4Network(pool), IPv4Network(shadow)


def _read_networks(cursor: sqlite3.Cursor) -> dict[tuple[str, str], NetworkRow]:
    columns = "project, name, id, spec, subnet, gateway, last_address"
    return {
        (project, name): NetworkRow(
            id=id,
            spec=_decode_network(spec),
            subnet=IPv4Network(subnet),
            gateway=IPv4Address(gateway),
            last_address=IPv4Address(last) if last else None,
        )
        for project, name, id, spec, subnet, gateway, last in cursor.execute(
            f"SELECT {columns} FROM networks ORDER BY id"
        )
    }


def _read_services(cursor: sqlite3.Cursor) -> dict[tuple[str, str], ServiceRow]:
    addresses: dict[tuple[str, str], dict[int, IPv4Address]] = {}
    for network, address, project, service in cursor.execute(
        "SELECT network, address, project, service FROM service_addresses"
    ):
        addresses.setdefault((project, service), {})[network] = IPv4Address(address)
    ports: dict[tuple[str, str], list[tuple[PortSpec, int]]] = {}
    for project, service, spec, host_port in cursor.execute("SELECT * FROM ports"):
        ports.setdefault((project, service), []).append((_decode_port(spec), host_port))
    targets: dict[tuple[str, str], list[str]] = {}
    for project, service, container in cursor.execute(
        "SELECT targets.project, service, container FROM targets"
        " JOIN containers ON container = id ORDER BY replica, generation"
    ):
        targets.setdefault((project, service), []).append(container)
    return {
        (project, name): ServiceRow(
            spec=_decode_service(spec),
            addresses=addresses.get((project, name), {}),
            ports=tuple(ports.get((project, name), ())),
            targets=tuple(targets.get((project, name), ())),
        )
        for project, name, spec in cursor.execute("SELECT project, name, spec FROM services")
    }


def _read_containers(cursor: sqlite3.Cursor) -> dict[str, ContainerRow]:
    addresses: dict[str, dict[int, IPv4Address]] = {}
    for network, address, container in cursor.execute("SELECT * FROM addresses"):
        addresses.setdefault(container, {})[network] = IPv4Address(address)
    return {
        id: ContainerRow(
            id=id,
            key=ContainerKey(project=project, name=name, replica=replica),
            generation=generation,
            serial=serial,
            whole=bool(whole),
            spec=_decode_container(spec),
            image=image,
            command=_decode_words(command),
            volumes=_decode_words(volumes),
            created=created,
            addresses=addresses.get(id, {}),
        )
        for (
            id, project, name, replica, generation, serial, whole,
            spec, image, command, volumes, created,
        ) in cursor.execute("SELECT * FROM containers ORDER BY project, name, replica, generation")
    }  # fmt: skip
