"""Whoever's umask it is: containers read what is theirs, nobody else what is ours."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.eventually import eventually
from tests.images.layers import directory, file
from tests.scenarios.scene import owned
from tests.scenarios.stage import Stage

pytestmark = pytest.mark.root

SPEC = """
project: masks
volumes: {named: {}, asked: {mode: "0750", owner: "1000:1000"}}
containers:
  job:
    image: $image
    user: "1000"
    volumes: ["named:/not/in/the/image", "asked:/asked", "./text:/bound/text:ro"]
    command:
      - sh
      - -c
      - >-
        umask; cat /etc/hosts /etc/resolv.conf /etc/hostname > /dev/null && cat /bound/text;
        stat -c '%a %n' / /etc/hosts /not/in/the/image /asked /kept /kept/text;
        touch /asked/mine && echo done
"""
TOLD = """\
0022
hello
755 /
644 /etc/hosts
755 /not/in/the/image
750 /asked
751 /kept
644 /kept/text
done
"""


@pytest.fixture(params=[0o077, 0o000, 0o027], ids=oct)
def mask(request: pytest.FixtureRequest) -> Iterator[int]:
    """The umask under which every command of the test runs."""
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def test_containers_have_what_they_were_promised_and_our_state_is_closed(
    mask: int, stage: Stage
) -> None:
    content = {"kept": directory(mode=0o751), "kept/text": file("of the image")}
    image = stage.images.publish("masks", content, {"Volumes": {"/kept": {}}})
    (stage.folder / "text").write_text("hello\n")
    (stage.folder / "text").chmod(0o644)
    stage.make(SPEC.replace("$image", image))
    eventually(lambda: not stage.pids())
    assert stage.log("job") == TOLD
    assert [path for path in ours(stage) if path.stat().st_mode & 0o077] == []
    stage.down("--volumes", "all")


def ours(stage: Stage) -> Iterator[Path]:
    """What no container has a part in: our folders, and the files of the engine in `lib`."""
    paths = owned(stage)
    yield from (paths.lib, paths.run)
    yield from (path for path in paths.lib.glob("*"))
    yield from (path for path in paths.containers.glob("*"))
    yield from (path for path in paths.volumes.glob("*/*"))
    device = paths.run.stat().st_dev
    yield from (path for path in paths.run.glob("*") if path.stat().st_dev == device)
