"""Seccomp and AppArmor, as a spec asks for them."""

import json
from pathlib import Path

import pytest

from runtime.api import ContainerSpec, SecurityOptions
from runtime.embedded.bundle.confinement import NoAppArmor, apparmor, filter_of
from runtime.embedded.bundle.seccomp import BrokenSeccompProfile


def spec(**options: object) -> ContainerSpec:
    return ContainerSpec(image="x", security=SecurityOptions(**options))  # type: ignore[arg-type]


def filtered(asked: ContainerSpec) -> object:
    return filter_of(asked, ("CAP_CHOWN",), machine="x86_64", kernel=(6, 1))


def test_a_profile_is_resolved_for_the_containers_capabilities(tmp_path: Path) -> None:
    """Docker's extension: what needs a capability is left out without it."""
    path = tmp_path / "profile.json"
    rules = [
        {"names": ["chown"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_CHOWN"]}},
        {"names": ["mount"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_SYS_ADMIN"]}},
    ]
    path.write_text(json.dumps({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": rules}))
    found = filtered(spec(seccomp=str(path)))
    assert isinstance(found, dict)
    assert [rule["names"] for rule in found["syscalls"]] == [["chown"]]


@pytest.mark.parametrize("text", ["{", "[]", "{}"])
def test_a_file_that_is_no_profile(tmp_path: Path, text: str) -> None:
    path = tmp_path / "profile.json"
    path.write_text(text)
    with pytest.raises(BrokenSeccompProfile, match=r"profile\.json"):
        filtered(spec(seccomp=str(path)))


def test_a_profile_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(BrokenSeccompProfile, match="No such file"):
        filtered(spec(seccomp=str(tmp_path / "none.json")))


def test_who_is_privileged_has_no_filter_but_ones_own(tmp_path: Path) -> None:
    assert filtered(ContainerSpec(image="x", privileged=True)) is None
    path = tmp_path / "profile.json"
    path.write_text('{"defaultAction": "SCMP_ACT_ALLOW"}')
    own = SecurityOptions(seccomp=str(path))
    assert filtered(ContainerSpec(image="x", privileged=True, security=own)) is not None


def test_a_profile_of_apparmor_is_passed_on_where_the_host_has_it(tmp_path: Path) -> None:
    enabled = tmp_path / "enabled"
    enabled.write_text("Y\n")
    assert apparmor(spec(apparmor="mine"), "shop/web", enabled) == "mine"
    assert apparmor(spec(apparmor="unconfined"), "shop/web", enabled) == "unconfined"
    assert apparmor(spec(), "shop/web", enabled) == ""
    for absent in (tmp_path / "none", tmp_path / "off"):
        (tmp_path / "off").write_text("N\n")
        assert apparmor(spec(apparmor="unconfined"), "shop/web", absent) == ""
        with pytest.raises(NoAppArmor, match="mine"):
            apparmor(spec(apparmor="mine"), "shop/web", absent)
