"""Who gets which port of the host: ranges that meet, ports that are picked, and by whom."""

import socket

import pytest

from runtime.api import PortSpec
from runtime.embedded.faults import PortPromised
from runtime.embedded.ports.picking import NoneFree
from runtime.embedded.ports.strangers import holders
from tests.runtime.embedded.estate import Estate

pytestmark = pytest.mark.root


def port(first: int, count: int = 1, host_ip: str | None = None, protocol: str = "tcp") -> PortSpec:
    return PortSpec(
        container_port=first, host_port=first, count=count, host_ip=host_ip, protocol=protocol
    )


MEETINGS = [
    (port(9000, 11), port(9010), True),
    (port(9000, 11), port(9011), False),
    (port(9010), port(9000, 11), True),
    (port(9000, 11), port(9005, 100), True),
    (port(9000, 11), port(9005, protocol="udp"), False),
    (port(9000, 11, "127.0.0.1"), port(9005, 1, "192.0.2.1"), False),
    (port(9000, 11, "0.0.0.0"), port(9005, 1, "192.0.2.1"), True),
    (port(9000, 11, "::"), port(9005, 1, "192.0.2.1"), False),
]


def test_two_projects_cannot_have_one_port(estate: Estate) -> None:
    estate.network("default", ipv6=True)
    estate.network("default", project="blog", ipv6=True)
    for held, wanted, meets in MEETINGS:
        estate.service("web", "default", ports=(held,))
        if meets:
            with pytest.raises(PortPromised, match="shop/web publishes it"):
                estate.service("site", "default", project="blog", ports=(wanted,))
            assert ("blog", "site") not in estate.state.services
        else:
            estate.service("site", "default", project="blog", ports=(wanted,))
        estate.services.unregister("shop", ["web"])
        estate.services.unregister("blog", ["site"])


def choice(container_port: int) -> PortSpec:
    return PortSpec(container_port=container_port, choices=(8000, 8002))


def test_the_first_free_port_of_a_choice_is_picked_and_kept(estate: Estate) -> None:
    estate.network("default")
    with socket.create_server(("127.0.0.1", 8000)):
        estate.service("web", "default", ports=(choice(80),))
    assert given(estate, "web") == [8001]
    estate.service("api", "default", ports=(choice(81), choice(82)))
    assert given(estate, "api") == [8000, 8002]
    estate.service("web", "default", ports=(choice(80),))
    assert given(estate, "web") == [8001]
    with pytest.raises(NoneFree, match="none of the host's ports 8000-8002 is free"):
        estate.service("third", "default", ports=(choice(83),))


def test_a_choice_leaves_alone_what_is_asked_for_beside_it(estate: Estate) -> None:
    estate.network("default")
    fixed = PortSpec(container_port=80, host_port=8000, count=2)
    estate.service("web", "default", ports=(choice(90), fixed))
    assert given(estate, "web") == [8002, 8000]


def given(estate: Estate, name: str) -> list[int]:
    return [number for _, number in estate.state.services["shop", name].ports]


@pytest.mark.parametrize("count", [100, 1000])
def test_a_stranger_within_a_range_is_named_with_his_port(estate: Estate, count: int) -> None:
    with socket.create_server(("127.0.0.1", 20050)):
        asked = (None, 20000, "tcp", count)
        found = holders([asked], set(), None)
    assert found[asked].endswith("] (port 20050)")
    assert holders([(None, 20000, "tcp", 50), (None, 20000, "udp", count)], set(), None) == {}
    assert estate.state.services == {}
