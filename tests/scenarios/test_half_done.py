"""Somebody was killed between what he recorded and what he did: `plan` sees what is left of it and
the next `apply` mends it, the process untouched.
"""

import pytest

from tests.scenarios.scene import killed
from tests.scenarios.stage import Stage, eventually, kill, lives

pytestmark = pytest.mark.root

STUBBORN = """\
project: half
containers:
  web:
    image: $busybox
    command: [sh, -c, "trap '' TERM; echo ready; while :; do sleep 1; done"]
    restart: always
    stop_grace_period: 60s
"""


def wish(stage: Stage) -> str:
    return (stage.bundle("web") / "wish").read_text()


def test_a_stop_that_was_killed_in_its_grace_period_is_taken_back(stage: Stage) -> None:
    stage.make(STUBBORN)
    eventually(lambda: stage.log("web") == "ready\n")
    pid = stage.pid("web")
    process = stage.trueup.start("down", stage.spec)
    eventually(lambda: wish(stage) == "stop always -\n")
    killed(process, 0.0)
    assert lives(pid)
    assert "a stop of it was not finished" in stage.pending()
    assert "container web" in stage.pending()
    stage.apply()
    assert (wish(stage), stage.pid("web"), stage.pending()) == ("run always -\n", pid, "")
    kill(pid)
    eventually(lambda: stage.pids().get("web") not in (None, pid))
    kill(stage.pid("web"))
    stage.edit("60s", "0s")
    stage.apply()
