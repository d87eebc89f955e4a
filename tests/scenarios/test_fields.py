"""Every field of a container, as its process and the kernel see it."""

import json
import os
import signal
import textwrap
import time
from pathlib import Path

import pytest

from tests.eventually import PATIENCE, eventually
from tests.scenarios.stage import Stage, kill, limit, lives, status, within

pytestmark = pytest.mark.root

# --- what a process says of itself ----------------------------------------------------------------

# Fields, what a shell in the container is asked, and what it says.
SAID: dict[str, tuple[str, str, str]] = {
    "environment": (
        'environment: {A: one, B: "two  words", C: 3}',
        'echo "$A|$B|$C"',
        "one|two  words|3",
    ),
    "environment as a list": ("environment: [A=x=y, B=]", 'echo "$A|${B-unset}|"', "x=y||"),
    "env_file": ("env_file: [vars.env]", 'echo "$FROM $COLOUR"', "file blue"),
    "environment wins over env_file": (
        "env_file: vars.env\nenvironment: {COLOUR: red}",
        'echo "$FROM $COLOUR"',
        "file red",
    ),
    "nothing of our own environment": (
        "",
        "env | cut -d= -f1 | sort | xargs",
        "HOME HOSTNAME PATH PWD SHLVL",
    ),
    "user by name": (
        "user: user",
        "id",
        "uid=1000(user) gid=1000(user) groups=1000(user),2000(extra)",
    ),
    "user by number": ('user: "33"', "id -u; id -g", "33\n33"),
    "user and group": ('user: "1000:33"', "id -u; id -g", "1000\n33"),
    "user and group by name": ("user: user:www", "id -u; id -g", "1000\n33"),
    "a user that the image does not know": ('user: "4321"', "id -u; id -g", "4321\n0"),
    "a user's home": ("user: user", "echo $HOME", "/home/user"),
    "working_dir": ("working_dir: /www", "pwd; ls", "/www\nindex.html"),
    "working_dir that is new": ("working_dir: /srv/new/place", "pwd", "/srv/new/place"),
    "hostname": (
        "hostname: till",
        "hostname; cat /etc/hostname; grep -c till /etc/hosts; echo $HOSTNAME",
        "till\ntill\n1\ntill",
    ),
    "read_only": ("read_only: true", "echo x > /new || echo no", "no"),
    "read_only with tmpfs": (
        "read_only: true\ntmpfs: [/tmp]",
        "echo yes > /tmp/new; cat /tmp/new",
        "yes",
    ),
    "tmpfs with size and mode": (
        'tmpfs: ["/scratch:size=1m,mode=0700"]',
        "stat -c %a /scratch; df -k /scratch | tail -1 | xargs | cut -d' ' -f2",
        "700\n1024",
    ),
    "capabilities": ("", "grep CapEff /proc/self/status | cut -f2", "00000000a80425fb"),
    "cap_add": (
        "cap_add: [NET_ADMIN]",
        "grep CapEff /proc/self/status | cut -f2; ip link set lo mtu 1000 && echo done",
        "00000000a80435fb\ndone",
    ),
    "cap_drop": (
        "cap_drop: [CHOWN]",
        "grep CapEff /proc/self/status | cut -f2; chown 1 /tmp 2>/dev/null || echo no",
        "00000000a80425fa\nno",
    ),
    "cap_drop of all but one": (
        "cap_drop: [ALL]\ncap_add: [CHOWN]",
        "grep Cap[PEB] /proc/self/status | cut -f2",
        "0000000000000001\n" * 2 + "0000000000000001",
    ),
    "a user's capabilities": (
        "user: user",
        "grep Cap[EI] /proc/self/status | cut -f2",
        "0000000000000000\n0000000000000000",
    ),
    "its names in DNS": ("", "cat /etc/resolv.conf | grep -c nameserver", "1"),
}


def container(number: int, fields: str, script: str) -> str:
    text = json.dumps(script.replace("$", "$$"))
    return textwrap.indent(
        f"c{number}:\n"
        + textwrap.indent(f"image: $busybox\n{fields}\ncommand: [sh, -c, {text}]\n", "  "),
        "  ",
    )


