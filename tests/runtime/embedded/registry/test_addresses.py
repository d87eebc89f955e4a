"""Where registries lead: no metadata of a cloud, no service of this machine or its neighbours.

The servers stand in a namespace that has every address that is asked for.
"""

import json
import socket
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Any

import pytest

from runtime.api import RegistryAccess
from runtime.embedded.registry.addresses import Guard
from runtime.embedded.registry.client import Client
from runtime.embedded.registry.documents import Descriptor
from runtime.embedded.registry.faults import RegistryFailed
from runtime.embedded.registry.upload import Uploader
from runtime.reference import Reference
from tests.hosts import Host
from tests.runtime.embedded.registry.hostile import Answer, Server, digest, serving

METADATA, PUBLIC, PRIVATE = "169.254.169.254", "8.8.4.4", "10.99.0.1"
SECRET = b"the machine's own key"
DESCRIPTOR = Descriptor(media_type="x", digest=digest(SECRET), size=len(SECRET))
BLOB_PATH = f"/v2/app/blobs/{digest(SECRET)}"


@pytest.mark.parametrize(
    "address",
    [
        METADATA,
        "0.0.0.0",
        "0.1.2.3",
        "224.0.0.1",
        "255.255.255.255",
        "fe80::1",
        "fe80::1%eth0",
        "::",
        "ff02::1",
        "::ffff:169.254.169.254",
        "64:ff9b::a9fe:a9fe",
        "2002:a9fe:a9fe::1",
    ],
)
@pytest.mark.parametrize("own", ["127.0.0.1", "registry.test"])
def test_what_is_no_registrys_address_is_never_reached(own: str, address: str) -> None:
    with pytest.raises(RegistryFailed, match="no registry's"):
        Guard(own=own).check(own, address)
    led = Guard(own=own)
    led.check(own, "127.0.0.1")
    with pytest.raises(RegistryFailed, match="no registry's"):
        led.check("elsewhere", address)


@pytest.mark.parametrize(
    ("own", "address", "allowed"),
    [
        ("8.8.4.4", "1.1.1.1", True),
        ("8.8.4.4", "10.0.0.1", False),
        ("8.8.4.4", "192.168.1.1", False),
        ("8.8.4.4", "100.64.0.1", False),
        ("8.8.4.4", "127.0.0.1", False),
        ("8.8.4.4", "::1", False),
        ("8.8.4.4", "fd00:ec2::254", False),
        ("8.8.4.4", "::ffff:10.0.0.1", False),
        ("8.8.4.4", "2606:4700::1111", True),
        ("10.0.0.5", "10.0.0.1", True),
        ("10.0.0.5", "1.1.1.1", True),
        ("10.0.0.5", "127.0.0.1", False),
        ("127.0.0.1", "127.0.0.2", True),
        ("127.0.0.1", "10.0.0.1", True),
        ("127.0.0.1", "1.1.1.1", True),
        ("fd00::5", "fd00::6", True),
        ("fd00::5", "::1", False),
    ],
)
def test_a_registry_leads_no_nearer_than_it_is_itself(
    own: str, address: str, allowed: bool
) -> None:
    guard = Guard(own="registry.test")
    guard.check("registry.test", own)
    if allowed:
        guard.check("elsewhere", address)
    else:
        with pytest.raises(RegistryFailed, match="private address"):
            guard.check("elsewhere", address)


def test_a_registry_that_was_not_reached_yet_leads_to_the_world_only() -> None:
    with pytest.raises(RegistryFailed):
        Guard(own="registry.test").check("elsewhere", "10.0.0.1")


# --- what is allowed besides ----------------------------------------------------------------------


def led_by(registry: str, *partners: str, also: Sequence[str] = ()) -> Guard:
    """Who has met nas.test at an address of the world, when it had further ones."""
    guard = Guard(own="nas.test", partners=partners)
    guard.check("nas.test", registry, port=443, also=lambda: also)
    return guard


@pytest.mark.parametrize("partner", ["minio.test", "minio.test:9000", "MinIO.test"])
@pytest.mark.parametrize("address", ["192.168.1.6", "127.0.0.1", "fd00::6"])
def test_a_partner_may_be_at_any_address(partner: str, address: str) -> None:
    led_by("8.8.4.4", partner).check("minio.test", address, scheme="http", port=9000)


@pytest.mark.parametrize(
    ("host", "port", "address"),
    [
        ("minio.test", 9001, "192.168.1.6"),
        ("minio.test", 443, "192.168.1.6"),
        ("9.minio.test", 9000, "192.168.1.6"),
        ("test", 9000, "192.168.1.6"),
        ("192.168.1.6", 9000, "192.168.1.6"),
        ("nas.test", 9000, "192.168.1.6"),
        ("minio.test", 9000, METADATA),
        ("minio.test", 9000, "fe80::1"),
    ],
)
def test_a_partner_is_itself_alone_and_never_a_clouds_metadata(
    host: str, port: int, address: str
) -> None:
    with pytest.raises(RegistryFailed, match="address"):
        led_by("8.8.4.4", "minio.test:9000").check(host, address, port=port)


