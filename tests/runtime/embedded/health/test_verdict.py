"""What results of checks mean: Docker's rules."""

from typing import Any

import pytest

from runtime.api import Health, Healthcheck, HealthStatus
from runtime.embedded.health.verdict import Result, at_work, command, judged

STARTED = 1000.0


def states(
    check: Healthcheck, codes: str, *, before: Health | None = None, every: float = 1.0
) -> str:
    """The states after each result: `.` is 0, `x` is 1; `s`, `h`, `u`."""
    health, shown = before or Health(), ""
    for number, code in enumerate(codes, 1):
        began = STARTED + number * every
        result = Result(code=int(code == "x"), output="", began=began, ended=began)
        health = judged(check, health, result, STARTED)
        shown += health.status[0]
    return shown


@pytest.mark.parametrize(
    ("check", "codes", "expected"),
    [
        ({"retries": 3}, ".", "h"),
        ({"retries": 3}, "xxx", "ssu"),
        ({"retries": 1}, "x", "u"),
        ({"retries": 3}, "xx.xx.", "sshhhh"),
        ({"retries": 2}, ".xx.", "hhuh"),
        ({"retries": 2}, "xx.", "suh"),
        # Failures within the start period count for nothing, and the end of it counts from 0.
        ({"retries": 2, "start_period": 3.5}, "xxxxx", "ssssu"),
        ({"retries": 1, "start_period": 3.0}, "xxx", "ssu"),
        # A success ends the start period for good.
        ({"retries": 2, "start_period": 100.0}, ".xx", "hhu"),
    ],
)
def test_states(check: dict[str, Any], codes: str, expected: str) -> None:
    assert states(Healthcheck(**check), codes) == expected


def test_the_state_holds_what_the_check_said() -> None:
    result = Result(code=7, output="no", began=STARTED + 1, ended=STARTED + 2)
    assert judged(Healthcheck(), Health(failing_streak=1), result, STARTED) == Health(
        status=HealthStatus.STARTING,
        failing_streak=2,
        checked_at=STARTED + 2,
        exit_code=7,
        output="no",
    )


IMAGE = Healthcheck(test=("CMD", "ask"), interval=5.0, retries=9)


@pytest.mark.parametrize(
    ("spec", "image", "expected"),
    [
        (None, None, None),
        (None, IMAGE, IMAGE),
        (None, Healthcheck(test=("NONE",)), None),
        (Healthcheck(test=("NONE",)), IMAGE, None),
        (Healthcheck(timeout=2.0), None, None),
        (
            Healthcheck(timeout=2.0),
            IMAGE,
            Healthcheck(test=("CMD", "ask"), interval=5.0, retries=9, timeout=2.0),
        ),
        (
            Healthcheck(test=("CMD", "mine"), interval=1.0),
            IMAGE,
            Healthcheck(test=("CMD", "mine"), interval=1.0, retries=9),
        ),
        (Healthcheck(test=("CMD", "mine")), None, Healthcheck(test=("CMD", "mine"))),
    ],
)
def test_the_spec_outranks_the_image_field_by_field(
    spec: Healthcheck | None, image: Healthcheck | None, expected: Healthcheck | None
) -> None:
    assert at_work(spec, image) == expected


def test_the_program() -> None:
    assert command(Healthcheck(test=("CMD", "ask", "me"))) == ("ask", "me")
    line = Healthcheck(test=("CMD-SHELL", "ask || exit 1"))
    assert command(line) == ("/bin/sh", "-c", "ask || exit 1")


@pytest.mark.parametrize(
    ("health", "now", "seconds"),
    [
        (Health(), 0.0, 2.0),  # within the start period, so after `start_interval`
        (Health(), 1.5, 0.5),
        (Health(), 3.0, 0.0),
        (Health(checked_at=STARTED + 9), 9.5, 1.5),
        (Health(checked_at=STARTED + 11), 11.0, 30.0),  # the start period is over
        (Health(checked_at=STARTED + 5, status=HealthStatus.HEALTHY), 5.0, 30.0),
        (Health(checked_at=STARTED + 5, status=HealthStatus.UNHEALTHY), 30.0, 5.0),
        (Health(checked_at=STARTED + 5, status=HealthStatus.HEALTHY), -4000.0, 30.0),
    ],
)
def test_the_next_check(health: Health, now: float, seconds: float) -> None:
    check = Healthcheck(interval=30.0, start_period=10.0, start_interval=2.0)
    assert check.wait(health, STARTED, STARTED + now) == seconds
