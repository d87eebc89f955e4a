"""Short forms of a container's fields and the canonical values that they are read as."""

from pathlib import Path
from typing import Any

import pytest

from specs.model.container import Container
from specs.model.dependency import Condition, Dependency
from specs.model.mount import AnonymousVolume, BindMount, VolumeMount
from specs.model.port import Port, Protocol
from specs.model.restart import Restart, RestartKind
from specs.model.tmpfs import TmpfsMount
from tests.specs.reading import container, loaded, problems, refused, write

ENVIRON = {"HOME": "/home/u", "PASSED": "p", "NUMBER": "9", "PORT": "8080"}


def dependency(**fields: Any) -> Dependency:
    return Dependency(**{"condition": Condition.STARTED, **fields})


FORMS: list[tuple[str, str, Any]] = [
    # field, as written, value
    ("image", "image: nginx:1.27@sha256:" + "a" * 64, "nginx:1.27@sha256:" + "a" * 64),
    ("image", "image: registry.lab:5000/a/b:c", "registry.lab:5000/a/b:c"),
    ("environment", "environment: {A: 1, B: yes, C: 1.0, D: '', E: 0644}",
     {"A": "1", "B": "yes", "C": "1.0", "D": "", "E": "0644"}),
    ("environment", "environment: [A=1, 'B=x=y z', C=]", {"A": "1", "B": "x=y z", "C": ""}),
    ("environment", "environment: {PASSED: , ABSENT: }", {"PASSED": "p"}),
    ("environment", "environment: [PASSED, ABSENT]", {"PASSED": "p"}),
    ("environment", "environment: {A: '${NUMBER}', B: '${U}'}", {"A": "9", "B": ""}),
    ("labels", "labels: {a.b: 1, c: }", {"a.b": "1", "c": ""}),
    ("labels", "labels: [a=b, c]", {"a": "b", "c": ""}),
    ("command", "command: sh -c 'echo hi'", ("sh", "-c", "echo hi")),
    ("command", "command: [sleep, 10, yes, 010]", ("sleep", "10", "yes", "010")),
    ("command", "command: []", ()),
    ("command", "command: ''", ()),
    ("command", "command: ", None),
    ("entrypoint", "entrypoint: /bin/x --y", ("/bin/x", "--y")),
    ("user", "user: 1000:1000", "1000:1000"),
    ("user", "user: 0", "0"),
    ("working_dir", "working_dir: /a/./b/../c/", "/a/c"),
    ("hostname", "hostname: db-1.lab", "db-1.lab"),
    ("mem_limit", "mem_limit: 512m", 512 << 20),
    ("mem_limit", "mem_limit: '1.5G'", 3 << 29),
    ("mem_limit", "mem_limit: 67108864", 64 << 20),
    ("mem_limit", "mem_limit: '${NUMBER}m'", 9 << 20),
    ("cpus", "cpus: 0.5", 0.5),
    ("cpus", "cpus: '2'", 2.0),
    ("pids_limit", "pids_limit: 100", 100),
    ("pids_limit", "pids_limit: -1", -1),
    ("pids_limit", "pids_limit: 0", -1),
    ("restart", "restart: no", Restart(kind=RestartKind.NO)),
    ("restart", "restart: 'no'", Restart(kind=RestartKind.NO)),
    ("restart", "restart: on-failure:3", Restart(kind=RestartKind.ON_FAILURE, max_retries=3)),
    ("restart", "restart: on-failure:0", Restart(kind=RestartKind.ON_FAILURE)),
    ("restart", "restart: unless-stopped", Restart(kind=RestartKind.UNLESS_STOPPED)),
    ("stop_signal", "stop_signal: quit", "SIGQUIT"),
    ("stop_signal", "stop_signal: 15", "SIGTERM"),
    ("stop_grace_period", "stop_grace_period: 1m30s", 90.0),
    ("stop_grace_period", "stop_grace_period: 0", 0.0),
    ("read_only", "read_only: yes", True),
    ("read_only", "read_only: 'false'", False),
    ("cap_add", "cap_add: [net_admin, CAP_CHOWN, CHOWN]", ("CHOWN", "NET_ADMIN")),
    ("cap_drop", "cap_drop: [all]", ("ALL",)),
    ("ports", "ports: [80]", (Port(container_port=80),)),
    ("ports", "ports: ['8080:80']", (Port(host_port=8080, container_port=80),)),
    ("ports", "ports: [2222:22]", (Port(host_port=2222, container_port=22),)),
    ("ports", "ports: ['127.0.0.1:8080:80/tcp']",
     (Port(host_ip="127.0.0.1", host_port=8080, container_port=80),)),
    ("ports", "ports: ['192.168.1.5::80']", (Port(host_ip="192.168.1.5", container_port=80),)),
    ("ports", "ports: [53:53/udp]",
     (Port(host_port=53, container_port=53, protocol=Protocol.UDP),)),
    ("ports", "ports: [3000-3001]", (Port(container_port=3000), Port(container_port=3001))),
    ("ports", "ports: ['${PORT}:80']", (Port(host_port=8080, container_port=80),)),
    ("ports", "ports: [{target: 80, published: '8080', host_ip: 127.0.0.1, protocol: udp}]",
     (Port(host_ip="127.0.0.1", host_port=8080, container_port=80, protocol=Protocol.UDP),)),
    ("ports", "ports: [{target: 80}]", (Port(container_port=80),)),
    ("volumes", "volumes: ['v:/data:Z']", (VolumeMount(volume="v", target="/data", relabel="Z"),)),
    ("volumes", "volumes: ['v:/data/:ro,z']",
     (VolumeMount(volume="v", target="/data", read_only=True, relabel="z"),)),
    ("volumes", "volumes: ['/:/host:rw,cached']", (BindMount(source="/", target="/host"),)),
    ("volumes", "volumes: ['./a/../b:/b', '~/c:/c', ../d:/d]",
     (BindMount(source="FOLDER/b", target="/b"), BindMount(source="/home/u/c", target="/c"),
      BindMount(source="PARENT/d", target="/d"))),
    ("volumes", "volumes: [/cache]", (AnonymousVolume(target="/cache"),)),
    ("volumes", "volumes: [{type: volume, source: v, target: /a, read_only: true}]",
     (VolumeMount(volume="v", target="/a", read_only=True),)),
    ("volumes", "volumes: [{type: bind, source: ., target: /a}]",
     (BindMount(source="FOLDER", target="/a"),)),
    ("volumes", "volumes: [{type: volume, target: /a}]", (AnonymousVolume(target="/a"),)),
    ("tmpfs", "tmpfs: /run", (TmpfsMount(target="/run"),)),
    ("tmpfs", "tmpfs: ['/tmp:size=64m,mode=1777,noexec']",
     (TmpfsMount(target="/tmp", size=64 << 20, mode=0o1777),)),
    ("tmpfs",
     "tmpfs: [/b], volumes: [/x, {type: tmpfs, target: /a, tmpfs: {size: 1m, mode: 0700}}]",
     (TmpfsMount(target="/b"), TmpfsMount(target="/a", size=1 << 20, mode=0o700))),
    ("depends_on", "depends_on: [d]", {"d": dependency()}),
    ("depends_on", "depends_on: {d: }", {"d": dependency()}),
    ("depends_on", "depends_on: {d: started}", {"d": dependency()}),
    ("depends_on", "depends_on: {d: {condition: service_started, required: true, restart: false}}",
     {"d": dependency()}),
    ("depends_on", "depends_on: {d: healthy}", {"d": dependency(condition=Condition.HEALTHY)}),
    ("depends_on", "depends_on: {d: {condition: service_healthy, restart: true}}",
     {"d": dependency(condition=Condition.HEALTHY, restart=True)}),
    ("depends_on",
     "depends_on: {d: {condition: service_completed_successfully, required: false}}",
     {"d": dependency(condition=Condition.COMPLETED, required=False)}),
    ("depends_on", "depends_on: {d: completed}", {"d": dependency(condition=Condition.COMPLETED)}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "written", "value"), FORMS, ids=[form[1] for form in FORMS])
