"""What a registry says of places, times and itself, however strange: a fault, never a traceback."""

from collections.abc import Iterator
from contextlib import closing

import pytest

from runtime.api import RegistryAccess
from runtime.embedded.registry.client import Client
from runtime.embedded.registry.faults import RegistryFailed
from runtime.reference import Reference
from tests.runtime.embedded.registry.hostile import Answer, Server

MANIFEST = "/v2/app/manifests/latest"
NO_NAMES = ["http://a..b/x", f"http://{'a' * 64}.example/x", "http://.example/x"]


def reference(server: Server) -> Reference:
    return Reference(host=server.host, repository="app", tag="latest")


@pytest.fixture
def client(server: Server) -> Iterator[Client]:
    with closing(Client(RegistryAccess(host=server.host), sleep=lambda _: None)) as made:
        yield made


@pytest.mark.parametrize("place", NO_NAMES)
def test_a_place_whose_name_is_none_is_refused(server: Server, client: Client, place: str) -> None:
    server.routes[MANIFEST] = Answer(status=307, headers={"Location": place})
    with pytest.raises(RegistryFailed, match="no name of a host"):
        client.manifest(reference(server))
    assert len(server.asked) == 1


@pytest.mark.parametrize("place", NO_NAMES)
def test_a_token_server_whose_name_is_none_is_refused(
    server: Server, client: Client, place: str
) -> None:
    challenge = {"WWW-Authenticate": f'Bearer realm="{place}"'}
    server.routes[MANIFEST] = Answer(status=401, headers=challenge)
    with pytest.raises(RegistryFailed, match="no name of a host"):
        client.manifest(reference(server))


@pytest.mark.parametrize(
    "when",
    [
        "Mon, 01 Jan 2020 00:00:00 +99999999999999",
        "Mon, 01 Jan 0001 00:00:00 +2359",
        "Fri, 31 Dec 9999 23:59:59 -2359",
        "Mon, 01 Jan 99999999999999999999 00:00:00 GMT",
        "soon",
    ],
)
def test_a_time_to_come_again_that_is_none_is_passed_over(
    server: Server, client: Client, when: str
) -> None:
    server.routes[MANIFEST] = Answer(status=503, headers={"Retry-After": when})
    with pytest.raises(RegistryFailed, match="503"):
        client.manifest(reference(server))
    assert len(server.asked) == 5
