"""Fields that change while the container runs: its process stays, and the kernel follows."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from msgspec.structs import replace

from runtime.api import (
    Attachment,
    ContainerSpec,
    DefectKind,
    Logging,
    NetworkSpec,
    RestartKind,
    RestartPolicy,
    ServiceSpec,
)
from runtime.embedded import limits
from runtime.embedded.limits import SwapBelowMemory
from runtime.embedded.linux import namespaces
from runtime.embedded.network.services import Services
from runtime.embedded.process import intent as intents
from tests.conftest import Images
from tests.eventually import eventually
from tests.hosts import Host
from tests.runtime.embedded.workshop import PROJECT, Made, Workshop, make_workshop
from tests.scenarios.stage import limit

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def shop(host: Host, images: Images) -> Iterator[Workshop]:
    with make_workshop(host, images) as made:
        yield made


@contextmanager
def staying(made: Made) -> Iterator[int]:
    """The process is the same one after the block."""
    pid = made.pid
    yield pid
    assert made.pid == pid


def update(made: Made, **changes: object) -> ContainerSpec:
    applied = made.seen.applied
    assert applied is not None
    spec = replace(applied, **changes)
    made.workshop.engine.update(made.id, spec)
    assert made.seen.applied == spec
    assert made.seen.defects == ()
    return spec


# --- limits ---------------------------------------------------------------------------------------

MIB = 1 << 20
# One after the other: each field up, down, and back to none.
STEPS: tuple[dict[str, object], ...] = (
    {"mem_limit": 64 * MIB},
    {"mem_limit": 256 * MIB, "memswap_limit": 300 * MIB},
    {"mem_limit": 128 * MIB, "memswap_limit": 128 * MIB, "mem_reservation": 64 * MIB},
    {"memswap_limit": -1},
    {"mem_limit": 32 * MIB, "memswap_limit": 64 * MIB, "mem_reservation": 16 * MIB},
    {"cpus": 0.5, "cpu_shares": 2048, "pids_limit": 50},
    {"cpus": 1.5, "cpu_shares": 2, "pids_limit": -1},
    {"cpuset": "0"},
    {"cpuset": "0-1" if (os.cpu_count() or 1) > 1 else "0"},
    {"mem_limit": None, "memswap_limit": None, "mem_reservation": None},
    {"cpus": None, "cpu_shares": None, "cpuset": None, "pids_limit": 2048},
)


def test_all_limits_follow_in_place(shop: Workshop) -> None:
    made = shop.start("limits")
    with staying(made):
        for step in STEPS:
            spec = update(made, **step)
            assert made.seen.limits == limits.of(spec), step


def test_the_kernel_has_them(shop: Workshop) -> None:
    made = shop.start("kernel", mem_limit=64 * MIB)
    with staying(made) as pid:
        update(made, mem_limit=96 * MIB, memswap_limit=100 * MIB, mem_reservation=8 * MIB)
        assert limit(pid, "memory.limit_in_bytes", "memory.max") == str(96 * MIB)
        swap = limit(pid, "memory.memsw.limit_in_bytes", "memory.swap.max")
        assert swap in (str(100 * MIB), str(4 * MIB))
        assert limit(pid, "memory.soft_limit_in_bytes", "memory.low") == str(8 * MIB)
        update(made, cpuset="0", cpu_shares=300, pids_limit=9)
        assert os.sched_getaffinity(pid) == {0}
        assert limit(pid, "pids.max", "pids.max") == "9"
        update(made, cpuset=None)
        assert os.sched_getaffinity(pid) == os.sched_getaffinity(0)


def test_a_limit_changed_by_hand_is_seen(shop: Workshop) -> None:
    made = shop.start("hand", cpu_shares=512, cpuset="0")
    where = shop.engine._cgroups
    group = f"{shop.paths.cgroup}/{PROJECT}/{made.id}"
    limits.write(where, group, replace(limits.of(made.spec), cpu_shares=700, cpuset=None))
    live = made.seen.limits
    assert live is not None
    assert live.cpuset is None
    assert live.cpu_shares not in (None, 512)


def test_swap_below_memory_is_refused_and_nothing_changed(shop: Workshop) -> None:
    made = shop.start("swap", mem_limit=64 * MIB)
    with staying(made), pytest.raises(SwapBelowMemory):
        shop.engine.update(made.id, replace(made.spec, memswap_limit=MIB))
    assert made.seen.applied == made.spec


def test_a_restart_has_the_limits_of_now(shop: Workshop) -> None:
    """The exit command goes by the bundle, which follows the update."""
    always = RestartPolicy(kind=RestartKind.ALWAYS)
    made = shop.start("again", restart=always, mem_limit=64 * MIB)
    update(made, mem_limit=80 * MIB, cpu_shares=333)
    before = made.pid
    os.kill(before, 9)
    eventually(lambda: made.seen.pid not in (None, before))
    assert limit(made.pid, "memory.limit_in_bytes", "memory.max") == str(80 * MIB)
    assert made.seen.limits == limits.of(replace(made.spec, mem_limit=80 * MIB, cpu_shares=333))


# --- what a process reads -----------------------------------------------------------------------


def test_names_follow_in_the_files_that_the_process_has_open(shop: Workshop) -> None:
    script = "exec 3</etc/hosts; while :; do sleep 0.1; done"
    made = shop.start("names", "sh", "-c", script, extra_hosts=(("old", "192.0.2.1"),))
    with staying(made) as pid:
        update(made, extra_hosts=(("db", "192.0.2.9"),), dns_search=("shop.test",))
        with open(f"/proc/{pid}/fd/3") as opened:
            text = opened.read()
        assert "192.0.2.9\tdb\n" in text
        assert "old" not in text
        assert made.says("cat /etc/hosts") == text.strip()
        assert made.says("grep search /etc/resolv.conf") == "search shop.test"
        update(made, extra_hosts=(), dns_search=(), dns_opt=("ndots:3",))
        assert "192.0.2.9" not in made.says("cat /etc/hosts")
        assert made.says("grep -v nameserver /etc/resolv.conf") == (
            "options timeout:3 attempts:3 ndots:3"
        )


def test_what_the_container_wrote_into_its_files_stays_with_another_change(shop: Workshop) -> None:
    made = shop.start("writer", "sh", "-c", "echo 192.0.2.7 own >> /etc/hosts; exec sleep 1000")
    eventually(lambda: "own" in made.says("cat /etc/hosts"))
    with staying(made):
        update(made, mem_limit=64 * MIB, labels={"a": "b"})
    assert "own" in made.says("cat /etc/hosts")


def test_networks_come_and_go(shop: Workshop) -> None:
    shop.engine.create_network(NetworkSpec(project=PROJECT, name="back"))
    made = shop.start("mover")
    both = (Attachment(network="default"), Attachment(network="back"))
    with staying(made):
        for networks in (both, both[:1]):
            shop.engine.register(
                PROJECT, [ServiceSpec(project=PROJECT, name="mover", networks=networks)]
            )
            update(made, networks=networks)
            links = ["eth0", "eth1"][: len(networks)]
            assert made.says("ls /sys/class/net").split() == [*links, "lo"]
            hosts = made.says("cat /etc/hosts")
            for address in made.seen.addresses.values():
                assert hosts.count(f"{address}\t") == 1
            assert len(made.seen.addresses) == len(networks)


def test_who_looked_before_a_network_changed_links_as_it_is_now(shop: Workshop) -> None:
    """As somebody does who waited for the host lock meanwhile."""
    shop.engine.create_network(NetworkSpec(project=PROJECT, name="side"))
    made = shop.start("late", networks=(Attachment(network="side"),))
    state, row = shop.engine._ledger.state(), shop.engine._row(made.id)
    shop.engine.create_network(NetworkSpec(project=PROJECT, name="side", subnet="10.80.0.0/24"))
    shop.engine._generations.mend(state, row)
    assert "inet 10.80.0." in made.says("ip -4 address show eth0")
    assert made.seen.defects == ()


def test_a_network_changes_while_a_container_of_it_is_removed(
    shop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As steps of one plan do at the same time: it is not linked anew, and nobody misses it."""
    shop.engine.create_network(NetworkSpec(project=PROJECT, name="moved"))
    networks = (Attachment(network="moved"),)
    gone, going = shop.start("gone", networks=networks), shop.start("going", networks=networks)
    really = Services.create_network

    def meanwhile(services: Services, spec: NetworkSpec) -> tuple[str, ...]:
        ids = really(services, spec)
        shop.engine.remove(gone.id)
        shop.engine.stop(going.id)
        namespaces.remove(shop.paths.namespace(going.id))
        return ids

    monkeypatch.setattr(Services, "create_network", meanwhile)
    shop.engine.create_network(NetworkSpec(project=PROJECT, name="moved", subnet="10.79.0.0/24"))
    for made in (gone, going):
        assert not shop.paths.namespace(made.id).exists()


