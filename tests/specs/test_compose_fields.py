"""Fields that Compose has for a service: every form, and the canonical value that it is read as."""

from pathlib import Path
from typing import Any

import pytest

from specs.model.attachment import Attachment
from specs.model.deploy import Deploy, ResourceLimits, Resources
from specs.model.device import Device
from specs.model.health import Healthcheck
from specs.model.image import PullPolicy
from specs.model.logging import LogDriver, Logging, LogOptions
from specs.model.mount import BindMount, VolumeMount
from specs.model.security import NO_OPTIONS, Security
from specs.model.tmpfs import TmpfsMount
from specs.model.ulimits import Ulimit
from specs.model.update import OnFailure, Update, UpdateOrder
from tests.specs.reading import loaded, refused

FORMS: list[tuple[str, Any]] = [
    # as written, value
    ("group_add: [video, 44]", ("video", "44")),
    ("domainname: lab.example", "lab.example"),
    ("container_name: Shop_web.1", "Shop_web.1"),
    ("annotations: {run.oci.x: 1}", {"run.oci.x": "1"}),
    ("platform: linux/arm64", "linux/arm64"),
    ("platform: linux/arm/v7", "linux/arm/v7"),
    ("platform: x86_64", "linux/amd64"),
    ("pull_policy: always", PullPolicy.ALWAYS),
    ("pull_policy: if_not_present", PullPolicy.MISSING),
    ("runtime: runc", "runc"),
    ("init: true", True),
    ("tty: yes", True),
    ("stdin_open: 'true'", True),
    ("privileged: true", True),
    ("memswap_limit: 1g", 1 << 30),
    ("memswap_limit: -1", -1),
    ("mem_reservation: 64m", 64 << 20),
    ("cpu_shares: 512", 512),
    ("cpuset: 0-1", "0-1"),
    ("cpuset: '0, 2'", "0,2"),
    ("cpu_quota: 50000", 50_000),
    ("cpu_quota: 50ms", 50_000),
    ("cpu_period: 100ms", 100_000),
    ("oom_score_adj: -500", -500),
    ("shm_size: 256mb", 256 << 20),
    ("ulimits: {nofile: 1024}", {"nofile": Ulimit(soft=1024, hard=1024)}),
    ("ulimits: {nproc: {soft: 10, hard: -1}, memlock: -1}",
     {"nproc": Ulimit(soft=10, hard=-1), "memlock": Ulimit(soft=-1, hard=-1)}),
    ("sysctls: {net.core.somaxconn: 1024}", {"net.core.somaxconn": "1024"}),
    ("sysctls: [net.ipv4.ip_forward=1]", {"net.ipv4.ip_forward": "1"}),
    ("security_opt: []", NO_OPTIONS),
    ("security_opt: [no-new-privileges]", Security(no_new_privileges=True)),
    ("security_opt: ['no-new-privileges:true', 'seccomp:unconfined']",
     Security(no_new_privileges=True, seccomp="unconfined")),
    ("security_opt: [no-new-privileges=false, seccomp=builtin]",
     Security(no_new_privileges=False)),
    ("security_opt: ['seccomp:./here.json']", Security(seccomp="FOLDER/here.json")),
    ("security_opt: [apparmor=mine, 'label:type:spc_t', label=disable, systempaths=unconfined]",
     Security(apparmor="mine", label=("type:spc_t", "disable"), unmask=True)),
    ("devices: [/dev/fuse]", (Device(source="/dev/fuse", target="/dev/fuse"),)),
    ("devices: ['/dev/a:/dev/b']", (Device(source="/dev/a", target="/dev/b"),)),
    ("devices: ['/dev/a:/dev/b:wr']",
     (Device(source="/dev/a", target="/dev/b", permissions="rw"),)),
    ("devices: ['/dev/a:r']", (Device(source="/dev/a", target="/dev/a", permissions="r"),)),
    ("devices: [{source: /dev/a, target: /dev/b, permissions: rw}]",
     (Device(source="/dev/a", target="/dev/b", permissions="rw"),)),
    ("device_cgroup_rules: ['c 1:3 mr', 'a *:* rwm']", ("c 1:3 mr", "a *:* rwm")),
    ("healthcheck: {test: [CMD, curl, -f, localhost], interval: 1m30s, retries: 5}",
     Healthcheck(test=("CMD", "curl", "-f", "localhost"), interval=90.0, retries=5)),
    ("healthcheck: {test: curl -f localhost, timeout: 3s}",
     Healthcheck(test=("CMD-SHELL", "curl -f localhost"), timeout=3.0)),
    ("healthcheck: {test: [CMD-SHELL, 'exit 0'], start_period: 40s, start_interval: 500ms}",
     Healthcheck(test=("CMD-SHELL", "exit 0"), start_period=40.0, start_interval=0.5)),
    ("healthcheck: {test: [NONE]}", Healthcheck(test=("NONE",))),
    ("healthcheck: {disable: true}", Healthcheck(disable=True)),
    ("healthcheck: {interval: 5s}", Healthcheck(interval=5.0)),
    ("logging: {driver: json-file, options: {max-size: 10m, max-file: '3'}}",
     Logging(options=LogOptions(max_size=10 << 20, max_file=3))),
    ("logging: {driver: local}", Logging()),
    ("logging: {driver: none}", Logging(driver=LogDriver.NONE)),
    ("logging: {options: {max-size: -1}}", Logging()),
    ("replicas: 3", 3),
    ("scale: 2", 2),
    ("update: {order: start-first, parallelism: 0, healthy_within: 10s, on_failure: pause}",
     Update(order=UpdateOrder.START_FIRST, parallelism=0, healthy_within=10.0,
            on_failure=OnFailure.PAUSE)),
    ("deploy: {mode: replicated, replicas: 2, resources: {limits: {cpus: '0.5', memory: 50M}}}",
     Deploy(replicas=2, resources=Resources(
         limits=ResourceLimits(cpus=0.5, memory=50 << 20)))),
    ("userns_mode: host", "host"),
    ("cgroup: private", "private"),
    ("cgroup: host", "host"),
    ("uts: host", "host"),
    ("pid: host", "host"),
    ("pid: 'service:d'", "service:d"),
    ("ipc: shareable", "shareable"),
    ("ipc: private", ""),
    ("network_mode: bridge", ""),
    ("network_mode: none", "none"),
    ("network_mode: host", "host"),
    ("network_mode: service:d", "service:d"),
    ("network_mode: 'container:d'", "container:d"),
    ("links: [d, 'd:database']", (("d", "d"), ("d", "database"))),
    ("expose: [80, '3000-3005', 53/udp]", ("80/tcp", "3000-3005/tcp", "53/udp")),
    ("networks: [back, default]", {"back": Attachment(), "default": Attachment()}),
    ("networks: {back: , default: {aliases: [db, pg]}}",
     {"back": Attachment(), "default": Attachment(aliases=("db", "pg"))}),
    ("networks: {back: {ipv4_address: 10.3.0.9, gw_priority: 1, priority: 100}}",
     {"back": Attachment(ipv4_address="10.3.0.9", gw_priority=1, priority=100)}),
    ("networks: {back: {ipv6_address: 'fd00:0::9'}}",
     {"back": Attachment(ipv6_address="fd00::9")}),
    ("extra_hosts: ['a:10.0.0.5', 'b=10.0.0.6', 'c:host-gateway', 'd:::1', 'e=[fd00::1]']",
     (("a", "10.0.0.5"), ("b", "10.0.0.6"), ("c", "host-gateway"), ("d", "::1"),
      ("e", "fd00::1"))),
    ("extra_hosts: {a: 10.0.0.5, b_c: [10.0.0.6, host-gateway]}",
     (("a", "10.0.0.5"), ("b_c", "10.0.0.6"), ("b_c", "host-gateway"))),
    ("mac_address: 02-42-AC-11-00-05", "02:42:ac:11:00:05"),
    ("dns: 1.1.1.1", ("1.1.1.1",)),
    ("dns: [1.1.1.1, '2606:4700:4700::1111']", ("1.1.1.1", "2606:4700:4700::1111")),
    ("dns_search: lab.example", ("lab.example",)),
    ("dns_search: [lab.example, .]", ("lab.example", ".")),
    ("dns_search: ''", (".",)),
    ("dns_opt: [use-vc, 'ndots:1']", ("use-vc", "ndots:1")),
    ("volumes: ['v:/a:nocopy', '/:/b:rslave', '/:/c:rprivate']",
     (VolumeMount(volume="v", target="/a", copy_up=False),
      BindMount(source="/", target="/b", propagation="rslave"),
      BindMount(source="/", target="/c"))),
    ("volumes: [{type: bind, source: ./new, target: /a, bind: "
     "{propagation: shared, create_host_path: true, selinux: z}, consistency: cached}]",
     (BindMount(source="FOLDER/new", target="/a", propagation="shared", create_source=True,
                relabel="z"),)),
    ("volumes: [{type: volume, source: v, target: /a, volume: {nocopy: true, subpath: x//y}}]",
     (VolumeMount(volume="v", target="/a", copy_up=False, subpath="x/y"),)),
    ("volumes_from: [d, 'd:ro', 'container:d:rw']",
     (("d", False), ("d", True), ("d", False))),
    ("tmpfs: '/t:size=1m,exec,uid=1000,nosuid,ro'",
     (TmpfsMount(target="/t", size=1 << 20, options=("exec", "ro", "uid=1000")),)),
]  # fmt: skip

