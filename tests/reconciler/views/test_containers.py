"""The rows of ``ps``, as Docker would write them."""

from typing import Any

import msgspec
import pytest

from reconciler.views.containers import COLUMNS, TITLES, chosen, rows, status
from reconciler.views.listing import listing
from reconciler.views.ports import ports
from runtime.api import (
    ContainerKey,
    ContainerSpec,
    Health,
    Healthcheck,
    HealthStatus,
    ObservedContainer,
    ObservedService,
    Phase,
    PortSpec,
    PublishedPort,
    ServiceSpec,
)

NOW = 1_000_000.0
WEB = ObservedContainer(
    key=ContainerKey(project="shop", name="web"),
    id="0123456789abcdef" * 4,
    generation=1,
    phase=Phase.RUNNING,
    applied=ContainerSpec(image="docker.io/library/nginx:1.27", labels={"tier": "front"}),
    command=("nginx", "-g", "daemon off;"),
    created_at=NOW - 200,
    started_at=NOW - 190,
)
JOB = msgspec.structs.replace(
    WEB,
    key=ContainerKey(project="shop", name="job"),
    id="f" * 64,
    phase=Phase.EXITED,
    exit_code=0,
    finished_at=NOW - 5,
    created_at=NOW - 300,
)


def _port(container: int, host: int, **facts: Any) -> PublishedPort:
    spec = PortSpec(container_port=container, host_port=host, **facts)
    return PublishedPort(spec=spec, host_port=host)


SERVICE = ObservedService(
    applied=ServiceSpec(project="shop", name="web"),
    ports=(_port(80, 8080), _port(443, 8443, host_ip="192.168.1.5")),
    targets=(WEB.id,),
)

TABLE = """\
CONTAINER ID   IMAGE        COMMAND                  CREATED         STATUS                     PORTS                                                  NAMES
0123456789ab   nginx:1.27   "nginx -g 'daemon of…"   3 minutes ago   Up 3 minutes               0.0.0.0:8080->80/tcp, 192.168.1.5:8443->443/tcp   shop/web
ffffffffffff   nginx:1.27   "nginx -g 'daemon of…"   5 minutes ago   Exited (0) 5 seconds ago                                                          shop/job
"""  # noqa: E501


def test_the_table() -> None:
    shown = listing(
        rows([WEB, JOB], [SERVICE], now=NOW, full=False), TITLES, columns=COLUMNS, form="table"
    )
    assert shown.splitlines()[0].split() == TABLE.splitlines()[0].split()
    assert [line.split() for line in shown.splitlines()] == [
        line.split() for line in TABLE.splitlines()
    ]


def test_full_cuts_nothing() -> None:
    (row,) = rows([WEB], [SERVICE], now=NOW, full=True)
    assert row["ID"] == WEB.id
    assert row["Command"] == "\"nginx -g 'daemon off;'\""


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"phase": Phase.RUNNING, "started_at": NOW - 0.2}, "Up Less than a second"),
        ({"phase": Phase.EXITED, "exit_code": 137, "finished_at": NOW - 60}, "Exited (137) About"),
        ({"phase": Phase.RESTARTING, "exit_code": 1, "finished_at": NOW - 3}, "Restarting (1) 3 s"),
        ({"phase": Phase.CREATED}, "Created"),
        ({"phase": Phase.LOST}, "Dead"),
    ],
)
def test_status(changes: dict[str, Any], words: str) -> None:
    assert status(msgspec.structs.replace(WEB, **changes), NOW).startswith(words)


ASKED = Healthcheck(test=("CMD", "ask"), interval=30.0, timeout=5.0)


@pytest.mark.parametrize(
    ("health", "words"),
    [
        (Health(), "Up 3 minutes (health: starting)"),
        (Health(status=HealthStatus.HEALTHY, checked_at=NOW - 20), "Up 3 minutes (healthy)"),
        (Health(status=HealthStatus.UNHEALTHY, checked_at=NOW - 69), "Up 3 minutes (unhealthy)"),
        (
            Health(status=HealthStatus.UNHEALTHY, checked_at=NOW - 120),
            "Up 3 minutes (unhealthy, checked 2 minutes ago)",
        ),
    ],
)
def test_health_stands_beside_the_status(health: Health, words: str) -> None:
    asked = msgspec.structs.replace(WEB, healthcheck=ASKED, health=health)
    assert status(asked, NOW) == words


def test_health_is_a_filter() -> None:
    well = Health(status=HealthStatus.HEALTHY, checked_at=NOW)
    asked = msgspec.structs.replace(WEB, healthcheck=ASKED, health=well, id="a" * 64)

    def found(word: str) -> list[str]:
        filters = {"health": [word]}
        return [c.id[0] for c in chosen([WEB, asked], everything=True, filters=filters, last=None)]

    assert (found("healthy"), found("unhealthy"), found("none")) == (["a"], [], ["0"])


def test_neighbouring_ports_are_drawn_together() -> None:
    some = [_port(9000 + n, 9100 + n, protocol="udp") for n in range(3)]
    assert (
        ports([*some, _port(80, 8080)]) == "0.0.0.0:8080->80/tcp, 0.0.0.0:9100-9102->9000-9002/udp"
    )
    wide = [_port(9000, 9000, count=11), _port(9011, 9011, count=2), _port(1, 1, host_ip="::")]
    assert ports(wide) == "0.0.0.0:9000-9012->9000-9012/tcp, [::]:1->1/tcp"
    assert ports([_port(80, 8080), _port(81, 9000)]) == "0.0.0.0:8080->80/tcp, 0.0.0.0:9000->81/tcp"


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({}, ["shop/web"]),
        ({"everything": True}, ["shop/web", "shop/job"]),
        ({"last": 1}, ["shop/web"]),
        ({"last": 5}, ["shop/web", "shop/job"]),
        ({"filters": {"status": ["exited"]}}, ["shop/job"]),
        ({"filters": {"status": ["exited", "running"], "name": ["we"]}}, ["shop/web"]),
        ({"filters": {"project": ["blog"]}}, []),
        ({"filters": {"label": ["tier=front"]}}, ["shop/web"]),
        ({"filters": {"label": ["tier=back"]}}, []),
    ],
)
def test_chosen(options: dict[str, Any], names: list[str]) -> None:
    wanted = {"everything": False, "filters": {}, "last": None, **options}
    assert [str(each.key) for each in chosen([JOB, WEB], **wanted)] == names
