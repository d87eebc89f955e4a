"""What a container's spec says of namespaces and mounts, carried out by the engine."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime.api import BindMount, RestartKind, RestartPolicy, VolumeMount
from runtime.embedded.containers.mounting import SubpathMissing
from runtime.embedded.containers.sharing import NobodyToJoin, NotShareable
from runtime.embedded.linux import mounts, namespaces
from runtime.embedded.process.joining import NotRunning
from tests.conftest import Images
from tests.eventually import eventually
from tests.hosts import Host
from tests.runtime.embedded.workshop import Workshop, make_workshop

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def shop(host: Host, images: Images) -> Iterator[Workshop]:
    with make_workshop(host, images) as made:
        yield made


# --- namespaces ---------------------------------------------------------------------------------


def _namespace(pid: int | str, kind: str) -> str:
    return os.readlink(f"/proc/{pid}/ns/{kind}")


def test_namespaces_of_the_host(shop: Workshop) -> None:
    made = shop.start("hosty", network_mode="host", networks=(), pid="host", ipc="host", uts="host")
    for kind in ("net", "pid", "ipc", "uts"):
        here = "thread-self" if kind == "net" else "self"
        assert _namespace(made.pid, kind) == _namespace(here, kind)
    assert made.says("hostname") == os.uname().nodename
    assert made.says("stat -c %i /dev/shm") == str(os.stat("/dev/shm").st_ino)


def test_the_hosts_network_has_the_hosts_names(shop: Workshop) -> None:
    made = shop.start("named", network_mode="host", networks=(), extra_hosts=(("db", "192.0.2.9"),))
    text = Path("/etc/hosts").read_text()
    assert made.says("cat /etc/hosts") == f"{text}192.0.2.9\tdb".strip()
    assert made.says("cat /etc/resolv.conf") == Path("/etc/resolv.conf").read_text().strip()


def test_host_gateway_is_where_the_host_answers(shop: Workshop) -> None:
    made = shop.start("caller", extra_hosts=(("host.docker.internal", "host-gateway"),))
    assert made.says("ping -c1 -W2 host.docker.internal >/dev/null && echo yes") == "yes"


def test_one_container_lives_in_anothers_namespaces(shop: Workshop) -> None:
    first = shop.start("first", ipc="shareable", hostname="first", shm_size=5 << 20)
    shared = {"network_mode": "service:first", "pid": "service:first", "ipc": "service:first"}
    second = shop.start("second", networks=(), **shared)
    for kind in ("net", "pid", "ipc"):
        assert _namespace(second.pid, kind) == _namespace(first.pid, kind)
    assert _namespace(second.pid, "mnt") != _namespace(first.pid, "mnt")
    assert second.seen.shares == {"first": first.id}
    assert second.says("cat /etc/hosts") == first.says("cat /etc/hosts")
    first.says("echo here > /dev/shm/note")
    assert second.says("cat /dev/shm/note") == "here"
    assert second.says("df -k /dev/shm | tail -1 | xargs | cut -d' ' -f2") == "5120"


def test_who_comes_back_joins_the_process_of_now(shop: Workshop) -> None:
    """Both die, both have a restart policy: the second waits for the first one's new process."""
    always = RestartPolicy(kind=RestartKind.ALWAYS)
    first = shop.start("alpha", restart=always)
    second = shop.start("beta", networks=(), pid="service:alpha", restart=always)
    before = first.pid, second.pid
    os.kill(first.pid, 9)
    eventually(lambda: first.seen.pid not in (None, before[0]))
    eventually(lambda: second.seen.pid not in (None, before[1]))
    assert _namespace(second.pid, "pid") == _namespace(first.pid, "pid")


# --- mounts -------------------------------------------------------------------------------------


def test_a_missing_folder_is_made_where_that_is_asked(shop: Workshop, tmp_path: Path) -> None:
    source = tmp_path / "new" / "folder"
    mount = BindMount(source=str(source), target="/data", create_source=True)
    made = shop.start("maker", mounts=(mount,))
    made.says("echo x > /data/file")
    assert (source / "file").read_text() == "x\n"
    assert stat.S_IMODE(source.stat().st_mode) == 0o755


def test_a_mount_made_later_reaches_a_slave(shop: Workshop, tmp_path: Path) -> None:
    source = tmp_path / "shared"
    source.mkdir()
    (source / "later").mkdir()
    mounts.bind(str(source), str(source))
    mounts.mount("", str(source), "", 1 << 20)  # MS_SHARED
    try:
        binds = (
            BindMount(source=str(source), target="/slave", propagation="rslave"),
            BindMount(source=str(source), target="/private"),
        )
        made = shop.start("slave", mounts=binds)
        mounts.mount("t", str(source / "later"), "tmpfs")
        (source / "later" / "note").touch()
        assert made.says("ls /slave/later; ls /private/later") == "note"
    finally:
        mounts.unmount(str(source / "later"))
        mounts.unmount(str(source))


