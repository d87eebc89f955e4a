"""Limits of control groups: read and written in place, on v1 and v2."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime.api import Limits
from runtime.embedded import cgroups, limits
from runtime.embedded.cgroups import Kind
from runtime.embedded.limits import MemoryInUse
from tests.eventually import eventually
from tests.runtime.embedded.boxes import Boxes, make_boxes

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
    assert limits.read(v2, "g") == Limits(pids_limit=2048)
    wanted = Limits(mem_limit=4_000_000, cpus=1.5, pids_limit=7)
    limits.write(v2, "g", wanted)
    root = v2.hierarchies[0].root / "g"
    # Plain files keep what a shorter text does not cover; the kernel's do not.
    assert (root / "cpu.max").read_text().startswith("150000 100000")
    (root / "pids.max").write_text("7")
    assert limits.read(v2, "g") == wanted
    assert limits.read(v2, "gone") is None


def test_swap_of_v2_is_as_much_as_memory(v2: cgroups.Layout) -> None:
    swap = v2.hierarchies[0].root / "g/memory.swap.max"
    assert not limits.counts_swap(v2)
    limits.write(v2, "g", Limits(mem_limit=4_000_000, pids_limit=2048))
    assert not swap.exists()
    swap.write_text("max\n")
    assert limits.counts_swap(v2)
    limits.write(v2, "g", Limits(mem_limit=5_000_000, pids_limit=2048))
    assert swap.read_text() == "5000000"
    limits.write(v2, "g", Limits(pids_limit=2048))
    assert swap.read_text().startswith("max")


def test_v2_is_asked_before_it_kills(v2: cgroups.Layout) -> None:
    with pytest.raises(MemoryInUse, match="2000000") as caught:
        limits.write(v2, "g", Limits(mem_limit=1_500_000, pids_limit=2048))
    assert (caught.value.limit, caught.value.used) == (1_500_000, 2_000_000)
    assert limits.read(v2, "g") == Limits(pids_limit=2048)


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
    assert limits.read(layout, box.cgroup) == Limits(mem_limit=64 << 20, cpus=0.5, pids_limit=100)
    for wanted in (
        Limits(mem_limit=128 << 20, cpus=1.25, pids_limit=5),
        Limits(mem_limit=32 << 20),
        Limits(),
        Limits(cpus=0.1, pids_limit=2048),
    ):
        limits.write(layout, box.cgroup, wanted)
        assert limits.read(layout, box.cgroup, wanted) == wanted
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
    assert limits.counts_swap(layout)
    box = boxes.box("sleep", "100", limits=Limits(mem_limit=64 << 20), swap=128 << 20)
    init = box.launch()
    assert swap_limit(layout, box.cgroup) == 128
    for limit, both in ((200, 400), (32, 64), (None, None), (16, 32), (16, 32)):
        wanted = Limits(mem_limit=None if limit is None else limit << 20)
        limits.write(layout, box.cgroup, wanted)
        assert limits.read(layout, box.cgroup, wanted) == wanted
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
        limits.write(layout, box.cgroup, Limits(mem_limit=8 << 20))
    assert caught.value.limit == 8 << 20
    assert caught.value.used > 20 << 20
    now = limits.read(layout, box.cgroup)
    assert now is not None
    assert now.mem_limit == 64 << 20


# --- what was asked, as the kernel keeps it -------------------------------------------------

KEPT: dict[str, tuple[Limits, Limits]] = {
    "pages": (Limits(mem_limit=4096 * 10), Limits(mem_limit=4096 * 10 + 5)),
    "swap is twice the memory": (
        Limits(mem_limit=8192, memswap_limit=16384),
        Limits(mem_limit=8192),
    ),
    "swap that is not counted": (
        Limits(mem_limit=8192),
        Limits(mem_limit=8192, memswap_limit=9999),
    ),
    "unlimited swap": (Limits(mem_limit=8192), Limits(mem_limit=8192, memswap_limit=-1)),
    "a weight of crun's": (Limits(cpu_shares=limits._shares(20)), Limits(cpu_shares=512)),
    "a weight of newer ones": (Limits(cpu_shares=limits._shares(59)), Limits(cpu_shares=512)),
    "the default": (Limits(), Limits(cpu_shares=1024)),
    "crun's weight for the default": (
        Limits(cpu_shares=limits._shares(39)),
        Limits(cpu_shares=1024),
    ),
    "a set in other words": (Limits(cpuset="0-2"), Limits(cpuset="0,1,2")),
    "a third of a processor": (Limits(cpus=0.33333), Limits(cpus=1 / 3)),
}


@pytest.mark.parametrize(("live", "asked"), KEPT.values(), ids=KEPT)
def test_what_means_the_same_is_no_difference(live: Limits, asked: Limits) -> None:
    assert limits.as_asked(live, asked) == asked


CHANGED: dict[str, tuple[Limits, Limits]] = {
    "memory": (Limits(mem_limit=1 << 20), Limits(mem_limit=2 << 20)),
    "no memory limit": (Limits(), Limits(mem_limit=2 << 20)),
    "swap": (Limits(mem_limit=8192, memswap_limit=8192), Limits(mem_limit=8192)),
    "shares": (Limits(cpu_shares=700), Limits(cpu_shares=512)),
    "no shares": (Limits(), Limits(cpu_shares=512)),
    "a weight where none is asked for": (Limits(cpu_shares=limits._shares(39)), Limits()),
    "a set": (Limits(cpuset="0"), Limits()),
    "processors": (Limits(cpus=0.5), Limits(cpus=0.6)),
}


@pytest.mark.parametrize(("live", "asked"), CHANGED.values(), ids=CHANGED)
def test_what_means_another_is_seen(live: Limits, asked: Limits) -> None:
    assert limits.as_asked(live, asked) == live


def test_a_group_of_v2_that_is_in_use_gets_all_processors_back(v2: cgroups.Layout) -> None:
    """Not an empty set: Linux 6.1 refuses that."""
    above = v2.hierarchies[0].root
    (above / "cpuset.cpus.effective").write_text("0-3\n")
    own = above / "g/cpuset.cpus"
    own.write_text("1")
    asked = Limits(pids_limit=2048)
    assert limits.read(v2, "g", asked) == Limits(pids_limit=2048, cpuset="1")
    limits.write(v2, "g", asked)
    assert own.read_text() == "0-3"
    assert limits.read(v2, "g", asked) == asked
    every = Limits(pids_limit=2048, cpuset="0,1,2,3")
    assert limits.read(v2, "g", every) == every


def test_all_limits_of_v2(v2: cgroups.Layout) -> None:
    folder = v2.hierarchies[0].root / "g"
    for name, text in {"memory.swap.max": "max", "memory.low": "0", "cpu.weight": "100"}.items():
        (folder / name).write_text(text)
    (folder / "cpuset.cpus").write_text("\n")
    assert limits.read(v2, "g") == Limits(pids_limit=2048)
    wanted = Limits(
        mem_limit=4_096_000,
        memswap_limit=8_192_000,
        mem_reservation=2_048_000,
        cpus=0.5,
        cpu_shares=512,
        cpuset="0-1",
        pids_limit=2048,
    )
    limits.write(v2, "g", wanted)
    texts = {name: (folder / name).read_text() for name in ("memory.swap.max", "memory.low")}
    assert texts == {"memory.swap.max": "4096000", "memory.low": "2048000"}
    assert (folder / "cpu.weight").read_text().startswith("20")
    (folder / "cpu.weight").write_text("20")
    assert limits.read(v2, "g", wanted) == wanted
