"""``-r``: each command on a tree of projects."""

import json
from pathlib import Path

import pytest

from runtime.errors import Fault
from tests.reconciler.cli.conftest import World

BOX = "containers: {box: {image: 'busybox:1'}}\n"
COMMANDS = ("apply", "plan", "status", "validate", "watch")


@pytest.fixture
def tree(world: World) -> World:
    """The tree `a`, `b` in the folder that we are in."""
    world.spec.unlink()
    for name in ("a", "b"):
        put(world, name, BOX)
    return world


def put(world: World, name: str, spec: str) -> None:
    (world.folder / name).mkdir(exist_ok=True)
    (world.folder / name / "trueup.yaml").write_text(spec)


def running(world: World) -> list[str]:
    return sorted(str(each.key) for each in world.runtime.containers() if each.pid)


def test_every_project_is_applied_under_its_header(tree: World) -> None:
    planned = tree.run("plan", "-r")
    assert (planned.code, planned.err) == (2, "")
    expected = "  + network default\n  + image busybox:1  not here yet\n  + container box\n"
    assert planned.out.startswith(f"== a (a/trueup.yaml)\n{expected}\n3 to create")
    assert f"\n\n== b (b/trueup.yaml)\n{expected}" in planned.out
    ran = tree.run("apply", "--recursive", ".")
    assert (ran.code, ran.err) == (0, "")
    assert [line for line in ran.out.splitlines() if "==" in line] == [
        "== a (a/trueup.yaml)",
        "== b (b/trueup.yaml)",
    ]
    assert running(tree) == ["a/box", "b/box"]
    assert tree.run("plan", "-r").code == 0
    assert tree.run("apply", "-r").out == (
        "== a (a/trueup.yaml)\nnothing to change\n\n== b (b/trueup.yaml)\nnothing to change\n"
    )


def test_a_tree_of_one_project_has_no_header(tree: World) -> None:
    (tree.folder / "b" / "trueup.yaml").unlink()
    tree.run("apply", "-r")
    assert tree.run("apply", "-r").out == "nothing to change\n"


def test_a_project_that_fails_does_not_stop_the_next(tree: World) -> None:
    put(tree, "a", BOX.replace("box:", "bad:"))
    tree.runtime.faults["start", "bad"] = Fault("bad did not start", why="exit code 1")
    ran = tree.run("apply", "-r")
    assert ran.code == 1
    assert "bad did not start" in ran.err
    assert running(tree) == ["b/box"]


def test_a_project_that_cannot_begin_does_not_stop_the_next(tree: World) -> None:
    put(tree, "a", BOX.replace("}}", ", ports: ['80:80']}}"))
    tree.runtime.foreign_ports[None, 80, "tcp"] = "nginx[812]"
    assert tree.run("plan", "-r").code == 1
    ran = tree.run("apply", "-r")
    assert ran.code == 1
    assert "a: nothing was changed\n" in ran.err
    assert running(tree) == ["b/box"]


def test_a_broken_spec_is_told_in_full_and_the_others_are_applied(tree: World) -> None:
    put(tree, "a", "containers: {web: {imge: x, portz: []}}\n")
    for command, told in (("plan", "+ container box"), ("apply", "b: 3 changes made")):
        ran = tree.run(command, "-r")
        assert ran.code == 64
        assert "a/trueup.yaml:1:20: " in ran.err
        assert "a/trueup.yaml:1:29: " in ran.err
        assert "== b (b/trueup.yaml)\n" in ran.out
        assert told in ran.out
    assert running(tree) == ["b/box"]


def test_two_specs_of_one_project_are_both_refused(tree: World) -> None:
    put(tree, "c", f"project: a\n{BOX}")
    ran = tree.run("apply", "-r")
    assert (ran.code, ran.err) == (
        64,
        "project a is declared more than once, and none of these is used: "
        "a/trueup.yaml, c/trueup.yaml:1\n  give each another name with `project:`\n",
    )
    assert running(tree) == ["b/box"]


