"""Containers for the tests of a process's life."""

from collections.abc import Iterator

import pytest

from tests.runtime.embedded.boxes import Boxes, make_boxes


@pytest.fixture
def boxes() -> Iterator[Boxes]:
    """An instance with crun; nothing of it may be left in the kernel afterwards."""
    with make_boxes() as made:
        yield made
