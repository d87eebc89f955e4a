"""A tree of projects: which, in which order, and what is wrong with the others."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from reconciler.reach import WithinReach
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


def mounting(*mounts: str) -> str:
    return f"containers: {{box: {{image: 'busybox:1', volumes: {list(mounts)}}}}}\n"


@pytest.mark.parametrize(
    ("mount", "planted"),
    [
        ("./data:/data", "a/data"),
        ("./data:/data", "a/data/deep/er"),
        ("../uploads:/data", "uploads"),
        ("../uploads:/data", "0"),  # a link to uploads
        ("..:/data", "0/spec"),
        (".:/data", "a/inner"),
    ],
)
def test_what_a_container_could_have_written_is_no_spec(
    mount: str, planted: str, tmp_path: Path
) -> None:
    (tmp_path / "uploads").mkdir()
    put(tmp_path, {"a": mounting(mount), "b": BOX})
    if planted == "0":
        (tmp_path / "uploads" / "trueup.yaml").write_text(BOX)
        (tmp_path / "0").mkdir()
        (tmp_path / "0" / "trueup.yaml").symlink_to(tmp_path / "uploads" / "trueup.yaml")
    else:
        put(tmp_path, {planted: BOX})
    tree = read_tree(tmp_path, {})
    assert "a" in [each.project for each in tree.members]
    told = [fault for fault in tree.broken if isinstance(fault, WithinReach)]
    assert f"{tmp_path}/{planted}/trueup.yaml" in [str(fault.path) for fault in told]
    assert f"in container a/box ({tmp_path}/a/trueup.yaml:1)" in told[0].why


def test_what_is_refused_keeps_no_spec_further_up_from_use(tmp_path: Path) -> None:
    put(tmp_path, {"a": mounting("./data:/data"), "a/data": mounting("/:/host"), "b": BOX})
    assert ordered(tmp_path) == ["a", "b"]


def test_of_two_that_could_have_written_each_other_none_is_used(tmp_path: Path) -> None:
    put(tmp_path, {"a": mounting("../b:/b"), "b": mounting("/:/host"), "c/d": BOX})
    tree = read_tree(tmp_path, {})
    assert tree.members == ()
    assert len(tree.broken) == 3


def test_what_a_container_only_reads_and_its_own_folder_are_no_danger(tmp_path: Path) -> None:
    put(tmp_path, {"a": mounting("../conf:/conf:ro", ".:/own"), "conf/b": BOX})
    assert ordered(tmp_path) == ["a", "b"]


def test_a_folder_of_the_host_as_a_volume_counts_as_written(tmp_path: Path) -> None:
    device = f"{{type: none, o: bind, device: {tmp_path}/data}}"
    put(tmp_path, {"a": f"{BOX}volumes: {{v: {{driver_opts: {device}}}}}\n", "data/b": BOX})
    tree = read_tree(tmp_path, {})
    assert [each.project for each in tree.members] == ["a"]
    assert "volume v (" in str(tree.broken[0])
