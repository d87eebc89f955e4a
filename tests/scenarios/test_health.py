"""Health on a real machine: `apply` waits for it, `watch` asks for it, `ps` shows it."""

import re
import subprocess
import time
from typing import BinaryIO

import pytest

from tests.conftest import COMMAND
from tests.eventually import eventually
from tests.scenarios.scene import ending
from tests.scenarios.stage import Stage, kill, within

pytestmark = pytest.mark.root

SPEC = """\
project: shop
containers:
  db:
    image: $busybox
    command: [sh, -c, "sleep 0.5; touch /tmp/well; exec sleep 1000"]
    stop_signal: SIGKILL
    healthcheck:
      test: [CMD, test, -e, /tmp/well]
      interval: 0.2s
      timeout: 2s
      retries: 2
      start_period: 20s
      start_interval: 0.1s
  web:
    image: $busybox
    command: [sleep, "1000"]
    stop_signal: SIGKILL
    depends_on: {db: {condition: service_healthy}}
"""


def status(stage: Stage, name: str) -> str:
    shown = stage.trueup("ps", "-a", "--format", "{{.Names}} {{.Status}}").stdout
    (found,) = re.findall(rf"^shop/{name} (.*)$", shown, re.MULTILINE)
    return str(found)


def test_apply_waits_for_health_and_ps_shows_it(stage: Stage) -> None:
    stage.make(SPEC)
    assert status(stage, "db").endswith("(healthy)")
    assert "(" not in status(stage, "web")
    db, web = (stage.containers()[name] for name in ("db", "web"))
    assert web["started_at"] - db["started_at"] > 0.5
    assert stage.trueup("ps", "-q", "--filter", "health=healthy").stdout == f"{db['id'][:12]}\n"
    assert stage.pending() == ""


def test_apply_says_what_an_unhealthy_container_said(stage: Stage) -> None:
    check = 'sh, -c, "echo no tables; exit 5"'
    stage.write(SPEC.replace("test, -e, /tmp/well", check).replace("      start_period: 20s\n", ""))
    said = stage.apply(code=1).stderr
    assert "shop/db is unhealthy: 2 checks failed in a row" in said
    assert "ended with exit code 5, saying:" in said
    assert "no tables" in said
    assert "web" not in stage.pids()
    assert status(stage, "db").partition("(")[2].startswith("unhealthy")


def watch(stage: Stage, log: BinaryIO) -> "subprocess.Popen[bytes]":
    """`trueup watch` of the project, in the background."""
    command = [*stage.host.within, COMMAND, "--root", stage.trueup.root, "watch", stage.spec]
    return subprocess.Popen([*map(str, command)], stdin=subprocess.DEVNULL, stderr=log)


def test_watch_asks_and_tells_each_change(stage: Stage) -> None:
    stage.make(SPEC)
    log = stage.folder.parent / "watch.log"
    with log.open("wb") as file, ending(watch(stage, file)):
        eventually(lambda: "event=watching" in log.read_text())
        db = stage.pid("db")
        within(db, "rm", "/tmp/well")
        eventually(lambda: "(unhealthy)" in status(stage, "db"))
        within(db, "touch", "/tmp/well")
        eventually(lambda: "(healthy)" in status(stage, "db"))
        assert stage.pid("db") == db
        told = re.findall(r"event=health .*", log.read_text())
        assert len(told) >= 2
        assert "status=unhealthy" in told[0]
        assert "before=healthy" in told[0]
        assert "status=healthy" in told[-1]
    assert "Traceback" not in log.read_text()
    assert "defect" not in log.read_text()


def test_a_new_run_begins_anew(stage: Stage) -> None:
    stage.make(SPEC.replace("stop_signal", "restart: always\n    stop_signal", 1))
    assert status(stage, "db").endswith("(healthy)")
    before = stage.pid("db")
    kill(before)
    eventually(lambda: stage.pids().get("db", before) != before)
    assert status(stage, "db").endswith("(health: starting)")
    time.sleep(0.5)
    assert status(stage, "db").endswith("(health: starting)"), "nobody asks"


IMAGE = """\
project: shop
containers:
  app:
    image: {image}
    stop_signal: SIGKILL
    command: [sleep, "1000"]
    healthcheck: {check}
  web:
    image: $busybox
    command: [sleep, "1000"]
    stop_signal: SIGKILL
    depends_on: {{app: {{condition: service_healthy}}}}
"""


def test_the_images_check_holds_until_the_spec_says_otherwise(stage: Stage) -> None:
    own = {"Test": ["CMD-SHELL", "echo own"], "Interval": 3_600_000_000_000, "Retries": 2}
    image = stage.images.publish("asked", {}, {"Healthcheck": own})
    stage.make(IMAGE.format(image=image, check="{interval: 0.1s}"))
    assert status(stage, "app").endswith("(healthy)")
    pids = stage.pids()
    for check, shown in (
        ("{disable: true}", ""),
        ("{test: [CMD, 'true'], interval: 5s}", "healthy"),
    ):
        text = IMAGE.format(image=image, check=check)
        stage.make(text if shown else text.partition("  web:")[0])
        assert shown in status(stage, "app")
        assert ("(" in status(stage, "app")) == bool(shown)
        assert stage.pid("app") == pids["app"], "a check changes in place"


def test_a_job_that_fails_is_told_with_its_last_words(stage: Stage) -> None:
    job = 'command: [sh, -c, "echo migrating; usleep 300000; echo no such table; exit 4"]'
    text = SPEC.replace("service_healthy", "service_completed_successfully")
    text = re.sub(r"command: \[sh, -c, .*\]", job, text)
    stage.write(re.sub(r"    healthcheck:\n(      .*\n)+", "", text))
    said = stage.apply(code=1).stderr
    assert "shop/db did not complete: it ended with exit code 4" in said
    assert "no such table" in said
    assert "web" not in stage.pids()
