"""What a container can and cannot do, seen from inside and in /proc: the CIS table's rows."""

import base64
import os
import platform
import re
from pathlib import Path

import pytest

from runtime.api import Limits, Phase
from runtime.embedded.bundle import capabilities, config, filters, seccomp
from tests.eventually import eventually
from tests.runtime.embedded.boxes import Boxes

pytestmark = pytest.mark.root


def said(boxes: Boxes, script: str, **changes: object) -> str:
    """What a shell in a container says to ``script``."""
    box = boxes.box("sh", "-c", f"{{ {script}\n}} 2>&1", **changes)
    box.launch()
    eventually(lambda: box.state().phase is Phase.EXITED)
    return box.text


def status(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def test_privileges(boxes: Boxes) -> None:
    box = boxes.box("sleep", "100")
    facts = status(box.launch().pid)
    assert facts["NoNewPrivs"] == "1"
    assert (facts["Seccomp"], facts["Seccomp_filters"]) == ("2", "1")
    granted = int(facts["CapBnd"], 16)
    assert capabilities.from_mask(granted) == capabilities.DEFAULT
    assert int(facts["CapEff"], 16) == granted
    assert facts["CapInh"] == facts["CapAmb"] == "0" * 16


def test_a_user_has_no_capabilities(boxes: Boxes) -> None:
    box = boxes.box("sleep", "100", uid=1000, gid=1000, groups=(5, 7))
    facts = status(box.launch().pid)
    assert facts["Uid"].split() == ["1000"] * 4
    assert facts["Gid"].split() == ["1000"] * 4
    assert facts["Groups"].split() == ["5", "7"]
    assert facts["CapEff"] == facts["CapPrm"] == "0" * 16


def test_namespaces_are_its_own(boxes: Boxes) -> None:
    box = boxes.box("sleep", "100")
    pid = box.launch().pid
    for name in ("pid", "ipc", "uts", "mnt", "net"):
        assert os.readlink(f"/proc/{pid}/ns/{name}") != os.readlink(f"/proc/self/ns/{name}")
    namespace = os.stat(boxes.paths.namespace(box.id))
    assert os.stat(f"/proc/{pid}/ns/net").st_ino == namespace.st_ino


def test_masked_and_read_only_paths(boxes: Boxes) -> None:
    text = said(
        boxes,
        "cat /proc/kcore /proc/keys /proc/timer_list /proc/interrupts;"
        "ls /sys/firmware /proc/acpi /proc/scsi; echo end",
    )
    assert [line for line in text.splitlines() if line and line[0] not in "cl/"] == ["end"]


def test_the_kernels_files_are_read_only(boxes: Boxes) -> None:
    box = boxes.box("sleep", "100")
    mounted = mounts_of(box.launch().pid)
    points = [
        "/sys", "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys",
        *(point for point in mounted if point.startswith("/sys/fs/cgroup/")),
    ]  # fmt: skip
    assert len(points) > 10
    assert {point: mounted[point][:2] for point in points} == dict.fromkeys(points, "ro")
    assert "nosuid" in mounted["/dev"]


def mounts_of(pid: int) -> dict[str, str]:
    """Mount points and their options, proc_pid_mountinfo(5)."""
    lines = Path(f"/proc/{pid}/mountinfo").read_text().splitlines()
    return {fields[4]: fields[5] for fields in (line.split(" ") for line in lines)}


def test_dev_is_fresh(boxes: Boxes) -> None:
    text = said(boxes, "ls /dev; readlink /dev/ptmx /dev/fd /dev/stdin")
    names = set(text.split())
    assert {"null", "zero", "full", "random", "urandom", "tty", "pts", "shm", "mqueue"} <= names
    assert not {"vda", "mem", "kmsg", "sda", "kvm"} & names


def test_a_device_can_be_made_and_not_opened(boxes: Boxes) -> None:
    device = os.stat("/").st_dev
    script = f"mknod /tmp/d b {os.major(device)} {os.minor(device)}; head -c 1 /tmp/d; echo end"
    assert "peration not permitted" in said(boxes, script)


def test_only_standard_descriptors(boxes: Boxes) -> None:
    """CVE-2024-21626: a descriptor that leaked into the runtime led out of the container."""
    leaked = os.open("/", os.O_RDONLY)
    os.set_inheritable(leaked, True)
    try:
        box = boxes.box("sleep", "100")
        pid = box.launch().pid
        assert sorted(os.listdir(f"/proc/{pid}/fd")) == ["0", "1", "2"]
        assert os.readlink(f"/proc/{pid}/fd/0") == "/dev/null"
    finally:
        os.close(leaked)


def test_monitors_inherit_nothing_either(boxes: Boxes) -> None:
    leaked = os.open("/etc", os.O_RDONLY)
    os.set_inheritable(leaked, True)
    try:
        box = boxes.box("sleep", "100")
        box.launch()
        monitor = (box.bundle / "conmon.pid").read_text().strip()
        folder = Path(f"/proc/{monitor}/fd")
        assert "/etc" not in {os.readlink(folder / fd) for fd in os.listdir(folder)}
        locks = Path("/proc/locks").read_text()
        assert not re.search(rf"\b{monitor}\b", locks)
    finally:
        os.close(leaked)


def test_rlimits_are_ours_at_most(boxes: Boxes) -> None:
    box = boxes.box("sleep", "100")
    limits = Path(f"/proc/{box.launch().pid}/limits").read_text()
    mine = Path("/proc/self/limits").read_text()
    files = re.findall(r"Max open files +(\S+) +(\S+)", limits)[0]
    hard = int(re.findall(r"Max open files +\S+ +(\S+)", mine)[0])
    assert files == (str(min(hard, 1 << 20)),) * 2


def test_a_read_only_root(boxes: Boxes) -> None:
    tmpfs = config.Tmpfs(target="/tmp", size=1 << 20)
    text = said(boxes, "touch /x; touch /tmp/y && echo yes", read_only=True, mounts=(tmpfs,))
    assert "ead-only file system" in text
    assert text.endswith("yes\n")


def test_mounts(boxes: Boxes, tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "file").write_text("content\n")
    mounts = (
        config.Bind(source=str(tmp_path / "file"), target="/data/f", kind="file", read_only=True),
        config.Bind(source=str(tmp_path), target="/data"),
        config.Bind(source=str(tmp_path), target="/ro", read_only=True),
        config.Tmpfs(target="/t", size=1 << 20, mode=0o700),
    )
    text = said(
        boxes,
        "cat /data/f; echo x > /data/f; touch /ro/x; echo made > /data/new; ls -ld /t",
        mounts=mounts,
    )
    assert text.startswith("content\n")
    assert text.count("ead-only file system") == 2
    assert "drwx------" in text
    assert (tmp_path / "new").read_text() == "made\n"


def test_a_target_that_is_a_link_stays_inside(boxes: Boxes, tmp_path: Path) -> None:
    box = boxes.box("sh", "-c", "cat /etc/hosts")
    outside = tmp_path / "outside"
    outside.write_text("untouched\n")
    ours = tmp_path / "hosts"
    ours.write_text("ours\n")
    root = box.bundle / "rootfs"
    (root / "etc/hosts").symlink_to(f"../../../../../../../../../..{outside}")
    bind = config.Bind(source=str(ours), target="/etc/hosts", kind="file", read_only=True)
    wanted = boxes.wanted(box, root, ("cat", "/etc/hosts"), mounts=(bind,))
    (box.bundle / "config.json").write_bytes(config.build(wanted))
    box.launch()
    eventually(lambda: box.text == "ours\n")
    assert outside.read_text() == "untouched\n"


def test_hostname_and_environment(boxes: Boxes) -> None:
    text = said(boxes, "cat /proc/sys/kernel/hostname; env", env=("PATH=/bin", "A=b c"))
    assert text.startswith("box\n")
    assert "A=b c\n" in text
    assert "_OCI" not in text


def test_the_command_is_no_secrets_place(boxes: Boxes) -> None:
    """Environment and arguments reach no other command line or environment."""
    box = boxes.box("sleep", "100", env=("PATH=/bin", "PASSWORD=canary-7731"))
    init = box.launch()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) not in (init.pid, os.getpid()):
            for name in ("cmdline", "environ"):
                try:
                    assert b"canary-7731" not in (entry / name).read_bytes()
                except OSError:
                    continue


