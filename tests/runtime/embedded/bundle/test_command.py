"""What runs: spec and image merged by Docker's rules."""

import pytest

from runtime.api import ContainerSpec, ImageDefaults
from runtime.embedded.bundle import command
from runtime.embedded.bundle.command import BadWorkingDir, NoCommand

IMAGE = ImageDefaults(entrypoint=("/e",), cmd=("a", "b"), env=("A=1", "B=2"), working_dir="/w")

ARGUMENTS = {
    "the image's": (ContainerSpec(image="i"), ("/e", "a", "b")),
    "another command": (ContainerSpec(image="i", command=("c",)), ("/e", "c")),
    "no command": (ContainerSpec(image="i", command=()), ("/e",)),
    "another entrypoint voids the command": (ContainerSpec(image="i", entrypoint=("/f",)), ("/f",)),
    "both": (ContainerSpec(image="i", entrypoint=("/f",), command=("c",)), ("/f", "c")),
    "no entrypoint": (ContainerSpec(image="i", entrypoint=(), command=("c",)), ("c",)),
}


@pytest.mark.parametrize(("spec", "expected"), ARGUMENTS.values(), ids=ARGUMENTS)
def test_arguments(spec: ContainerSpec, expected: tuple[str, ...]) -> None:
    assert command.merge(spec, IMAGE, hostname="h", home="/").args == expected


def test_nothing_to_run() -> None:
    with pytest.raises(NoCommand):
        command.merge(ContainerSpec(image="i"), ImageDefaults(), hostname="h", home="/")


def test_environment() -> None:
    spec = ContainerSpec(image="i", environment={"B": "3", "C": "x=y"})
    assert command.merge(spec, IMAGE, hostname="h", home="/root").env == (
        "A=1",
        "B=3",
        "C=x=y",
        "HOME=/root",
        "HOSTNAME=h",
        f"PATH={command.DEFAULT_PATH}",
    )
    own = ImageDefaults(cmd=("c",), env=("PATH=/bin", "HOME=/x"))
    env = command.merge(ContainerSpec(image="i"), own, hostname="h", home="/root").env
    assert env == ("HOME=/x", "HOSTNAME=h", "PATH=/bin")


DIRECTORIES = {
    "/srv": "/srv",
    "srv/x": "/srv/x",
    "/srv/../etc/": "/etc",
    "//srv": "/srv",
    "/procs": "/procs",
}


@pytest.mark.parametrize(("written", "expected"), DIRECTORIES.items())
def test_working_dir(written: str, expected: str) -> None:
    spec = ContainerSpec(image="i", working_dir=written)
    assert command.working_dir(spec, IMAGE) == expected


@pytest.mark.parametrize("written", ["/proc", "/proc/self/fd/7", "/x/../proc/1", "//proc/1"])
def test_no_way_out_by_the_working_dir(written: str) -> None:
    with pytest.raises(BadWorkingDir):
        command.working_dir(ContainerSpec(image="i", working_dir=written), IMAGE)
