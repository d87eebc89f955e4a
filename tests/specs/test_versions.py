"""Versions and ranges: semver.org's own examples, npm's tables, and an order that is one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from specs.versions import NotAVersion, Range, Version

# semver.org, 11, and the examples of its precedence rules, lowest first.
ASCENDING = """
0.0.0-0 0.0.0-alpha 0.0.0 0.0.1 0.9.10 1.0.0-0 1.0.0-alpha 1.0.0-alpha.1 1.0.0-alpha.beta
1.0.0-beta 1.0.0-beta.2 1.0.0-beta.11 1.0.0-rc.1 1.0.0 1.0.1 1.2.3-4 1.2.3-4a 1.2.3 2.0.0 2.1.0
2.1.1 10.0.0
"""

HOLDS: dict[str, tuple[str, str]] = {
    # range: what is in it; what is not
    "^1.2": ("1.2 1.2.0 1.9.9 v1.3", "1.1.9 2.0.0 2.0.0-rc.1 1.3.0-rc.1"),
    "^0.2.3": ("0.2.3 0.2.9", "0.2.2 0.3.0"),
    "^0.0.3": ("0.0.3", "0.0.4 0.1.0"),
    "^0.0": ("0.0.0 0.0.9", "0.1.0"),
    "^0": ("0.0.1 0.9.9", "1.0.0"),
    "~1.2.3": ("1.2.3 1.2.9", "1.2.2 1.3.0"),
    "~1": ("1.0.0 1.9", "2.0.0 0.9.9"),
    "1.x": ("1.0.0 1.27", "0.9 2"),
    "1.27.*": ("1.27 1.27.5", "1.26.9 1.28"),
    "1.27": ("1.27.0 1.27.5", "1.26.9 1.28"),
    "1.27.3": ("1.27.3 v1.27.3 1.27.3+build.7", "1.27.4 1.27"),
    "*": ("0 17.4", "1.0.0-rc.1"),
    ">=1.27 <2": ("1.27 1.99.1", "1.26.9 2.0.0 2.0.0-alpha"),
    ">= 1.27, < 2": ("1.27 1.99.1", "1.26.9 2.0.0"),
    ">1.2": ("1.3.0", "1.2.9"),
    "<=1.2": ("1.2.9", "1.3.0"),
    "<1.2": ("1.1.9", "1.2.0 1.2.0-rc.1"),
    ">1.2.3": ("1.2.4", "1.2.3"),
    "<=1.2.3": ("1.2.3", "1.2.4"),
    "1.2 - 1.4": ("1.2.0 1.4.9", "1.5.0 1.1.9"),
    "1.2.3 - 2.3.4": ("1.2.3 2.3.4", "2.3.5"),
    "^1.2.3-beta.2": ("1.2.3-beta.2 1.2.3-rc.1 1.2.3 1.9", "1.2.3-beta.1 1.2.4-beta.3"),
    ">=1.0.0-0 <2": ("1.0.0-rc.1 1.5.0", "1.5.0-rc.1 2.0.0-0"),
    "^14 || ^16": ("14.2 16.0.1", "15.0 17"),
    "<0 || 3": ("3.1", "0 1"),
}


@pytest.mark.parametrize("range_", HOLDS)
def test_a_range_holds_what_npm_says(range_: str) -> None:
    within, without = HOLDS[range_]
    parsed = Range.parse(range_)
    held = [each for each in (*within.split(), *without.split()) if parsed.holds(_v(each))]
    assert held == within.split()


def _v(text: str) -> Version:
    return Version.parse(text)


def test_versions_stand_in_the_standards_order() -> None:
    ascending = ASCENDING.split()
    assert sorted(sorted(ascending), key=_v) == ascending


@pytest.mark.parametrize(
    "text", ["", "latest", "1.2.3.4", "01.2", "1.2.3-", "1.2.3-01", "1.2.3-a..b", "-1", "1.2.3+"]
)
def test_what_is_no_version_is_refused(text: str) -> None:
    with pytest.raises(NotAVersion):
        _v(text)


@pytest.mark.parametrize(
    "text", ["", ">=", "web", "1.02", "1 ||", "^1.2.3.4", ">=1 && <2", "1.x-rc", "1 - ", "=>1"]
)
def test_what_is_no_range_is_refused(text: str) -> None:
    with pytest.raises(NotAVersion):
        Range.parse(text)


NUMBERS = st.integers(0, 20)
IDENTIFIERS = st.lists(st.sampled_from(["0", "1", "11", "2", "a", "alpha", "rc", "-"]), max_size=3)
VERSIONS = st.builds(
    lambda a, b, c, before: Version(a, b, c, tuple(before)), NUMBERS, NUMBERS, NUMBERS, IDENTIFIERS
)


@given(VERSIONS)
def test_a_version_is_read_as_it_is_written(version: Version) -> None:
    assert _v(str(version)) == version


@given(VERSIONS, VERSIONS, VERSIONS)
def test_the_order_is_total(a: Version, b: Version, c: Version) -> None:
    assert (a < b) + (a == b) + (a > b) == 1
    assert (a < b) == (b > a)
    assert not a < b or not b < c or a < c
    assert a != b or hash(a) == hash(b)


@given(VERSIONS)
def test_a_release_stands_above_what_was_before_it(version: Version) -> None:
    release = Version(*version.core)
    assert version <= release
    assert (version == release) == (not version.before)


@given(VERSIONS, VERSIONS)
def test_a_range_and_what_it_excludes(low: Version, version: Version) -> None:
    """Of releases exactly those from the bound on, below the next major number for `^`."""
    if version.before:
        return
    assert Range.parse(f">={low}").holds(version) == (version >= low)
    assert Range.parse(f"<{low}").holds(version) == (version < low)
    if low.major:
        held = low <= version < Version(low.major + 1)
        assert Range.parse(f"^{low}").holds(version) == held
