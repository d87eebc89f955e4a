"""A tree of projects: which, in which order, and what is wrong with the others."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from reconciler.trees import NoSpecs, SameName, read_tree

BOX = "containers: {box: {image: 'busybox:1'}}\n"


def put(root: Path, specs: Mapping[str, str]) -> None:
    for name, text in specs.items():
        (root / name).mkdir(parents=True, exist_ok=True)
        (root / name / "trueup.yaml").write_text(text)


def ordered(root: Path) -> list[str]:
    return [each.project for each in read_tree(root, {}).members]


def test_projects_come_by_their_paths(tmp_path: Path) -> None:
    put(tmp_path, {"b/z": BOX, "a": BOX, "c": f"project: aaa\n{BOX}"})
    assert ordered(tmp_path) == ["a", "z", "aaa"]
    assert read_tree(tmp_path, {}).circle == ()


@pytest.mark.parametrize(
    "external",
    [
        "networks: {far: {external: true, name: z_back}}",
        "networks: {z_back: {external: true}}",
        "networks: {far: {external: {name: meadow}}}",
        "volumes: {far: {external: true, name: z_wares}}",
        "volumes: {theirs: {external: true, name: goods}}",
    ],
)
def test_an_owner_comes_before_those_who_use_what_is_its_own(external: str, tmp_path: Path) -> None:
    owner = "networks: {back: {}, field: {name: meadow}}\nvolumes: {wares: {}, w: {name: goods}}\n"
    put(tmp_path, {"a": f"{external}\n{BOX}", "b": BOX, "z": f"{owner}{BOX}"})
    assert ordered(tmp_path) == ["b", "z", "a"]


def test_what_belongs_to_nobody_here_changes_no_order(tmp_path: Path) -> None:
    put(tmp_path, {"a": f"networks: {{far: {{external: true}}}}\n{BOX}", "b": BOX})
    assert ordered(tmp_path) == ["a", "b"]


def test_a_circle_is_told_and_cut_at_its_first_project(tmp_path: Path) -> None:
    def of(owner: str) -> str:
        return f"networks: {{own: {{}}, far: {{external: true, name: {owner}_own}}}}\n{BOX}"

    put(tmp_path, {"a": of("c"), "b": of("d"), "c": of("b"), "d": of("c"), "e": BOX})
    tree = read_tree(tmp_path, {})
    assert tree.circle == ("c", "b", "d")
    assert sorted(each.project for each in tree.members) == ["a", "b", "c", "d", "e"]


def test_two_specs_of_one_name_are_both_refused_with_their_places(tmp_path: Path) -> None:
    put(tmp_path, {"a": BOX, "b": f"# b\nproject: a\n{BOX}", "c": BOX})
    tree = read_tree(tmp_path, {})
    assert [each.project for each in tree.members] == ["c"]
    (fault,) = tree.broken
    assert isinstance(fault, SameName)
    assert fault.why == f"{tmp_path}/a/trueup.yaml, {tmp_path}/b/trueup.yaml:2"
    assert fault.exit_code == 64


def test_a_broken_spec_hinders_no_other(tmp_path: Path) -> None:
    put(tmp_path, {"a": "containers: {web: {imge: x}}\n", "b": BOX, "c": "["})
    tree = read_tree(tmp_path, {})
    assert [each.project for each in tree.members] == ["b"]
    told = [fault.what.partition(":")[0] for fault in tree.broken]
    assert told == [f"{tmp_path}/a/trueup.yaml", f"{tmp_path}/c/trueup.yaml"]


def test_a_tree_without_specs_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(NoSpecs, match="there is no spec in"):
        read_tree(tmp_path, {})
