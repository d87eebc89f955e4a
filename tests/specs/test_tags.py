"""Which of a repository's tags may take the place of the one that is written."""

import pytest

from specs.tags import BadPattern, Choice, TagPattern

NGINX = """
latest stable 1 1.26 1.26.3 1.27 1.27.2 1.27.10 1.27.10-alpine 1.27.9-alpine 1.27-alpine 1.28
1.28.0-rc1 2.0 mainline
"""

CASES: dict[str, tuple[str | None, str | None, str, str]] = {
    # what: pattern, range, the tag that is written; what may be taken, the newest first
    "a range leaves pre-releases out": (None, ">=1.27 <2", "1.27", "1.28 1.27.10 1.27.2 1.27"),
    "a patch of one minor version": (None, "~1.27.0", "1.27", "1.27.10 1.27.2 1.27"),
    "a glob counts as people do": ("1.27.*-alpine", None, "1.27", "1.27.10-alpine 1.27.9-alpine"),
    "a glob and a range: what is around the version is left out": (
        "*-alpine",
        "^1.20",
        "1.26",
        "1.27.10-alpine 1.27.9-alpine 1.27-alpine",
    ),
    "an expression": (r"/^1\.2[68]$/", None, "stable", "1.28 1.26"),
    "an expression whose group is the version": (
        r"/^(1\.27\.\d+)-alpine$/",
        "^1.27",
        "1.27",
        "1.27.10-alpine 1.27.9-alpine",
    ),
    "nothing older than what is written": ("1.2*", "1.x", "1.27.2", "1.28 1.27.10 1.27.2"),
    "nor without a range": ("1.??", None, "1.27", "1.28 1.27"),
    "a tag that is no version is older than nothing": (None, "1.26", "stable", "1.26.3 1.26"),
    "nothing fits": ("17-*", None, "1.27", ""),
}


@pytest.mark.parametrize("what", CASES)
def test_what_may_be_taken(what: str) -> None:
    pattern, range_, current, expected = CASES[what]
    choice = Choice.parse(pattern, range_)
    assert choice.newest_first(NGINX.split(), current) == expected.split()


LONGEST = ["v1.4.0", "v1.4", "1.4"]


def test_of_one_version_the_longest_name_is_taken() -> None:
    assert Choice.parse(None, "^1").newest_first(LONGEST, "1.4")[0] == "v1.4.0"


TEXTS = [
    ("release-*-alpine", "release-1.2.3-alpine", "1.2.3"),
    ("v*", "v1.2", "1.2"),
    ("1.27.*", "1.27.4", "1.27.4"),
    ("1.?.0", "1.5.0", "1.5.0"),
    ("[0-9]*_debian", "12.1_debian", "12.1"),
    ("*", "1.2-rc.1", "1.2-rc.1"),
    ("1.*", "2.0", None),
]


@pytest.mark.parametrize(("pattern", "tag", "version"), TEXTS)
def test_the_version_in_a_tag(pattern: str, tag: str, version: str | None) -> None:
    assert TagPattern.parse(pattern).version_in(tag) == version


@pytest.mark.parametrize("text", ["", "/(/", "a b", "a/b", "x:1"])
def test_what_is_no_pattern(text: str) -> None:
    with pytest.raises(BadPattern):
        TagPattern.parse(text)
