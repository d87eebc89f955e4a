"""``save``, ``load``, ``import`` and ``export``: what is read, written, refused and left."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from runtime.api import ArchiveForm, ImageDefaults, Loaded
from runtime.errors import Fault
from tests.fake_images import image_id
from tests.reconciler.cli.conftest import World

ID = image_id("web", 1)


@pytest.fixture
def stocked(world: World) -> World:
    world.runtime.images.local["docker.io/library/nginx:1.27"] = ID
    return world


@contextmanager
def stdin(content: bytes) -> Iterator[None]:
    """What the commands read from the descriptor 0."""
    kept = os.dup(0)
    inner, outer = os.pipe()
    os.write(outer, content)
    os.close(outer)
    os.dup2(inner, 0)
    try:
        yield
    finally:
        os.dup2(kept, 0)
        os.close(inner)
        os.close(kept)


def on_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reconciler.cli.files.is_terminal", lambda _stream: True)


@pytest.mark.parametrize(
    ("words", "form"),
    [
        ([], ArchiveForm.DOCKER),
        (["--format", "docker-archive"], ArchiveForm.DOCKER),
        (["--format", "oci-archive"], ArchiveForm.OCI),
        (["--oci"], ArchiveForm.OCI),
    ],
    ids=str,
)
def test_save_writes_the_form_that_was_asked_for(
    stocked: World, tmp_path: Path, words: list[str], form: ArchiveForm
) -> None:
    file = tmp_path / "out.tar"
    ran = stocked.run("save", *words, "-o", str(file), "nginx:1.27", ID[7:19])
    assert (ran.code, ran.out) == (0, "")
    assert stocked.runtime.images.heard == (("nginx:1.27", ID[7:19]), form)
    assert file.read_text() == f"{form} {ID} {ID}\n"
    assert file.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.glob(".*")) == []


def test_save_writes_to_stdout(stocked: World, tmp_path: Path) -> None:
    kept, file = os.dup(1), tmp_path / "out"
    with file.open("wb") as sink:
        os.dup2(sink.fileno(), 1)
        try:
            ran = stocked.run("image", "save", "nginx:1.27")
        finally:
            os.dup2(kept, 1)
            os.close(kept)
    assert (ran.code, ran.out, file.read_text()) == (0, "", f"docker-archive {ID}\n")


def test_a_save_that_fails_leaves_the_older_file_and_nothing_beside_it(
    stocked: World, tmp_path: Path
) -> None:
    stocked.runtime.faults["save", "nginx:1.27"] = Fault("a layer is damaged")
    folder = tmp_path / "files"
    folder.mkdir()
    kept = folder / "a.tar"
    kept.write_text("older")
    assert stocked.run("save", "-o", str(kept), "nginx:1.27").code == 1
    assert stocked.run("save", "-o", str(folder / "b.tar"), "nobody").code == 1
    assert [each.name for each in folder.iterdir()] == ["a.tar"]
    assert kept.read_text() == "older"


def test_save_writes_into_a_device_or_pipe_instead_of_replacing_it(
    stocked: World, tmp_path: Path
) -> None:
    pipe, link = tmp_path / "pipe", tmp_path / "link"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    assert stocked.run("save", "-o", str(pipe), "nginx:1.27").code == 0
    assert os.read(reader, 100).decode().startswith("docker-archive")
    assert pipe.is_fifo()
    link.symlink_to(tmp_path / "real.tar")
    assert stocked.run("save", "-o", str(link), "nginx:1.27").code == 0
    assert link.is_symlink()
    assert (tmp_path / "real.tar").exists()
    os.close(reader)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["save", "-o", ".", "nginx:1.27"], ". cannot be written: Is a directory"),
        (["save", "-o", "no/x.tar", "nginx:1.27"], "no/x.tar cannot be written: No such file"),
        (["load", "-i", "no.tar"], "no.tar cannot be read: No such file"),
        (["load", "-i", "."], ". cannot be read: Is a directory"),
        (["import", "no.tar"], "no.tar cannot be read: No such file"),
        (["import", "."], ". cannot be read: Is a directory"),
        (["import", "https://r.lab/x.tar"], "https://r.lab/x.tar is not fetched: nothing tells"),
        (["export", "nobody"], "there is no container `nobody`"),
    ],
    ids=str,
)
def test_what_cannot_be_is_refused_with_1_and_one_message(
    stocked: World, words: list[str], told: str
) -> None:
    ran = stocked.run(*words)
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.startswith(told)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["save", "nginx:1.27"], "an archive of images is not written to a terminal"),
        (["load"], "an archive of images is not read from a terminal"),
        (["import", "-"], "a tar of a file system is not read from a terminal"),
        (["export", "web"], "the file system of a container is not written to a terminal"),
    ],
    ids=str,
)
def test_terminals_are_refused(
    stocked: World, monkeypatch: pytest.MonkeyPatch, words: list[str], told: str
) -> None:
    assert stocked.run("apply", "-y").code == 0
    before = list(stocked.runtime.effects)
    on_terminal(monkeypatch)
    ran = stocked.run(*words)
    assert ran.code == 1
    assert ran.err.startswith(told)
    assert stocked.runtime.effects == before


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["save"], "the following arguments are required: IMAGE"),
        (["save", "--format", "zip", "x"], "argument --format: `zip` is no form of archive"),
        (["import"], "the following arguments are required: FILE|-"),
        (["import", "-", f"x@sha256:{'a' * 64}"], f"`x@sha256:{'a' * 64}` has a digest"),
        (["import", "--platform", "amd64", "-"], "argument --platform: `amd64` is no platform"),
        (["import", "-c", "RUN make", "-"], "`RUN make` cannot be carried out: there is no"),
    ],
    ids=str,
)
def test_wrong_usage_is_64(stocked: World, words: list[str], told: str) -> None:
    ran = stocked.run(*words)
    assert (ran.code, ran.out) == (64, "")
    assert ran.err.startswith(told)


def test_load_names_every_image(world: World, tmp_path: Path) -> None:
    other = image_id("other", 1)
    world.runtime.images.archive = (
        Loaded(id=ID, references=("docker.io/library/nginx:1.27", "r.lab/web:2")),
        Loaded(id=other),
    )
    file = tmp_path / "x.tar"
    file.write_text("an archive")
    told = f"Loaded image: nginx:1.27\nLoaded image: r.lab/web:2\nLoaded image ID: {other}\n"
    assert world.run("load", "-i", str(file)).out == told
    assert world.runtime.images.heard == (b"an archive", str(file))
    with stdin(b"piped"):
        assert world.run("image", "load", "-q").out == told
    assert world.runtime.images.heard == (b"piped", "the standard input")


def test_import_makes_an_image_that_runs_as_it_was_told_to(world: World, tmp_path: Path) -> None:
    file = tmp_path / "tree.tar"
    file.write_text("a tree")
    changes = ("-c", 'CMD ["nginx"]', "--change", "ENV A=1")
    ran = world.run(
        "import", *changes, "-m", "by hand", "--platform", "linux/arm64", str(file), "site:2"
    )
    assert ran.out == f"{image_id('a tree', 1)}\n"
    assert world.runtime.images.heard == (
        b"a tree",
        str(file),
        "docker.io/library/site:2",
        ImageDefaults(cmd=("nginx",), env=("A=1",)),
        "by hand",
        "linux/arm64",
    )
    with stdin(b"nameless"):
        assert world.run("image", "import", "-").code == 0
    assert world.runtime.images.heard[1:3] == ("the standard input", "")


def test_export_writes_the_tree_of_a_container(world: World, tmp_path: Path) -> None:
    assert world.run("apply", "-y").code == 0
    id = world.run("ps", "-q", "--no-trunc", "--filter", "name=web").out.strip()
    file = tmp_path / "web.tar"
    assert world.run("export", "-o", str(file), "web").code == 0
    assert file.read_text() == f"tree of {id}\n"
