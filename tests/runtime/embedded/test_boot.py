"""The folders of an instance: only its own are ever chmodded, emptied or removed."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.cli.main import main
from runtime.embedded import boot
from runtime.embedded.linux import files, mounts
from runtime.embedded.paths import Paths, UnfitRoot
from tests.runtime.embedded.deep import deep

pytestmark = pytest.mark.root


@pytest.fixture
def paths(tmp_path: Path) -> Iterator[Paths]:
    """An instance that was never used."""
    made = Paths.below(tmp_path / "i")
    yield made
    for target in (made.run / "deep", made.run):
        while mounts.is_other_file_system(target):
            mounts.unmount(str(target))


def foreign(folder: Path) -> Path:
    """A file of somebody else's in a folder of his."""
    folder.mkdir(parents=True)
    folder.chmod(0o755)
    (folder / "precious").write_text("mine")
    return folder / "precious"


# --- whose folder it is ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["lib", "run"])
def test_a_foreign_folder_is_neither_emptied_nor_chmodded(paths: Paths, name: str) -> None:
    folder = getattr(paths, name)
    precious = foreign(folder)
    for call in (boot.prepare, boot.begin, boot.empty):
        with pytest.raises(boot.NotOurs, match=f"{folder} cannot be used") as raised:
            call(paths)
        assert "--root" in raised.value.hint
    assert precious.read_text() == "mine"
    assert oct(folder.stat().st_mode) == "0o40755"
    assert sorted(os.listdir(folder.parent)) == [name]


def test_the_command_says_it_before_it_makes_anything(
    paths: Paths, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    precious = foreign(paths.lib)
    spec = tmp_path / "trueup.yaml"
    spec.write_text("project: shop\ncontainers: {web: {image: '127.0.0.1:1/none'}}\n")
    assert main(["--root", str(paths.lib.parent), "apply", str(spec)]) == 1
    assert f"{paths.lib} cannot be used" in capsys.readouterr().err
    assert os.listdir(paths.lib) == [precious.name]


def test_what_was_begun_here_is_begun_and_emptied_again(paths: Paths) -> None:
    paths.lib.mkdir(parents=True)  # somebody made the folder for us
    boot.begin(paths)
    boot.begin(paths)
    boot.empty(paths)
    boot.empty(paths)
    assert not paths.run.exists()
    boot.begin(paths)
    boot.empty(paths)


def test_an_instance_from_before_there_were_marks_is_known(paths: Paths) -> None:
    paths.lib.mkdir(parents=True)
    paths.ledger.touch()
    paths.run.mkdir()
    paths.boot_id.write_text("another boot\n")
    (paths.run / "old").touch()
    boot.begin(paths)
    assert not (paths.run / "old").exists()


def test_whoever_is_killed_while_he_empties_leaves_a_marked_folder(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    boot.begin(paths)
    mounts.unmount(str(paths.run))
    for name in (".trueup", "boot_id", "bundles", "later"):
        (paths.run / name).touch()
    real = files.remove
    seen: list[Path] = []

    def dying(path: Path) -> None:
        if seen:
            raise KeyboardInterrupt
        seen.append(path)
        real(path)

    monkeypatch.setattr("runtime.embedded.linux.files.remove", dying)
    with pytest.raises(KeyboardInterrupt):
        boot.empty(paths)
    monkeypatch.undo()
    assert not (paths.run / "boot_id").exists()
    boot.empty(paths)
    assert not paths.run.exists()


@pytest.mark.parametrize(
    "root", ["/", "/usr", "/usr/local", "/var", "/var/lib", "/etc/x", "/run", "/var/lib/trueup/x"]
)
def test_a_folder_of_the_system_is_no_root(root: str) -> None:
    with pytest.raises(UnfitRoot, match="cannot be the root"):
        Paths.below(Path(root))


# --- removing -------------------------------------------------------------------------------------


def test_a_folder_is_removed_however_deep_and_what_is_mounted_in_it_is_not(tmp_path: Path) -> None:
    kept, precious = tmp_path / "kept", foreign(tmp_path / "theirs")
    deep(kept / "upper", 1200)
    (kept / "mounted").mkdir()
    mounts.bind(str(precious.parent), str(kept / "mounted"))
    mounts.remove_unmounting(kept)
    mounts.remove_unmounting(kept)
    assert os.listdir(tmp_path) == ["theirs"]
    assert precious.read_text() == "mine"


NAMES = ["grün", "日本", "a b\tc\nd\\e", "\\303\\274", b"\xff\xfe"]


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_mounts_are_found_whatever_the_names(tmp_path: Path, name: str | bytes) -> None:
    top = tmp_path / os.fsdecode(name)
    theirs = foreign(tmp_path / "theirs").parent
    (top / "in").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path)
    mounts.bind(str(theirs), str(top / "in"))
    assert mounts.below(top) == [str(top / "in")]
    assert mounts.below(tmp_path / "link" / top.name) == [str(top / "in")]
    assert mounts.below(tmp_path / "link") == []
    mounts.remove_unmounting(top)
    assert mounts.below(top) == []
    assert os.listdir(theirs) == ["precious"]
