"""Somebody was killed between what he recorded and what he did: `plan` sees what is left of it and
the next `apply` mends it, the process untouched.
"""

import pytest

from tests.eventually import eventually
from tests.scenarios.scene import killed
from tests.scenarios.stage import Stage, kill, limit_file, lives

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


LIMITED = """\
project: half
containers:
  web:
    image: $busybox
    command: [sleep, "600"]
    stop_signal: SIGKILL
    mem_limit: 64m
"""


def test_an_update_that_was_killed_before_its_effects_is_finished(stage: Stage) -> None:
    """What a restart reads included, so the next run has the same limits."""
    stage.make(LIMITED)
    pid, config = stage.pid("web"), stage.bundle("web") / "config.json"
    before = config.read_text(), wish(stage)
    memory = limit_file(pid, "memory.limit_in_bytes", "memory.max")
    stage.edit("64m", "32m\n    restart: always")
    stage.apply()
    after = config.read_text(), wish(stage)
    config.write_text(before[0])
    (stage.bundle("web") / "wish").write_text(before[1])
    # As before a kill: the larger value of memory and swap first.
    for name in ("memory.memsw.limit_in_bytes", memory.name):
        if (file := memory.with_name(name)).exists():
            file.write_text(str(128 << 20 if "memsw" in name else 64 << 20))
    shown = stage.pending()
    assert "restart is no, not always" in shown
    assert "memory is 64M" in shown
    stage.apply()
    assert (config.read_text(), wish(stage)) == after
    assert memory.read_text() == f"{32 << 20}\n"
    assert (stage.pid("web"), stage.pending()) == (pid, "")
