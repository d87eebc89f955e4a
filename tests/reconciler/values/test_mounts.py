"""Mounts of a container, those of others included, and volumes."""

from pathlib import Path

from runtime.api import BindMount, TmpfsMount, VolumeMount, VolumeSpec
from tests.reconciler.reading import container, key, read


def test_every_option_of_a_mount_is_kept(tmp_path: Path) -> None:
    spec = container(
        tmp_path,
        "tmpfs: '/t:size=1m,mode=700,exec,uid=5', volumes: ['v:/a:nocopy,Z,ro', '/:/b:rslave,z', "
        "{type: volume, source: v, target: /c, volume: {subpath: x}}, "
        "{type: bind, source: ./d, target: /d, bind: {create_host_path: true}}]",
        "volumes: {v: }\n",
    )
    assert spec.mounts == (
        VolumeMount(volume="v", target="/a", read_only=True, copy=False, relabel="Z"),
        BindMount(source="/", target="/b", propagation="rslave", relabel="z"),
        VolumeMount(volume="v", target="/c", subpath="x"),
        BindMount(source=f"{tmp_path}/shop/d", target="/d", create_source=True),
        TmpfsMount(target="/t", size=1 << 20, mode=0o700, options=("exec", "uid=5")),
    )


def test_mounts_of_others_are_taken_over_but_for_one_s_own_targets(tmp_path: Path) -> None:
    desired = read(
        tmp_path,
        """\
        volumes: {data: , logs: , mine: }
        containers:
          first: {image: nginx, volumes: ["data:/data"], tmpfs: /tmp}
          second: {image: nginx, volumes: ["logs:/logs", "/:/host:ro"], volumes_from: [first]}
          web: {image: nginx, volumes: ["mine:/logs"], volumes_from: ["second:ro"]}
        """,
    )
    assert desired.containers[key("second")].mounts == (
        VolumeMount(volume="data", target="/data"),
        BindMount(source="/", target="/host", read_only=True),
        VolumeMount(volume="logs", target="/logs"),
    )
    assert desired.containers[key("web")].mounts == (
        VolumeMount(volume="data", target="/data", read_only=True),
        BindMount(source="/", target="/host", read_only=True),
        VolumeMount(volume="mine", target="/logs"),
    )


def test_volumes_are_as_declared(tmp_path: Path) -> None:
    desired = read(
        tmp_path,
        """\
        volumes:
          own: {name: shop-data, labels: [keep=yes], driver: local}
          nfs: {driver_opts: {type: nfs, o: "addr=10.0.0.5,rw", device: ":/export"}}
          others: {external: true, name: lab_data}
        containers: {web: {image: nginx}}
        """,
    )
    options = {"type": "nfs", "o": "addr=10.0.0.5,rw", "device": ":/export"}
    assert desired.volumes == {
        "own": VolumeSpec(
            project="shop", name="own", full_name="shop-data", labels={"keep": "yes"}
        ),
        "nfs": VolumeSpec(project="shop", name="nfs", driver_opts=options),
        "others": VolumeSpec(project="shop", name="others", external=True, full_name="lab_data"),
    }
    assert desired.query().volumes == (desired.volumes["others"],)
