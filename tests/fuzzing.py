"""How long properties over foreign bytes are tried: some seconds in every run, some more among
the sweeps, and as long as somebody likes with TRUEUP_FUZZ=100000 in the environment."""

import os
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.strategies import SearchStrategy

depths = pytest.mark.parametrize(
    "examples",
    [
        pytest.param(150, id="quick"),
        pytest.param(int(os.environ.get("TRUEUP_FUZZ", "300")), id="long", marks=pytest.mark.sweep),
    ],
)


def tried(strategy: SearchStrategy[object], check: Callable[..., None], examples: int) -> None:
    """Give ``examples`` values to ``check``; what takes more than some seconds fails, too."""
    unhurried = settings(
        max_examples=examples,
        deadline=10_000,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.explicit, Phase.generate, Phase.target, Phase.shrink],
        database=None,
    )
    unhurried(given(strategy)(check))()
