"""Fields of a container's spec, carried out by the engine: what the kernel says of the process."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime.api import (
    Device,
    Logging,
    SecurityOptions,
    TmpfsMount,
    Ulimit,
)
from runtime.embedded.bundle.devices import DeviceMissing
from runtime.embedded.bundle.platforms import ForeignPlatform, check
from runtime.embedded.bundle.sysctls import SysctlRefused
from runtime.embedded.bundle.ulimits import UlimitTooHigh, hard_limits
from runtime.errors import ProgramMissing
from tests.conftest import Images
from tests.hosts import Host
from tests.runtime.embedded.workshop import Workshop, make_workshop
from tests.scenarios.stage import limit, status

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def shop(host: Host, images: Images) -> Iterator[Workshop]:
    with make_workshop(host, images) as made:
        yield made


# --- the process --------------------------------------------------------------------------------

# Fields, what a shell in the container is asked, and what it says.
SAID: dict[str, tuple[dict[str, object], str, str]] = {
    "ulimits": (
        {"ulimits": (Ulimit(name="nofile", soft=100, hard=200),)},
        "ulimit -Sn; ulimit -Hn",
        "100\n200",
    ),
    "one ulimit leaves the others": (
        {"ulimits": (Ulimit(name="core", soft=0, hard=0),)},
        "ulimit -c; [ $(ulimit -Hn) -gt 1000 ] && echo many",
        "0\nmany",
    ),
    "init": (
        {"init": True},
        "cut -d' ' -f2 /proc/1/stat; [ $$ = 1 ] || echo child; stat -c %A /dev/init",
        "(init)\nchild\n-rwxr-xr-x",
    ),
    "shm_size": ({"shm_size": 3 << 20}, "df -k /dev/shm | tail -1 | xargs | cut -d' ' -f2", "3072"),
    "tmpfs options": (
        {"mounts": (TmpfsMount(target="/t", options=("noexec", "uid=7", "nr_inodes=99")),)},
        "stat -c %u /t; grep ' /t ' /proc/mounts | grep -o 'noexec\\|nr_inodes=99'",
        "7\nnoexec\nnr_inodes=99",
    ),
    "tmpfs that may execute": (
        {"mounts": (TmpfsMount(target="/t", options=("exec", "suid")),)},
        "grep ' /t ' /proc/mounts | grep -c 'nosuid\\|noexec'",
        "0",
    ),
    "sysctls": (
        {"sysctls": {"net.core.somaxconn": "77", "kernel.shmmni": "11", "fs.mqueue.msg_max": "12"}},
        "cat /proc/sys/net/core/somaxconn /proc/sys/kernel/shmmni /proc/sys/fs/mqueue/msg_max",
        "77\n11\n12",
    ),
    "group_add": (
        {"group_add": ("www", "4444"), "user": "1000:1000"},
        "id -G",
        "1000 33 4444",
    ),
    "domainname": (
        {"hostname": "till", "domainname": "shop.test"},
        "cat /proc/sys/kernel/domainname; hostname -f",
        "shop.test\ntill.shop.test",
    ),
    "tty": ({"tty": True}, "test -t 0 -a -t 1 && echo terminal $TERM", "terminal xterm"),
    "no tty": ({}, "test -t 1 || echo none$TERM", "none"),
    "stdin_open": (
        {"stdin_open": True},
        "readlink /proc/self/fd/0 | cut -d: -f1; (timeout 1 cat; echo $?) 2>/dev/null | head -1",
        "pipe\n143",
    ),
    "no new privileges": ({}, "grep NoNewPrivs /proc/self/status | cut -f2", "1"),
    "new privileges": (
        {"security": SecurityOptions(no_new_privileges=False)},
        "grep NoNewPrivs /proc/self/status | cut -f2",
        "0",
    ),
    "seccomp unconfined": (
        {"security": SecurityOptions(seccomp="unconfined")},
        "grep Seccomp: /proc/self/status | cut -f2",
        "0",
    ),
    "unmask": (
        {"security": SecurityOptions(unmask=True)},
        "grep -c ' /proc/sys ' /proc/mounts; ls /sys/firmware | wc -l | grep -c '^0$'",
        "0\n0" if os.listdir("/sys/firmware") else "0\n1",
    ),
    "apparmor unconfined": ({"security": SecurityOptions(apparmor="unconfined")}, "echo up", "up"),
    "label": ({"security": SecurityOptions(label=("disable",))}, "echo up", "up"),
    "oom_score_adj": ({"oom_score_adj": 321}, "cat /proc/self/oom_score_adj", "321"),
    "extra_hosts": (
        {"extra_hosts": (("db", "192.0.2.9"), ("db", "2001:db8::9"))},
        "grep -w db /etc/hosts",
        "192.0.2.9\tdb\n2001:db8::9\tdb",
    ),
    "dns_search and dns_opt": (
        {"dns_search": ("a.test", "b.test"), "dns_opt": ("timeout:1",)},
        "grep -v nameserver /etc/resolv.conf",
        "search a.test b.test\noptions ndots:0 attempts:3 timeout:1",
    ),
    "ndots of one's own": (
        {"dns_opt": ("ndots:2",)},
        "grep options /etc/resolv.conf",
        "options timeout:3 attempts:3 ndots:2",
    ),
    "network_mode none": (
        {"network_mode": "none", "networks": ()},
        "ls /sys/class/net; ping -c1 -W1 127.0.0.1 >/dev/null && echo lo; cat /etc/resolv.conf",
        "lo\nlo",
    ),
    "mac_address": (
        {
            "mac_address": "02:42:ac:11:65:43",
            "extra_hosts": (("gate", "host-gateway"),),
        },
        "cat /sys/class/net/eth0/address; ping -c1 -W2 gate >/dev/null && echo yes",
        "02:42:ac:11:65:43\nyes",
    ),
    "privileged": (
        {"privileged": True},
        "grep Seccomp: /proc/self/status | cut -f2; test -c /dev/kmsg && echo kmsg;"
        " grep -c ' /proc/sys ' /proc/mounts;"
        " grep ' /sys ' /proc/mounts | cut -d' ' -f4 | cut -c1-2",
        "0\nkmsg\n0\nrw",
    ),
    "a device": (
        {"devices": (Device(source="/dev/loop0", target="/dev/disk", permissions="r"),)},
        "stat -c '%F %t,%T' /dev/disk; head -c1 /dev/disk && echo read;"
        " (echo x > /dev/disk) 2>/dev/null || echo no",
        "block special file 7,0\nread\nno",
    ),
    "device_cgroup_rules": (
        {"device_cgroup_rules": ("b 7:* r",)},
        "mknod /k b 7 0; head -c1 /k && echo read; (echo x > /k) 2>/dev/null || echo no",
        "read\nno",
    ),
    "no device": ({}, "mknod /k b 7 0; head -c1 /k 2>/dev/null || echo no", "no"),
    "pid host": ({"pid": "host"}, "[ $$ -gt 100 ] && echo many", "many"),
    "ipc private": ({"ipc": "private"}, "echo up", "up"),
    "cgroup private": (
        {"cgroup": "private"},
        "grep -c ':/$' /proc/self/cgroup | grep -cv '^0$'",
        "1",
    ),
}


@pytest.mark.parametrize("row", SAID)
def test_what_a_process_says(shop: Workshop, row: str) -> None:
    fields, script, said = SAID[row]
    made = shop.start(f"c{list(SAID).index(row)}", "sh", "-c", script, **fields)
    assert made.said().replace("\r\n", "\n") == said


def test_a_terminal_takes_what_clients_write(shop: Workshop) -> None:
    """conmon was started with -t and -i: its socket for clients leads to the program."""
    made = shop.start("line", "sh", "-c", "read a; echo got $a", tty=True, stdin_open=True)
    import socket

    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as client:
        folder = os.open(made.bundle, os.O_PATH)
        client.connect(f"/proc/self/fd/{folder}/attach")
        os.close(folder)
        client.send(b"it\n")
        assert "got it" in made.said()


# --- limits ---------------------------------------------------------------------------------------


def test_all_limits(shop: Workshop) -> None:
    made = shop.start(
        "limited",
        mem_limit=64 << 20,
        memswap_limit=96 << 20,
        mem_reservation=32 << 20,
        cpus=0.5,
        cpu_shares=512,
        cpuset="0",
        pids_limit=77,
    )
    pid = made.pid
    assert limit(pid, "memory.limit_in_bytes", "memory.max") == str(64 << 20)
    assert limit(pid, "memory.soft_limit_in_bytes", "memory.low") == str(32 << 20)
    assert limit(pid, "cpuset.cpus", "cpuset.cpus") == "0"
    assert os.sched_getaffinity(pid) == {0}
    assert limit(pid, "cpu.shares", "cpu.weight") in ("512", "20", "59")
    swap = limit(pid, "memory.memsw.limit_in_bytes", "memory.swap.max")
    assert swap in (str(96 << 20), str(32 << 20))
    live = made.seen.limits
    assert live is not None
    for name in live.__struct_fields__:
        assert getattr(live, name) == getattr(made.spec, name)


# --- what is refused at create --------------------------------------------------------------------


def test_a_ulimit_that_cannot_be_given_is_refused(shop: Workshop) -> None:
    most = hard_limits()["NOFILE"]
    if "SYS_RESOURCE" in _capabilities() or most < 0:
        pytest.skip("here every limit can be given")
    with pytest.raises(UlimitTooHigh, match=str(most)):
        shop.create("high", ulimits=(Ulimit(name="nofile", soft=1, hard=most + 1),))


def _capabilities() -> frozenset[str]:
    from runtime.embedded import hostfacts

    return hostfacts.read().capabilities


@pytest.mark.parametrize(
    ("fields", "fault", "words"),
    [
        ({"devices": (Device(source="/dev/nothing", target="/dev/x"),)}, DeviceMissing, "none of"),
        ({"devices": (Device(source="/etc/passwd", target="/dev/x"),)}, DeviceMissing, "not a dev"),
        ({"sysctls": {"kernel.panic": "1"}}, SysctlRefused, "no namespace"),
        (
            {"sysctls": {"net.core.somaxconn": "1"}, "network_mode": "host", "networks": ()},
            SysctlRefused,
            "host's network",
        ),
        ({"sysctls": {"kernel.hostname": "x"}}, SysctlRefused, "hostname"),
        ({"sysctls": {"net.nonsense": "1"}}, SysctlRefused, "no such parameter"),
        ({"runtime": "no-such-runtime"}, ProgramMissing, "no-such-runtime"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_runs(
    shop: Workshop, fields: dict[str, object], fault: type[Exception], words: str
) -> None:
    with pytest.raises(fault, match=words):
        shop.create("refused", **fields)


def test_a_foreign_processor_needs_a_handler(tmp_path: Path) -> None:
    check("linux/amd64", "x86_64", "shop/web", tmp_path)
    check("linux/386", "x86_64", "shop/web", tmp_path)
    check("", "x86_64", "shop/web", tmp_path)
    with pytest.raises(ForeignPlatform, match="linux/arm64"):
        check("linux/arm64/v8", "x86_64", "shop/web", tmp_path)
    (tmp_path / "qemu-aarch64").write_text("disabled\ninterpreter /usr/bin/qemu\n")
    with pytest.raises(ForeignPlatform):
        check("linux/arm64/v8", "x86_64", "shop/web", tmp_path)
    (tmp_path / "qemu-aarch64").write_text("enabled\ninterpreter /usr/bin/qemu\n")
    check("linux/arm64/v8", "x86_64", "shop/web", tmp_path)


# --- security -----------------------------------------------------------------------------------


def test_a_seccomp_profile_of_ones_own(shop: Workshop, tmp_path: Path) -> None:
    profile = tmp_path / "profile.json"
    profile.write_text(
        '{"defaultAction": "SCMP_ACT_ALLOW",'
        ' "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO"}]}'
    )
    security = SecurityOptions(seccomp=str(profile))
    made = shop.start("filtered", "sh", "-c", "mkdir /x 2>&1; echo ok", security=security)
    assert made.said() == "mkdir: can't create directory '/x': Operation not permitted\nok"


def test_a_folder_of_devices(shop: Workshop, tmp_path: Path) -> None:
    os.mknod(tmp_path / "one", stat.S_IFCHR | 0o640, os.makedev(1, 3))
    (tmp_path / "below").mkdir()
    os.mknod(tmp_path / "below" / "two", stat.S_IFCHR | 0o640, os.makedev(1, 5))
    (tmp_path / "plain").touch()
    made = shop.start("devices", devices=(Device(source=str(tmp_path), target="/dev/mine"),))
    assert made.says("cd /dev/mine; stat -c '%n %t,%T %a' *e below/*") == (
        "one 1,3 640\nbelow/two 1,5 640"
    )


def test_another_runtime_for_one_container(shop: Workshop) -> None:
    made = shop.start("other", runtime="runc")
    assert (shop.paths.oci / made.id / "state.json").exists()
    assert status(made.pid)["Seccomp"] == "2"


# --- logs ---------------------------------------------------------------------------------------


def test_no_log_where_none_is_asked(shop: Workshop) -> None:
    made = shop.start("silent", "echo", "word", logging=Logging(driver="none"))
    assert made.said() == ""
    assert not (made.kept / "log").exists()


def test_older_logs_are_kept_as_many_as_asked_and_read_in_order(shop: Workshop) -> None:
    """conmon bounds each run, and appends what it did not count to what is there."""
    lines = "seq 35 | sed 's/^/a line that fills the log up to the half of it /'"
    made = shop.start(
        "wordy",
        "sh",
        "-c",
        f"echo x >> /n; echo run $(wc -l < /n); {lines}",
        logging=Logging(max_size=4096, max_file=3),
    )
    for _ in range(6):
        made.said()
        shop.engine.start(made.id)
    made.said()
    names = sorted(path.name for path in made.kept.glob("log*"))
    assert names == ["log", "log.1", "log.2"]
    runs = [line for line in made.log().splitlines() if line.startswith("run")]
    assert runs == [f"run {number}" for number in range(3, 8)]  # the first two are too old