def test_a_partner_of_an_address_is_that_address() -> None:
    guard = led_by("8.8.4.4", "[fd00::6]:9000", "192.168.1.6")
    guard.check("fd00::6", "fd00::6", port=9000)
    guard.check("[fd00::6]", "fd00::6", port=9000)
    guard.check("192.168.1.6", "192.168.1.6", port=80)
    with pytest.raises(RegistryFailed):
        guard.check("fd00::6", "fd00::6", port=80)


HOME = ("2a02:8070::5", "192.168.1.5", "fd00::5", "127.0.0.1", METADATA)


@pytest.mark.parametrize("address", ["192.168.1.5", "fd00::5", "::ffff:192.168.1.5"])
def test_a_registry_of_two_families_is_met_at_either_address(address: str) -> None:
    guard = led_by("2a02:8070::5", also=HOME)
    for _ in range(2):
        guard.check("nas.test", address, port=443, also=lambda: pytest.fail("asked again"))


@pytest.mark.parametrize(
    ("host", "scheme", "port", "address"),
    [
        ("nas.test", "https", 443, "192.168.1.9"),  # another answer of its name
        ("nas.test", "https", 443, "127.0.0.1"),
        ("nas.test", "https", 443, METADATA),
        ("nas.test", "https", 8443, "192.168.1.5"),  # another service there
        ("nas.test", "http", 443, "192.168.1.5"),  # where no certificate says who it is
        ("nas.test", "http", 80, "192.168.1.5"),
        ("other.test", "https", 443, "192.168.1.5"),
        ("192.168.1.5", "https", 443, "192.168.1.5"),
    ],
)
def test_its_other_address_is_no_way_to_anything_else(
    host: str, scheme: str, port: int, address: str
) -> None:
    guard = led_by("2a02:8070::5", also=HOME)
    with pytest.raises(RegistryFailed, match="address"):
        guard.check(host, address, scheme=scheme, port=port, also=lambda: HOME)


def test_its_own_private_address_opens_no_network_to_others() -> None:
    guard = led_by("2a02:8070::5", also=HOME)
    guard.check("nas.test", "192.168.1.5", port=443)
    with pytest.raises(RegistryFailed, match="private address"):
        guard.check("elsewhere", "192.168.1.6", port=443)


@pytest.mark.parametrize(
    ("host", "named"),
    [("minio.test", "[minio.test:9000]"), ("fd00::6", "[[fd00::6]:9000]")],
)
def test_who_means_it_is_told_how_to_allow_it(host: str, named: str) -> None:
    with pytest.raises(RegistryFailed) as failed:
        led_by("8.8.4.4").check(host, "fd00::6", port=9000)
    assert f"`partners: {named}`" in failed.value.hint


# --- in a namespace -------------------------------------------------------------------------------


@pytest.fixture
def town(host: Host) -> Iterator[Host]:
    """A namespace with a cloud's metadata, a public and a private address, where this thread
    stands."""
    for address in (METADATA, PUBLIC, PRIVATE):
        host.run("ip", "address", "add", f"{address}/32", "dev", "lo")
    with host.inside():
        yield host
    for address in (METADATA, PUBLIC, PRIVATE):
        host.run("ip", "address", "del", f"{address}/32", "dev", "lo")


def registry_at(address: str, *partners: str) -> RegistryAccess:
    return RegistryAccess(
        host=address, insecure=True, username="ci", password="secret", partners=partners
    )


def fetched(server: Server, *partners: str) -> bytes:
    reference = Reference(host=server.host, repository="app", tag="latest")
    with closing(Client(registry_at(server.host, *partners), sleep=lambda _: None)) as client:
        return b"".join(client.blob(reference, DESCRIPTOR))


FORMS = ["169.254.169.254", "2852039166", "0251.0376.0251.0376", "0xa9fea9fe", "[::ffff:a9fe:a9fe]"]


@pytest.mark.root
@pytest.mark.usefixtures("town")
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("way", ["redirect", "token", "upload", "page"])
def test_nobody_is_led_to_a_clouds_metadata(form: str, way: str) -> None:
    with serving("127.0.0.1") as server, serving(METADATA) as metadata:
        evil = f"http://{form}:{metadata.port}/secret"
        metadata.routes["/secret"] = Answer(body=SECRET)
        with pytest.raises(RegistryFailed, match="no registry's"):
            lead(server, evil, way)
        assert metadata.asked == []


