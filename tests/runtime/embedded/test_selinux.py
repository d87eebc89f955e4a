"""Labels of SELinux, with a file that plays the kernel's switch."""

import os
from pathlib import Path

import pytest

from runtime.embedded.selinux import label_for, relabel

SHARED = b"system_u:object_r:container_file_t:s0\0"


@pytest.fixture
def labels(monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """What is set where: the kernel of a host without SELinux would keep it, too, as root."""
    found: dict[str, bytes] = {}

    def note(path: Path, name: str, value: bytes, *, follow_symlinks: bool) -> None:
        assert (name, follow_symlinks) == ("security.selinux", False)
        found[path.name] = value

    monkeypatch.setattr(os, "setxattr", note)
    return found


def test_a_host_without_selinux_is_left_alone(tmp_path: Path, labels: dict[str, bytes]) -> None:
    relabel(tmp_path, None, enforce=tmp_path / "enforce")
    assert labels == {}


def test_all_below_gets_the_label_and_links_are_not_followed(
    tmp_path: Path, labels: dict[str, bytes]
) -> None:
    enforce = tmp_path / "enforce"
    enforce.write_text("1")
    data = tmp_path / "data"
    (data / "folder").mkdir(parents=True)
    (data / "folder" / "file").touch()
    os.symlink("/etc", data / "link")
    relabel(data, None, enforce=enforce)
    assert labels == dict.fromkeys(("data", "folder", "file", "link"), SHARED)


def test_a_file_can_be_what_is_mounted(tmp_path: Path, labels: dict[str, bytes]) -> None:
    (tmp_path / "enforce").write_text("0")
    (tmp_path / "file").touch()
    relabel(tmp_path / "file", "abc", enforce=tmp_path / "enforce")
    assert labels == {"file": label_for("abc").encode() + b"\0"}


def test_a_level_of_ones_own_is_stable_and_has_two_categories() -> None:
    levels = {label_for(f"container {number}") for number in range(200)}
    assert len(levels) > 195
    assert label_for("a") == label_for("a")
    for label in levels:
        low, high = label.rpartition(":")[2].split(",")
        assert 0 <= int(low[1:]) < int(high[1:]) < 1024
