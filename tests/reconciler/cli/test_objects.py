"""``inspect``, ``port``, ``network`` and ``volume``: how objects are found, told of and removed."""

import json

import pytest

from tests.reconciler.cli.conftest import World


@pytest.fixture
def shop(world: World) -> World:
    assert world.run("apply", "-y").code == 0
    return world


def test_networks_are_listed_with_dockers_columns(shop: World) -> None:
    listed = shop.run("network", "ls").out.splitlines()
    assert listed[0].split() == ["NETWORK", "ID", "NAME", "DRIVER", "SCOPE", "SUBNET"]
    assert listed[1].split()[1:4] == ["shop/default", "routed", "local"]
    assert shop.run("network", "ls", "-q").out.strip() == listed[1].split()[0]


def test_a_network_is_told_of_with_all_in_it(shop: World) -> None:
    (told,) = json.loads(shop.run("network", "inspect", "default").out)
    assert told["Name"] == "shop/default"
    assert told["IPAM"]["Config"][0]["Subnet"] == "10.240.0.0/24"
    assert told["Internal"] is False


def test_volumes_are_listed_and_told_of(shop: World) -> None:
    assert shop.run("volume", "ls").out.split() == [
        "DRIVER",
        "VOLUME",
        "NAME",
        "local",
        "shop/data",
    ]
    (told,) = json.loads(shop.run("volume", "inspect", "data").out)
    assert told["UsedBy"] == ["shop/db"]


def test_a_volume_in_use_is_not_removed(shop: World) -> None:
    refused = shop.run("volume", "rm", "data")
    assert refused.code == 1
    assert "shop/db has it" in refused.err
    assert "data" in shop.run("volume", "ls").out


def test_a_volume_that_nobody_has_goes_by_its_name(shop: World) -> None:
    assert shop.run("down").code == 0
    assert shop.run("volume", "rm", "shop/data").out == "shop/data\n"
    again = shop.run("volume", "rm", "data")
    assert again.code == 1
    assert "there is no volume `data`" in again.err
    assert shop.run("volume", "rm", "--force", "data").code == 0


def test_options_may_stand_between_the_names(shop: World) -> None:
    assert shop.run("volume", "rm", "--force", "nobody").code == 0
    shown = shop.run("network", "inspect", "-f", "{{.Name}}", "default", "shop/default")
    assert shown.out == "shop/default\n" * 2


def test_ports_as_docker_tells_them(shop: World) -> None:
    assert shop.run("port", "web").out == "80/tcp -> 0.0.0.0:8080\n"
    assert shop.run("port", "web", "80").out == "0.0.0.0:8080\n"
    refused = shop.run("port", "web", "81/udp")
    assert (refused.code, refused.out) == (1, "")
    assert "no public port `81/udp`" in refused.err
    assert shop.run("port", "web", "eighty").code == 64


def test_inspect_finds_containers_then_networks_then_volumes(shop: World) -> None:
    told = json.loads(shop.run("inspect", "web", "default", "data").out)
    assert [each["Name"] for each in told] == ["/shop/web", "shop/default", "shop/data"]
    assert shop.run("inspect", "-f", "{{.State.Status}}", "web", "db").out == "running\nrunning\n"
    missing = shop.run("inspect", "nobody")
    assert missing.code == 1
    assert "there is no container, network, volume or image `nobody`" in missing.err
    assert shop.run("inspect", "--type", "volume", "web").code == 1
