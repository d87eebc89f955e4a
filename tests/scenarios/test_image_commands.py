"""`rmi`, `tag` and `image prune` beside docker's: the same words end alike, tell of the same names
and leave the same names. And on a disk without a free byte."""

import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import COMMAND, Images
from tests.eventually import eventually
from tests.hosts import Host
from tests.peers import Docker, removing_cgroups, restoring_network
from tests.scenarios.stage import Stage

pytestmark = [pytest.mark.root, pytest.mark.slow]

SPEC = """\
project: shop
containers:
  web: {image: "$image", command: $command, restart: "no", stop_signal: SIGKILL}
"""
SCRIPTS = {"running": "sleep 1000", "stopped": "true"}
ROWS = ["images", "-a", "--digests", "--no-trunc", "--format"]
ROWS += ["{{.Repository}}:{{.Tag}}@{{.Digest}} {{.ID}}"]

Done = subprocess.CompletedProcess[str]


@dataclass(frozen=True, slots=True)
class Both:
    """Docker and trueup. In the words for them $box is the repository of an image that both have,
    $id its id and $digest its name by digest."""

    docker: Docker
    stage: Stage
    said: dict[str, str]

    def __call__(self, *steps: str) -> None:
        """Do steps in turn. Each says how it ends, then come the words."""
        for step in steps:
            code, *words = step.split()
            ours, theirs = self.do(words)
            assert [ours.returncode, theirs.returncode] == 2 * [int(code)], (step, ours, theirs)
            assert untagged(ours) == untagged(theirs), step
            assert deleted(ours) <= deleted(theirs), step
            assert bool(deleted(ours)) == bool(deleted(theirs)), step
            self.names()

    def do(self, words: Sequence[str]) -> tuple[Done, Done]:
        """What trueup says, and docker."""
        for key, value in self.said.items():
            words = [word.replace(key, value) for word in words]
        host = self.stage.host.within
        ours = [*host, str(COMMAND), "--root", str(self.stage.trueup.root), *words]
        theirs = [*host, "docker", *words]
        environment = {**os.environ, **self.docker.environment}
        first, second = (
            subprocess.run(command, capture_output=True, text=True, env=environment, timeout=100)
            for command in (ours, theirs)
        )
        return first, second

    def names(self) -> list[str]:
        """The rows of images that both list."""
        ours, theirs = self.do(ROWS)
        assert ours.returncode == theirs.returncode == 0
        assert sorted(ours.stdout.splitlines()) == sorted(theirs.stdout.splitlines())
        return sorted(ours.stdout.splitlines())

    def make(self, state: str, image: str) -> None:
        """A container of the image in both, ``running`` or ``stopped``."""
        command = SCRIPTS[state]
        self.docker("run", "--detach", "--name", "web", image, *command.split())
        self.stage.make(SPEC.replace("$image", image).replace("$command", command))
        eventually(lambda: bool(self.stage.pids()) == (state == "running"))

    def drop(self) -> None:
        self.docker("rm", "--force", "web")
        self.stage.down()


def untagged(done: Done) -> set[str]:
    return {line for line in done.stdout.splitlines() if line.lower().startswith("untagged")}


def deleted(done: Done) -> set[str]:
    return {line for line in done.stdout.splitlines() if line.lower().startswith("deleted:")}


@pytest.fixture(scope="module")
def docker(host: Host, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Docker]:
    with removing_cgroups(), restoring_network(host):
        daemon = Docker(host, tmp_path_factory.mktemp("d"))
        try:
            yield daemon
        finally:
            daemon.close()


@pytest.fixture
def both(docker: Docker, long_stage: Stage, images: Images) -> Both:
    said = {"$box": images.busybox.removesuffix(":latest")}
    made = Both(docker, long_stage, said)
    assert made.names() == []
    made("0 pull -q $box:latest")
    (row,) = made.names()
    said["$id"] = row.split()[1]
    said["$digest"] = f"{said['$box']}@{row.split()[0].partition('@')[2]}"
    return made


