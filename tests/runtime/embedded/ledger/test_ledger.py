"""The snapshot that a writer keeps is what the tables say, whatever was written."""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.api import (
    ContainerKey,
    ContainerSpec,
    NetworkSpec,
    PortSpec,
    ServiceSpec,
    container_id,
)
from runtime.embedded.ledger import ContainerRow, Ledger, Place, State, Writer

NAMES = st.sampled_from(["web", "app", "db"])
PROJECTS = st.sampled_from(["shop", "blog"])
NUMBERS = st.integers(1, 3)
VERBS = (
    *("network", "drop_network", "service", "drop_service", "targets", "pool"),
    *("container", "drop_container", "whole", "spec", "project", "drop_project"),
    *("external", "ula", "places"),
)


def address(project: str, name: str, number: int) -> IPv4Address:
    """Nobody else's: the engine never gives one out twice."""
    place = ["shop", "blog"].index(project) * 3 + ["web", "app", "db"].index(name)
    return IPv4Address("10.201.2.0") + place * 4 + number


def container(writer: Writer, project: str, name: str, generation: int) -> None:
    key = ContainerKey(project=project, name=name)
    network = next(iter(writer.state().networks.values()), None)
    writer.put_container(
        ContainerRow(
            id=container_id(key, generation),
            key=key,
            generation=generation,
            whole=False,
            spec=ContainerSpec(image="busybox"),
            image="sha256:1",
            command=("httpd",),
            volumes=(),
            created=1.5,
            places=(_place(writer, network.id, address(project, name, generation)),)
            if network
            else (),
            shares={"db": "abc"} if generation == 2 else {},
        )
    )


def _place(writer: Writer, network: int, one: IPv4Address) -> Place:
    return Place(
        network=network,
        address=one + 128,
        address6=IPv6Address(int(one)) if int(one) % 2 else None,
        index=0,
        serial=writer.next_serial(),
    )


def service(writer: Writer, project: str, name: str, number: int) -> None:
    spec = ServiceSpec(project=project, name=name, ports=(PortSpec(container_port=number),))
    network = next(iter(writer.state().networks.values()), None)
    held = {network.id: address(project, name, number)} if network else {}
    sixes = {id: IPv6Address(int(one)) for id, one in held.items() if number == 2}
    writer.put_service(spec, held, [(spec.ports[0], 8000 + number)], sixes)


def network(writer: Writer, project: str, name: str, number: int) -> None:
    subnet = IPv4Network(f"10.201.{2 * number}.0/23")
    subnet6 = IPv6Network(f"fd00:{number}::/64") if number > 1 else None
    writer.put_network(NetworkSpec(project=project, name=name), subnet, subnet[1], subnet6)


@st.composite
def operations(draw: st.DrawFn) -> tuple[str, str, str, int, int]:
    return (
        draw(st.sampled_from(VERBS)),
        draw(PROJECTS),
        draw(NAMES),
        draw(NUMBERS),
        draw(NUMBERS),
    )


def perform(writer: Writer, verb: str, project: str, name: str, one: int, two: int) -> None:
    id = container_id(ContainerKey(project=project, name=name), one)
    match verb:
        case "network":
            network(writer, project, name, one)
        case "drop_network":
            writer.drop_network(project, name)
        case "service":
            service(writer, project, name, one)
        case "drop_service":
            writer.drop_service(project, name)
        case "container":
            container(writer, project, name, one)
        case "drop_container":
            writer.drop_container(id)
        case "whole":
            writer.mark_whole(id)
        case "spec":
            writer.set_spec(id, ContainerSpec(image="busybox", mem_limit=one << 20))
        case "targets":
            other = container_id(ContainerKey(project=project, name=name), two)
            writer.set_targets(project, name, [other, id])
        case "project":
            writer.put_project(project, f"/{name}")
        case "drop_project":
            writer.drop_project(project)
        case "external":
            writer.put_external(NetworkSpec(project=project, name=name, external=True))
        case "ula":
            writer.set_ula(IPv6Network(f"fd00:{one}::/48"))
        case "places":
            if id in writer.state().containers:
                writer.set_places(id, [_place(writer, two, address(project, name, one))])
        case "pool":
            writer.set_pool(IPv4Network("10.201.0.0/16"), IPv4Network("10.251.0.0/16"))


def agrees(ledger: Ledger, path: Path) -> None:
    """What is remembered equals what another process reads."""
    stranger = Ledger(path)
    try:
        assert comparable(ledger.state()) == comparable(stranger.state())
    finally:
        stranger.close()


def comparable(state: State) -> tuple[object, ...]:
    """Containers have an order that people see; the rest is looked up by name."""
    return state, list(state.containers)


@settings(max_examples=60, deadline=None)
@given(st.lists(operations(), max_size=25))
def test_the_snapshot_follows_the_rows(todo: list[tuple[str, str, str, int, int]]) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "ledger.db"
        ledger = Ledger(path)
        try:
            for operation in todo:
                with ledger.writing() as writer:
                    perform(writer, *operation)
                agrees(ledger, path)
        finally:
            ledger.close()


def test_what_another_process_wrote_is_seen(tmp_path: Path) -> None:
    mine, theirs = Ledger(tmp_path / "ledger.db"), Ledger(tmp_path / "ledger.db")
    with mine.writing() as writer:
        writer.put_project("shop", "/shop")
    with theirs.writing() as writer:
        writer.put_project("blog", "/blog")
    assert mine.state().projects == {"blog": "/blog", "shop": "/shop"}
    mine.close()
    theirs.close()


def drop_and_fail(ledger: Ledger) -> None:
    with ledger.writing() as writer:
        writer.drop_project("shop")
        raise ZeroDivisionError


def test_a_transaction_that_raises_leaves_nothing(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.db")
    with ledger.writing() as writer:
        writer.put_project("shop", "/shop")
    with pytest.raises(ZeroDivisionError):
        drop_and_fail(ledger)
    assert ledger.state().projects == {"shop": "/shop"}
    ledger.close()


def test_looking_makes_no_file(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.db")
    assert ledger.state() == State()
    assert not list(tmp_path.iterdir())
    ledger.close()


def test_services_and_networks_are_put_back(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.db")
    with ledger.writing() as writer:
        network(writer, "shop", "default", 1)
        service(writer, "shop", "web", 1)
    before = ledger.state()
    with ledger.writing() as writer:
        network(writer, "blog", "default", 2)
        service(writer, "shop", "web", 2)
        service(writer, "shop", "app", 3)
    with ledger.writing() as writer:
        writer.restore(before)
    assert ledger.state() == before
    ledger.close()


def test_what_an_interrupted_rewiring_changed_is_put_back(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.db")
    with ledger.writing() as writer:
        network(writer, "shop", "default", 1)
        container(writer, "shop", "web", 1)
    before = ledger.state()
    with ledger.writing() as writer:
        network(writer, "shop", "default", 3)
        container(writer, "shop", "app", 1)
        for row in before.containers.values():
            writer.set_places(row.id, ())
            writer.set_spec(row.id, ContainerSpec(image="other"))
    with ledger.writing() as writer:
        writer.restore(before)
    agrees(ledger, tmp_path / "ledger.db")
    after = ledger.state()
    assert (after.networks, after.containers) == (before.networks, before.containers)
    ledger.close()
