"""Control groups: kinds of hosts from their mount tables; limits and members on this one."""

import os
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime.embedded import cgroups
from runtime.embedded.cgroups import Kind, NoController
from tests.runtime.embedded.boxes import Boxes, make_boxes

V2 = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
V1 = """25 17 0:22 / /sys/fs/cgroup ro shared:5 - tmpfs tmpfs ro,mode=755
26 25 0:23 / /sys/fs/cgroup/systemd rw shared:6 - cgroup cgroup rw,xattr,name=systemd
27 25 0:25 / /sys/fs/cgroup/cpu,cpuacct rw shared:7 - cgroup cgroup rw,cpu,cpuacct
28 25 0:26 / /sys/fs/cgroup/memory rw shared:8 - cgroup cgroup rw,memory
29 25 0:27 / /sys/fs/cgroup/pids rw shared:9 - cgroup cgroup rw,pids
"""
UNIFIED = "31 25 0:28 / /sys/fs/cgroup/unified rw shared:10 - cgroup2 cgroup2 rw\n"

KINDS = {
    "v1": (V1, "", Kind.V1, ()),
    "v2": (V2, "cpu memory pids", Kind.V2, ()),
    "hybrid": (V1 + UNIFIED, "", Kind.HYBRID, ()),
    "hybrid with controllers left": (V1 + UNIFIED, "rdma misc\n", Kind.HYBRID, ("rdma", "misc")),
}


@pytest.mark.parametrize(("mounts", "controllers", "kind", "left"), KINDS.values(), ids=KINDS)
def test_kinds(mounts: str, controllers: str, kind: Kind, left: tuple[str, ...]) -> None:
    found = cgroups.layout(mounts.encode(), controllers)
    assert (found.kind, found.left) == (kind, left)


def test_folders() -> None:
    v1 = cgroups.layout(V1.encode())
    assert v1.folder("cpuacct", "a/b") == Path("/sys/fs/cgroup/cpu,cpuacct/a/b")
    assert len(v1.folders("a")) == 4
    with pytest.raises(NoController, match="hugetlb"):
        v1.folder("hugetlb", "a")
    assert cgroups.layout(V2.encode()).folder("memory", "a") == Path("/sys/fs/cgroup/a")


def test_a_folder_is_named_as_the_kernel_has_it() -> None:
    """Other mounts may have any bytes for a name; blanks are octal numbers."""
    odd = b"29 25 0:9 / /mnt/\xff rw - tmpfs a\\040b rw\n"
    line = V2.encode().replace(b"/sys/fs/cgroup", "/gr\u00fcn\\040\\134".encode())
    assert cgroups.layout(odd + line).hierarchies[0].root == Path("/gr\u00fcn \\")


# --- this host ------------------------------------------------------------------------------


@pytest.fixture
def boxes() -> Iterator[Boxes]:
    with make_boxes() as made:
        yield made


@pytest.mark.root
def test_processes_are_found_killed_and_the_group_removed(boxes: Boxes) -> None:
    layout, path = boxes.supervisor.layout, f"{boxes.paths.cgroup}/boxes/deep"
    folder = layout.folder("pids", path)
    (folder / "below").mkdir(parents=True)
    with subprocess.Popen(["sleep", "100"]) as one, subprocess.Popen(["sleep", "100"]) as two:
        (folder / "cgroup.procs").write_text(str(one.pid))
        (folder / "below/cgroup.procs").write_text(str(two.pid))
        assert cgroups.processes(layout, path) == tuple(sorted((one.pid, two.pid)))
        cgroups.kill(layout, path)
        assert (one.wait(), two.wait()) == (-9, -9)
    cgroups.remove(layout, path)
    cgroups.remove(layout, path)
    assert not folder.exists()


@pytest.mark.root
def test_parents_go_only_when_empty(boxes: Boxes) -> None:
    box = boxes.box("sleep", "100")
    box.launch()
    layout, parent = boxes.supervisor.layout, boxes.paths.cgroup
    cgroups.remove_empty(layout, f"{parent}/boxes")
    assert layout.folder("pids", box.cgroup).exists()
    box.discard()
    assert not any(f.exists() for f in layout.folders(box.cgroup))
    cgroups.remove_empty(layout, f"{parent}/boxes")
    cgroups.remove_empty(layout, parent)
    assert not any(f.exists() for f in layout.folders(parent))


@pytest.mark.root
def test_a_launch_survives_somebody_who_sweeps_parents(boxes: Boxes) -> None:
    layout, parent = boxes.supervisor.layout, boxes.paths.cgroup
    over = threading.Event()

    def sweep() -> None:
        while not over.is_set():
            cgroups.remove_empty(layout, f"{parent}/boxes")
            cgroups.remove_empty(layout, parent)

    sweeper = threading.Thread(target=sweep)
    sweeper.start()
    try:
        box = boxes.box("sleep", "100")
        for _ in range(15):
            box.launch()
            box.discard()
    finally:
        over.set()
        sweeper.join()


@pytest.mark.root
def test_monitors_live_in_a_group_of_their_own(boxes: Boxes) -> None:
    layout, parent = boxes.supervisor.layout, boxes.paths.cgroup
    before = Path("/proc/self/cgroup").read_text()
    box = boxes.box("sleep", "100")
    with cgroups.monitors(layout, parent):
        assert f"/{parent}/monitors" in Path("/proc/self/cgroup").read_text()
        box.launch()
    assert Path("/proc/self/cgroup").read_text() == before
    monitor = (box.bundle / "conmon.pid").read_text().strip()
    groups = Path(f"/proc/{monitor}/cgroup").read_text()
    assert f"memory:/{parent}/monitors" in groups
    assert f"name=systemd:/{parent}/monitors" in groups
    assert (
        str(os.getpid())
        not in layout.folder("memory", f"{parent}/monitors/cgroup.procs").read_text()
    )
