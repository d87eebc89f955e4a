"""Differences field by field: their words, and which of them need a new process."""

import msgspec
import pytest

from reconciler import compare
from reconciler.compare import Cause
from reconciler.wording import shown
from runtime.api import (
    AnonymousMount,
    Attachment,
    BindMount,
    Condition,
    ContainerKey,
    ContainerSpec,
    Dependency,
    Device,
    Healthcheck,
    Limits,
    Logging,
    Mount,
    ObservedContainer,
    Phase,
    RestartKind,
    RestartPolicy,
    SecurityOptions,
    ServiceSpec,
    TmpfsMount,
    Ulimit,
    UpdateOrder,
    UpdatePolicy,
    VolumeMount,
)
from tests.reconciler.world import IN_PLACE, port, spec

BASE = spec()


def observed(
    applied: ContainerSpec | None = BASE, limits: Limits | None = None
) -> ObservedContainer:
    key = ContainerKey(project="shop", name="web")
    return ObservedContainer(
        key=key, id="1", generation=1, phase=Phase.RUNNING, applied=applied, limits=limits
    )


def texts(desired: ContainerSpec, real: ObservedContainer) -> list[str]:
    found = compare.container(desired, real, in_place=IN_PLACE, place=lambda _field: "shop.yaml:7")
    return [f"{'replace' if each.replaces else 'in place'}: {each.text}" for each in found]


def test_of_what_is_veiled_no_value_is_told() -> None:
    veiled = {"command", "labels", "healthcheck"}
    check = Healthcheck(test=("CMD-SHELL", "auth hush"))
    new = spec(command=("login", "hush"), labels={"token": "hush"}, healthcheck=check)
    found = compare.container(
        new, observed(), in_place=IN_PLACE, place=lambda _field: "", veiled=veiled
    )
    told = {each.text for each in found}
    assert told == {"command changed", "label token added", "healthcheck changed"}