PROJECT = """\
volumes: {v: }
networks: {back: {subnet: [10.3.0.0/24, 'fd00::/64']}}
"""


@pytest.mark.parametrize(("written", "value"), FORMS, ids=[form[0] for form in FORMS])
def test_a_field_is_read_as(tmp_path: Path, written: str, value: Any) -> None:
    (tmp_path / "here.json").touch()
    more = ", mem_limit: 512m" if written.startswith("memswap") else ""
    more += ", cpu_quota: 20000" if written.startswith("cpu_period") else ""
    text = f"{PROJECT}containers: {{c: {{image: x, {written}{more}}}, d: {{image: x}}}}\n"
    name = written.partition(":")[0]
    read = repr(getattr(loaded(tmp_path, text).project.containers["c"], name))
    assert read.replace(str(tmp_path), "FOLDER") == repr(value)


REFUSED: list[tuple[str, str]] = [
    ("group_add: video", "`group_add`: `video` does not fit here"),
    ("platform: windows/amd64", "`platform`: `windows/amd64` is not a platform of Linux"),
    ("pull_policy: build", "`pull_policy`: `build` is not carried out yet"),
    ("pull_policy: allways", "`pull_policy`: `allways` is not a pull policy"),
    ("cpuset: 3-1", "`cpuset`: `3-1` has a range that ends before it begins"),
    ("cpu_shares: 1", "`cpu_shares`: `1` does not fit here"),
    ("cpu_period: 10", "`cpu_period`: `10` does not fit here"),
    ("oom_score_adj: 1001", "`oom_score_adj`: `1001` does not fit here"),
    ("ulimits: {nofiles: 1}", "`ulimits`: `nofiles` is not a limit of processes"),
    ("ulimits: {nofile: {soft: 2, hard: 1}}", "`ulimits`: a map has a `soft` above `hard`"),
    ("ulimits: {nofile: {soft: 2}}", "`ulimits`: a map has only one of two bounds"),
    ("ulimits: [nofile=1]", "`ulimits`: a list does not fit here"),
    ("sysctls: {vm.swappiness: 1}",
     "`sysctls`: `vm.swappiness` is not a setting that a container has for itself"),
    ("sysctls: [kernel.panic=1]",
     "`sysctls`: `kernel.panic=1` is not a setting that a container has for itself"),
    ("security_opt: [seccmp:x]", "`security_opt`: `seccmp:x` is not an option of `security_opt`"),
    ("security_opt: [systempaths=all]",
     "`security_opt`: `systempaths=all` is not an option of `security_opt`"),
    ("security_opt: ['seccomp:nowhere.json']",
     "container `c`: there is no file `FOLDER/nowhere.json`"),
    ("security_opt: ['seccomp:.']", "container `c`: there is a folder, not a file, `FOLDER`"),
    ("devices: [fuse]", "`devices`: `fuse` has a path that does not begin with /"),
    ("devices: ['/dev/a:/dev/b:x']", "`devices`: `/dev/a:/dev/b:x` has unknown permissions"),
    ("device_cgroup_rules: ['x 1:3 r']", "`device_cgroup_rules`: `x 1:3 r` does not fit here"),
    ("healthcheck: {test: [curl, -f]}", "`healthcheck`: `curl` is not how a test begins"),
    ("healthcheck: {test: [CMD]}", "`healthcheck`: a list has 0 words after CMD"),
    ("healthcheck: {test: [CMD-SHELL, a, b]}",
     "`healthcheck`: a list has 2 words after CMD-SHELL"),
    ("healthcheck: {test: []}", "`healthcheck`: a list is empty"),
    ("healthcheck: {intervall: 3s}", "`intervall` is not a key of a health check"),
    ("healthcheck: {interval: 10}", "`healthcheck`: `10` does not fit here"),
    ("healthcheck: {retries: -1}", "`healthcheck`: `-1` does not fit here"),
    ("healthcheck: true", "`healthcheck`: `true` does not fit here"),
    ("logging: {driver: jsonfile}", "`logging`: `jsonfile` is not a log driver"),
    ("logging: {options: {max-size: 10}}", "`logging`: `10` is too little for a log"),
    ("replicas: -1", "`replicas`: `-1` does not fit here"),
    ("update: {order: first}", "`update`: `first` is not an order of updates"),
    ("update: {on_failure: continue}", "`update`: `continue` is not a way to go on"),
    ("deploy: {resources: {limits: {memory: lots}}}", "`deploy`: `lots` does not fit here"),
    ("deploy: {resources: {limit: {memory: 1g}}}", "`limit` is not a key of `resources`"),
    ("deploy: {resources: {reservations: {devices: []}}}",
     "`devices` is a Compose key that trueup does not carry out yet"),
    ("logging: {options: {tag: x}}", "`tag` is a Compose key that trueup does not carry out yet"),
    ("networks: {default: {mac_address: 'aa:bb:cc:dd:ee:ff'}}",
     "`mac_address` is a Compose key that trueup does not carry out yet"),
    ("userns_mode: 'keep-id'", "`userns_mode`: `keep-id` is not a mode of `userns_mode`"),
    ("network_mode: hosts", "`network_mode`: `hosts` is not a network mode"),
    ("network_mode: 'service:'", "`network_mode`: `service:` does not fit here"),
    ("uts: 'service:d'", "`uts`: `service:d` is not a mode of `uts`"),
    ("links: ['a:b:c']", "`links`: `a:b:c` does not fit here"),
    ("expose: ['80:80']", "`expose`: `80:80` does not fit here"),
    ("expose: [80/tpc]", "`expose`: `80/tpc` has an unknown protocol"),
    ("networks: default", "`networks`: `default` does not fit here"),
    ("networks: {default: {alias: [a]}}", "`alias` is not a key of a container's network"),
    ("networks: {default: {ipv4_address: 'fd00::1'}}", "`networks`: `fd00::1` is IPv6"),
    ("networks: {default: {ipv4_address: 10.0.0}}", "`networks`: `10.0.0` does not fit here"),
    ("extra_hosts: [a]", "`extra_hosts`: `a` does not fit here"),
    ("extra_hosts: {a: 10.0}", "`extra_hosts`: `10.0` does not fit here"),
    ("mac_address: 03:42:ac:11:00:05",
     "`mac_address`: `03:42:ac:11:00:05` is the address of a group"),
    ("mac_address: 02:42", "`mac_address`: `02:42` does not fit here"),
    ("dns: [one.one]", "`dns`: `one.one` does not fit here"),
    ("dns_opt: ['ndots 1']", "`dns_opt`: `ndots 1` does not fit here"),
    ("volumes: ['v:/a:rslave']", "`volumes`: `v:/a:rslave` has an option that is only for paths of "
     "this host"),
    ("volumes: ['/:/a:nocopy']", "`volumes`: `/:/a:nocopy` has an option that is only for volumes"),
    ("volumes: [{type: bind, source: /, target: /a, bind: {propagation: slaves}}]",
     "`volumes`: `bind`, `propagation`: `slaves` is not a propagation of mounts"),
    ("volumes: [{type: volume, source: v, target: /a, volume: {subpath: ../x}}]",
     "`volumes`: `volume`, `subpath`: `../x` does not fit here"),
    ("volumes_from: ['d:rx']", "`volumes_from`: `d:rx` does not fit here"),
    ("tmpfs: '/t:uid=root'", "`tmpfs`: `/t:uid=root` has a `uid` that cannot be read"),
    ("container_name: a/b", "`container_name`: `a/b` cannot be the name of a container"),
]  # fmt: skip


@pytest.mark.parametrize(("written", "text"), REFUSED, ids=[each[0] for each in REFUSED])
def test_a_field_refuses(tmp_path: Path, written: str, text: str) -> None:
    found = refused(tmp_path, written).replace(str(tmp_path), "FOLDER")
    assert found == text
