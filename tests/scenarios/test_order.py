"""`depends_on`: what `apply` waits for, what it says while it waits, and what it says and leaves
when it waits in vain.
"""

import re
import signal

import pytest

from tests.conftest import COMMAND
from tests.eventually import PATIENCE, eventually
from tests.images.recipes import PAGE
from tests.scenarios.stage import Stage, limit, within

pytestmark = [pytest.mark.root, pytest.mark.slow]

# Each container writes down when it starts; db and job take their time.
SPEC = """\
project: order
containers:
  db:
    image: $busybox
    command: [sh, -c, "sleep 0.7; touch /tmp/well; exec sleep 1000"]
    stop_signal: SIGKILL
    healthcheck:
      test: [CMD-SHELL, "ls /tmp/well"]
      interval: 0.2s
      retries: 2
      start_period: 20s
      start_interval: 0.1s
  job:
    image: $busybox
    command: [sh, -c, "echo migrating; sleep 0.7; echo done >> /log/runs"]
    volumes: ["./log:/log"]
    depends_on: {db: {condition: service_healthy}}
  cache:
    image: $busybox
    command: [sleep, "1000"]
    stop_signal: SIGKILL
  web:
    image: $busybox
    command: [sleep, "1000"]
    stop_signal: SIGKILL
    depends_on:
      cache: {condition: service_started}
      db: {condition: service_healthy}
      job: {condition: service_completed_successfully}
"""


@pytest.fixture
def order(long_stage: Stage) -> Stage:
    """Nothing runs; the spec is written, the log is empty."""
    long_stage.write(SPEC)
    long_stage.down("--volumes", "all")
    log = long_stage.folder / "log"
    log.mkdir(exist_ok=True)
    (log / "runs").unlink(missing_ok=True)
    return long_stage


def runs(stage: Stage) -> int:
    """How often the job has come to its end."""
    return len((stage.folder / "log" / "runs").read_text().splitlines())


def started(stage: Stage, name: str) -> float:
    return float(stage.containers()[name]["started_at"])


def test_apply_waits_for_each_condition_and_says_for_what(order: Stage) -> None:
    told = order.apply().stdout
    assert re.search(r"wait for container db to be healthy  \d", told), told
    assert re.search(r"wait for container job to be done  \d", told), told
    assert started(order, "job") - started(order, "db") > 0.7
    assert started(order, "web") - started(order, "job") > 0.7
    assert started(order, "web") > started(order, "cache")
    assert order.pending() == ""


def test_a_terminal_shows_for_what_it_waits(order: Stage) -> None:
    order.edit("sleep 0.7; touch", "sleep 2; touch")
    command = [COMMAND, "--root", order.trueup.root, "apply", order.spec]
    shown = order.host.run("script", "-qec", " ".join(map(str, command)), "/dev/null").stdout
    waiting, _, _ = shown.partition("start container job")
    assert "wait for container db to be healthy" in waiting
    assert "not healthy yet: ls: /tmp/well" in waiting, "what the check says meanwhile"


def test_ctrl_c_ends_the_waiting_and_the_next_apply_goes_on(order: Stage) -> None:
    order.edit("sleep 0.7; touch", "sleep 1000; touch")
    process = order.trueup.start("apply", order.spec)
    eventually(lambda: "db" in order.pids(), 20, step=0.1)
    db = order.pid("db")
    process.send_signal(signal.SIGINT)
    assert process.wait(5 * PATIENCE) == 130
    assert set(order.pids()) == {"cache", "db"}
    within(db, "touch", "/tmp/well")
    order.apply()
    assert set(order.pids()) == {"cache", "db", "web"}
    assert order.pid("db") == db
    assert order.pending() == ""


def test_a_job_that_is_done_is_not_run_again_until_it_is_another_one(order: Stage) -> None:
    order.apply()
    pids = order.pids()
    assert order.apply().stdout == "nothing to change\n"
    assert runs(order) == 1
    order.edit("echo migrating", "echo migrating more")
    order.apply()
    assert runs(order) == 2
    other = order.images.with_config("other-job", Labels={"job": "2"})
    order.edit("  job:\n    image: $busybox", f"  job:\n    image: {other}")
    order.apply()
    assert runs(order) == 3
    assert order.pids() == pids, "whoever needed it goes on"
    assert order.pending() == ""


