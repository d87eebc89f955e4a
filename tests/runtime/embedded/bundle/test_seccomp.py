"""The distribution's profile, resolved for one machine and one set of capabilities."""

import json
from pathlib import Path
from typing import Any

import pytest

from runtime.embedded.bundle import seccomp

PROFILE: dict[str, Any] = {
    "defaultAction": "SCMP_ACT_ERRNO",
    "defaultErrnoRet": 38,
    "defaultErrno": "ENOSYS",
    "archMap": [
        {"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]},
        {"architecture": "SCMP_ARCH_S390X", "subArchitectures": None},
    ],
    "syscalls": [
        {"names": ["read"], "action": "SCMP_ACT_ALLOW", "includes": {}, "excludes": {}},
        {"names": ["ppc"], "action": "SCMP_ACT_ALLOW", "includes": {"arches": ["ppc64le"]}},
        {"names": ["intel"], "action": "SCMP_ACT_ALLOW", "includes": {"arches": ["amd64"]}},
        {"names": ["not-intel"], "action": "SCMP_ACT_ALLOW", "excludes": {"arches": ["amd64"]}},
        {"names": ["chroot"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_A"]}},
        {"names": ["chroot"], "action": "SCMP_ACT_ERRNO", "excludes": {"caps": ["CAP_A"]},
         "errnoRet": 1, "errno": "EPERM"},
        {"names": ["new"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "4.8"}},
        {"names": ["newer"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "6.19"}},
        {"names": ["socket"], "action": "SCMP_ACT_ALLOW", "comment": "x",
         "args": [{"index": 0, "value": 16, "op": "SCMP_CMP_NE"}]},
    ],
}  # fmt: skip


def names(**kwargs: Any) -> list[str]:
    resolved = seccomp.resolve(
        PROFILE,
        kwargs.get("caps", ()),
        machine=kwargs.get("machine", "x86_64"),
        kernel=kwargs.get("kernel", (6, 18)),
    )
    return [f"{rule['names'][0]} {rule['action'][9:]}" for rule in resolved["syscalls"]]


def test_rules_of_others_are_left_out() -> None:
    assert names() == [
        "read ALLOW",
        "intel ALLOW",
        "chroot ERRNO",
        "new ALLOW",
        "socket ALLOW",
    ]


def test_capabilities_kernel_and_machine_decide() -> None:
    assert "chroot ALLOW" in names(caps=("CAP_A",))
    assert "chroot ERRNO" not in names(caps=("CAP_A",))
    assert "newer ALLOW" in names(kernel=(7, 0))
    assert "new ALLOW" not in names(kernel=(4, 4))
    assert "not-intel ALLOW" in names(machine="s390x")


def test_the_form_is_the_runtime_specs() -> None:
    resolved = seccomp.resolve(PROFILE, (), machine="x86_64", kernel=(6, 1))
    assert resolved["architectures"] == ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"]
    assert resolved["defaultErrnoRet"] == 38
    assert resolved["syscalls"][2] == {
        "names": ["chroot"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1
    }  # fmt: skip
    assert resolved["syscalls"][4]["args"] == [
        {"index": 0, "value": 16, "valueTwo": 0, "op": "SCMP_CMP_NE"}
    ]


def test_no_profile_is_refused_with_the_package(tmp_path: Path) -> None:
    with pytest.raises(seccomp.NoSeccompProfile, match="golang-github-containers-common"):
        seccomp.load((tmp_path / "absent",))


@pytest.mark.parametrize("text", ["{", "[]", '{"syscalls": []}'])
def test_a_broken_profile_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "profile").write_text(text)
    with pytest.raises(seccomp.BrokenSeccompProfile):
        seccomp.load((tmp_path / "profile",))


def test_the_first_place_counts(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_text(json.dumps({"defaultAction": name}))
    places = (tmp_path / "none", tmp_path / "b", tmp_path / "a")
    assert seccomp.load(places)["defaultAction"] == "b"
