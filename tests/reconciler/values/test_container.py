"""A container's fields as what a generation shall be, whichever spelling of Compose they have."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from runtime.api import (
    Condition,
    ContainerSpec,
    Dependency,
    Device,
    Healthcheck,
    Logging,
    OnFailure,
    RestartKind,
    RestartPolicy,
    SecurityOptions,
    Ulimit,
    UpdateOrder,
    UpdatePolicy,
)
from tests.reconciler.reading import container, key, read
from tests.reconciler.world import NGINX

MIB = 1 << 20
DEPLOY = "deploy: {resources: {limits: {cpus: '0.5', memory: 64m, pids: 9}}}"
ANY = "deploy: {restart_policy: {condition: any}}"
FAILURE = "deploy: {restart_policy: {condition: on-failure, max_attempts: 3, delay: 5s}}"
CHANGES: list[tuple[str, dict[str, Any]]] = [
    # fields of the spec, fields of the value that they change
    ("group_add: [44, video]", {"group_add": ("44", "video")}),
    ("hostname: a, domainname: b.c", {"hostname": "a", "domainname": "b.c"}),
    ("container_name: front", {"container_name": "front"}),
    ("annotations: {a: b}", {"annotations": {"a": "b"}}),
    ("platform: amd64", {"platform": "linux/amd64"}),
    ("runtime: runc, init: true", {"runtime": "runc", "init": True}),
    ("tty: true, stdin_open: true", {"tty": True, "stdin_open": True}),
    ("mem_limit: 64m, memswap_limit: -1", {"mem_limit": 64 * MIB, "memswap_limit": -1}),
    ("mem_reservation: 32m", {"mem_reservation": 32 * MIB}),
    ("cpu_quota: 50000", {"cpus": 0.5}),
    ("cpu_quota: 30ms, cpu_period: 20ms", {"cpus": 1.5}),
    ("cpu_quota: -1", {}),
    ("cpu_shares: 512, cpuset: 0-1", {"cpu_shares": 512, "cpuset": "0-1"}),
    (DEPLOY, {"mem_limit": 64 * MIB, "cpus": 0.5, "pids_limit": 9}),
    (f"mem_limit: 64m, {DEPLOY}", {"mem_limit": 64 * MIB, "cpus": 0.5, "pids_limit": 9}),
    ("deploy: {resources: {reservations: {memory: 16m, cpus: 1}}}", {"mem_reservation": 16 * MIB}),
    ("oom_score_adj: 100", {"oom_score_adj": 100}),
    ("ulimits: {nproc: 5, core: {soft: 0, hard: -1}}",
     {"ulimits": (Ulimit(name="core", soft=0, hard=-1), Ulimit(name="nproc", soft=5, hard=5))}),
    ("shm_size: 1g", {"shm_size": 1 << 30}),
    ("sysctls: [net.core.somaxconn=9]", {"sysctls": {"net.core.somaxconn": "9"}}),
    ("restart: on-failure:2",
     {"restart": RestartPolicy(kind=RestartKind.ON_FAILURE, max_retries=2)}),
    (f"restart: no, {ANY}", {"restart": RestartPolicy(kind=RestartKind.ALWAYS)}),
    (FAILURE, {"restart": RestartPolicy(kind=RestartKind.ON_FAILURE, max_retries=3)}),
    ("restart: always, deploy: {restart_policy: {condition: none}}", {}),
    ("healthcheck: {test: 'true', interval: 0s, retries: 0}",
     {"healthcheck": Healthcheck(test=("CMD-SHELL", "true"))}),
    ("healthcheck: {interval: 5s, start_period: 1m}",
     {"healthcheck": Healthcheck(interval=5.0, start_period=60.0)}),
    ("healthcheck: {test: [CMD, x], disable: true}",
     {"healthcheck": Healthcheck(test=("NONE",))}),
    ("healthcheck: {test: NONE}", {"healthcheck": Healthcheck(test=("CMD-SHELL", "NONE"))}),
    ("logging: {driver: json-file, options: {max-size: 10m, max-file: 3}}",
     {"logging": Logging(max_size=10 * MIB, max_file=3)}),
    ("logging: {driver: none}", {"logging": Logging(driver="none")}),
    ("update: {order: stop-first, parallelism: 2, healthy_within: 9s, on_failure: pause}",
     {"update": UpdatePolicy(order=UpdateOrder.STOP_FIRST, parallelism=2, healthy_within=9.0,
                             on_failure=OnFailure.PAUSE)}),
    ("deploy: {update_config: {order: start-first, parallelism: 0, failure_action: continue}}",
     {"update": UpdatePolicy(order=UpdateOrder.START_FIRST, parallelism=0,
                             on_failure=OnFailure.PAUSE)}),
    ("privileged: true, read_only: true", {"privileged": True, "read_only": True}),
    ("security_opt: [no-new-privileges, 'seccomp:unconfined', apparmor=x, label=disable, "
     "systempaths=unconfined]",
     {"security": SecurityOptions(no_new_privileges=True, seccomp="unconfined", apparmor="x",
                                  label=("disable",), unmask=True)}),
    ("userns_mode: host, cgroup: host, uts: host",
     {"userns_mode": "host", "cgroup": "host", "uts": "host"}),
    ("devices: ['/dev/b', '/dev/c:/dev/a:r']",
     {"devices": (Device(source="/dev/c", target="/dev/a", permissions="r"),
                  Device(source="/dev/b", target="/dev/b"))}),
    ("device_cgroup_rules: ['c 1:3 r']", {"device_cgroup_rules": ("c 1:3 r",)}),
    ("pid: host, ipc: shareable", {"pid": "host", "ipc": "shareable"}),
    ("pid: 'service:db'", {"pid": "service:db", "depends_on": (Dependency(name="db"),)}),
    ("depends_on: {db: {condition: service_healthy, required: false, restart: true}}",
     {"depends_on": (Dependency(name="db", condition=Condition.HEALTHY, required=False,
                                restart=True),)}),
    ("depends_on: {db: completed}, links: [db]",
     {"depends_on": (Dependency(name="db", condition=Condition.COMPLETED),)}),
    ("links: ['db:sql']", {"depends_on": (Dependency(name="db"),)}),
    ("volumes_from: [db]", {"depends_on": (Dependency(name="db"),)}),
    ("expose: [80, 53/udp, 80/tcp]", {"expose": ("53/udp", "80/tcp")}),
    ("network_mode: host", {"network_mode": "host", "networks": ()}),
    ("network_mode: bridge", {}),
    ("network_mode: 'container:db'",
     {"network_mode": "service:db", "networks": (), "depends_on": (Dependency(name="db"),)}),
    ("mac_address: 02:42:ac:11:00:05", {"mac_address": "02:42:ac:11:00:05"}),
    ("extra_hosts: {a: 10.0.0.5}", {"extra_hosts": (("a", "10.0.0.5"),)}),
    ("dns: 1.1.1.1, dns_search: [a.b], dns_opt: ['ndots:1']",
     {"dns": ("1.1.1.1",), "dns_search": ("a.b",), "dns_opt": ("ndots:1",)}),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "changed"), CHANGES, ids=[each[0] for each in CHANGES])
def test_fields_of_the_spec_are_these_values(
    tmp_path: Path, fields: str, changed: dict[str, Any]
) -> None:
    expected = msgspec.structs.replace(ContainerSpec(image=NGINX), **changed)
    assert container(tmp_path, fields) == expected


def test_the_values_are_plain_ones_that_can_be_kept(tmp_path: Path) -> None:
    for fields, _ in CHANGES:
        spec = container(tmp_path, fields)
        kept = msgspec.json.decode(msgspec.json.encode(spec), type=ContainerSpec)
        assert kept == spec


def test_a_profile_of_system_calls_lies_beside_the_spec(tmp_path: Path) -> None:
    spec = container(tmp_path, "security_opt: ['seccomp:profile.json']")
    assert spec.security == SecurityOptions(seccomp=f"{tmp_path}/shop/profile.json")


@pytest.mark.parametrize(
    "fields", ["replicas: 2", "scale: 2", "deploy: {replicas: 2}", "scale: 2, replicas: 2"]
)
def test_replicas_are_equal_and_one_service(tmp_path: Path, fields: str) -> None:
    desired = read(tmp_path, f"containers: {{web: {{image: nginx, {fields}}}}}")
    assert list(desired.containers) == [key("web", 1), key("web", 2)]
    assert len(set(map(msgspec.json.encode, desired.containers.values()))) == 1
    assert list(desired.services) == ["web"]


def test_none_of_a_service_may_be_asked_for(tmp_path: Path) -> None:
    desired = read(tmp_path, "containers: {web: {image: nginx, replicas: 0}}")
    assert not desired.containers
    assert list(desired.services) == ["web"]


def test_a_container_is_named_by_its_container_name_as_well(tmp_path: Path) -> None:
    desired = read(
        tmp_path,
        """\
        containers:
          vpn: {image: nginx, container_name: tunnel}
          web: {image: nginx, network_mode: "container:tunnel"}
        """,
    )
    spec = desired.containers[key("web")]
    assert spec.network_mode == "service:vpn"
    assert spec.depends_on == (Dependency(name="vpn"),)
    assert spec.shares == ("vpn",)


def test_what_need_not_be_there_and_is_not_is_nothing_to_wait_for(tmp_path: Path) -> None:
    spec = container(tmp_path, "depends_on: {db: , gone: {condition: healthy, required: false}}")
    assert spec.depends_on == (Dependency(name="db"),)