# --- what others read ---------------------------------------------------------------------------


def test_restart_policy_labels_names_and_the_way_to_end(shop: Workshop) -> None:
    made = shop.start("other")
    with staying(made):
        policy = RestartPolicy(kind=RestartKind.ON_FAILURE, max_retries=3)
        update(
            made,
            restart=policy,
            labels={"a": "b"},
            container_name="shop-other",
            stop_signal="SIGUSR1",
            stop_grace_period=0.3,
        )
        assert made.seen.restart == policy


def test_the_new_way_to_end_is_gone(shop: Workshop) -> None:
    script = "trap 'echo usr1; exit 5' USR1; echo ready; while :; do sleep 0.05; done"
    made = shop.start("ender", "sh", "-c", script, stop_signal="SIGTERM")
    eventually(lambda: made.log() == "ready\n")
    update(made, stop_signal="SIGUSR1")
    shop.engine.stop(made.id)
    assert made.log() == "ready\nusr1\n"
    assert made.seen.exit_code == 5


# --- logs ---------------------------------------------------------------------------------------

TALK = "i=0; while :; do i=$((i+1)); echo line $i; sleep 0.01; done"


def test_a_log_that_is_too_long_now_is_put_aside_and_nothing_is_lost(shop: Workshop) -> None:
    made = shop.start("talker", "sh", "-c", TALK, logging=Logging(max_size=1 << 20, max_file=3))
    log = made.kept / "log"
    eventually(lambda: log.exists() and log.stat().st_size > 4000)
    with staying(made):
        update(made, logging=Logging(max_size=4000, max_file=2))
        assert (made.kept / "log.1").stat().st_size > 4000
        eventually(lambda: log.exists() and log.stat().st_size > 200)
        assert log.stat().st_size < 4000
    numbers = [int(line.split()[1]) for line in made.log().splitlines()]
    assert numbers == list(range(1, len(numbers) + 1))
    intent = intents.read(made.bundle)
    assert intent is not None
    assert (intent.log_max, intent.log_files) == (4000, 2)
    assert str(2 << 20) in (made.bundle / "argv").read_text().split("\0")


