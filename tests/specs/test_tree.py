"""Which specs a tree of projects has."""

from pathlib import Path

from specs.tree import open_folders, specs_below


def put(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("containers: {}\n")


def test_every_folder_with_a_spec_is_found_in_order(tmp_path: Path) -> None:
    put(tmp_path, "trueup.yaml", "web/trueup.yaml", "data/db/trueup.yml", "data/readme.yaml")
    named = [str(Path(found).relative_to(tmp_path)) for found in specs_below(tmp_path)]
    assert named == ["data/db/trueup.yml", "trueup.yaml", "web/trueup.yaml"]


def test_the_first_of_two_spellings_is_the_spec(tmp_path: Path) -> None:
    put(tmp_path, "trueup.yaml", "trueup.yml")
    assert specs_below(tmp_path) == (str(tmp_path / "trueup.yaml"),)


def test_hidden_folders_parts_and_links_are_not_entered(tmp_path: Path) -> None:
    put(tmp_path, ".git/trueup.yaml", "web/trueup.d/trueup.yaml", "web/trueup.yaml")
    (tmp_path / "link").symlink_to(tmp_path / "web")
    (tmp_path / "circle").symlink_to(tmp_path)
    assert specs_below(tmp_path) == (str(tmp_path / "web" / "trueup.yaml"),)


def test_a_tree_without_specs_has_none(tmp_path: Path) -> None:
    assert specs_below(tmp_path) == ()


def test_a_spec_may_appear_everywhere_but_below_a_project(tmp_path: Path) -> None:
    put(tmp_path, "trueup.yaml", "web/trueup.yaml", "web/data/note", "x/y/note", ".git/note")
    put(tmp_path, "web/trueup.d/a.yaml", "x/trueup.d/note")
    found = [str(Path(each).relative_to(tmp_path)) for each in open_folders(tmp_path)]
    assert found == [".", "web", "x", "x/y"]