def test_a_field_is_read_as(tmp_path: Path, name: str, written: str, value: Any) -> None:
    folder = tmp_path / "p"
    fields = written if name == "image" else f"image: x, {written}"
    text = f"volumes: {{v: }}\ncontainers: {{c: {{{fields}}}, d: {{image: x}}}}\n"
    project = loaded(folder, text, ENVIRON).project
    read = repr(getattr(project.containers["c"], name))
    read = read.replace(str(folder), "FOLDER").replace(str(tmp_path), "PARENT")
    assert read == repr(value)


LATER = [
    ("volumes: ['/a:/a:idmap']", "the mount option `idmap` is not carried out yet"),
    ("volumes: [{type: image, source: x, target: /a}]",
     "a mount of type `image` is not carried out yet"),
    ("volumes: [{type: bind, source: /, target: /a, bind: {recursive: disabled}}]",
     "`recursive` is a Compose key that trueup does not carry out yet"),
    ("devices: ['vendor.com/gpu=0']", "a device by its CDI name is not carried out yet"),
    ("pull_policy: daily", "`daily` is not carried out yet"),
    ("logging: {driver: syslog}", "`syslog` is not carried out yet"),
    ("deploy: {mode: global}", "`global` is a mode of Swarm only"),
]  # fmt: skip


