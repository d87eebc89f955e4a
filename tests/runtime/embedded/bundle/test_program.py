"""What execvp would find in the image is found, and nothing of the host's."""

from pathlib import Path

import pytest

from runtime.embedded.bundle.command import Command
from runtime.embedded.bundle.program import NoSuchProgram, NotExecutable, check


@pytest.fixture
def root(tmp_path: Path) -> Path:
    image = tmp_path / "image"
    (image / "usr/bin").mkdir(parents=True)
    (image / "app").mkdir()
    for path in ("usr/bin/httpd", "app/run"):
        (image / path).touch()
        (image / path).chmod(0o755)
    (image / "bin").symlink_to("usr/bin")
    (image / "usr/bin/busybox").symlink_to("/usr/bin/httpd")
    (image / "usr/bin/notes").touch(mode=0o644)
    (image / "usr/bin/out").symlink_to("/../../../../../../bin/sh")
    return image


def command(program: str, path: str = "/usr/local/bin:/bin", cwd: str = "/") -> Command:
    return Command(args=(program, "-x"), env=(f"PATH={path}",), cwd=cwd)


@pytest.mark.parametrize(
    ("program", "cwd"),
    [
        ("httpd", "/"),
        ("/bin/httpd", "/"),
        ("busybox", "/"),
        ("./run", "/app"),
        ("../app/run", "/usr"),
    ],
)
def test_it_is_there(root: Path, program: str, cwd: str) -> None:
    check(root, command(program, cwd=cwd), (), "shop/web")


@pytest.mark.parametrize(
    "program",
    ["htpd", "/bin/htpd", "./run", "/bin/out", "out", "/proc/self/exe"],
)
def test_it_is_not_there(root: Path, program: str) -> None:
    """Links end inside the image: the host's own shell is not the image's."""
    with pytest.raises(NoSuchProgram, match="shop/web cannot be started"):
        check(root, command(program), (), "shop/web")


@pytest.mark.parametrize("program", ["notes", "/usr/bin", "/usr/bin/notes"])
def test_it_cannot_be_executed(root: Path, program: str) -> None:
    with pytest.raises(NotExecutable, match=f"{program} in its image cannot be executed"):
        check(root, command(program), (), "shop/web")


def test_a_mount_may_bring_it(root: Path) -> None:
    check(root, command("/srv/tool/run"), ("/srv",), "shop/web")
    check(root, command("/srv/tool/run"), ("/srv/tool/run",), "shop/web")
    with pytest.raises(NoSuchProgram):
        check(root, command("/srv2/run"), ("/srv",), "shop/web")
