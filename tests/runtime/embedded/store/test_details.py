"""What is told of an image, also by one whose configuration is nonsense in places."""

import gzip
from typing import Any

import pytest

from runtime.embedded.store.details import details
from runtime.embedded.store.images import ImageStore
from tests.runtime.embedded.layers import tars
from tests.runtime.embedded.registry.hostile import Server, publish
from tests.runtime.embedded.store.stocks import silent

pytestmark = pytest.mark.root

SIZES = (1000, 20)
LAYERS = [tars.archive(tars.member(b"a", body=bytes(size))) for size in SIZES]
MADE = 1577836800.0
CREATED = "2020-01-01T00:00:00.123456789Z"


def pulled(store: ImageStore, server: Server, **told: Any) -> str:
    publish(server, *((plain, gzip.compress(plain)) for plain in LAYERS), **told)
    return store.pull(f"{server.host}/app", (), silent).id


@pytest.mark.parametrize(
    ("history", "told"),
    [
        (
            [
                {"created_by": "ADD a", "created": CREATED},
                {"created_by": "ENV b", "empty_layer": True},
                {"created_by": "COPY a", "comment": "twice"},
            ],
            [("ADD a", 1000), ("ENV b", None), ("COPY a", 20)],
        ),
        (None, [("", 1000), ("", 20)]),
        ([{"created_by": "ADD a"}], [("ADD a", 1000), ("", 20)]),
        ([{"created_by": word} for word in "abc"], [("a", 1000), ("b", 20), ("c", 0)]),
        ({"created_by": "x"}, [("", 1000), ("", 20)]),
        (
            ["x", None, {"created_by": 7, "created": [], "empty_layer": "true"}],
            [("", 1000), ("", 20)],
        ),
    ],
    ids=["told", "nothing", "too-few", "too-many", "no-list", "of-other-kinds"],
)
def test_each_step_has_the_size_of_the_layer_that_it_made(
    store: ImageStore, server: Server, history: object, told: list[tuple[str, int | None]]
) -> None:
    found = details(store, pulled(store, server, history=history))
    assert [(row.created_by, None if row.empty else row.size) for row in found.history] == told
    assert (len(found.layers), found.size) == (2, sum(SIZES))


def test_dates_author_and_comment(store: ImageStore, server: Server) -> None:
    steps = [{"created": CREATED, "comment": "first"}, {"created": "yesterday", "comment": "last"}]
    found = details(store, pulled(store, server, history=steps, author="me", created=CREATED))
    assert [int(row.created) for row in found.history] == [MADE, 0]
    assert (found.author, found.comment, int(found.created)) == ("me", "last", MADE)
    found = details(store, pulled(store, server, history=steps, author=["me"], comment="of all"))
    assert (found.author, found.comment) == ("", "of all")
