"""What the host has."""

import os
import platform

import pytest

from runtime import programs
from runtime.embedded import cgroups, hostfacts
from runtime.embedded.cgroups import Kind, Layout
from runtime.errors import ProgramMissing


def test_facts() -> None:
    facts = hostfacts.read()
    assert facts.machine == platform.machine()
    assert facts.kernel_version >= (4, 18)
    assert facts.layout == cgroups.detect()
    assert facts.hard_limits["NOFILE"] != 0
    if os.geteuid() == 0:
        assert "SETUID" in facts.capabilities


def hybrid(*left: str) -> Layout:
    return Layout(kind=Kind.HYBRID, hierarchies=(), left=left)


def test_crun_where_it_works_and_runc_where_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "find", lambda program: f"/usr/bin/{program}")
    assert hostfacts.oci_program(hybrid()) == "/usr/bin/crun"
    assert hostfacts.oci_program(hybrid("hugetlb")) == "/usr/bin/runc"


def test_a_runtime_that_the_environment_names() -> None:
    environ = {hostfacts.OCI_RUNTIME: "/bin/true"}
    assert hostfacts.oci_program(hybrid("hugetlb"), environ) == "/bin/true"
    with pytest.raises(ProgramMissing, match="/opt/nosuch"):
        hostfacts.oci_program(hybrid(), {hostfacts.OCI_RUNTIME: "/opt/nosuch"})


def test_neither_names_the_command_that_helps(monkeypatch: pytest.MonkeyPatch) -> None:
    def find(program: str) -> str:
        raise ProgramMissing(program)

    monkeypatch.setattr(programs, "find", find)
    with pytest.raises(hostfacts.HybridHost, match="mount -t cgroup -o hugetlb hugetlb"):
        hostfacts.oci_program(hybrid("hugetlb"))
