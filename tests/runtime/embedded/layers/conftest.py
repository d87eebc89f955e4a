from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.runtime.embedded.layers.unpacking import Place, make_place, traces


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """Where to unpack; afterwards the canary beside it must be as it was."""
    made = make_place(tmp_path)
    before = traces(made.canary)
    yield made
    assert traces(made.canary) == before
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["canary", "stage"]
