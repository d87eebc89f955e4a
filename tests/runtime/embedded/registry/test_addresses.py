"""Where registries lead: no metadata of a cloud, no service of this machine or its neighbours.

The servers stand in a namespace that has every address that is asked for.
"""

import json
import socket
from collections.abc import Iterator
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


def registry_at(address: str) -> RegistryAccess:
    return RegistryAccess(host=address, insecure=True, username="ci", password="secret")


def fetched(server: Server) -> bytes:
    reference = Reference(host=server.host, repository="app", tag="latest")
    with closing(Client(registry_at(server.host), sleep=lambda _: None)) as client:
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
@pytest.mark.parametrize("second", [METADATA, "127.0.0.1"])
def test_a_name_that_means_another_address_the_second_time(
    second: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The registry ends the first connection, so that its name is asked for again."""
    meant = [PUBLIC]
    real = socket.getaddrinfo

    def found(host: Any, *words: Any, **more: Any) -> Any:
        return real(meant[0] if host == "registry.test" else host, *words, **more)

    monkeypatch.setattr(socket, "getaddrinfo", found)
    with serving(PUBLIC) as server, serving(second, server.port) as inside:
        inside.routes[BLOB_PATH] = Answer(body=SECRET)

        def turn(_: object) -> Answer:
            meant[0] = second
            return Answer(status=503, headers={"Connection": "close"})

        server.routes[BLOB_PATH] = turn
        host = f"registry.test:{server.port}"
        reference = Reference(host=host, repository="app", tag="latest")
        client = Client(registry_at(host), sleep=lambda _: None)
        with closing(client), pytest.raises(RegistryFailed, match="address"):
            b"".join(client.blob(reference, DESCRIPTOR))
        assert inside.asked == []