def test_a_circle_is_told(tree: World) -> None:
    for name, other in (("a", "b"), ("b", "a")):
        spec = f"networks: {{own: {{}}, far: {{external: true, name: {other}_own}}}}\n"
        put(tree, name, spec + BOX)
    told = "warning: a, b use networks or volumes of each other in a circle\n"
    assert told in tree.run("validate", "-r").err


def test_validate_tells_each_spec(tree: World) -> None:
    ran = tree.run("validate", "-r")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out == "a: the spec is valid (1 container)\nb: the spec is valid (1 container)\n"
    put(tree, "a", "[")
    ran = tree.run("validate", "-r")
    assert (ran.code, ran.out) == (64, "b: the spec is valid (1 container)\n")


def test_status_shows_each_project(tree: World) -> None:
    tree.run("apply", "a")
    ran = tree.run("status", "-r")
    assert ran.code == 0
    assert f"== a (a/trueup.yaml)\na ({tree.folder}/a): in sync\n" in ran.out
    assert f"\n== b (b/trueup.yaml)\nb ({tree.folder}/b): changes are pending\n" in ran.out


@pytest.mark.parametrize("command", ["plan", "apply", "status"])
def test_json_is_a_document_per_line(command: str, tree: World) -> None:
    lines = tree.run(command, "-r", "--format", "json").out.splitlines()
    documents = [json.loads(line) for line in lines]
    assert [each.get("plan", each)["project"] for each in documents] == ["a", "b"]


def test_a_dry_run_and_the_time_are_for_all(tree: World) -> None:
    ran = tree.run("apply", "-r", "--dry-run")
    assert ran.code == 0
    assert ran.out.count("3 to create") == 2
    assert tree.runtime.effects == []
    ran = tree.run("apply", "-r", "--timeout", "0")
    assert ran.code == 1
    assert ran.err.count("timed out: 0 of 3 changes made") == 2


def test_a_tree_that_moved_is_taken_over(tree: World) -> None:
    tree.run("apply", "-r")
    for name in ("a", "b"):
        (tree.folder / name).rename(tree.folder / f"new-{name}")
        put(tree, f"new-{name}", f"project: {name}\n{BOX}")
    assert tree.run("apply", "-r").code == 1
    assert tree.run("apply", "-r", "--take-over").code == 0
    assert tree.run("plan", "-r").code == 0


@pytest.mark.parametrize(
    "words",
    [
        ("apply", "--only", "box"),
        ("apply", "--plan", "kept"),
        ("apply", "--recreate-volume", "data"),
        ("plan", "--only", "box"),
        ("plan", "--output", "kept"),
        ("plan", "--recreate-volume", "data"),
    ],
    ids=" ".join,
)
def test_what_speaks_of_one_project_is_refused(words: tuple[str, ...], tree: World) -> None:
    ran = tree.run(*words, "-r")
    assert ran.code == 64
    assert ran.err.startswith(f"{words[1]} does not go with -r\n")


@pytest.mark.parametrize("command", COMMANDS)
def test_a_tree_needs_a_folder_with_a_spec(command: str, tree: World) -> None:
    ran = tree.run(command, "-r", str(Path("a", "trueup.yaml")))
    assert (ran.code, ran.out) == (64, "")
    assert ran.err.startswith("a/trueup.yaml is no folder\n")
    for name in ("a", "b"):
        (tree.folder / name / "trueup.yaml").unlink()
    ran = tree.run(command, "-r")
    assert (ran.code, ran.out) == (64, "")
    assert ran.err.startswith("there is no spec in . or below\n  a spec is a file called")


def test_down_knows_no_trees_and_needs_no_spec_for_a_named_project(tree: World) -> None:
    assert "trueup down has no option -r" in tree.run("down", "-r").err
    tree.run("apply", "-r")
    (tree.folder / "a" / "trueup.yaml").unlink()
    assert tree.run("down", "--project", "a").code == 0
    assert running(tree) == ["b/box"]
