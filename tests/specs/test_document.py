"""YAML text -> nodes: places, scalars as written, and the bounds that keep bombs out."""

import time

import pytest

from specs.document import MOST_NODES, read
from specs.nodes import List, Map, Node, Text
from specs.source import Source, Span


def root_of(text: str) -> Node:
    document = read(Source("f.yaml", text))
    assert document.problems == []
    assert document.root is not None
    return document.root


def told(text: str) -> list[str]:
    return [f"{p.span} {p.text}" for p in read(Source("f.yaml", text)).problems]


def plain(node: Node) -> object:
    """The tree as bare values."""
    if isinstance(node, Map):
        return {str(key): plain(value) for key, value in node.items()}
    return [plain(item) for item in node] if isinstance(node, List) else str(node)


def test_every_key_and_value_knows_its_place() -> None:
    root = root_of("a:\n  b: [x, 'y']\n")
    assert isinstance(root, Map)
    inner = root["a"]
    assert root.keys_at["a"].span == Span("f.yaml", 1, 1)
    assert inner.keys_at["b"].span == Span("f.yaml", 2, 3)
    assert [(item.span.column, item.width, item.plain) for item in inner["b"]] == [
        (7, 1, True),
        (10, 3, False),
    ]


@pytest.mark.parametrize(
    "written",
    [
        "22:22",
        "0644",
        "0o17",
        "no",
        "NO",
        "on",
        "1_000",
        "1e3",
        ".5",
        "2001-12-14",
        "0x1f",
        "null x",
        "=",
        "6.0",
    ],
)
def test_a_scalar_stays_as_it_was_written_whatever_yaml_1_1_makes_of_it(written: str) -> None:
    assert plain(root_of(f"k: {written}")) == {"k": written}


@pytest.mark.parametrize(
    ("written", "null"),
    [("", True), ("~", True), ("null", True), ("NULL", True), ("''", False), ("'null'", False),
     ("!!str null", False), ("!!null ''", False), ("none", False)],
)  # fmt: skip
def test_nothing_is_null_only_without_quotes(written: str, null: bool) -> None:
    root = root_of(f"k: {written}")
    assert isinstance(root, Map)
    assert root["k"].null is null


MERGES = {
    "own keys win": ("a: &a {x: 1, y: 2}\nb: {<<: *a, x: 3}", {"x": "3", "y": "2"}),
    "the merge may come last": ("a: &a {x: 1}\nb: {x: 3, <<: *a}", {"x": "3"}),
    "the first of several wins": (
        "a: &a {x: 1}\nc: &c {x: 2, z: 4}\nb: {<<: [*a, *c]}",
        {"x": "1", "z": "4"},
    ),
    "a quoted << is a key": ("b: {'<<': 1}", {"<<": "1"}),
    "an anchor may be defined again": ("a: &a {x: 1}\nc: &a {x: 2}\nb: {<<: *a}", {"x": "2"}),
}


@pytest.mark.parametrize("case", MERGES)
def test_merge_keys(case: str) -> None:
    text, expected = MERGES[case]
    root = root_of(text)
    assert isinstance(root, Map)
    assert plain(root["b"]) == expected


