"""The ground that other tests stand on: images, registry, hosts and the inventory itself."""

import json
import urllib.error
from pathlib import Path

import pytest

from tests.conftest import Images
from tests.hosts import Host
from tests.images import recipes
from tests.images.registry import Registry
from tests.inventory import inventory
from tests.peers import Docker, Podman

pytestmark = pytest.mark.root


def test_nginx_and_python_share_their_base_layer() -> None:
    bottom = {name: _layers(recipes.layouts()[name])[0] for name in ("nginx", "python")}
    assert bottom["nginx"] == bottom["python"]


def _layers(layout: Path) -> list[str]:
    index = json.loads((layout / "index.json").read_bytes())
    manifest = index["manifests"][0]["digest"].removeprefix("sha256:")
    content = json.loads((layout / "blobs/sha256" / manifest).read_bytes())
    return [layer["digest"] for layer in content["layers"]]


def test_the_registry_answers_on_the_machine_and_inside_the_host(
    host: Host, registry: Registry
) -> None:
    seen = host.fetch(f"http://{registry.address}/v2/_catalog")
    assert {"busybox", "nginx", "python"} <= set(json.loads(seen)["repositories"])
    assert registry.digest("busybox").startswith("sha256:")


def test_a_published_variant_can_be_pulled_inside_the_host(host: Host, images: Images) -> None:
    reference = images.with_config("ground/variant", User="1000", Volumes={"/data": {}})
    shown = host.run("skopeo", "inspect", "--config", "--tls-verify=false", f"docker://{reference}")
    assert json.loads(shown.stdout)["config"]["User"] == "1000"


def test_the_locked_registry_asks_who_is_there(locked_registry: Registry) -> None:
    with pytest.raises(urllib.error.HTTPError, match="401"):
        locked_registry.digest("busybox")


def test_the_other_host_is_reached_and_cgroups_stay_usable(host: Host) -> None:
    assert host.run("ping", "-c1", "-W2", host.other.address, check=False).returncode in (0, 127)
    assert host.other.run("ip", "route", "get", host.address).returncode == 0
    seen = host.run("sh", "-c", "ls /sys/fs/cgroup | head -1").stdout
    assert seen


def test_the_inventory_sees_a_process_and_a_file_of_the_instance(
    host: Host, instance_root: Path
) -> None:
    before = inventory(instance_root, host)
    assert before.leftovers() == ""
    (instance_root / "file").write_text("x")
    watcher = host.start("tail", "-f", instance_root / "file")
    try:
        after = inventory(instance_root, host)
    finally:
        watcher.kill()
        watcher.wait()
    assert "files: file: None" in before.differences(after)
    assert "tail -f" in after.leftovers()


@pytest.mark.slow
def test_docker_and_podman_run_beside_each_other_on_the_host(
    host: Host, images: Images, docker: Docker, podman: Podman
) -> None:
    docker("run", "-d", "-p", "127.0.0.1:8081:80", images.busybox)
    podman("run", "-d", "-p", "127.0.0.1:8082:80", images.busybox)
    for port in (8081, 8082):
        assert host.fetch(f"http://127.0.0.1:{port}/") == recipes.PAGE
