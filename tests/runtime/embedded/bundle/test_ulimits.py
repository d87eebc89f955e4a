"""Resource limits: the engine's, and those that a spec names."""

import pytest

from runtime.api import Ulimit
from runtime.embedded.bundle.config import Rlimit
from runtime.embedded.bundle.ulimits import UlimitTooHigh, UnknownUlimit, resolve

HARD = {"NOFILE": 20_000, "NPROC": 100, "CORE": -1}


def test_what_is_not_named_is_the_engines() -> None:
    asked = (Ulimit(name="nofile", soft=10, hard=20),)
    assert resolve(asked, HARD, may_raise=False) == (
        Rlimit(name="NOFILE", soft=10, hard=20),
        Rlimit(name="NPROC", soft=100, hard=100),
    )


def test_unlimited_where_we_are() -> None:
    found = resolve((Ulimit(name="core", soft=-1, hard=-1),), HARD, may_raise=False)
    assert Rlimit(name="CORE", soft=-1, hard=-1) in found


@pytest.mark.parametrize("hard", [20_001, -1])
def test_above_ours_takes_a_capability(hard: int) -> None:
    asked = (Ulimit(name="nofile", soft=1, hard=hard),)
    with pytest.raises(UlimitTooHigh, match="20000"):
        resolve(asked, HARD, may_raise=False)
    assert Rlimit(name="NOFILE", soft=1, hard=hard) in resolve(asked, HARD, may_raise=True)


def test_a_limit_that_no_kernel_has() -> None:
    with pytest.raises(UnknownUlimit, match="nofiles"):
        resolve((Ulimit(name="nofiles", soft=1, hard=1),), HARD, may_raise=True)
