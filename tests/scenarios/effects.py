"""Each field of a container with an edit of it, and what the kernel says before and after.

A case edits one field of a running container. Whether the process may stay is what the spec's
model says of the field; what the edit does is asked of the kernel, of the network or of the
container itself, never of trueup.
"""

import json
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.scenarios.stage import Stage, limit, status, within

Fact = Callable[[Stage], str]
APP = "app"


@dataclass(frozen=True, slots=True)
class Case:
    """``before`` and ``after`` are lines of YAML under the container, ``was`` and ``now`` what
    ``fact`` gives then; ``seen`` says in words where the fact comes from."""

    field: str
    before: str
    after: str
    seen: str
    fact: Fact
    was: str
    now: str


def pid(stage: Stage, name: str = APP) -> int:
    """Its first process, without a look at the whole project."""
    return int(stage.trueup("inspect", "-f", "{{.State.Pid}}", name).stdout)


def _said(script: str) -> Fact:
    """What a shell in the container says."""
    return lambda stage: within(pid(stage), "sh", "-c", script).strip()


def _limit(file: str, unified: str) -> Fact:
    return lambda stage: limit(pid(stage), file, unified)


def _status(name: str) -> Fact:
    """A line of the process's status."""
    return lambda stage: status(pid(stage))[name].split()[0]


def _inspected(template: str) -> Fact:
    """What only the engine's own record can tell, as it shows when the time comes."""
    return lambda stage: stage.trueup("inspect", "-f", template, APP).stdout.strip()


def _from_peer(script: str) -> Fact:
    """What a shell in the other container of the project says."""
    return lambda stage: within(pid(stage, "peer"), "sh", "-c", script).strip()


def _answer(port: int) -> Fact:
    return lambda stage: stage.answer(port).strip()


def _executed(script: str) -> Fact:
    """What a shell says that `exec` starts, within all limits of the container."""
    return lambda stage: stage.trueup("exec", APP, "sh", "-c", script, code=None).stdout.strip()


def _runtime(stage: Stage) -> str:
    monitor = status(pid(stage))["PPid"]
    words = Path(f"/proc/{monitor}/cmdline").read_text().split("\0")
    return Path(words[words.index("-r") + 1]).name


def _annotated(stage: Stage) -> str:
    config = json.loads((stage.bundle(APP) / "config.json").read_text())
    return str(config["annotations"]["tier"])


def _asked(stage: Stage) -> str:
    """The name server that containers' questions go on to."""
    files = (stage.trueup.root / "run" / "dns").rglob("*")
    text = "".join(file.read_text() for file in files if file.is_file())
    return " ".join(sorted(set(re.findall(r"192\.0\.2\.[12]\b", text))))


def _shares(stage: Stage) -> str:
    """CPU shares, whatever the hierarchy counts in."""
    value = int(limit(pid(stage), "cpu.shares", "cpu.weight"))
    return {512: "half", 20: "half", 1024: "one", 39: "one"}.get(value, str(value))


def _quota(stage: Stage) -> str:
    """Processors' worth of time."""
    its = pid(stage)
    try:
        quota, period = limit(its, "none", "cpu.max").split()
    except ValueError:
        quota, period = (limit(its, f"cpu.cfs_{part}_us", "none") for part in ("quota", "period"))
    return f"{int(quota) / int(period):g}"


def _replicas(stage: Stage) -> str:
    listed = stage.trueup("ps", "--format", "{{.Names}}").stdout.split()
    return str(sum(1 for name in listed if name.partition(".")[0] == f"shop/{APP}"))


def _file(path: str) -> Fact:
    return _said(f"cat {path} 2>/dev/null || echo none")


def _namespace(stage: Stage, kind: str) -> str:
    ours, its = (os.readlink(f"/proc/{pid}/ns/{kind}") for pid in ("self", pid(stage)))
    return "the host's" if ours == its else "its own"


SHM = "df -k /dev/shm | tail -1 | xargs | cut -d' ' -f2"
MOUNTED = "grep -c ' /extra ' /proc/self/mountinfo"

