"""The statements that change the ledger."""

import sqlite3
from collections.abc import Mapping, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Any, TypeVar

import msgspec
from msgspec import structs

from runtime.api import ContainerSpec, NetworkSpec, PortSpec, ServiceSpec, encode
from runtime.embedded.ledger.rows import ContainerRow, NetworkRow, Place, ServiceRow, State


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

    def set_ula(self, ula: IPv6Network) -> None:
        self._put("meta", key="ula", value=str(ula))
        self._now(ula=ula)

    def put_project(self, name: str, spec_path: str) -> None:
        self._put("projects", name=name, spec_path=spec_path)
        self._now(projects={**self._state.projects, name: spec_path})

    def drop_project(self, name: str) -> None:
        self._run("DELETE FROM projects WHERE name = ?", name)
        self._run("DELETE FROM externals WHERE project = ?", name)
        self._now(
            projects=_without(self._state.projects, name),
            externals={k: v for k, v in self._state.externals.items() if k[0] != name},
        )

    def put_network(
        self,
        spec: NetworkSpec,
        subnet: IPv4Network,
        gateway: IPv4Address,
        subnet6: IPv6Network | None = None,
    ) -> None:
        """Where addresses of generations go on is forgotten with the subnet."""
        key = (spec.project, spec.name)
        old = self._state.networks.get(key)
        text6 = str(subnet6) if subnet6 else None
        if old is None:
            made = self._run(
                "INSERT INTO networks (project, name, spec, subnet, gateway, subnet6)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                *key,
                encode(spec),
                str(subnet),
                str(gateway),
                text6,
            )
            assert made.lastrowid is not None
            row = NetworkRow(
                id=made.lastrowid, spec=spec, subnet=subnet, gateway=gateway, subnet6=subnet6
            )
        else:
            last = old.last_address if old.subnet == subnet else None
            last6 = old.last_address6 if old.subnet6 == subnet6 else None
            row = structs.replace(
                old,
                spec=spec,
                subnet=subnet,
                gateway=gateway,
                subnet6=subnet6,
                last_address=last,
                last_address6=last6,
            )
            self._run(
                "UPDATE networks SET spec = ?, subnet = ?, gateway = ?, subnet6 = ?,"
                " last_address = ?, last_address6 = ? WHERE id = ?",
                encode(spec),
                str(subnet),
                str(gateway),
                text6,
                str(last) if last else None,
                str(last6) if last6 else None,
                old.id,
            )
        self._now(networks={**self._state.networks, key: row})

    def drop_network(self, project: str, name: str) -> None:
        """The network, or the project's name for another's."""
        for table in ("networks", "externals"):
            self._run(f"DELETE FROM {table} WHERE project = ? AND name = ?", project, name)
        self._now(
            networks=_without(self._state.networks, (project, name)),
            externals=_without(self._state.externals, (project, name)),
        )

    def put_external(self, spec: NetworkSpec) -> None:
        self._put("externals", project=spec.project, name=spec.name, spec=encode(spec))
        key = (spec.project, spec.name)
        self._now(externals={**self._state.externals, key: spec})

    def put_service(
        self,
        spec: ServiceSpec,
        addresses: dict[int, IPv4Address],
        ports: Sequence[tuple[PortSpec, int]],
        addresses6: Mapping[int, IPv6Address] | None = None,
    ) -> None:
        sixes = dict(addresses6 or {})
        key = (spec.project, spec.name)
        self._put("services", project=spec.project, name=spec.name, spec=encode(spec))
        self._run("DELETE FROM service_addresses WHERE project = ? AND service = ?", *key)
        for network, address in addresses.items():
            six = str(sixes[network]) if network in sixes else None
            self._run(
                "INSERT INTO service_addresses VALUES (?, ?, ?, ?, ?)",
                *key,
                network,
                str(address),
                six,
            )
        self._run("DELETE FROM ports WHERE project = ? AND service = ?", *key)
        for port, host_port in ports:
            self._run("INSERT INTO ports VALUES (?, ?, ?, ?)", *key, encode(port), host_port)
        old = self._state.services.get(key)
        targets = () if old is None else old.targets
        self._service(
            ServiceRow(
                spec=spec,
                addresses=addresses,
                addresses6=sixes,
                ports=tuple(ports),
                targets=targets,
            )
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
            whole=int(row.whole),
            spec=encode(row.spec),
            image=row.image,
            command=msgspec.json.encode(row.command),
            volumes=msgspec.json.encode(row.volumes),
            created=row.created,
            shares=msgspec.json.encode(row.shares),
        )
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
        )
        self.set_places(row.id, row.places)

    def set_places(self, id: str, places: Sequence[Place]) -> None:
        """The networks that a generation is in from now on. Its addresses are the ones given out
        last there."""
        self._run("DELETE FROM places WHERE container = ?", id)
        for place in places:
            six = str(place.address6) if place.address6 else None
            four = str(place.address)
            self._run(
                "INSERT INTO places VALUES (?, ?, ?, ?, ?, ?)",
                id,
                place.network,
                place.index,
                place.serial,
                four,
                six,
            )
            self._run(
                "UPDATE networks SET last_address = ?, last_address6 = coalesce(?, last_address6)"
                " WHERE id = ?",
                four,
                six,
                place.network,
            )
        self._container(id, places=tuple(places))
        given = {place.network: place for place in places}
        self._now(
            networks={
                key: _after(network, given[network.id]) if network.id in given else network
                for key, network in self._state.networks.items()
            }
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
        self._run("DELETE FROM places WHERE container = ?", id)
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
        """Put back what a rewiring changes: networks and services, which generations there are,
        their specs and their networks."""
        for network in self._state.networks.keys() - before.networks.keys():
            self.drop_network(*network)
        for key in self._state.networks.keys() & before.networks.keys():
            old = before.networks[key]
            if self._state.networks[key] != old:
                self.put_network(old.spec, old.subnet, old.gateway, old.subnet6)
        for id in self._state.containers.keys() - before.containers.keys():
            self.drop_container(id)
        for id in self._state.containers.keys() & before.containers.keys():
            self._restore_container(before.containers[id])
        for service in self._state.services.keys() - before.services.keys():
            self.drop_service(*service)
        for key, row in before.services.items():
            if self._state.services.get(key) != row:
                self.put_service(row.spec, row.addresses, row.ports, row.addresses6)
                self.set_targets(*key, row.targets)

    def _restore_container(self, old: ContainerRow) -> None:
        now = self._state.containers[old.id]
        if now.spec != old.spec:
            self.set_spec(old.id, old.spec)
        if now.places != old.places:
            self.set_places(old.id, old.places)

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


def _after(network: NetworkRow, given: Place) -> NetworkRow:
    """The network, after the addresses of ``given`` went out."""
    six = given.address6 or network.last_address6
    return structs.replace(network, last_address=given.address, last_address6=six)


def _in_order(rows: dict[str, ContainerRow]) -> dict[str, ContainerRow]:
    return dict(sorted(rows.items(), key=lambda item: (item[1].key, item[1].generation)))