REFUSED = {
    "a python object": (
        "a: !!python/name:os.system x",
        "f.yaml:1 the tag `!!python/name:os.system` is not allowed in a spec",
    ),
    "an own tag": ("a: !include x.yaml", "f.yaml:1 the tag `!include` is not allowed in a spec"),
    "binary": ("a: !!binary aGk=", "f.yaml:1 the tag `!!binary` is not allowed in a spec"),
    "a timestamp": (
        "a: !!timestamp 2001-12-14",
        "f.yaml:1 the tag `!!timestamp` is not allowed in a spec",
    ),
    "a tag on a map": ("a: !!set {x}", "f.yaml:1 the tag `!!set` is not allowed in a spec"),
    "an anchor within itself": ("a: &a [*a]", "f.yaml:1 `*a` stands inside what it refers to"),
    "an unknown anchor": ("a: *b", "f.yaml:1 `*b` has no anchor `&…` above it"),
    "a merge of a scalar": ("a: {<<: 1}", "f.yaml:1 `<<` takes a map or a list of maps"),
    "a list as a key": ("? [a]\n: b", "f.yaml:1 a key must be a single word, not a list or map"),
    "a second document": ("a: 1\n---\nb: 2", "f.yaml:2 a second document begins here"),
    "a reserved character": ("a: @b", "f.yaml:1 a value cannot begin with `@`"),
    "an open list": ("a: [1, 2\n", "f.yaml:2 a list `[` is not closed"),
    "an open map": ("a: {x: 1\n", "f.yaml:2 a map `{` is not closed"),
    "a key without colon": ("a: 1\nb\nc: 2\n", "f.yaml:3 a key without its `:`"),
    "a key too far left": ("a:\n    b: 1\n  c: 2\n", "f.yaml:3 YAML expected another key here"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused(case: str) -> None:
    text, problem = REFUSED[case]
    assert told(text) == [problem]


def test_of_two_equal_keys_both_places_are_told_and_the_first_stays() -> None:
    document = read(Source("f.yaml", "a: 1\nb: 2\na: 3\n"))
    (problem,) = document.problems
    assert (problem.text, str(problem.span), str(problem.other)) == (
        "`a` is here twice",
        "f.yaml:3",
        "f.yaml:1",
    )
    assert document.root is not None
    assert plain(document.root) == {"a": "1", "b": "2"}


def bomb(section: str) -> str:
    levels = ["x-0: &l0 [x, x, x, x, x, x, x, x, x, x]"]
    levels += [f"x-{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 10)}]" for n in range(1, 12)]
    return "\n".join([*levels, f"{section}: *l11"])


def merge_bomb() -> str:
    lines = ["m0: &m0 {a: 1, b: 2, c: 3}"]
    lines += [f"m{n}: &m{n} {{<<: [{', '.join([f'*m{n - 1}'] * 10)}]}}" for n in range(1, 12)]
    return "\n".join(lines)


BOMBS = {
    **{f"aliases in {s}": bomb(s) for s in ("containers", "images", "volumes", "x-y")},
    "merge keys": merge_bomb(),
    "a flow 100,000 deep": "[" * 100_000,
    "maps in flow 100,000 deep": "{a: " * 100_000,
    "a block 100,000 deep": "- " * 100_000,
    "explicit keys": "? " * 100_000,
    "nested through aliases": "\n".join(
        ["a0: &a0 [x]", *(f"a{n}: &a{n} [*a{n - 1}]" for n in range(1, 500))]
    ),
    "200,000 items": "[" + "a," * 200_000 + "]",
    "200,000 keys": "\n".join(f"k{n}: 1" for n in range(200_000)),
}


@pytest.mark.parametrize("case", BOMBS)
def test_a_bomb_is_refused_within_a_second_with_its_place(case: str) -> None:
    start = time.process_time()
    document = read(Source("f.yaml", BOMBS[case]))
    assert time.process_time() - start < 1.0
    (problem,) = document.problems
    assert problem.span is not None
    assert problem.text.startswith((f"more than {MOST_NODES:,} values", "nested more than 64"))


def test_a_hundred_aliases_are_fine() -> None:
    root = root_of("a: &a {x: [1, 2, 3]}\nb: [" + ", ".join(["*a"] * 100) + "]")
    assert isinstance(root, Map)
    assert len(root["b"]) == 100


def test_the_pure_parser_reads_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    import yaml

    from specs import document

    text = "a: &a {x: 'y', z: |\n  text\n}\nb: [*a, 0644, ~]\n".replace("z: |\n  text\n", "z: w")
    fast = plain(root_of(text))
    monkeypatch.setattr(document, "_LOADER", yaml.SafeLoader)
    assert plain(root_of(text)) == fast


def test_a_text_is_a_str_with_a_place() -> None:
    node = root_of("hello")
    assert isinstance(node, Text)
    assert node == "hello"
