"""From tables to a snapshot."""

import sqlite3
from contextlib import closing
from ipaddress import IPv4Address, IPv4Network

import msgspec

from runtime.api import ContainerKey, ContainerSpec, NetworkSpec, PortSpec, ServiceSpec
from runtime.embedded.ledger.rows import ContainerRow, NetworkRow, ServiceRow, State

_decode_network = msgspec.json.Decoder(NetworkSpec).decode
_decode_service = msgspec.json.Decoder(ServiceSpec).decode
_decode_port = msgspec.json.Decoder(PortSpec).decode
_decode_container = msgspec.json.Decoder(ContainerSpec).decode
_decode_words = msgspec.json.Decoder(tuple[str, ...]).decode


def read(connection: sqlite3.Connection) -> State:
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
