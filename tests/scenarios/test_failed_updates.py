"""An update whose new generation does not start leaves the old one answering; `watch` does not try
again, `apply` does. A container that dies at once is a failure.
"""

import time

import pytest

from tests.eventually import eventually
from tests.images.recipes import PAGE
from tests.scenarios.stage import Stage
from tests.scenarios.test_watch import INTERVAL, watching

pytestmark = pytest.mark.root

SPEC = """\
project: updated
containers:
  web:
    image: $busybox
    ports: ["18080:80"]
    restart: always
    stop_signal: SIGKILL
    volumes: ["./data:/data"]
"""
# What lies in a mounted folder is seen by nobody before it starts.
BROKEN = f"{SPEC}    command: [/data/run]\n"


@pytest.fixture
def updated(stage: Stage) -> Stage:
    data = stage.folder / "data"
    data.mkdir()
    (data / "run").write_text("#!/nothing\n")
    (data / "run").chmod(0o755)
    stage.make(SPEC)
    assert stage.answer(18080) == PAGE
    return stage


def test_the_old_generation_answers_when_the_new_one_does_not_start(updated: Stage) -> None:
    updated.write(BROKEN)
    told = updated.apply(code=1)
    assert "the old one runs again" in told.stderr
    assert updated.answer(18080) == PAGE
    pending = updated.pending()
    assert "-/+ container web" in pending
    assert "the last attempt failed" in pending
    updated.write(SPEC)
    assert "its update was taken back" in updated.apply().stdout + updated.pending()
    assert updated.answer(18080) == PAGE


def test_watch_tries_a_failing_update_once_and_apply_makes_it(updated: Stage) -> None:
    with watching(updated) as watch:
        updated.write(BROKEN)
        eventually(lambda: "the update of web failed" in watch.log)
        time.sleep(3 * INTERVAL)
        assert watch.log.count("the old one runs again") == 1
        assert updated.answer(18080) == PAGE
    (updated.folder / "data" / "run").write_text("#!/bin/sh\nexec httpd -f -p 80 -h /www\n")
    updated.apply()
    assert "nothing to change" in updated.apply().stdout


def test_a_container_that_dies_at_once_is_a_failure_with_its_last_words(stage: Stage) -> None:
    stage.write(
        """\
project: dying
containers:
  d:
    image: $busybox
    command: [sh, -c, "echo no config; exit 3"]
  e:
    image: $busybox
    command: [sh, -c, "exit 4"]
    restart: always
  job:
    image: $busybox
    command: [sh, -c, "exit 0"]
"""
    )
    told = stage.apply(code=1).stderr
    assert "d ended with exit code 3 right after its start" in told
    assert "| no config" in told
    assert "`trueup logs dying/d`" in told
    assert "e does not stay up: it ended with exit code 4; restarts so far: " in told
    assert "job" not in told
