"""The statements that change the ledger."""

import sqlite3
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network
from typing import Any, TypeVar

import msgspec
from msgspec import structs

from runtime.api import ContainerSpec, NetworkSpec, PortSpec, ServiceSpec, encode
from runtime.embedded.ledger.rows import ContainerRow, NetworkRow, ServiceRow, State


class Writer:
    """The statements that change rows, inside one transaction. All are idempotent.

    Each keeps the snapshot in step with the rows, so that nothing is read back.
    """

    def __init__(self, connection: sqlite3.Connection, state: State) -> None:
        self._connection = connection
        self._state = state

    def state(self) -> State:
        """What the rows are now, with what this transaction has changed."""
        return self._state

    def set_pool(self, pool: IPv4Network, shadow: IPv4Network) -> None:
        self._put("meta", key="pool", value=f"{pool} {shadow}")
        self._now(pool=(pool, shadow))

    def put_project(self, name: str, spec_path: str) -> None:
        self._put("projects", name=name, spec_path=spec_path)
        self._now(projects={**self._state.projects, name: spec_path})

    def drop_project(self, name: str) -> None:
        self._run("DELETE FROM projects WHERE name = ?", name)
        self._now(projects=_without(self._state.projects, name))

    def put_network(self, spec: NetworkSpec, subnet: IPv4Network, gateway: IPv4Address) -> None:
        key = (spec.project, spec.name)
        old = self._state.networks.get(key)
        if old is not None:
            self._run("UPDATE networks SET spec = ? WHERE id = ?", encode(spec), old.id)
            row = structs.replace(old, spec=spec)
        else:
            made = self._run(
                "INSERT INTO networks (project, name, spec, subnet, gateway)"
                " VALUES (?, ?, ?, ?, ?)",
                *key,
                encode(spec),
                str(subnet),
                str(gateway),
            )
            assert made.lastrowid is not None
            row = NetworkRow(
                id=made.lastrowid, spec=spec, subnet=subnet, gateway=gateway, last_address=None
            )
        self._now(networks={**self._state.networks, key: row})

    def drop_network(self, project: str, name: str) -> None:
        self._run("DELETE FROM networks WHERE project = ? AND name = ?", project, name)
        self._now(networks=_without(self._state.networks, (project, name)))

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
        old = self._state.services.get(key)
        targets = () if old is None else old.targets
        self._service(
            ServiceRow(spec=spec, addresses=addresses, ports=tuple(ports), targets=targets)
        )

    def drop_service(self, project: str, name: str) -> None:
        for table in ("service_addresses", "ports", "targets"):
            self._run(f"DELETE FROM {table} WHERE project = ? AND service = ?", project, name)
        self._run("DELETE FROM services WHERE project = ? AND name = ?", project, name)
        self._now(services=_without(self._state.services, (project, name)))

    def set_targets(self, project: str, service: str, ids: Sequence[str]) -> None:
        """Generations that are not there (any more) are left out."""
        known = [id for id in self._state.containers if id in ids]
        self._run("DELETE FROM targets WHERE project = ? AND service = ?", project, service)
        for id in known:
            self._run("INSERT INTO targets VALUES (?, ?, ?)", project, service, id)
        row = self._state.services.get((project, service))
        if row is not None:
            self._service(structs.replace(row, targets=tuple(known)))

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
        self._run("DELETE FROM addresses WHERE container = ?", row.id)
        for network, address in row.addresses.items():
            self._run("INSERT INTO addresses VALUES (?, ?, ?)", network, str(address), row.id)
            self._run("UPDATE networks SET last_address = ? WHERE id = ?", str(address), network)
        last = max(row.generation, self._state.generations.get(row.key, 0))
        self._put(
            "generations",
            project=row.key.project,
            name=row.key.name,
            replica=row.key.replica,
            last=last,
        )
        self._now(
            containers=_in_order({**self._state.containers, row.id: row}),
            generations={**self._state.generations, row.key: last},
            networks={
                key: structs.replace(network, last_address=row.addresses[network.id])
                if network.id in row.addresses
                else network
                for key, network in self._state.networks.items()
            },
        )

    def mark_whole(self, id: str) -> None:
        """``create`` has come to its end."""
        self._run("UPDATE containers SET whole = 1 WHERE id = ?", id)
        self._container(id, whole=True)

    def set_spec(self, id: str, spec: ContainerSpec) -> None:
        self._run("UPDATE containers SET spec = ? WHERE id = ?", encode(spec), id)
        self._container(id, spec=spec)

    def drop_container(self, id: str) -> None:
        self._run("DELETE FROM targets WHERE container = ?", id)
        self._run("DELETE FROM addresses WHERE container = ?", id)
        self._run("DELETE FROM containers WHERE id = ?", id)
        self._now(
            containers=_without(self._state.containers, id),
            services={
                key: structs.replace(row, targets=tuple(t for t in row.targets if t != id))
                if id in row.targets
                else row
                for key, row in self._state.services.items()
            },
        )

    def restore(self, before: State) -> None:
        """Put networks and services back to what they were."""
        for network in self._state.networks.keys() - before.networks.keys():
            self.drop_network(*network)
        for service in self._state.services.keys() - before.services.keys():
            self.drop_service(*service)
        for key, row in before.services.items():
            if self._state.services.get(key) != row:
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

    def _service(self, row: ServiceRow) -> None:
        key = (row.spec.project, row.spec.name)
        self._now(services={**self._state.services, key: row})

    def _container(self, id: str, **changes: Any) -> None:
        row = self._state.containers.get(id)
        if row is not None:
            changed = structs.replace(row, **changes)
            self._now(containers={**self._state.containers, id: changed})

    def _now(self, **changes: Any) -> None:
        self._state = structs.replace(self._state, **changes)

    def _put(self, table: str, **columns: object) -> None:
        names = ", ".join(columns)
        marks = ", ".join("?" * len(columns))
        self._run(f"INSERT OR REPLACE INTO {table} ({names}) VALUES ({marks})", *columns.values())

    def _run(self, statement: str, *values: object) -> sqlite3.Cursor:
        return self._connection.execute(statement, values)


Key = TypeVar("Key")
Row = TypeVar("Row")


def _without(rows: dict[Key, Row], key: Key) -> dict[Key, Row]:
    return {each: row for each, row in rows.items() if each != key}


def _in_order(rows: dict[str, ContainerRow]) -> dict[str, ContainerRow]:
    return dict(sorted(rows.items(), key=lambda item: (item[1].key, item[1].generation)))