# Fields after the change, from `spec()`, and the words.
CHANGES: dict[str, tuple[dict[str, object], str]] = {
    "a limit": ({"mem_limit": 1536 << 20}, "in place: memory unlimited → 1536M"),
    "an odd limit": ({"mem_limit": 6_291_457}, "in place: memory unlimited → 6291457"),
    "a share": ({"cpus": 0.5}, "in place: cpus unlimited → 0.5"),
    "no limit": ({"pids_limit": -1}, "in place: pids 2048 → unlimited"),
    "a time": ({"stop_grace_period": 0.5}, "in place: stop_grace_period 10s → 500ms"),
    "words": ({"command": ("sh", "-c", "a b")}, "replace: command unset → sh -c 'a b'"),
    "no words": ({"entrypoint": ()}, "replace: entrypoint unset → empty"),
    "a flag": ({"read_only": True}, "replace: read_only no → yes"),
    "capabilities": ({"cap_add": ("CHOWN", "KILL")}, "replace: cap_add unset → CHOWN, KILL"),
    "a dependency": (
        {"depends_on": (Dependency(name="db"),)},
        "in place: depends_on unset → db",
    ),
    "a label": ({"labels": {"a": "b"}}, "in place: label a unset → b"),
    "a variable": ({"environment": {"A": "hidden"}}, "replace: environment A added"),
    "what is secret": ({"secret_environment": ("A",)}, "in place: secret environment changed"),
    "a health check": (
        {"healthcheck": Healthcheck(test=("CMD", "pg_isready", "-q"), interval=5, retries=10)},
        "in place: healthcheck unset → CMD pg_isready -q every 5s, 10 retries",
    ),
    "no health check": (
        {"healthcheck": Healthcheck(test=("NONE",))},
        "in place: healthcheck unset → disabled",
    ),
    "a health check in a shell": (
        {"healthcheck": Healthcheck(test=("CMD-SHELL", "curl x || exit 1"), start_period=20)},
        "in place: healthcheck unset → CMD-SHELL curl x || exit 1 every 30s, start_period 20s",
    ),
    "ulimits": (
        {
            "ulimits": (
                Ulimit(name="nofile", soft=1024, hard=-1),
                Ulimit(name="nproc", soft=5, hard=5),
            )
        },
        "replace: ulimits unset → nofile 1024:unlimited, nproc 5",
    ),
    "devices": (
        {"devices": (Device(source="/dev/a", target="/dev/b", permissions="r"),)},
        "replace: devices unset → /dev/a:/dev/b:r",
    ),
    "hosts": ({"extra_hosts": (("a", "10.0.0.1"),)}, "in place: extra_hosts unset → a=10.0.0.1"),
    "networks": (
        {
            "networks": (
                Attachment(network="default"),
                Attachment(network="back", ipv4_address="10.90.0.5", aliases=("api", "db")),
            )
        },
        "in place: networks default → default, back 10.90.0.5 as api db",
    ),
    "a log's size": (
        {"logging": Logging(max_size=10 << 20, max_file=3)},
        "in place: logging file → file, max-size 10M, max-file 3",
    ),
    "how to update": (
        {"update": UpdatePolicy(order=UpdateOrder.STOP_FIRST, healthy_within=5)},
        "in place: update the default → stop-first, healthy within 5s",
    ),
    "conditions": (
        {"depends_on": (Dependency(name="db", condition=Condition.HEALTHY, required=False),)},
        "in place: depends_on unset → db (healthy, optional)",
    ),
    "confinement": (
        {"security": SecurityOptions(no_new_privileges=True, seccomp="unconfined")},
        "replace: security_opt unset → no-new-privileges, seccomp:unconfined",
    ),
    "a namespace": ({"pid": "host"}, "replace: pid its own → host"),
    "a parameter": ({"sysctls": {"a.b": "1"}}, "replace: sysctl a.b unset → 1"),
    "memory and swap": ({"memswap_limit": 1 << 30}, "in place: memswap_limit unlimited → 1G"),
    "what reads alike": ({"memswap_limit": -1}, "in place: memswap_limit changed"),
    "a weight": ({"cpu_shares": 512}, "in place: cpu_shares unset → 512"),
    "long words": ({"command": ("x" * 80,)}, f"replace: command unset → {'x' * 59}…"),
}


@pytest.mark.parametrize("case", CHANGES)
def test_changes_of_the_file(case: str) -> None:
    fields, words = CHANGES[case]
    desired = msgspec.structs.replace(BASE, **fields)
    assert texts(desired, observed()) == [f"{words} (shop.yaml:7)"]


MOUNTS: dict[str, tuple[tuple[Mount, ...], tuple[Mount, ...], str]] = {
    "new": ((), (VolumeMount(volume="v", target="/d"),), "mount /d unset → volume v"),
    "gone": ((BindMount(source="/s", target="/d"),), (), "mount /d /s → unset"),
    "tighter": (
        (BindMount(source="/s", target="/d"),),
        (BindMount(source="/s", target="/d", read_only=True),),
        "mount /d /s → /s read-only",
    ),
    "a folder of it": (
        (VolumeMount(volume="v", target="/d"),),
        (VolumeMount(volume="v", target="/d", subpath="a", copy=False, relabel="z"),),
        "mount /d volume v → volume v/a nocopy z",
    ),
    "options": (
        (TmpfsMount(target="/d"),),
        (TmpfsMount(target="/d", mode=0o1777, options=("noexec",)),),
        "mount /d tmpfs → tmpfs mode 1777 noexec",
    ),
    "what has no words": (
        (BindMount(source="/s", target="/d"),),
        (BindMount(source="/s", target="/d", create_source=True),),
        "mount /d changed",
    ),
    "another kind": (
        (AnonymousMount(target="/d"),),
        (TmpfsMount(target="/d", size=1 << 20),),
        "mount /d a volume of its own → tmpfs 1M",
    ),
}


