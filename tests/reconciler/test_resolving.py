"""What a lock file shall say of a reference whose registry has newer tags."""

import pytest

from reconciler.lock_file import Wanted
from reconciler.resolving import Asker, pin
from runtime.api import Resolved
from runtime.errors import Absent, Fault, NoVariant
from runtime.reference import parse
from specs.lock import Pin
from specs.tags import Choice
from tests.fake_images import FakeRegistries

NOW, DAY = 1_800_000_000.0, 86_400.0
WEB = "r.lab/web:1.27.0"
WANTED = Wanted(
    entry=WEB,
    name=WEB,
    candidates=(parse(WEB),),
    choice=Choice.parse(None, "1.x"),
    min_age=3 * DAY,
)


def pinned(days: dict[str, float], present: Pin | None) -> str:
    """The tag that is pinned anew, and with what digest, where those are there, so many days old.
    A tag's digest tells of its age."""
    registries = FakeRegistries()
    registries.tags_of[WEB] = tuple(days)
    for tag, old in days.items():
        name = f"r.lab/web:{tag}"
        registries.resolved[name] = Resolved(
            reference=name, digest=digest(tag, old), created=NOW - old * DAY
        )
    asker = Asker(registries=registries, access=(), now=NOW)
    made = pin(asker, WANTED, newer=True, present=present)
    return f"{made.tag or '1.27.0'} {made.digest}"


def digest(tag: str, old: float) -> str:
    return f"{tag} of {old:g} days ago"


def held(tag: str, old: float) -> Pin:
    return Pin(digest=digest(tag, old), tag="" if tag == "1.27.0" else tag)


@pytest.mark.parametrize(
    ("days", "expected"),
    [
        ({"1.27.0": 90, "1.27.3": 20, "1.27.4": 9}, "1.27.4 1.27.4 of 9 days ago"),
        ({"1.27.0": 90, "1.27.4": 4}, "1.27.4 1.27.4 of 4 days ago"),  # made anew, and aged
        ({"1.27.0": 90, "1.27.3": 20, "1.27.4": 0}, "1.27.4 1.27.4 of 9 days ago"),
        ({"1.27.0": 0, "1.27.3": 0, "1.27.4": 0}, "1.27.4 1.27.4 of 9 days ago"),
        ({"1.27.0": 90, "1.27.3": 20}, "1.27.4 1.27.4 of 9 days ago"),  # it was taken out
        ({"1.27.0": 90, "1.28.0": 1, "1.27.4": 9}, "1.27.4 1.27.4 of 9 days ago"),
        ({"1.27.0": 90, "1.28.0": 5, "1.27.4": 9}, "1.28.0 1.28.0 of 5 days ago"),
    ],
)
def test_nothing_older_or_too_young_is_taken_in_place_of_what_is_pinned(
    days: dict[str, float], expected: str
) -> None:
    assert pinned(days, held("1.27.4", 9)) == expected


def test_the_written_tag_keeps_its_digest_too_while_the_new_one_is_too_young() -> None:
    assert pinned({"1.27.0": 0}, held("1.27.0", 90)) == "1.27.0 1.27.0 of 90 days ago"


def test_what_is_pinned_is_asked_for_however_many_are_newer() -> None:
    young = {f"1.28.{number}": 1.0 for number in range(25)}
    assert pinned({**young, "1.27.4": 4}, held("1.27.4", 9)) == "1.27.4 1.27.4 of 4 days ago"


@pytest.mark.parametrize("fault", [Absent("gone"), NoVariant("not for us")])
def test_a_tag_that_is_not_for_us_is_passed_over(fault: Fault) -> None:
    registries = FakeRegistries()
    registries.tags_of[WEB] = ("1.27.0", "1.27.1", "1.28.0")
    registries.resolved["r.lab/web:1.28.0"] = fault
    registries.resolved["r.lab/web:1.27.1"] = Resolved(reference="", digest="it", created=1.0)
    asker = Asker(registries=registries, access=(), now=NOW)
    newest = asker.newest(WANTED, "1.27.0")
    assert newest is not None
    assert newest[0] == "1.27.1"


def test_without_a_pin_what_is_written_is_taken_where_nothing_is_old_enough() -> None:
    assert pinned({"1.27.0": 0, "1.27.4": 0}, None) == "1.27.0 1.27.0 of 0 days ago"
