"""Excerpts: the line and the caret, whatever is in the line."""

import pytest

from specs.problems import Problem, nearest_word, quoted, render
from specs.source import Region, Source, Span, escaped


def excerpt(line: str, column: int, width: int = 1) -> str:
    return Source("f", line).excerpt(Span("f", 1, column), width)


TABLE = {
    "a plain line": ("a: bcd", 4, 3, "  1 | a: bcd\n    |    ^^^"),
    "a tab": ("a:\tb", 4, 1, "  1 | a:\\tb\n    |     ^"),
    "wide letters": ("名前: x", 5, 1, "  1 | 名前: x\n    |       ^"),
    "an escape sequence": ("\x1b[31m: x", 8, 1, "  1 | \\x1b[31m: x\n    |           ^"),
    "a turn of direction": ("a\u202eb: x", 4, 1, "  1 | a\\u202eb: x\n    |         ^"),
    "a password": ("password: hunter2, x: y", 20, 1,
        "  1 | password: ***, x: y\n    |                ^"),
    "a quoted password": ("'db_passwd': \"a, b\"", 1, 1, "  1 | 'db_passwd': ***\n    | ^"),
    "a password's own place": ("token: abc", 8, 3, "  1 | token: ***\n    |        ^^^"),
    "an assignment": ("- DB_PASSWORD=abc", 3, 11, "  1 | - DB_PASSWORD=***\n    |   ^^^^^^^^^^^"),
    "a default": ("a: ${SECRET:-abc}", 1, 1, "  1 | a: ${SECRET:-***}\n    | ^"),
    "no secret": ("- ./secrets:/run/secrets:ro", 3, 9,
        "  1 | - ./secrets:/run/secrets:ro\n    |   ^^^^^^^^^"),
    "beyond the end": ("a", 9, 1, "  1 | a\n    |  ^"),
}  # fmt: skip


@pytest.mark.parametrize("case", TABLE)
def test_an_excerpt_of(case: str) -> None:
    line, column, width, expected = TABLE[case]
    assert excerpt(line, column, width) == expected


def test_of_a_long_line_the_part_around_the_place_is_shown() -> None:
    shown = excerpt("a" * 300 + "HERE" + "b" * 300, 301, 4).splitlines()
    assert len(shown[0]) < 120
    start = shown[1].index("^")
    assert shown[0][start : start + 4] == "HERE"
    assert shown[1].count("^") == 4


def test_hidden_regions_are_not_shown() -> None:
    source = Source("f", "key: abc\nrest\n")
    source.hide(1, Region(start=5, end=8))
    source.hide(2, Region(start=0, end=None))
    assert source.excerpt(Span("f", 1, 1), 3) == "  1 | key: ***\n    | ^^^"
    assert source.excerpt(Span("f", 2, 1), 4).startswith("  2 | ***")


def test_a_line_that_is_not_there_has_no_excerpt() -> None:
    assert Source("f", "a").excerpt(Span("f", 0, 0), 1) == ""
    assert Source("f", "a").excerpt(Span("f", 7, 1), 1) == ""


def test_spans_as_text() -> None:
    span = Span("shop.yaml", 31, 5)
    assert (str(span), span.brief, span.full) == ("shop.yaml:31", "shop.yaml:31", "shop.yaml:31:5")
    assert Span("shop.yaml", 0, 0).full == "shop.yaml"


def test_foreign_words_are_escaped_and_cut() -> None:
    assert escaped("a\x1b[0m\u202e\n\x9b") == "a\\x1b[0m\\u202e\\x0a\\x9b"
    assert quoted("x" * 200) == "`" + "x" * 80 + "…`"
    assert render([Problem(text="a\x1bb", span=Span("f\n", 1, 1))]) == "f\\x0a:1:1: a\\x1bb\n"


@pytest.mark.parametrize(
    ("word", "nearest"),
    [
        ("imgae", "image"),
        ("Ports", "ports"),
        ("mem-limit", "mem_limit"),
        ("bd", "db"),
        ("zzz", ""),
        ("NET_BIND", "net_bind_service"),
    ],
)
def test_the_nearest_known_word(word: str, nearest: str) -> None:
    known = ["image", "ports", "mem_limit", "db", "net_bind_service", "net_admin"]
    assert nearest_word(word, known) == nearest