def test_fewer_files_of_a_log(shop: Workshop) -> None:
    made = shop.start("fewer", logging=Logging(max_size=1000, max_file=4))
    for number in (1, 2, 3):
        (made.kept / f"log.{number}").touch()
    with staying(made):
        update(made, logging=Logging(max_size=1000, max_file=2))
    assert sorted(path.name for path in made.kept.glob("log.*")) == ["log.1"]


# --- killed between -----------------------------------------------------------------------------


def begin(made: Made, **changes: object) -> ContainerSpec:
    """The first half of an update: its intent is in the ledger, the kernel is as before."""
    spec = replace(made.spec, **changes)
    with made.workshop.engine._ledger.writing() as writer:
        writer.set_spec(made.id, spec)
    return spec


def test_an_update_that_was_killed_is_seen_and_finished(shop: Workshop) -> None:
    made = shop.start("half")
    with staying(made):
        spec = begin(made, extra_hosts=(("db", "192.0.2.9"),), cpu_shares=512)
        (defect,) = made.seen.defects
        assert (defect.kind, "not finished" in defect.cause) == (DefectKind.LINK, True)
        assert "192.0.2.9" not in made.says("cat /etc/hosts")
        shop.engine.mend(made.id)
        assert made.seen.defects == ()
        assert made.says("grep db /etc/hosts") == "192.0.2.9\tdb"
        assert made.seen.limits == limits.of(spec)


def test_a_start_after_a_killed_update_goes_by_the_new_spec(shop: Workshop) -> None:
    made = shop.start("late")
    shop.engine.stop(made.id)
    spec = begin(made, mem_limit=48 * MIB, extra_hosts=(("db", "192.0.2.9"),))
    shop.engine.start(made.id)
    assert made.seen.limits == limits.of(spec)
    assert made.says("grep db /etc/hosts") == "192.0.2.9\tdb"
    assert made.seen.defects == ()