def test_memory_kill_is_told(boxes: Boxes) -> None:
    box = boxes.box(
        "sh", "-c", "x=$(yes | head -c 200000000); echo survived",
        limits=Limits(mem_limit=20 << 20),
    )  # fmt: skip
    box.launch()
    eventually(lambda: box.state().phase is Phase.EXITED)
    state = box.state()
    assert box.text != "survived\n"
    assert (state.oom_killed, state.exit_code) == (True, 137)


def test_pids_limit(boxes: Boxes) -> None:
    script = "for i in 1 2 3 4 5 6 7 8; do sleep 5 & done; echo end"
    text = said(boxes, script, limits=Limits(pids_limit=5))
    assert "an't fork" in text


def test_our_filter_is_the_one_that_crun_would_compile(boxes: Boxes) -> None:
    box = boxes.box("sleep", "100", annotations={})
    box.launch()
    theirs = (boxes.paths.oci / box.id / "seccomp.bpf").read_bytes()
    caps = capabilities.resolve((), (), capabilities.from_mask((1 << 41) - 1))
    major, minor = map(int, platform.release().split(".")[:2])
    rules = seccomp.resolve(seccomp.load(), caps, machine=platform.machine(), kernel=(major, minor))
    assert filters.compiled(rules) == theirs
    kept = filters.annotations(rules, boxes.paths.run / "seccomp")
    assert base64.b64decode(kept[filters.ANNOTATION]) == theirs
    assert filters.annotations(rules, boxes.paths.run / "seccomp") == kept


def test_rules_that_we_cannot_compile_are_left_to_the_runtime(tmp_path: Path) -> None:
    rules = {"defaultAction": "SCMP_ACT_NEW", "architectures": [], "syscalls": []}
    assert filters.annotations(rules, tmp_path) == {}
    odd = {"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_PDP11"], "syscalls": []}
    assert filters.annotations(odd, tmp_path) == {}
