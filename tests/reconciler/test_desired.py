"""From a spec on disk to the runtime's values."""

from pathlib import Path

import pytest

from reconciler.desired import image_label
from runtime.api import (
    AnonymousMount,
    ArchiveSource,
    BindMount,
    ContainerKey,
    ContainerSpec,
    Dependency,
    ImageDefaults,
    ImageSpec,
    NetworkSpec,
    PortSpec,
    PullPolicy,
    Query,
    RegistryAccess,
    RegistrySource,
    RestartKind,
    RestartPolicy,
    RootfsSource,
    ServiceSpec,
    TmpfsMount,
    VolumeMount,
    VolumeSpec,
)
from tests.reconciler.reading import read
from tests.reconciler.world import IN_PLACE, MYSQL, NGINX

FULL = """\
    images:
      db: {from: mysql:8.4, pull: newer}
      site: {archive: site.tar}
      base: {rootfs: base.tar, config: {cmd: [sh], env: {A: b}}}
    volumes:
      data: {owner: "27:27", mode: "0750"}
    networks:
      default: {subnet: 10.90.0.0/24}
    containers:
      db:
        image: db
        volumes: ["data:/var/lib/mysql", "./conf:/etc/conf:ro", "/anonymous"]
        tmpfs: /tmp:size=64m
        env_file: secrets.env
        environment: {SHOWN: "1"}
      web:
        image: nginx:1.27
        command: nginx -g 'daemon off;'
        mem_limit: 512m
        cpus: 1.5
        restart: on-failure:3
        ports: ["8080:80", "127.0.0.1:53:53/udp"]
        labels: {tier: front}
        depends_on: [db]
        stop_grace_period: 1m30s
"""


def test_a_container_keeps_every_field(tmp_path: Path) -> None:
    desired = read(tmp_path, FULL)
    assert desired.containers[ContainerKey(project="shop", name="web")] == ContainerSpec(
        image=NGINX,
        command=("nginx", "-g", "daemon off;"),
        mem_limit=512 << 20,
        cpus=1.5,
        restart=RestartPolicy(kind=RestartKind.ON_FAILURE, max_retries=3),
        labels={"tier": "front"},
        depends_on=(Dependency(name="db"),),
        stop_grace_period=90.0,
    )


def test_mounts_come_by_target_and_secrets_are_marked(tmp_path: Path) -> None:
    desired = read(tmp_path, FULL)
    assert desired.containers[ContainerKey(project="shop", name="db")] == ContainerSpec(
        image=MYSQL,
        environment={"SHOWN": "1", "PW": "hunter2"},
        secret_environment=("PW",),
        mounts=(
            AnonymousMount(target="/anonymous"),
            BindMount(source=f"{tmp_path}/shop/conf", target="/etc/conf", read_only=True),
            TmpfsMount(target="/tmp", size=64 << 20),
            VolumeMount(volume="data", target="/var/lib/mysql"),
        ),
    )


def test_the_rest_of_a_project(tmp_path: Path) -> None:
    desired = read(tmp_path, FULL)
    config = ImageDefaults(cmd=("sh",), env=("A=b",))
    newer = RegistrySource(reference=MYSQL, pull=PullPolicy.NEWER)
    assert desired.images == {
        MYSQL: ImageSpec(name=MYSQL, source=newer),
        NGINX: ImageSpec(name=NGINX, source=RegistrySource(reference=NGINX)),
        "site@shop": ImageSpec(
            name="site@shop", source=ArchiveSource(path=f"{tmp_path}/shop/site.tar")
        ),
        "base@shop": ImageSpec(
            name="base@shop", source=RootfsSource(path=f"{tmp_path}/shop/base.tar", config=config)
        ),
    }
    assert desired.volumes == {
        "data": VolumeSpec(project="shop", name="data", owner=(27, 27), mode=0o750)
    }
    assert desired.networks == {
        "default": NetworkSpec(project="shop", name="default", subnet="10.90.0.0/24")
    }
    assert desired.services["db"] == ServiceSpec(project="shop", name="db")
    assert desired.services["web"].ports == (
        PortSpec(container_port=53, protocol="udp", host_ip="127.0.0.1", host_port=53),
        PortSpec(container_port=80, host_port=8080),
    )
    assert (desired.project, desired.spec_path) == ("shop", f"{tmp_path}/shop")


