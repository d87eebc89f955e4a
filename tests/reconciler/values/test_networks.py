"""Networks, and what containers are to others."""

from pathlib import Path

from runtime.api import Attachment, NetworkSpec, ServiceSpec
from tests.reconciler.reading import key, read

NETWORKS = """\
    networks:
      back: {subnet: 10.90.0.0/24, internal: true, labels: {tier: back}}
      both: {ipam: {config: [{subnet: 10.91.0.0/24}, {subnet: "fd00:91::/64"}]}, name: everywhere}
      six: {enable_ipv6: true, driver: bridge}
      others: {external: true}
      named: {external: true, name: lab_front}
      older: {external: {name: lab_back}}
    containers:
      web: {image: nginx, networks: [back]}
"""


def test_networks_are_as_declared_and_the_default_one_is_left_out_where_nobody_is(
    tmp_path: Path,
) -> None:
    assert read(tmp_path, NETWORKS).networks == {
        each.name: each
        for each in (
            NetworkSpec(
                project="shop",
                name="back",
                subnet="10.90.0.0/24",
                internal=True,
                labels={"tier": "back"},
            ),
            NetworkSpec(
                project="shop",
                name="both",
                subnet="10.91.0.0/24",
                subnet6="fd00:91::/64",
                ipv6=True,
                full_name="everywhere",
            ),
            NetworkSpec(project="shop", name="six", ipv6=True),
            NetworkSpec(project="shop", name="others", external=True, full_name="others"),
            NetworkSpec(project="shop", name="named", external=True, full_name="lab_front"),
            NetworkSpec(project="shop", name="older", external=True, full_name="lab_back"),
        )
    }


def test_a_default_network_that_is_declared_stays(tmp_path: Path) -> None:
    text = """\
        networks: {default: {subnet: 10.90.0.0/24}, back: }
        containers: {web: {image: nginx, networks: [back]}}
    """
    assert sorted(read(tmp_path, text).networks) == ["back", "default"]


def test_attachments_come_by_priority_and_name_whatever_their_order_in_the_file(
    tmp_path: Path,
) -> None:
    text = """\
        networks: {a: {subnet: 10.90.0.0/24}, b: , c: }
        containers:
          web:
            image: nginx
            networks:
              b:
              a: {aliases: [www, api, www], ipv4_address: 10.90.0.9, gw_priority: 5}
              c: {priority: 10}
    """
    desired = read(tmp_path, text)
    networks = (
        Attachment(network="c"),
        Attachment(network="a", aliases=("api", "www"), ipv4_address="10.90.0.9", gw_priority=5),
        Attachment(network="b"),
    )
    assert desired.containers[key("web")].networks == networks
    assert desired.services["web"].networks == networks


def test_a_service_goes_by_its_container_name_and_by_what_others_call_it(tmp_path: Path) -> None:
    text = """\
        containers:
          db: {image: mysql, container_name: shop-db}
          web: {image: nginx, links: [db, "db:sql", "shop-db:store"]}
    """
    services = read(tmp_path, text).services
    assert services["db"].aliases == ("shop-db", "sql", "store")
    assert services["web"].aliases == ()


def test_who_has_no_network_of_its_own_has_no_names_and_ports(tmp_path: Path) -> None:
    text = """\
        containers:
          web: {image: nginx, network_mode: host, container_name: front, ports: ["80:80"]}
          job: {image: nginx, network_mode: none}
          side: {image: nginx, network_mode: "service:other"}
          other: {image: nginx}
    """
    services = read(tmp_path, text).services
    for name in ("web", "job", "side"):
        assert services[name] == ServiceSpec(project="shop", name=name, networks=())
    assert services["other"].networks == (Attachment(network="default"),)