@pytest.mark.parametrize(("written", "text"), LATER)
def test_what_comes_later_says_so(tmp_path: Path, written: str, text: str) -> None:
    name = written.partition(":")[0]
    assert refused(tmp_path, written) == f"`{name}`: {text}"


@pytest.mark.parametrize(
    ("fields", "advice"),
    [
        ("user: {a: b}", "expected: a user as name or number, such as app or 1000:1000"),
        ("volumes: ['./a:/b:ozzzz']", "expected: ro or rw after the second colon"),
    ],
)
def test_what_is_expected_is_said_and_no_hint_contradicts_it(
    tmp_path: Path, fields: str, advice: str
) -> None:
    write(tmp_path, {"trueup.yaml": f"containers: {{c: {{image: x, {fields}}}}}\n"})
    assert problems(tmp_path).splitlines()[-1].strip() == advice


@pytest.mark.parametrize("key", sorted(Container.not_yet))
def test_a_key_of_compose_that_comes_later_is_not_called_unknown(tmp_path: Path, key: str) -> None:
    expected = f"`{key}` is a Compose key that trueup does not carry out yet"
    assert refused(tmp_path, f"{key}: 1") == expected


def test_keys_that_the_loader_fills_in_are_no_keys(tmp_path: Path) -> None:
    assert refused(tmp_path, "secret_environment: [A]").endswith("is not a key of a container")


def test_keys_that_begin_with_x_are_left_alone(tmp_path: Path) -> None:
    assert container(tmp_path, "x-note: {a: b}") == container(tmp_path, "labels: {}")


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ("image: ", "container `c` has no `image`"),
        ("image: Nginx Latest", "`image`: `Nginx Latest` does not fit here"),
        ("mem_limit: 5m", "`mem_limit`: `5m` is too little for a container"),
        ("environment: {'A=B': c}", "`environment`: `A=B` does not fit here"),
        ("environment: [=x]", "`environment`: `=x` does not fit here"),
        ('environment: {A: "\\0"}', "`environment`: `\\x00` does not fit here"),
        ('command: "a\\0b"', "`command`: `a\\x00b` does not fit here"),
        ('command: [a, "\\0"]', "`command`: `\\x00` does not fit here"),
        ("command: [a, ]", "taken"),
        ("command: [a, ~]", "`command`: `~` does not fit here"),
        ("command: [[a]]", "`command`: a list does not fit here"),
        ("restart: always:3", "`restart`: `always:3` has a number of retries where none can be"),
        ("stop_grace_period: 99999999h", "`stop_grace_period`: `99999999h` does not fit here"),
        ("depends_on: d", "`depends_on`: `d` does not fit here"),
        ("depends_on: {d: {condition: healty}}", "`depends_on`: `healty` is not a condition"),
        ("volumes: ['${U}:/data']", "`volumes`: `${U}:/data` names no source before the colon"),
        ("volumes: ['v:/a:ro:rw']", "`volumes`: `v:/a:ro:rw` has too many colons"),
        ("tmpfs: {target: /a}", "`tmpfs`: a map does not fit here"),
        ("cap_add: NET_ADMIN", "`cap_add`: `NET_ADMIN` does not fit here"),
    ],
)
def test_a_field_refuses(tmp_path: Path, written: str, text: str) -> None:
    folder = tmp_path
    if written.startswith("image"):
        from tests.specs.reading import problems, write

        write(folder, {"trueup.yaml": f"containers: {{c: {{{written}}}}}\n"})
        assert text in problems(folder)
    else:
        assert refused(folder, written) == text


def test_canonical_values_build_the_same_container(tmp_path: Path) -> None:
    read = container(tmp_path, "mem_limit: 512m, restart: always, ports: ['8080:80'], user: 5")
    built = Container(
        image="x",
        mem_limit=512 << 20,
        restart=Restart(kind=RestartKind.ALWAYS),
        ports=(Port(host_port=8080, container_port=80),),
        user="5",
    )
    assert read == built