def test_the_query_asks_for_images_and_ports(tmp_path: Path) -> None:
    desired = read(tmp_path, FULL)
    ports = tuple(("web", port) for port in desired.services["web"].ports)
    images = tuple(desired.images[name] for name in sorted(desired.images))
    assert desired.query() == Query(project="shop", images=images, ports=ports)


def test_places_are_those_of_the_file(tmp_path: Path) -> None:
    desired = read(tmp_path, FULL)
    line = desired.place("container", "web", "mem_limit")
    assert line.endswith("trueup.yaml:19")
    assert desired.place("container", "db", "environment.SHOWN").endswith(":15")
    assert desired.place("container", "web", "hostname").endswith(":16")
    assert desired.place("image", MYSQL).endswith(":2")
    assert desired.place("volume", "data", "owner").endswith(":6")
    assert desired.place("network", "other") == ""


def test_what_holds_variables_is_veiled_whatever_they_are_now(tmp_path: Path) -> None:
    desired = read(
        tmp_path,
        """\
        containers:
          a: {image: x, command: [sh, -c, "echo ${NOBODY_SETS_IT:-x}"], labels: {a: b}}
          b: {image: x, labels: ["a=${NOBODY_SETS_IT:-x}"], command: "echo $${HOME}"}
          c: {image: x, healthcheck: {test: "auth $NOBODY_SETS_IT"}, hostname: "${HOST:-h}"}
        """,
    )
    assert {(name, field) for _, name, field in desired.veils} == {
        ("a", "command"),
        ("b", "labels"),
        ("c", "healthcheck"),
    }


def test_the_default_network_is_implied_where_containers_are(tmp_path: Path) -> None:
    desired = read(tmp_path, "containers: {web: {image: nginx}}")
    assert desired.networks == {"default": NetworkSpec(project="shop", name="default")}


def test_two_names_of_one_reference_are_one_image_asked_for_most_often(tmp_path: Path) -> None:
    desired = read(
        tmp_path,
        """\
        images:
          a: {from: nginx:1.27, pull: never}
          b: {from: docker.io/library/nginx:1.27, pull: always}
        containers: {one: {image: a}, two: {image: b}, three: {image: "nginx:1.27"}}
        """,
    )
    always = RegistrySource(reference=NGINX, pull=PullPolicy.ALWAYS)
    assert desired.images == {NGINX: ImageSpec(name=NGINX, source=always)}
    assert {each.image for each in desired.containers.values()} == {NGINX}


def test_fields_that_change_in_place_are_those_of_the_spec(tmp_path: Path) -> None:
    assert read(tmp_path, FULL).in_place == IN_PLACE


def test_images_are_called_as_people_call_them(tmp_path: Path) -> None:
    images = read(tmp_path, FULL).images
    assert sorted(image_label(each) for each in images.values()) == [
        "base",
        "mysql:8.4",
        "nginx:1.27",
        "site",
    ]


# --- registries -----------------------------------------------------------------------------------

REGISTRY = """\
    registries:
      "registry.example:5000": {{insecure: true, auth: {{username: ci, password: {password}}}}}
    containers: {{web: {{image: "registry.example:5000/web"}}}}
"""


@pytest.mark.parametrize("password", ["{env: LAB_PW}", "{file: lab.pw}", "hunter2"])
def test_a_password_comes_from_where_the_spec_says(tmp_path: Path, password: str) -> None:
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "lab.pw").write_text("hunter2\n")
    desired = read(tmp_path, REGISTRY.format(password=password), LAB_PW="hunter2")
    assert desired.registries == (
        RegistryAccess(
            host="registry.example:5000", insecure=True, username="ci", password="hunter2"
        ),
    )
    assert "hunter2" not in repr(desired.registries)


@pytest.mark.parametrize(
    ("password", "why"),
    [
        ("{env: LAB_PW}", "the variable LAB_PW is not set"),
        ("{file: lab.pw}", "No such file or directory"),
    ],
)
def test_a_missing_password_is_told_to_who_asks_for_it(
    tmp_path: Path, password: str, why: str
) -> None:
    (access,) = read(tmp_path, REGISTRY.format(password=password)).registries
    assert (access.username, access.password) == ("ci", "")
    assert why in access.missing
    assert access.missing.endswith("trueup.yaml:2)")