CASES: tuple[Case, ...] = (
    # --- in place ---
    Case(
        "labels",
        "labels: {tier: one}",
        "labels: {tier: two}",
        "`inspect`",
        _inspected("{{.Config.Labels.tier}}"),
        "one",
        "two",
    ),
    Case(
        "mem_limit",
        "mem_limit: 64m",
        "mem_limit: 96m",
        "cgroup: memory limit",
        _limit("memory.limit_in_bytes", "memory.max"),
        str(64 << 20),
        str(96 << 20),
    ),
    Case(
        "mem_reservation",
        "mem_reservation: 32m",
        "mem_reservation: 48m",
        "cgroup: soft limit",
        _limit("memory.soft_limit_in_bytes", "memory.low"),
        str(32 << 20),
        str(48 << 20),
    ),
    Case("cpus", "cpus: 0.5", "cpus: 0.25", "cgroup: CPU quota", _quota, "0.5", "0.25"),
    Case(
        "cpu_shares",
        "cpu_shares: 512",
        "cpu_shares: 1024",
        "cgroup: CPU weight",
        _shares,
        "half",
        "one",
    ),
    Case(
        "cpuset",
        'cpuset: "0"',
        'cpuset: "1"',
        "cgroup: processors",
        _limit("cpuset.cpus", "cpuset.cpus"),
        "0",
        "1",
    ),
    Case(
        "pids_limit",
        "pids_limit: 50",
        "pids_limit: 60",
        "cgroup: processes",
        _limit("pids.max", "pids.max"),
        "50",
        "60",
    ),
    Case(
        "restart",
        "restart: always",
        'restart: "no"',
        "`inspect`",
        _inspected("{{.HostConfig.RestartPolicy.Name}}"),
        "always",
        "no",
    ),
    Case(
        "stop_signal",
        "stop_signal: SIGINT",
        "stop_signal: SIGKILL",
        "`inspect`",
        _inspected("{{.Config.StopSignal}}"),
        "SIGINT",
        "SIGKILL",
    ),
    Case(
        "stop_grace_period",
        "stop_grace_period: 1s",
        "stop_grace_period: 2s",
        "`inspect`",
        _inspected("{{.Config.StopTimeout}}"),
        "1",
        "2",
    ),
    Case(
        "healthcheck",
        "healthcheck: {test: [CMD, 'true'], interval: 1s}",
        "healthcheck: {test: [CMD, 'false'], interval: 2s}",
        "`inspect`",
        _inspected("{{join .Config.Healthcheck.Test ` `}}"),
        "CMD true",
        "CMD false",
    ),
    Case(
        "ports",
        'ports: ["18080:80"]',
        'ports: ["18090:80"]',
        "a request to the host's port",
        _answer(18090),
        "refused",
        "hello",
    ),
    Case(
        "expose",
        'expose: ["80"]',
        'expose: ["81"]',
        "`inspect`",
        _inspected("{{range $p, $_ := .Config.ExposedPorts}}{{$p}}{{end}}"),
        "80/tcp",
        "81/tcp",
    ),
    Case(
        "networks",
        "networks: [default]",
        "networks: [default, other]",
        "links in the container",
        _said("ls /sys/class/net 2>/dev/null | wc -l; ip -o link | grep -c eth1"),
        "2\n0",
        "3\n1",
    ),
    Case(
        "extra_hosts",
        'extra_hosts: ["till:192.0.2.1"]',
        'extra_hosts: ["till:192.0.2.9"]',
        "/etc/hosts as it sees it",
        _said("grep till /etc/hosts | cut -f1 | cut -d' ' -f1"),
        "192.0.2.1",
        "192.0.2.9",
    ),
    Case(
        "dns_search",
        "dns_search: [one.example]",
        "dns_search: [two.example]",
        "/etc/resolv.conf as it sees it",
        _said("grep -o '[a-z]*.example' /etc/resolv.conf"),
        "one.example",
        "two.example",
    ),
    Case(
        "dns_opt",
        'dns_opt: ["ndots:2"]',
        'dns_opt: ["ndots:3"]',
        "/etc/resolv.conf as it sees it",
        _said("grep -o 'ndots:[0-9]' /etc/resolv.conf"),
        "ndots:2",
        "ndots:3",
    ),
    Case(
        "container_name",
        "container_name: first",
        "container_name: second",
        "DNS, asked by another container",
        _from_peer("wget -qO- http://second/ 2>/dev/null || echo none"),
        "none",
        "hello",
    ),
    Case(
        "depends_on",
        "depends_on: [peer]",
        "depends_on: [peer, third]",
        "`plan` is empty afterwards",
        lambda stage: stage.pending().strip(),
        "",
        "",
    ),
    Case(
        "logging",
        'logging: {options: {max-size: "100k"}}',
        'logging: {options: {max-size: "200k"}}',
        "`plan` is empty afterwards",
        lambda stage: stage.pending().strip(),
        "",
        "",
    ),
    Case(
        "update",
        "update: {healthy_within: 20s}",
        "update: {healthy_within: 30s}",
        "`plan` is empty afterwards",
        lambda stage: stage.pending().strip(),
        "",
        "",
    ),
    Case("replicas", "replicas: 1", "replicas: 2", "processes", _replicas, "1", "2"),
    Case("scale", "scale: 2", "scale: 1", "processes", _replicas, "2", "1"),
    Case(
        "cpu_quota",
        "cpu_period: 100000\ncpu_quota: 50000",
        "cpu_period: 100000\ncpu_quota: 25000",
        "cgroup: CPU quota",
        _quota,
        "0.5",
        "0.25",
    ),
    Case(
        "cpu_period",
        "cpu_quota: 50000\ncpu_period: 100000",
        "cpu_quota: 50000\ncpu_period: 200000",
        "cgroup: CPU quota",
        _quota,
        "0.5",
        "0.25",
    ),
    Case(
        "dns",
        "dns: [192.0.2.1]",
        "dns: [192.0.2.2]",
        "what the DNS server is told",
        _asked,
        "192.0.2.1",
        "192.0.2.2",
    ),
    Case(
        "links",
        'links: ["third:one"]',
        'links: ["third:two"]',
        "DNS, asked by the container",
        _said("nslookup two > /dev/null 2>&1 && echo found || echo none"),
        "none",
        "found",
    ),
    Case(
        "pull_policy",
        "pull_policy: missing",
        "pull_policy: never",
        "`plan` is empty afterwards",
        lambda stage: stage.pending().strip(),
        "",
        "",
    ),
    # --- a new process ---
    Case(
        "domainname",
        "domainname: one.example",
        "domainname: two.example",
        "its domain name",
        _said("cat /proc/sys/kernel/domainname"),
        "one.example",
        "two.example",
    ),
    Case(
        "mac_address",
        "mac_address: 02:00:00:00:00:01",
        "mac_address: 02:00:00:00:00:02",
        "its link",
        _said("cat /sys/class/net/eth0/address"),
        "02:00:00:00:00:01",
        "02:00:00:00:00:02",
    ),
    Case(
        "uts",
        "labels: {}",
        "uts: host",
        "the process's namespace",
        lambda stage: _namespace(stage, "uts"),
        "its own",
        "the host's",
    ),
    Case(
        "cgroup",
        "cgroup: private",
        "cgroup: host",
        "the process's namespace",
        lambda stage: _namespace(stage, "cgroup"),
        "its own",
        "the host's",
    ),
    Case("runtime", "runtime: crun", "runtime: runc", "its monitor", _runtime, "crun", "runc"),
    Case(
        "device_cgroup_rules",
        'device_cgroup_rules: ["c 241:0 rwm"]',
        'device_cgroup_rules: ["c 240:0 rwm"]',
        "opening a device",
        _executed("mknod /d c 240 0 2> /dev/null; cat /d 2>&1 | grep -o 'permitted\\|No such'"),
        "permitted",
        "No such",
    ),
    Case(
        "annotations",
        "annotations: {tier: one}",
        "annotations: {tier: two}",
        "what the OCI runtime is told",
        _annotated,
        "one",
        "two",
    ),
    Case(
        "image",
        "image: $busybox",
        "image: $other",
        "a file of the image",
        _file("/new"),
        "none",
        "new",
    ),
    Case(
        "command",
        'command: [sh, -c, "echo hello > /tmp/index.html; httpd -p 80 -h /tmp; sleep 1000"]',
        'command: [sh, -c, "echo hello > /tmp/index.html; httpd -p 80 -h /tmp; sleep 999"]',
        "processes",
        _said("ps | grep -o 'sleep [0-9]*$' | head -1"),
        "sleep 1000",
        "sleep 999",
    ),
    Case(
        "entrypoint",
        "entrypoint: [env, WHO=one]",
        "entrypoint: [env, WHO=two]",
        "the process's environment",
        _said("tr '\\0' '\\n' < /proc/1/environ | grep ^WHO"),
        "WHO=one",
        "WHO=two",
    ),
    Case(
        "environment",
        "environment: {WHO: one}",
        "environment: {WHO: two}",
        "the process's environment",
        _said("tr '\\0' '\\n' < /proc/1/environ | grep ^WHO"),
        "WHO=one",
        "WHO=two",
    ),
    Case("user", 'user: "0"', 'user: "0:7"', "the process's groups", _status("Gid"), "0", "7"),
    Case(
        "group_add",
        "group_add: ['1234']",
        "group_add: ['4321']",
        "the process's groups",
        lambda stage: " ".join(
            each for each in status(pid(stage))["Groups"].split() if each in ("1234", "4321")
        ),
        "1234",
        "4321",
    ),
    Case(
        "working_dir",
        "working_dir: /srv",
        "working_dir: /opt",
        "the process's directory",
        _said("readlink /proc/1/cwd"),
        "/srv",
        "/opt",
    ),
    Case(
        "hostname",
        "hostname: one",
        "hostname: two",
        "its host name",
        _said("hostname"),
        "one",
        "two",
    ),
    Case(
        "read_only",
        "read_only: false\ntmpfs: [/tmp]",
        "read_only: true\ntmpfs: [/tmp]",
        "a write to /",
        _said("touch /x 2>/dev/null && echo written || echo refused"),
        "written",
        "refused",
    ),
    Case(
        "cap_add",
        "cap_add: [NET_ADMIN]",
        "cap_add: [NET_ADMIN, SYS_TIME]",
        "the process's capabilities",
        _status("CapEff"),
        "00000000a80435fb",
        "00000000aa0435fb",
    ),
    Case(
        "cap_drop",
        "cap_drop: [MKNOD]",
        "cap_drop: [MKNOD, SETPCAP]",
        "the process's capabilities",
        _status("CapEff"),
        "00000000a00425fb",
        "00000000a00424fb",
    ),
    Case(
        "privileged",
        "privileged: false",
        "privileged: true",
        "seccomp mode of the process",
        _status("Seccomp"),
        "2",
        "0",
    ),
    Case(
        "security_opt",
        "security_opt: [no-new-privileges:false]",
        "security_opt: [no-new-privileges:true]",
        "the process's status",
        _status("NoNewPrivs"),
        "0",
        "1",
    ),
    Case(
        "ulimits",
        "ulimits: {core: 1000}",
        "ulimits: {core: 2000}",
        "the process's limits",
        _said("grep core /proc/1/limits | xargs | cut -d' ' -f5"),
        "1000",
        "2000",
    ),
    Case(
        "init",
        "init: false",
        "init: true",
        "process 1",
        _said("readlink /proc/1/exe | grep -c init"),
        "0",
        "1",
    ),
    Case(
        "tty",
        "tty: false",
        "tty: true",
        "its standard output",
        _said("readlink /proc/1/fd/1 | grep -c /dev/"),
        "0",
        "1",
    ),
    Case(
        "stdin_open",
        "stdin_open: false",
        "stdin_open: true",
        "its standard input",
        _said("readlink /proc/1/fd/0 | grep -c pipe"),
        "0",
        "1",
    ),
    Case(
        "shm_size",
        "shm_size: 1m",
        "shm_size: 2m",
        "the size of /dev/shm",
        _said(SHM),
        "1024",
        "2048",
    ),
    Case(
        "sysctls",
        "sysctls: {net.core.somaxconn: 100}",
        "sysctls: {net.core.somaxconn: 200}",
        "the sysctl in the container",
        _said("cat /proc/sys/net/core/somaxconn"),
        "100",
        "200",
    ),
    Case(
        "devices",
        'devices: ["/dev/null:/dev/first"]',
        'devices: ["/dev/null:/dev/second"]',
        "device nodes",
        _said("ls /dev | grep -E 'first|second'"),
        "first",
        "second",
    ),
    Case("volumes", "volumes: []", "volumes: [data:/extra]", "mounts", _said(MOUNTED), "0", "1"),
    Case("tmpfs", "tmpfs: [/other]", "tmpfs: [/extra]", "mounts", _said(MOUNTED), "0", "1"),
    Case(
        "volumes_from",
        "volumes_from: []",
        "volumes_from: [third]",
        "mounts",
        _said(MOUNTED),
        "0",
        "1",
    ),
    Case(
        "network_mode",
        "network_mode: bridge",
        "network_mode: none",
        "links in the container",
        _said("ip -o link | grep -c eth0"),
        "1",
        "0",
    ),
    Case(
        "pid",
        "pid: private",
        "pid: host",
        "the process's namespace",
        lambda stage: _namespace(stage, "pid"),
        "its own",
        "the host's",
    ),
    Case(
        "ipc",
        "ipc: private",
        "ipc: host",
        "the process's namespace",
        lambda stage: _namespace(stage, "ipc"),
        "its own",
        "the host's",
    ),
    Case(
        "oom_score_adj",
        "oom_score_adj: 100",
        "oom_score_adj: 200",
        "the process's score",
        _said("cat /proc/1/oom_score_adj"),
        "100",
        "200",
    ),
)