def lead(server: Server, where: str, way: str) -> None:
    """Ask the server, which leads to ``where`` in the way that is named."""
    reference = Reference(host=server.host, repository="app", tag="latest")
    access = registry_at(server.host)
    if way == "redirect":
        server.routes[BLOB_PATH] = Answer(status=307, headers={"Location": where})
        fetched(server)
    elif way == "token":
        challenge = {"WWW-Authenticate": f'Bearer realm="{where}"'}
        server.routes[BLOB_PATH] = Answer(status=401, headers=challenge)
        fetched(server)
    elif way == "upload":
        uploads = Answer(status=202, headers={"Location": where})
        server.routes["/v2/app/blobs/uploads/"] = uploads
        Uploader(access).send(reference, DESCRIPTOR, lambda: SECRET)
    else:
        first = json.dumps({"tags": ["1"]}).encode()
        own = f"{server.url}/next"
        link = {"Link": f'<{own}>; rel="next"'}
        server.routes["/v2/app/tags/list"] = Answer(body=first, headers=link)
        server.routes["/next"] = Answer(status=302, headers={"Location": where})
        Client(access).tags(reference)


@pytest.mark.root
@pytest.mark.usefixtures("town")
@pytest.mark.parametrize("inside", [PRIVATE, "127.0.0.1"])
def test_a_public_registry_leads_nowhere_inside(inside: str) -> None:
    with serving(PUBLIC) as server, serving(inside) as neighbour:
        neighbour.routes["/x"] = Answer(body=SECRET)
        where = {"Location": f"{neighbour.url}/x"}
        server.routes[BLOB_PATH] = Answer(status=302, headers=where)
        with pytest.raises(RegistryFailed, match="private address"):
            fetched(server)
        assert neighbour.asked == []


@pytest.mark.root
@pytest.mark.usefixtures("town")
@pytest.mark.parametrize("inside", [PRIVATE, "127.0.0.1"])
def test_a_public_registry_leads_to_its_partner_inside(inside: str) -> None:
    with serving(PUBLIC) as server, serving(inside) as neighbour:
        neighbour.routes["/x"] = Answer(body=SECRET)
        where = {"Location": f"{neighbour.url}/x"}
        server.routes[BLOB_PATH] = Answer(status=302, headers=where)
        assert fetched(server, neighbour.host) == SECRET
        assert neighbour.authorizations() == []


@pytest.mark.root
@pytest.mark.usefixtures("town")
@pytest.mark.parametrize("own", [PRIVATE, "127.0.0.1"])
def test_a_registry_of_ones_own_may_keep_its_blobs_next_door(own: str) -> None:
    with serving(own) as server, serving(PRIVATE) as neighbour:
        neighbour.routes["/x"] = Answer(body=SECRET)
        where = {"Location": f"{neighbour.url}/x"}
        server.routes[BLOB_PATH] = Answer(status=302, headers=where)
        assert fetched(server) == SECRET
        assert neighbour.authorizations() == []


@pytest.mark.root
@pytest.mark.usefixtures("town")
@pytest.mark.parametrize("second", [METADATA, "127.0.0.1", PRIVATE])
def test_a_name_that_means_another_address_the_second_time(
    second: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(PUBLIC) as server, serving(second, server.port) as inside:
        with pytest.raises(RegistryFailed, match="address"):
            fetched_in_two(server, inside, [PUBLIC], [second], monkeypatch)
        assert inside.asked == []


@pytest.mark.root
@pytest.mark.usefixtures("town")
def test_a_name_that_meant_both_addresses_from_the_beginning(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with serving(PUBLIC) as server, serving(PRIVATE, server.port) as inside:
        both = [PUBLIC, PRIVATE]
        assert fetched_in_two(server, inside, both, both[::-1], monkeypatch) == SECRET


def fetched_in_two(
    server: Server,
    inside: Server,
    first: list[str],
    second: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> bytes:
    """The blob from a registry whose name means other addresses once it has answered. It ends the
    connection then, so that its name is asked for again."""
    meant = [first]
    real = socket.getaddrinfo

    def found(host: Any, *words: Any, **more: Any) -> Any:
        hosts = meant[0] if host == "registry.test" else [host]
        return [each for name in hosts for each in real(name, *words, **more)]

    def turn(_: object) -> Answer:
        meant[0] = second
        return Answer(status=503, headers={"Connection": "close"})

    monkeypatch.setattr(socket, "getaddrinfo", found)
    server.routes[BLOB_PATH] = turn
    inside.routes[BLOB_PATH] = Answer(body=SECRET)
    host = f"registry.test:{server.port}"
    reference = Reference(host=host, repository="app", tag="latest")
    with closing(Client(registry_at(host), sleep=lambda _: None)) as client:
        return b"".join(client.blob(reference, DESCRIPTOR))
