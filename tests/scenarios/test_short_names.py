"""Images without a host in their name, as a spec's or the machine's list of registries says."""

import json
from pathlib import Path

import pytest

from tests.conftest import Images, Trueup
from tests.images.registry import Registry, free_port
from tests.scenarios.stage import Stage

pytestmark = pytest.mark.root

SPEC = "containers: {web: {image: busybox, command: sleep 600, stop_signal: SIGKILL}}\n"


@pytest.fixture
def stage(trueup: Trueup, images: Images, tmp_path: Path) -> Stage:
    return Stage(trueup=trueup, images=images, folder=tmp_path)


def _image(stage: Stage) -> str:
    """What the running container's image is called, as `inspect` tells it."""
    (web,) = json.loads(stage.trueup("inspect", "web").stdout)
    assert web["State"]["Running"]
    return str(web["Config"]["Image"])


def test_a_list_of_one_registry_completes_the_name(
    stage: Stage, images: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = images.registry.address
    stage.make(f"search_registries: ['{registry}']\n{SPEC}")
    assert _image(stage) == f"{registry}/busybox:latest"
    assert stage.pending() == ""
    machine = stage.folder / "etc/registries.yaml"
    machine.parent.mkdir()
    machine.write_text(f"search: ['{registry}']\n")
    monkeypatch.setenv("TRUEUP_CONFIG_DIR", str(machine.parent))
    stage.write(SPEC)
    assert stage.pending() == ""
    machine.write_text("search: []\n")
    refused = stage.apply(code=64).stderr
    assert f"`busybox` names no registry, and short names are off ({machine}:1)" in refused


def test_the_first_registry_that_has_it_is_meant(stage: Stage, images: Images) -> None:
    empty = Registry(stage.folder / "empty", free_port())
    empty.storage.mkdir()
    try:
        empty.serve(within=stage.host.within)
        both = f"['{empty.address}', '{images.registry.address}']"
        stage.make(f"search_registries: {both}\n{SPEC}")
        assert _image(stage).startswith("busybox:latest@")
        assert stage.pending() == ""
        stage.down()
        (id,) = set(stage.trueup("images", "--quiet").stdout.split())
        stage.trueup("rmi", "--force", id)
        stage.trueup("pull", f"{images.registry.address}/busybox")  # the project's name is not here
        stage.apply()
        assert _image(stage).startswith("busybox:latest@")
        stage.down()
    finally:
        empty.close()