def test_what_the_host_forbids_of_a_mount_stays_forbidden(shop: Workshop, tmp_path: Path) -> None:
    source = tmp_path / "strict"
    source.mkdir()
    mounts.mount("t", str(source), "tmpfs", mounts.MS_NOEXEC | mounts.MS_NOSUID | mounts.MS_NODEV)
    try:
        wanted = (
            BindMount(source=str(source), target="/rw"),
            BindMount(source=str(source), target="/ro", read_only=True),
        )
        made = shop.start("strict", mounts=wanted, ipc="shareable")
        for target in ("/rw", "/ro", "/dev/shm"):
            options = made.says(f"grep ' {target} ' /proc/self/mounts").split()[3]
            assert {"noexec", "nosuid", "nodev"} <= set(options.split(","))
    finally:
        mounts.unmount(str(source))


def test_a_place_within_a_volume(shop: Workshop) -> None:
    shop.volume("tree")
    data = shop.volume_data("tree")
    (data / "a/b").mkdir(parents=True)
    (data / "a/b/file").write_text("inside")
    (data / "way").symlink_to("/a/b")
    (data / "out").symlink_to("/../../../../../../../../etc")
    wanted = (
        VolumeMount(volume="tree", target="/b", subpath="a/b"),
        VolumeMount(volume="tree", target="/link", subpath="way", read_only=True),
        VolumeMount(volume="tree", target="/file", subpath="a/b/file"),
    )
    made = shop.start("deep", mounts=wanted)
    assert made.says("cat /b/file /link/file /file; touch /link/x 2>/dev/null || echo no") == (
        "insideinsideinsideno"
    )
    with pytest.raises(SubpathMissing, match="out"):
        shop.create("escape", mounts=(VolumeMount(volume="tree", target="/x", subpath="out"),))


def test_a_volume_without_the_images_content(shop: Workshop) -> None:
    shop.volume("bare")
    shop.volume("filled")
    wanted = (
        VolumeMount(volume="bare", target="/www", copy=False),
        VolumeMount(volume="filled", target="/home"),
    )
    made = shop.start("copying", mounts=wanted)
    assert made.says("ls /www | wc -l; ls /home | wc -l").split() == ["0", "1"]


def test_volumes_that_say_where_their_data_is(shop: Workshop, tmp_path: Path) -> None:
    (tmp_path / "note").write_text("of the host")
    shop.volume("bound", driver_opts={"type": "none", "o": "bind,ro", "device": str(tmp_path)})
    shop.volume("memory", driver_opts={"type": "tmpfs", "o": "size=2m,mode=0700"})
    wanted = (
        VolumeMount(volume="bound", target="/bound"),
        VolumeMount(volume="memory", target="/memory"),
    )
    made = shop.start("driven", mounts=wanted)
    assert (
        made.says("cat /bound/note; touch /bound/x 2>/dev/null || echo ' no'") == "of the host no"
    )
    assert made.says("df -k /memory | tail -1 | xargs | cut -d' ' -f2") == "2048"
    other = shop.start("beside", mounts=wanted)
    made.says("echo shared > /memory/note")
    assert other.says("cat /memory/note") == "shared"


# --- sharing that cannot be ---------------------------------------------------------------------


def test_nobody_to_share_with_is_told_at_create(shop: Workshop) -> None:
    with pytest.raises(NobodyToJoin, match="nobody"):
        shop.create("alone", networks=(), network_mode="service:nobody")


def test_an_ipc_namespace_is_shared_only_where_it_is_offered(shop: Workshop) -> None:
    shop.start("closed")
    with pytest.raises(NotShareable, match="closed"):
        shop.create("curious", ipc="service:closed")


def test_who_does_not_run_cannot_be_joined(shop: Workshop) -> None:
    shop.create("asleep")
    made = shop.create("joiner", pid="service:asleep")
    with pytest.raises(NotRunning):
        shop.engine.start(made.id)
    assert made.seen.pid is None


def test_a_chain_ends_at_whose_namespace_it_is(shop: Workshop) -> None:
    first = shop.start("end", ipc="shareable")
    shared = {"networks": (), "network_mode": "service:end", "ipc": "service:end"}
    shop.start("middle", **shared)
    last = shop.start("far", networks=(), network_mode="service:middle", ipc="service:middle")
    for kind in ("net", "ipc"):
        assert _namespace(last.pid, kind) == _namespace(first.pid, kind)
    first.says("echo chained > /dev/shm/note")
    assert last.says("cat /dev/shm/note") == "chained"


def test_a_network_of_nobody_else_is_gone_with_its_container(shop: Workshop) -> None:
    made = shop.start("lonely", network_mode="none", networks=())
    place = shop.paths.namespace(made.id)
    assert place.exists()
    shop.engine.remove(made.id)
    assert not place.exists()


def test_a_network_of_nobody_else_that_was_half_made_is_finished(shop: Workshop) -> None:
    """Whoever made the namespace was killed before its loopback was up."""
    made = shop.create("half", network_mode="none", networks=())
    namespaces.create(shop.paths.namespace(made.id))
    shop.engine.start(made.id)
    assert made.says("ping -c1 -W1 127.0.0.1 >/dev/null && echo up") == "up"
