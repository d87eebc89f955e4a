"""Waiting for what must come true, instead of sleeping for as long as it might take."""

import os
import time
from collections.abc import Callable

# On a host where code is slow (tests/vm, without KVM) every wait may take that many times longer.
PATIENCE = float(os.environ.get("TRUEUP_TEST_PATIENCE", "1"))


def eventually(true: Callable[[], object], seconds: float = 10.0, *, step: float = 0.005) -> float:
    """Wait until it is true and return how long that took, in seconds; AssertionError when it
    does not come true within ``seconds``, times ``PATIENCE``. It is asked every ``step``
    seconds."""
    seconds *= PATIENCE
    started = time.monotonic()
    while not true():
        assert time.monotonic() - started < seconds, f"it did not come true within {seconds:g} s"
        time.sleep(step)
    return time.monotonic() - started
