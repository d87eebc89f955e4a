"""Networks and volumes of one project that another one uses."""

from pathlib import Path

import pytest

from tests.conftest import Images, Trueup
from tests.scenarios.stage import Stage, within

pytestmark = pytest.mark.root

OWNER = """
project: owner
volumes: {wares: {name: shop-wares}}
networks: {back: {}}
containers:
  db:
    image: $busybox
    command: [sh, -c, "echo ware > /data/note; exec sleep 1000"]
    stop_signal: SIGKILL
    volumes: ["wares:/data"]
    networks: [back]
"""
GUEST = """
project: guest
volumes: {theirs: {external: true, name: shop-wares}}
networks: {far: {external: true, name: owner_back}}
containers:
  app:
    image: $busybox
    command: [sleep, "1000"]
    stop_signal: SIGKILL
    volumes: ["theirs:/data:ro"]
    networks: [far]
"""


@pytest.fixture
def guest(trueup: Trueup, images: Images, tmp_path: Path) -> Stage:
    folder = tmp_path / "guest"
    folder.mkdir()
    return Stage(trueup=trueup, images=images, folder=folder)


def test_a_guest_uses_what_its_owner_made(stage: Stage, guest: Stage) -> None:
    guest.write(GUEST)
    missing = guest.trueup("apply", guest.spec, code=1)
    assert "shop-wares" in missing.stdout + missing.stderr
    stage.make(OWNER)
    guest.apply()
    pid = guest.pid("app")
    assert within(pid, "cat", "/data/note") == "ware\n"
    assert "1 packets received" in within(pid, "ping", "-c1", "-W2", "db")
    assert guest.pending() == ""
    guest.down("--volumes", "all")
    assert stage.pending() == ""
    wares = stage.trueup.root / "lib" / "volumes"
    assert [path.parent.parent.name for path in wares.rglob("note")] == ["wares"]
    assert not (wares / "guest").exists()
    stage.down("--volumes", "all")
