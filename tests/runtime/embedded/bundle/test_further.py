"""The OCI process of a further command."""

import json
from typing import Any

import pytest

from runtime.api import ExecSpec
from runtime.embedded.bundle.command import BadWorkingDir
from runtime.embedded.bundle.further import NotText, process
from runtime.embedded.bundle.users import Account

FIRST: dict[str, Any] = {
    "terminal": False,
    "user": {"uid": 0, "gid": 0, "additionalGids": [0]},
    "args": ["nginx"],
    "env": ["HOME=/root", "PATH=/bin", "A=b=c"],
    "cwd": "/srv",
    "capabilities": {"bounding": ["CAP_KILL"]},
    "noNewPrivileges": True,
    "apparmorProfile": "docker-default",
}
ROOT = Account(home="/root")


def made(spec: ExecSpec, **changes: Any) -> dict[str, Any]:
    facts: dict[str, Any] = {"owner": ROOT, "account": None, "capabilities": None, **changes}
    found: dict[str, Any] = json.loads(process(FIRST, spec, **facts))
    return found


def test_it_is_the_containers_own_with_another_command() -> None:
    assert made(ExecSpec(command=("ls", "-l"))) == {**FIRST, "args": ["ls", "-l"]}


def test_what_is_asked_comes_on_top() -> None:
    spec = ExecSpec(command=("ls",), environment={"A": "1", "B": "2"}, working_dir="/tmp")
    found = made(spec)
    assert found["env"] == ["HOME=/root", "PATH=/bin", "A=1", "B=2"]
    assert found["cwd"] == "/tmp"


@pytest.mark.parametrize(
    "path", ["/proc/self/fd/8", "/proc/self/fd/../fd/7", "/tmp/../proc/1/root"]
)
def test_no_working_dir_leads_out_of_the_container(path: str) -> None:
    """CVE-2024-21626: a descriptor of the OCI runtime is a folder of the host."""
    with pytest.raises(BadWorkingDir):
        made(ExecSpec(command=("ls",), working_dir=path))


@pytest.mark.parametrize(
    "spec",
    [
        ExecSpec(command=("ls", "\udcff")),
        ExecSpec(command=("ls",), environment={"A": "\udcff"}),
        ExecSpec(command=("ls",), working_dir="/\udcff"),
    ],
)
def test_bytes_that_json_cannot_have_are_refused(spec: ExecSpec) -> None:
    with pytest.raises(NotText):
        made(spec)


def test_another_user_has_another_home_unless_it_was_set() -> None:
    web = Account(uid=33, gid=33, groups=(33, 50), home="/var/www")
    found = made(ExecSpec(command=("id",), user="www-data"), account=web)
    assert found["user"] == {"uid": 33, "gid": 33, "additionalGids": [33, 50]}
    assert found["env"][0] == "HOME=/var/www"
    set_by_image = Account(home="/elsewhere")
    found = made(ExecSpec(command=("id",), user="www-data"), account=web, owner=set_by_image)
    assert found["env"][0] == "HOME=/root"


def test_a_terminal_has_a_size_and_a_type() -> None:
    found = made(ExecSpec(command=("sh",), tty=True), size=(24, 80))
    assert found["terminal"] is True
    assert found["consoleSize"] == {"height": 24, "width": 80}
    assert "TERM=xterm" in found["env"]
    found = made(ExecSpec(command=("sh",), tty=True, environment={"TERM": "dumb"}))
    assert "TERM=dumb" in found["env"]


def test_privileged_has_what_is_given_and_no_profile() -> None:
    found = made(ExecSpec(command=("sh",), privileged=True), capabilities=("CAP_SYS_ADMIN",))
    given = ["CAP_SYS_ADMIN"]
    expected = {"bounding": given, "effective": given, "permitted": given}
    assert found["capabilities"] == expected
    assert "apparmorProfile" not in found