@pytest.mark.parametrize("case", MOUNTS)
def test_mounts_are_compared_by_target(case: str) -> None:
    before, after, words = MOUNTS[case]
    assert texts(spec(mounts=after), observed(spec(mounts=before))) == [
        f"replace: {words} (shop.yaml:7)"
    ]


# What was applied, what the kernel has, and the words for it.
LIVE: dict[str, tuple[dict[str, object], Limits, list[str]]] = {
    "as applied": ({"mem_limit": 8 << 20}, Limits(mem_limit=8 << 20, pids_limit=2048), []),
    "cut to pages": ({"mem_limit": 8_000_000}, Limits(mem_limit=7_999_488, pids_limit=2048), []),
    "rounded": ({"cpus": 0.333}, Limits(cpus=0.3333, pids_limit=2048), []),
    "unlimited pids": ({"pids_limit": -1}, Limits(), []),
    "more": (
        {"mem_limit": 8 << 20},
        Limits(mem_limit=16 << 20, pids_limit=2048),
        ["in place: memory is 16M, set by hand"],
    ),
    "other limits": (
        {"cpu_shares": 512, "cpuset": "0-1", "mem_reservation": 8_000_000, "memswap_limit": -1},
        Limits(cpu_shares=512, cpuset="0-1", mem_reservation=7_999_488, pids_limit=2048),
        [],
    ),
    "other limits that somebody changed": (
        {"cpu_shares": 512, "memswap_limit": 1 << 30},
        Limits(cpuset="0", memswap_limit=2 << 30, pids_limit=2048),
        [
            "in place: memswap_limit is 2G, set by hand",
            "in place: cpu_shares is unset, set by hand",
            "in place: cpuset is 0, set by hand",
        ],
    ),
    "none": (
        {"cpus": 1.0},
        Limits(pids_limit=100),
        ["in place: cpus is unlimited, set by hand", "in place: pids is 100, set by hand"],
    ),
}


@pytest.mark.parametrize("case", LIVE)
def test_live_limits(case: str) -> None:
    fields, limits, words = LIVE[case]
    applied = msgspec.structs.replace(BASE, **fields)
    assert texts(applied, observed(applied, limits)) == words


def test_what_does_not_run_has_no_live_limits() -> None:
    applied = spec(mem_limit=8 << 20)
    assert texts(applied, observed(applied, None)) == []


def test_a_restart_policy_that_no_update_reached() -> None:
    applied = spec(restart=RestartPolicy(kind=RestartKind.NO))
    live = RestartPolicy(kind=RestartKind.ON_FAILURE, max_retries=3)
    real = msgspec.structs.replace(observed(applied), restart=live)
    assert texts(applied, real) == ["in place: restart is on-failure:3, not no"]
    assert texts(applied, msgspec.structs.replace(real, restart=applied.restart)) == []
    # On its way to what is wanted now there is nothing to say of it but the change of the file.
    assert texts(spec(restart=live), real) == ["in place: restart no → on-failure:3 (shop.yaml:7)"]


def test_without_a_record_the_cause_is_unknown() -> None:
    (only,) = compare.container(BASE, observed(None), in_place=IN_PLACE, place=lambda _f: "")
    assert (only.cause, only.replaces) == (Cause.UNKNOWN, True)


def test_services_change_by_ports_names_and_networks() -> None:
    old = ServiceSpec(project="shop", name="web", ports=(port("8080:80"),))
    ports = (port("80"), port("127.0.0.1::80"), port("53:53/udp"))
    new = ServiceSpec(project="shop", name="web", ports=ports, aliases=("www",))
    found = compare.service(new, old, place=lambda _field: "shop.yaml:7")
    assert [each.text for each in found] == [
        "aliases unset → www (shop.yaml:7)",
        "ports 8080:80 → 80, 127.0.0.1::80, 53:53/udp (shop.yaml:7)",
    ]


def test_every_field_has_words_for_its_default() -> None:
    for name in ContainerSpec.__struct_fields__:
        assert isinstance(shown(name, getattr(BASE, name)), str)
