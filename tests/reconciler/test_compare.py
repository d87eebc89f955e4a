"""Differences field by field: their words, and which of them need a new process."""

import msgspec
import pytest

from reconciler import compare
from reconciler.compare import Cause, shown
from runtime.api import (
    AnonymousMount,
    BindMount,
    ContainerKey,
    ContainerSpec,
    Dependency,
    Limits,
    Mount,
    ObservedContainer,
    Phase,
    RestartKind,
    RestartPolicy,
    ServiceSpec,
    TmpfsMount,
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