def test_a_job_that_failed_is_told_and_run_again_by_the_next_apply(order: Stage) -> None:
    order.edit("echo done >> /log/runs", "echo no table orders >&2; exit 7")
    failed = order.apply(code=1)
    said = failed.stdout + failed.stderr
    assert "order/job did not complete: it ended with exit code 7" in said
    assert "| migrating" in said
    assert "| no table orders" in said
    assert "container web (waits for container job)" in said
    assert set(order.pids()) == {"cache", "db"}
    db = order.pid("db")
    again = order.apply(code=1)
    assert "exit code 7" in again.stdout + again.stderr
    order.edit("echo no table orders >&2; exit 7", "echo done >> /log/runs")
    order.apply()
    assert runs(order) == 1
    assert order.pid("db") == db
    assert set(order.pids()) == {"cache", "db", "web"}
    assert order.pending() == ""


def test_who_never_gets_well_stops_only_those_that_wait_for_it(order: Stage) -> None:
    order.edit("ls /tmp/well", "echo no space; exit 3")
    order.edit("start_period: 20s", "start_period: 0s")
    order.edit("sleep 0.7; touch", "echo reading tables; touch")
    failed = order.apply(code=1)
    said = failed.stdout + failed.stderr
    assert "order/db is unhealthy: 2 checks failed in a row" in said
    assert "exit code 3" in said
    assert "no space" in said
    assert "| reading tables" in said
    assert "container web (waits for container db" in said
    assert "container job (waits for container db)" in said
    assert set(order.pids()) == {"cache", "db"}
    order.write(SPEC)
    order.apply()
    assert set(order.pids()) == {"cache", "db", "web"}
    assert order.pending() == ""


def test_what_is_not_required_may_fail(order: Stage) -> None:
    order.edit("echo done >> /log/runs", "exit 7")
    order.edit(
        "job: {condition: service_completed_successfully}",
        "job: {condition: service_completed_successfully, required: false}",
    )
    failed = order.apply(code=1)
    said = failed.stdout + failed.stderr
    assert "order/job did not complete" in said
    assert set(order.pids()) == {"cache", "db", "web"}


def test_what_is_not_required_may_be_missing(order: Stage) -> None:
    text = order.spec.read_text()
    start, end = text.index("  job:"), text.index("  cache:")
    order.spec.write_text(text[:start] + text[end:])
    unknown = order.trueup("validate", order.spec, code=64)
    assert "job" in unknown.stderr
    order.edit(
        "service_completed_successfully}", "service_completed_successfully, required: false}"
    )
    order.apply()
    assert set(order.pids()) == {"cache", "db", "web"}


def test_waiting_for_the_health_of_what_has_no_check_is_an_error(order: Stage) -> None:
    """Told once the image is here, which might have had one; known, it is told before anything is
    done."""
    healthy = "cache: {condition: service_healthy}"
    order.edit("cache: {condition: service_started}", healthy)
    first = order.apply(code=1).stderr
    assert "order/cache cannot become healthy" in first
    assert "neither the spec nor the image has a health check" in first
    assert "`condition: service_started`" in first
    pids = order.pids()
    assert set(pids) == {"cache", "db"}
    order.edit('command: [sh, -c, "sleep 0.7', 'mem_limit: 99m\n    command: [sh, -c, "sleep 0.7')
    again = order.apply(code=1)
    assert "waits for cache to be healthy, and cache has no health check" in again.stderr
    assert limit(order.pid("db"), "memory.limit_in_bytes", "memory.max") != str(99 << 20)
    order.edit(healthy, "cache: {condition: service_started}")
    order.apply()
    assert pids.items() < order.pids().items()


STOPS = """\
project: order
volumes: {data: {}}
containers:
  web:
    image: $busybox
    command: [httpd, -f, -p, "80", -h, /www]
    ports: ["18080:80"]
    stop_signal: SIGKILL
    volumes: ["data:/data"]
    restart: RESTART
"""


@pytest.mark.parametrize("restart", ['"no"', "always"])
@pytest.mark.parametrize(
    "dies", ["exit 3", "usleep 70000; exit 3"], ids=["at once", "a moment later"]
)
def test_the_old_one_answers_again_when_a_stop_first_update_dies(
    order: Stage, restart: str, dies: str
) -> None:
    order.make(STOPS.replace("RESTART", restart))
    before = order.containers()["web"]["id"]
    order.edit('[httpd, -f, -p, "80", -h, /www]', f'[sh, -c, "echo bad config; {dies}"]')
    failed = order.apply(code=1)
    said = failed.stdout + failed.stderr
    assert "the old one runs again" in said
    assert "| bad config" in said
    eventually(lambda: order.answer(18080) == PAGE)
    running = [each["id"] for each in order.state()["containers"] if each["pid"]]
    assert running == [before]
    order.edit(f"echo bad config; {dies}", "exec httpd -f -p 80 -h /www")
    order.apply()
    eventually(lambda: order.answer(18080) == PAGE)
    assert order.containers()["web"]["id"] != before
    assert order.pending() == ""
