"""From tables to a snapshot."""

import sqlite3
from contextlib import closing
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

import msgspec

from runtime.api import ContainerKey, ContainerSpec, NetworkSpec, PortSpec, ServiceSpec
from runtime.embedded.ledger.rows import ContainerRow, NetworkRow, Place, ServiceRow, State

_decode_network = msgspec.json.Decoder(NetworkSpec).decode
_decode_service = msgspec.json.Decoder(ServiceSpec).decode
_decode_port = msgspec.json.Decoder(PortSpec).decode
_decode_container = msgspec.json.Decoder(ContainerSpec).decode
_decode_words = msgspec.json.Decoder(tuple[str, ...]).decode
_decode_shares = msgspec.json.Decoder(dict[str, str]).decode


def read(connection: sqlite3.Connection) -> State:
    with closing(connection.cursor()) as cursor:
        rows = cursor.execute
        meta = dict(rows("SELECT key, value FROM meta").fetchall())
        return State(
            pool=_pools(meta["pool"]) if "pool" in meta else None,
            ula=IPv6Network(meta["ula"]) if "ula" in meta else None,
            projects=dict(rows("SELECT name, spec_path FROM projects").fetchall()),
            networks=_read_networks(cursor),
            externals={
                (project, name): _decode_network(spec)
                for project, name, spec in rows("SELECT * FROM externals")
            },
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
    columns = "project, name, id, spec, subnet, gateway, subnet6, last_address, last_address6"
    return {
        (project, name): NetworkRow(
            id=id,
            spec=_decode_network(spec),
            subnet=IPv4Network(subnet),
            gateway=IPv4Address(gateway),
            subnet6=IPv6Network(subnet6) if subnet6 else None,
            last_address=IPv4Address(last) if last else None,
            last_address6=IPv6Address(last6) if last6 else None,
        )
        for project, name, id, spec, subnet, gateway, subnet6, last, last6 in cursor.execute(
            f"SELECT {columns} FROM networks ORDER BY id"
        )
    }


def _read_services(cursor: sqlite3.Cursor) -> dict[tuple[str, str], ServiceRow]:
    addresses: dict[tuple[str, str], dict[int, IPv4Address]] = {}
    addresses6: dict[tuple[str, str], dict[int, IPv6Address]] = {}
    for project, service, network, address, address6 in cursor.execute(
        "SELECT project, service, network, address, address6 FROM service_addresses"
    ):
        addresses.setdefault((project, service), {})[network] = IPv4Address(address)
        if address6:
            addresses6.setdefault((project, service), {})[network] = IPv6Address(address6)
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
            addresses6=addresses6.get((project, name), {}),
            ports=tuple(ports.get((project, name), ())),
            targets=tuple(targets.get((project, name), ())),
        )
        for project, name, spec in cursor.execute("SELECT project, name, spec FROM services")
    }


def _read_containers(cursor: sqlite3.Cursor) -> dict[str, ContainerRow]:
    places: dict[str, list[Place]] = {}
    for container, index, network, serial, address, address6 in cursor.execute(
        "SELECT container, interface, network, serial, address, address6 FROM places"
        " ORDER BY container, interface"
    ):
        places.setdefault(container, []).append(
            Place(
                network=network,
                address=IPv4Address(address),
                index=index,
                serial=serial,
                address6=IPv6Address(address6) if address6 else None,
            )
        )
    columns = (
        "id, project, name, replica, generation, whole, spec, image, command, volumes, created,"
        " shares"
    )
    return {
        id: ContainerRow(
            id=id,
            key=ContainerKey(project=project, name=name, replica=replica),
            generation=generation,
            whole=bool(whole),
            spec=_decode_container(spec),
            image=image,
            command=_decode_words(command),
            volumes=_decode_words(volumes),
            created=created,
            places=tuple(places.get(id, ())),
            shares=_decode_shares(shares),
        )
        for (
            id, project, name, replica, generation, whole,
            spec, image, command, volumes, created, shares,
        ) in cursor.execute(
            f"SELECT {columns} FROM containers ORDER BY project, name, replica, generation"
        )
    }  # fmt: skip
