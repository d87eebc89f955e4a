"""Control groups: kinds of hosts from their mount tables; limits and members on this one."""

import os
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime.api import Limits
from runtime.embedded import cgroups
from runtime.embedded.cgroups import Kind, MemoryInUse, NoController
from tests.eventually import eventually
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


# --- the files of a v2 group, in a folder that plays one ------------------------------------


@pytest.fixture
def v2(tmp_path: Path) -> cgroups.Layout:
    group = tmp_path / "g"
    group.mkdir()
    for name, text in {
        "memory.max": "max",
        "memory.current": "5000000",
        "memory.stat": "anon 1000000\nfile 3000000\n",
        "cpu.max": "max 100000",
        "pids.max": "2048",
    }.items():
        (group / name).write_text(f"{text}\n")
    return cgroups.Layout(kind=Kind.V2, hierarchies=(cgroups.Hierarchy(root=tmp_path, name=""),))


def test_limits_of_v2(v2: cgroups.Layout) -> None:
    assert cgroups.read_limits(v2, "g") == Limits(pids_limit=2048)
    wanted = Limits(mem_limit=4_000_000, cpus=1.5, pids_limit=7)
    cgroups.write_limits(v2, "g", wanted)
    root = v2.hierarchies[0].root / "g"
    # Plain files keep what a shorter text does not cover; the kernel's do not.
    assert (root / "cpu.max").read_text().startswith("150000 100000")
    (root / "pids.max").write_text("7")
    assert cgroups.read_limits(v2, "g") == wanted
    assert cgroups.read_limits(v2, "gone") is None


def test_swap_of_v2_is_as_much_as_memory(v2: cgroups.Layout) -> None:
    swap = v2.hierarchies[0].root / "g/memory.swap.max"
    assert not cgroups.counts_swap(v2)
    cgroups.write_limits(v2, "g", Limits(mem_limit=4_000_000, pids_limit=2048))
    assert not swap.exists()
    swap.write_text("max\n")
    assert cgroups.counts_swap(v2)
    cgroups.write_limits(v2, "g", Limits(mem_limit=5_000_000, pids_limit=2048))
    assert swap.read_text() == "5000000"
    cgroups.write_limits(v2, "g", Limits(pids_limit=2048))
    assert swap.read_text().startswith("max")


def test_v2_is_asked_before_it_kills(v2: cgroups.Layout) -> None:
    with pytest.raises(MemoryInUse, match="2000000") as caught:
        cgroups.write_limits(v2, "g", Limits(mem_limit=1_500_000, pids_limit=2048))
    assert (caught.value.limit, caught.value.used) == (1_500_000, 2_000_000)
    assert cgroups.read_limits(v2, "g") == Limits(pids_limit=2048)


# --- this host ------------------------------------------------------------------------------


@pytest.fixture
def boxes() -> Iterator[Boxes]:
    with make_boxes() as made:
        yield made


@pytest.mark.root
def test_limits_change_in_place(boxes: Boxes) -> None:
    box = boxes.box("sleep", "100", limits=Limits(mem_limit=64 << 20, cpus=0.5, pids_limit=100))
    init = box.launch()
    layout = boxes.supervisor.layout
    assert cgroups.read_limits(layout, box.cgroup) == Limits(
        mem_limit=64 << 20, cpus=0.5, pids_limit=100
    )
    for wanted in (
        Limits(mem_limit=128 << 20, cpus=1.25, pids_limit=5),
        Limits(mem_limit=32 << 20),
        Limits(),
        Limits(cpus=0.1, pids_limit=2048),
    ):
        cgroups.write_limits(layout, box.cgroup, wanted)
        assert cgroups.read_limits(layout, box.cgroup) == wanted
    assert box.state().pid == init.pid


def swap_limit(layout: cgroups.Layout, path: str) -> int | None:
    """Of memory and swap together, in MiB; None is no limit."""
    folder = layout.folder("memory", path)
    if layout.kind is Kind.V2:
        memory, swap = (folder / name for name in ("memory.max", "memory.swap.max"))
        texts = memory.read_text().strip(), swap.read_text().strip()
        return None if "max" in texts else sum(map(int, texts)) >> 20
    limit = int((folder / "memory.memsw.limit_in_bytes").read_text())
    return None if limit >= 1 << 62 else limit >> 20


@pytest.mark.root
def test_swap_is_bound_with_memory_and_follows_it_in_place(boxes: Boxes) -> None:
    """Docker's default, as much swap as memory; without it mem_limit binds nothing but what is
    not swapped out."""
    layout = boxes.supervisor.layout
    assert cgroups.counts_swap(layout)
    factor = cgroups.SWAP_FACTOR
    box = boxes.box("sleep", "100", limits=Limits(mem_limit=64 << 20), swap_factor=factor)
    init = box.launch()
    assert swap_limit(layout, box.cgroup) == 128
    for limit, both in ((200, 400), (32, 64), (None, None), (16, 32), (16, 32)):
        wanted = Limits(mem_limit=None if limit is None else limit << 20)
        cgroups.write_limits(layout, box.cgroup, wanted)
        assert cgroups.read_limits(layout, box.cgroup) == wanted
        assert swap_limit(layout, box.cgroup) == both
    assert box.state().pid == init.pid


@pytest.mark.root
def test_a_limit_below_the_use_is_refused_with_both_numbers(boxes: Boxes) -> None:
    script = "yes | head -c 30000000 > /dev/shm/fill; echo ready; exec sleep 100"
    box = boxes.box("sh", "-c", script, limits=Limits(mem_limit=64 << 20))
    box.launch()
    eventually(lambda: box.text == "ready\n")
    layout = boxes.supervisor.layout
    with pytest.raises(MemoryInUse) as caught:
        cgroups.write_limits(layout, box.cgroup, Limits(mem_limit=8 << 20))
    assert caught.value.limit == 8 << 20
    assert caught.value.used > 20 << 20
    now = cgroups.read_limits(layout, box.cgroup)
    assert now is not None
    assert now.mem_limit == 64 << 20


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
