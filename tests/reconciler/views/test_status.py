"""What `status` tells of a container beyond Docker's words."""

import pytest

from reconciler.views.status import render, state
from runtime.api import Phase
from tests.reconciler.world import applied, plan_for, shop, spec, the

NOW = 1_800_000_000.0
TABLE: dict[str, tuple[dict[str, object], str]] = {
    "it runs": ({"started_at": NOW - 5}, "Up 5 seconds"),
    "it was started again just now": (
        {"started_at": NOW - 5, "restarts": 3},
        "Up 5 seconds (restarting often)",
    ),
    "it was started again long ago": ({"started_at": NOW - 120, "restarts": 3}, "Up 2 minutes"),
    "it waits for its next start": (
        {"phase": Phase.RESTARTING, "exit_code": 1, "finished_at": NOW - 2, "restarts": 1},
        "Restarting (1) 2 seconds ago (restarting often)",
    ),
    "it gave up": (
        {"phase": Phase.EXITED, "exit_code": 1, "finished_at": NOW - 2, "restarts": 3},
        "Exited (1) 2 seconds ago",
    ),
    "it is held": (
        {"phase": Phase.EXITED, "exit_code": 0, "finished_at": NOW - 2, "held": True},
        "Exited (0) 2 seconds ago (held)",
    ),
}


@pytest.mark.parametrize("case", TABLE)
def test_the_table(case: str) -> None:
    fields, expected = TABLE[case]
    desired = shop({"web": spec()})
    runtime = applied(desired)
    runtime.change(the(runtime, "web"), **fields)
    found = state(desired, runtime.observe(desired.query()), plan_for(desired, runtime), (), NOW)
    assert [each.status for each in found.containers] == [expected]


@pytest.mark.parametrize(("pid", "shown"), [(7, True), (None, False)], ids=["it runs", "it ended"])
def test_no_limit_is_told_of_what_does_not_run(pid: int | None, shown: bool) -> None:
    desired = shop({"web": spec()})
    runtime = applied(desired)
    phase = Phase.EXITED if pid is None else Phase.RUNNING
    runtime.change(the(runtime, "web"), phase=phase, pid=pid, exit_code=0)
    found = state(desired, runtime.observe(desired.query()), plan_for(desired, runtime), (), NOW)
    assert ("none" in render(found)) is shown