@pytest.fixture(scope="module")
def speakers(long_stage: Stage) -> Stage:
    """A container for each row of `SAID`, all started and most of them ended."""
    (long_stage.folder / "vars.env").write_text("# of the file\nFROM=file\nCOLOUR=blue\n")
    rows = (container(n, fields, script) for n, (fields, script, _) in enumerate(SAID.values()))
    long_stage.make("project: said\ncontainers:\n" + "".join(rows))
    eventually(lambda: not long_stage.pids())
    return long_stage


@pytest.mark.parametrize("row", SAID)
def test_what_a_process_says(speakers: Stage, row: str) -> None:
    name = f"c{list(SAID).index(row)}"
    assert speakers.log(name).strip() == SAID[row][2]


# --- command and entrypoint ---------------------------------------------------------------------

COMMANDS: dict[str, tuple[str, str]] = {
    "the image's own": ("", "image default"),
    "command replaces the image's arguments": ("command: [mine]", "image mine"),
    "entrypoint replaces both": ("entrypoint: [echo, program]", "program"),
    "entrypoint and command": ("entrypoint: [echo, program]\ncommand: [mine]", "program mine"),
    "a line is cut as a shell would": ('command: one "two  words"', "image one two  words"),
    "no shell reads it": ('command: ["$$HOME;", "*"]', "image $HOME; *"),
}


def test_command_and_entrypoint(stage: Stage) -> None:
    image = stage.images.with_config("speaker", Entrypoint=["echo", "image"], Cmd=["default"])
    rows = [
        f"c{n}:\n  image: {image}\n" + textwrap.indent(fields, "  ") + "\n"
        for n, (fields, _) in enumerate(COMMANDS.values())
    ]
    stage.make("project: said\ncontainers:\n" + textwrap.indent("".join(rows), "  "))
    eventually(lambda: not stage.pids())
    said = {row: stage.log(f"c{n}").strip() for n, row in enumerate(COMMANDS)}
    assert said == {row: wanted for row, (_, wanted) in COMMANDS.items()}


# --- what the kernel says -----------------------------------------------------------------------

IDLE = """
project: idle
containers:
  plain: {image: $busybox, command: [sleep, "1000"], stop_signal: SIGKILL}
  limited:
    image: $busybox
    command: [sleep, "1000"]
    stop_signal: SIGKILL
    mem_limit: 40m
    cpus: "0.25"
    pids_limit: 99
"""


@pytest.fixture
def idle(stage: Stage) -> Stage:
    stage.make(IDLE)
    return stage


def test_limits(idle: Stage) -> None:
    pid = idle.pid("limited")
    assert limit(pid, "memory.limit_in_bytes", "memory.max") == str(40 << 20)
    assert limit(pid, "pids.max", "pids.max") == "99"
    quota = limit(pid, "cpu.cfs_quota_us", "cpu.max").split()[0]
    assert int(quota) == 25_000
    assert limit(idle.pid("plain"), "pids.max", "pids.max") == "2048"


def test_what_nobody_asked_to_be_open_is_closed(idle: Stage) -> None:
    """The defaults of hardening, without a word in the spec."""
    pid = idle.pid("plain")
    facts = status(pid)
    assert facts["CapBnd"] == facts["CapEff"] == "00000000a80425fb"
    assert facts["CapInh"] == facts["CapAmb"] == "0" * 16
    assert (facts["NoNewPrivs"], facts["Seccomp"]) == ("1", "2")
    assert sorted(os.listdir(f"/proc/{pid}/fd")) == ["0", "1", "2"]
    for name in ("pid", "ipc", "uts", "mnt", "net"):
        assert os.readlink(f"/proc/{pid}/ns/{name}") != os.readlink(f"/proc/self/ns/{name}")


def test_masked_paths_and_a_fresh_dev(idle: Stage) -> None:
    pid = idle.pid("plain")
    assert within(pid, "ls", "/sys/firmware", "/proc/acpi") == "/proc/acpi:\n\n/sys/firmware:\n"
    assert within(pid, "cat", "/proc/keys", "/proc/timer_list", "/proc/interrupts") == ""
    devices = set(within(pid, "ls", "/dev").split())
    assert {"null", "zero", "full", "random", "urandom", "tty", "pts", "shm"} <= devices
    assert not {name for name in devices if name.startswith(("sd", "vd", "loop", "mem", "kmsg"))}
    mounts = Path(f"/proc/{pid}/mountinfo").read_text()
    for place in ("/proc/sys", "/proc/irq", "/sys"):
        assert f" {place} ro," in mounts