def test_names_come_and_go(both: Both) -> None:
    both(
        "0 tag $box:latest $box:two",
        "1 rmi $id",  # names of one repository are several, too
        "0 tag $box:two other:1",
        "1 rmi $id",
        "0 rmi $box:latest",
        "1 rmi $box:latest",
        "0 rmi $box:two",  # the digest goes with the last tag of the repository
        "0 tag other:1 other:1",
        "0 rmi other:1",
        "1 rmi $id",
        "0 pull -q $box:latest",
        "0 tag $id other:1",
        "0 rmi -f $id",
        "1 rmi nobody",
        "0 rmi -f nobody",
    )


def test_names_by_digest(both: Both) -> None:
    both(
        "0 rmi $digest",
        "0 pull -q $digest",
        "0 rmi $box:latest",
        "0 pull -q $digest",
        "0 tag $digest other:1",
        "0 rmi $digest",
        "0 rmi other:1",
        "0 pull -q $digest",
        "0 rmi $id",
    )


def test_an_image_under_a_running_container(both: Both) -> None:
    both.make("running", both.said["$box"] + ":latest")
    both(
        "1 rmi $box:latest",
        "1 rmi $id",
        "1 rmi -f $id",
        "0 tag $id other:1",
        "1 rmi -f $id",
        "0 rmi $box:latest",
        "1 rmi other:1",
        "0 rmi -f other:1",
        "1 rmi -f $id",
        "0 image prune -f",
        "0 image prune -a -f",
    )
    both.drop()
    both("0 image prune -f", "1 rmi $id")


def test_an_image_under_a_stopped_container(both: Both) -> None:
    """By force docker deletes it under the container; here it stays, for the next start."""
    both.make("stopped", both.said["$box"] + ":latest")
    both(
        "1 rmi $box:latest",
        "1 rmi $id",
        "0 image prune -a -f",
        "0 tag $id other:1",
        "0 rmi $box:latest",
        "1 rmi other:1",
    )
    ours, theirs = both.do(["rmi", "-f", "other:1"])
    assert (ours.returncode, theirs.returncode) == (0, 0)
    assert ours.stdout == "Untagged: other:1\n"
    assert f"<none>:<none>@<none> {both.said['$id']}\n" == both.do(ROWS)[0].stdout
    both.drop()
    gone, _ = both.do(["image", "prune", "-f"])
    assert f"deleted: {both.said['$id']}\n" in gone.stdout
    assert both.names() == []


def fill(place: Path) -> None:
    """Leave no free byte."""
    with suppress(OSError), (place / "filler").open("wb", buffering=0) as file:
        for size in (1 << 16, 1 << 10, 1):
            with suppress(OSError):
                while True:
                    file.write(bytes(size))


@pytest.fixture
def small(stage: Stage) -> Iterator[Path]:
    """A small disk of its own for what the instance keeps."""
    place = stage.trueup.root / "lib"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=128m", "tmpfs", place], check=True)
    yield place
    (place / "filler").unlink(missing_ok=True)
    stage.trueup("down", "--project", "shop", code=None)
    subprocess.run(["umount", "-l", place], check=True)


def test_images_go_from_a_full_disk_beside_a_running_container(stage: Stage, small: Path) -> None:
    stage.make(SPEC.replace("$image", stage.images.busybox).replace("$command", "sleep 1000"))
    for image in (stage.images.nginx, stage.images.python):
        stage.trueup("pull", "-q", image)
    fill(small)
    assert os.statvfs(small).f_bavail == 0
    refused = stage.trueup("rmi", stage.images.busybox, code=1).stderr
    assert "shop/web (running)" in refused
    assert "Deleted: " in stage.trueup("rmi", stage.images.nginx).stdout
    fill(small)
    assert "reclaimed space: 0B" not in stage.trueup("image", "prune", "-a", "-f").stdout
    left = stage.trueup("images", "--format", "{{.Repository}}:{{.Tag}}").stdout
    assert left == f"{stage.images.busybox}\n"
    assert os.statvfs(small).f_bavail > 0
