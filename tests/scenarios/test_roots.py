"""Where an instance may live: roots whose names are not plain ASCII."""

from pathlib import Path

import pytest

from tests.conftest import Images, Trueup, fresh_instance
from tests.hosts import Host
from tests.scenarios.scene import residue
from tests.scenarios.stage import Stage

pytestmark = pytest.mark.root

SPEC = """
project: far
volumes: {data: {}}
containers:
  web:
    image: $busybox
    volumes: ["data:/data"]
    command: [sleep, "1000"]
    stop_signal: SIGKILL
"""


@pytest.mark.parametrize("prefix", ["tuü", "tu日"])
def test_from_nothing_to_nothing(host: Host, images: Images, tmp_path: Path, prefix: str) -> None:
    with fresh_instance(host, prefix) as root:
        stage = Stage(trueup=Trueup(root=root, host=host), images=images, folder=tmp_path)
        stage.make(SPEC)
        assert stage.pending() == ""
        assert set(stage.pids()) == {"web"}
        stage.down("--volumes", "all")
        assert residue(stage) == ""