# --- ends and new beginnings --------------------------------------------------------------------

ENDS = """
project: ends
volumes: {runs: {}}
containers:
  once: {image: $busybox, volumes: ["runs:/runs"], command: [sh, -c, "echo >> /runs/once; exit 3"]}
  thrice:
    image: $busybox
    volumes: ["runs:/runs"]
    command: [sh, -c, "echo >> /runs/thrice; exit 3"]
    restart: on-failure:2
  done:
    image: $busybox
    volumes: ["runs:/runs"]
    command: [sh, -c, "echo >> /runs/done"]
    restart: on-failure
  always:
    image: $busybox
    volumes: ["runs:/runs"]
    command: [sh, -c, "echo >> /runs/always"]
    restart: always
  lasting:
    image: $busybox
    volumes: ["runs:/runs"]
    command: [sh, -c, "echo >> /runs/lasting"]
    restart: unless-stopped
"""


def test_restart_policies_count_the_runs(stage: Stage) -> None:
    """Five containers that end at once, and how often each policy lets them begin."""
    stage.write(ENDS)
    assert "does not stay up" in stage.apply(code=1).stderr
    folder = stage.trueup.root / "lib" / "volumes" / "ends" / "runs"

    def runs(name: str) -> int:
        return sum(len(file.read_text()) for file in folder.rglob(name))

    eventually(lambda: runs("always") >= 4 and runs("lasting") >= 4)
    eventually(lambda: runs("thrice") == 3)
    assert (runs("once"), runs("thrice"), runs("done")) == (1, 3, 1)
    states = stage.containers()
    assert [states[name]["exit_code"] for name in ("once", "thrice", "done")] == [3, 3, 0]
    stage.down("--volumes", "all")


WAIT = "echo ready; while :; do sleep 0.05; done"
STOPS = """
project: stops
volumes: {said: {}}
containers:
  polite:
    image: $busybox
    volumes: ["said:/said"]
    command: [sh, -c, "trap 'echo usr1 > /said/polite; exit' USR1; WAIT"]
    stop_signal: SIGUSR1
  imaged:
    image: $imaged
    volumes: ["said:/said"]
    command: [sh, -c, "trap 'echo hup > /said/imaged; exit' HUP; WAIT"]
  deaf:
    image: $busybox
    command: [sh, -c, "trap '' TERM; WAIT"]
    stop_grace_period: 700ms
"""


def test_stop_signals_and_the_time_to_heed_them(stage: Stage) -> None:
    imaged = stage.images.with_config("hanging-up", StopSignal="SIGHUP")
    stage.make(STOPS.replace("$imaged", imaged).replace("WAIT", WAIT))
    eventually(lambda: all(stage.log(name) == "ready\n" for name in stage.pids()))
    deaf, begun = stage.pid("deaf"), time.monotonic()
    stage.down()
    assert 0.7 < time.monotonic() - begun < 5 * PATIENCE
    assert not lives(deaf)
    folder = stage.trueup.root / "lib" / "volumes" / "stops" / "said"
    said = {file.name: file.read_text() for file in folder.rglob("*") if file.is_file()}
    assert {said.get("polite"), said.get("imaged")} == {"usr1\n", "hup\n"}
    stage.down("--volumes", "all")


def test_depends_on_is_the_order_of_starts(stage: Stage) -> None:
    one = "{image: $busybox, command: [sleep, '1000'], stop_signal: SIGKILL, depends_on: %s}"
    order = {"a": "[b, d]", "b": "[c]", "c": "{d: {condition: service_started}}", "d": "[]"}
    lines = "".join(f"  {name}: {one % needs}\n" for name, needs in order.items())
    stage.make("project: order\ncontainers:\n" + lines)
    begun = {name: each["started_at"] for name, each in stage.containers().items()}
    assert sorted(begun, key=lambda name: begun[name]) == ["d", "c", "b", "a"]


def test_a_signal_is_told_by_the_exit_code(stage: Stage) -> None:
    stage.make("containers:\n  web: {image: $busybox, command: [sleep, '1000']}\n")
    pid = stage.pid("web")
    kill(pid)
    eventually(lambda: stage.containers()["web"]["exit_code"] == 128 + signal.SIGKILL)
