"""Labels of SELinux, with a file that plays the kernel's switch."""

import os
from pathlib import Path

import pytest

from runtime.embedded.linux.selinux import label_for, relabel

SHARED = b"system_u:object_r:container_file_t:s0\0"


pytestmark = pytest.mark.root


def label_of(path: Path) -> bytes | None:
    """The kernel of a host without SELinux keeps it, too."""
    try:
        return os.getxattr(path, "security.selinux", follow_symlinks=False)
    except OSError:
        return None


@pytest.fixture
def enforce(tmp_path: Path) -> Path:
    (tmp_path / "enforce").write_text("1")
    return tmp_path / "enforce"


def test_a_host_without_selinux_is_left_alone(tmp_path: Path) -> None:
    relabel(tmp_path, None, enforce=tmp_path / "enforce")
    assert label_of(tmp_path) is None


def test_all_below_gets_the_label_and_links_are_not_followed(tmp_path: Path, enforce: Path) -> None:
    data, other = tmp_path / "data", tmp_path / "other"
    (data / "folder" / "deeper").mkdir(parents=True)
    (data / "folder" / "deeper" / "file").touch()
    (other / "within").mkdir(parents=True)
    os.symlink(other, data / "link")
    relabel(data, None, enforce=enforce)
    for path in (data, *data.rglob("*")):
        assert label_of(path) == SHARED, path
    assert label_of(other) is None
    assert label_of(other / "within") is None


def test_a_folder_that_becomes_a_link_meanwhile_leads_nowhere(
    tmp_path: Path, enforce: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, other = tmp_path / "data", tmp_path / "other"
    for folder in (data / "folder", other):
        folder.mkdir(parents=True)
        for name in "abc":
            (folder / name).touch()
    really = os.setxattr

    def swapping(path: str | bytes | Path, *words: object, **options: object) -> None:
        really(path, *words, **options)  # type: ignore[arg-type]
        if os.fsdecode(path)[-2:] in ("/a", "/b", "/c") and not (data / "folder").is_symlink():
            (data / "folder").rename(tmp_path / "aside")
            (data / "folder").symlink_to(other)

    monkeypatch.setattr(os, "setxattr", swapping)
    relabel(data, None, enforce=enforce)
    assert (data / "folder").is_symlink()
    assert [label_of(other / name) for name in "abc"] == [None] * 3


def test_a_file_can_be_what_is_mounted(tmp_path: Path, enforce: Path) -> None:
    (tmp_path / "file").touch()
    relabel(tmp_path / "file", "abc", enforce=enforce)
    assert label_of(tmp_path / "file") == label_for("abc").encode() + b"\0"


def test_a_level_of_ones_own_is_stable_and_has_two_categories() -> None:
    levels = {label_for(f"container {number}") for number in range(200)}
    assert len(levels) > 195
    assert label_for("a") == label_for("a")
    for label in levels:
        low, high = label.rpartition(":")[2].split(",")
        assert 0 <= int(low[1:]) < int(high[1:]) < 1024
