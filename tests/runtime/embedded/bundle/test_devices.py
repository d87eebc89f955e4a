"""Devices: what a spec names as nodes and rules."""

from pathlib import Path

import pytest

from runtime.api import Device
from runtime.embedded.bundle.devices import (
    BadDeviceRule,
    DeviceMissing,
    DeviceRule,
    all_nodes,
    nodes,
    rule,
)

RULES: dict[str, DeviceRule] = {
    "c 1:3 rwm": DeviceRule(kind="c", major=1, minor=3),
    "b 7:* r": DeviceRule(kind="b", major=7, access="r"),
    "a *:* rwm": DeviceRule(kind="a"),
}


@pytest.mark.parametrize(("text", "wanted"), RULES.items(), ids=RULES)
def test_a_rule_is_read(text: str, wanted: DeviceRule) -> None:
    assert rule(text) == wanted


@pytest.mark.parametrize("text", ["", "c", "c 1:3", "x 1:3 r", "c 1:3 q", "c 1 3 r", "c -1:3 r"])
def test_a_line_that_is_no_rule(text: str) -> None:
    with pytest.raises(BadDeviceRule):
        rule(text)


def test_a_device_is_named_by_its_numbers_through_a_link(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to("/dev/null")
    (node,) = nodes(Device(source=str(link), target="/dev/x", permissions="r"), "shop/web")
    assert (node.path, node.mode) == ("/dev/x", 0o666)
    assert node.rule == DeviceRule(kind="c", major=1, minor=3, access="r")


def test_a_folder_without_devices_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DeviceMissing, match="no devices"):
        nodes(Device(source=str(tmp_path), target="/dev/x"), "shop/web")


def test_all_devices_leave_out_what_every_container_has() -> None:
    names = {node.path for node in all_nodes()}
    assert not names & {"/dev/null", "/dev/tty", "/dev/ptmx", "/dev/console"}
    assert not any(name.startswith(("/dev/pts/", "/dev/shm/")) for name in names)
