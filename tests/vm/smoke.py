"""The smoke part: a user's first hour on a Debian machine with systemd and cgroup v2.

Install, `doctor`, hello from an archive, an edit in place, a real reboot, and `apply` again. What
is claimed is asked of the kernel inside, not of trueup.
"""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tests.vm.machine import Failed, Machine

# Far more than it takes: the machine that this one runs on may be busy.
INSTALL_SECONDS = 900.0
COMMAND_SECONDS = 300.0
SPEC = """\
project: hello
images:
  nginx: {archive: /payload/images/nginx.tar}
  busybox: {archive: /payload/images/busybox.tar}
volumes: {runs: {}}
containers:
  web:
    image: nginx
    ports: ["8080:80"]
    mem_limit: 64m
    restart: unless-stopped
  job:
    image: busybox
    command: [sh, -c, "echo run >> /runs/log"]
    volumes: ["runs:/runs"]
"""
# A service of systemd's own, as cron, a deployment tool or a login would be: when it has ended,
# systemd kills what is left in its cgroup.
AS_A_SERVICE = "systemd-run --quiet --pipe --wait --setenv=PATH"
FETCH = "python3 -c 'import urllib.request as r; print(r.urlopen(\"{url}\", timeout=10).status)'"


def smoke(machine: Machine, say: Callable[[str], object]) -> None:
    """The whole story; ``Failed`` at the first sentence that is not true."""
    with _told(say, "the second disk is unpacked"):
        unpack(machine)
    with _told(say, "trueup is installed from wheels, without a network"):
        install(machine)
    _expect(machine, "stat -fc %T /sys/fs/cgroup", "cgroup2fs")
    _expect(machine, "ps -o comm= -p 1", "systemd")
    with _told(say, "doctor finds no blocker"):
        machine.run("trueup doctor", seconds=COMMAND_SECONDS)
    with _told(say, "apply makes hello true and its page answers"):
        machine.run(f"mkdir -p /srv/hello && cat >/srv/hello/trueup.yaml <<'END'\n{SPEC}END")
        apply(machine)
        _answers(machine)
    with _told(say, "mem_limit changes in place: same process, the kernel's own limit is new"):
        _edit_in_place(machine)
    with _told(say, "a process that is killed comes back"):
        _heals(machine)
    with _told(say, "the machine reboots"):
        machine.reboot()
    with _told(say, "after the reboot apply converges, hello answers, the job is not run again"):
        apply(machine)
        _answers(machine)
        _expect(machine, "cat /var/lib/trueup/volumes/hello/runs/*/log", "run")
        _expect(machine, "trueup plan /srv/hello", "nothing to change")
    with _told(say, "down leaves nothing running"):
        machine.run("trueup down /srv/hello --volumes all", seconds=COMMAND_SECONDS)
        _expect(machine, "pgrep -c conmon", "0", code=1)


def unpack(machine: Machine) -> None:
    """What was carried in, below /payload."""
    machine.run("mkdir /payload && tar -xf /dev/vdb -C /payload", seconds=INSTALL_SECONDS)


def install(machine: Machine, *more: str) -> None:
    """trueup in an environment of its own and on the PATH, as pipx would do it."""
    script = f"""\
python3 -m venv /opt/trueup
/opt/trueup/bin/pip install --quiet --no-index --find-links /payload/wheels trueup {" ".join(more)}
ln -s /opt/trueup/bin/trueup /usr/local/bin/trueup
trueup version"""
    machine.run(f"set -e\n{script}", seconds=INSTALL_SECONDS)


def apply(machine: Machine) -> None:
    machine.run(f"{AS_A_SERVICE} trueup apply /srv/hello", seconds=COMMAND_SECONDS)


def _answers(machine: Machine) -> None:
    _expect(machine, FETCH.format(url="http://127.0.0.1:8080/"), "200")


def _pid(machine: Machine) -> str:
    """The first process of web."""
    shown = machine.run("trueup status /srv/hello --format json", seconds=COMMAND_SECONDS)
    found = {each["name"]: each["pid"] for each in json.loads(shown)["containers"]}
    return str(found["web"])


def _edit_in_place(machine: Machine) -> None:
    before = _pid(machine)
    machine.run("sed -i 's/mem_limit: 64m/mem_limit: 96m/' /srv/hello/trueup.yaml")
    apply(machine)
    if _pid(machine) != before:
        raise Failed("the process was replaced by an edit of mem_limit")
    group = f"/sys/fs/cgroup$(sed -n 's/^0:://p' /proc/{before}/cgroup)"
    _expect(machine, f"cat {group}/memory.max", str(96 << 20))


def _heals(machine: Machine) -> None:
    machine.run(f"kill -9 {_pid(machine)}")
    _expect(
        machine,
        f"for n in $(seq 50); do {FETCH.format(url='http://127.0.0.1:8080/')} "
        "2>/dev/null && break; sleep 0.2; done",
        "200",
    )


def _expect(machine: Machine, script: str, output: str, *, code: int = 0) -> None:
    found = machine.run(script, code=code, seconds=COMMAND_SECONDS).strip()
    if found != output:
        raise Failed(f"$ {script}\nprinted {found!r}, expected {output!r}")


@contextmanager
def _told(say: Callable[[str], object], sentence: str) -> Iterator[None]:
    began = time.monotonic()
    yield
    say(f"{time.monotonic() - began:6.1f} s  {sentence}")
