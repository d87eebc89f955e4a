"""`NAME=value` files, as Compose reads them."""

import pytest

from specs.envfile import parse

TABLE = {
    "A=1": {"A": "1"},
    "A=1\n\n# comment\nB=2\n": {"A": "1", "B": "2"},
    "export A=1": {"A": "1"},
    "A = spaced ": {"A": "spaced"},
    "A=": {"A": ""},
    "A": {"A": None},
    "A=x # comment": {"A": "x"},
    "A=x#y": {"A": "x#y"},
    "A=# comment": {"A": ""},
    "A='x # $B \\n' # comment": {"A": "x # $B \\n"},
    'A="x # y"': {"A": "x # y"},
    'A="a\\nb\\t\\"c\\" \\\\ \\$B \\q"': {"A": 'a\nb\t"c" \\ $B \\q'},
    'A="two\nlines"\nB=1': {"A": "two\nlines", "B": "1"},
    "A='two\nlines'": {"A": "two\nlines"},
    "A=1\nB=$A-${C:-d}-$$": {"A": "1", "B": "1-d-$"},
    "A='x' y": {"A": "'x' y"},
    "A=1\r\nB=2\r\n": {"A": "1", "B": "2"},
    "A=1\nA=2": {"A": "2"},
    "A.b-c=1": {"A.b-c": "1"},
    "A={\"x\": [1]}": {"A": "{\"x\": [1]}"},
    "OUT=$CALLER": {"OUT": "me"},
    "": {},
    "# only this": {},
}  # fmt: skip


@pytest.mark.parametrize("text", TABLE)
def test_a_file_reads(text: str) -> None:
    found = parse(text, "a.env", {"CALLER": "me"})
    assert found.problems == []
    assert found.values == TABLE[text]


@pytest.mark.parametrize(
    ("text", "line"), [("=x", 1), ("A=1\n1B=2", 2), ("a b", 1), ("A=1\nB='x", 2), ("A=${", 1)]
)
def test_a_line_that_is_not_one_is_told_with_its_place(text: str, line: int) -> None:
    (problem,) = parse(text, "a.env", {}).problems
    assert problem.span is not None
    assert problem.span.line == line


def test_no_problem_repeats_a_value() -> None:
    text = "A='geheim\nB=${geheim\ngeheim geheim\nC=${X:?geheim}\n"
    assert "geheim" not in str(parse(text, "a.env", {}).problems)
