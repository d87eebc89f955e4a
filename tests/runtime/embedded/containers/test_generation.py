"""Generations, where an image is no ordinary one."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from runtime.embedded.bundle.files import HostileRoot
from runtime.embedded.containers.generation import Generations
from runtime.embedded.layers import overlay
from runtime.embedded.linux import mounts
from tests.runtime.embedded.boxes import Boxes, make_boxes

pytestmark = pytest.mark.root


@pytest.fixture
def boxes() -> Iterator[Boxes]:
    with make_boxes() as made:
        yield made


@pytest.mark.parametrize("mounted", [False, True], ids=["fresh", "mounted by one who was killed"])
def test_a_root_with_a_link_for_dev_is_refused_each_time_and_not_left_mounted(
    boxes: Boxes, tmp_path: Path, mounted: bool
) -> None:
    layer, kept = tmp_path / "layer", boxes.paths.container("hostile")
    for folder in (layer, kept / "upper", kept / "work"):
        folder.mkdir(parents=True)
    (layer / "dev").symlink_to("/etc")
    root = boxes.paths.bundle("hostile") / "rootfs"
    if mounted:
        root.mkdir(parents=True)
        overlay.mount([layer], kept / "upper", kept / "work", root)
    nobody: Any = None
    store: Any = SimpleNamespace(layers=lambda _id: [layer])
    generations = Generations(
        paths=boxes.paths,
        store=store,
        volumes=nobody,
        bundles=nobody,
        supervisor=boxes.supervisor,
        network=nobody,
        layout=boxes.supervisor.layout,
        host_lock=nobody,
        read=nobody,
    )
    row: Any = SimpleNamespace(id="hostile")
    image: Any = SimpleNamespace(id="image")
    for _ in range(2):
        with pytest.raises(HostileRoot, match="/dev"):
            generations._mount_root(row, image)
        assert not mounts.is_other_file_system(root)
