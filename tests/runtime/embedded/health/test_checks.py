"""Health checks of real containers."""

import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from runtime.api import Healthcheck, HealthStatus, Progress, RestartKind, RestartPolicy
from runtime.embedded import cgroups, faults
from runtime.embedded.health import record
from runtime.embedded.health.verdict import MOST_OUTPUT
from tests.eventually import eventually
from tests.runtime.embedded.boxes import always
from tests.runtime.embedded.health.conftest import Admit, Patient

pytestmark = pytest.mark.root


def shell(line: str) -> tuple[str, str]:
    return ("CMD-SHELL", line)


def inside(patient: Patient) -> int:
    """How many processes the container has."""
    layout = patient.box.boxes.supervisor.layout
    return len(cgroups.processes(layout, patient.box.cgroup))


def quiet(_: Progress) -> None:
    pass


def test_a_check_is_asked_in_the_container_and_kept(admit: Admit) -> None:
    patient = admit(test=shell("echo fine; test -e /tmp/well"), retries=2)
    first = patient.checks.probe(patient.row)
    assert first is not None
    assert (first.status, first.exit_code, first.output) == (HealthStatus.STARTING, 1, "fine\n")
    (patient.box.bundle / "rootfs/tmp/well").touch()
    second = patient.checks.probe(patient.row)
    assert second is not None
    assert (second.status, second.exit_code, second.failing_streak) == (HealthStatus.HEALTHY, 0, 0)
    assert record.read(patient.box.bundle, patient.box.state()) == second


def test_a_program_that_is_not_there_is_a_failure(admit: Admit) -> None:
    patient = admit(test=("CMD", "nothing"), retries=1)
    health = patient.checks.probe(patient.row)
    assert health is not None
    assert (health.status, health.exit_code) == (HealthStatus.UNHEALTHY, 127)
    assert "nothing" in health.output


def test_of_a_long_answer_the_end_is_kept(admit: Admit) -> None:
    patient = admit(test=shell("seq 100000"))
    health = patient.checks.probe(patient.row)
    assert health is not None
    assert len(health.output) == MOST_OUTPUT
    assert health.output.endswith("99999\n100000\n")


def test_a_late_check_is_killed_with_all_that_it_started(admit: Admit) -> None:
    line = "setsid sleep 900 & (sleep 901 & sleep 902) & echo asked; sleep 903"
    patient = admit(test=shell(line), timeout=0.3, retries=1)
    (patient.box.bundle / "rootfs/bin/setsid").symlink_to("busybox")
    before, began = inside(patient), time.monotonic()
    health = patient.checks.probe(patient.row)
    assert time.monotonic() - began < 2
    assert health is not None
    assert (health.status, health.exit_code) == (HealthStatus.UNHEALTHY, -1)
    assert health.output == "Health check exceeded timeout (0.3s): asked\n"
    eventually(lambda: inside(patient) == before, 1)


def test_a_late_check_without_our_environment_is_killed_too(admit: Admit) -> None:
    line = "env -i sh -c 'sleep 904 & sleep 905; true'"
    patient = admit(test=shell(line), timeout=0.3, retries=1)
    before = inside(patient)
    health = patient.checks.probe(patient.row)
    assert health is not None
    assert health.exit_code == -1
    eventually(lambda: inside(patient) == before, 1)


def test_a_child_that_a_check_leaves_behind_is_not_waited_for(admit: Admit) -> None:
    patient = admit(test=shell("sleep 5 & echo fine"))
    began = time.monotonic()
    health = patient.checks.probe(patient.row)
    assert time.monotonic() - began < 2
    assert health is not None
    assert (health.status, health.output) == (HealthStatus.HEALTHY, "fine\n")


def test_what_writes_without_end_is_late(admit: Admit) -> None:
    patient = admit(test=("CMD", "yes"), timeout=0.3)
    health = patient.checks.probe(patient.row)
    assert health is not None
    assert health.exit_code == -1


def test_a_check_may_take_longer_than_poll_can_wait(admit: Admit) -> None:
    patient = admit(test=("CMD", "true"), timeout=1e9)
    health = patient.checks.probe(patient.row)
    assert health is not None
    assert health.status is HealthStatus.HEALTHY


def test_two_that_ask_at_once_share_one_check(admit: Admit) -> None:
    patient = admit(test=shell("echo x >>/tmp/asked; usleep 300000"))
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: patient.checks.probe(patient.row), range(4)))
    assert len(set(map(str, answers))) == 1
    assert (patient.box.bundle / "rootfs/tmp/asked").read_text() == "x\n"


def test_no_check_and_no_run_give_nothing(admit: Admit) -> None:
    patient = admit()
    assert patient.checks.probe(patient.row) is None
    patient = admit(test=("CMD", "true"))
    patient.box.stop()
    assert patient.checks.probe(patient.row) is None


def test_a_check_that_the_end_of_its_container_ends_counts_for_nothing(admit: Admit) -> None:
    patient = admit(test=shell("sleep 30"))
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(patient.checks.probe, patient.row)
        eventually(lambda: inside(patient) > 2)
        patient.box.stop(grace=0.0)
        assert asked.result(10) is None


def test_a_new_run_starts_anew(admit: Admit) -> None:
    patient = admit(test=("CMD", "false"), retries=1, restart=always())
    health = patient.checks.probe(patient.row)
    assert health is not None
    assert health.status is HealthStatus.UNHEALTHY
    os.kill(patient.pid, 9)
    eventually(lambda: patient.box.state().pid not in (None, patient.pid))
    assert record.read(patient.box.bundle, patient.box.state()).status is HealthStatus.STARTING


def test_the_images_check_counts_where_the_spec_has_none(admit: Admit) -> None:
    patient = admit()
    kept = patient.box.boxes.paths.container(patient.box.id)
    record.keep_image(kept, Healthcheck(test=("CMD", "true")))
    health = patient.checks.probe(patient.row)
    assert health is not None
    assert health.status is HealthStatus.HEALTHY


# --- waiting --------------------------------------------------------------------------------


def test_waiting_ends_with_health(admit: Admit) -> None:
    line = "echo x >>/tmp/asked; test $(grep -c x /tmp/asked) -ge 3 || { echo 'not yet'; exit 1; }"
    patient = admit(test=shell(line), interval=0.1, retries=10)
    told: list[Progress] = []
    patient.checks.await_healthy(patient.row, 20.0, told.append)
    assert [each.doing for each in told] == [
        "1 of 10 tries failed: not yet",
        "2 of 10 tries failed: not yet",
    ]
    assert told[0].what == "boxes/web"


def test_waiting_ends_with_too_many_failures(admit: Admit) -> None:
    patient = admit(test=shell("echo no database; exit 4"), interval=0.05, retries=2)
    with pytest.raises(faults.Unhealthy) as failed:
        patient.checks.await_healthy(patient.row, 20.0, quiet)
    assert str(failed.value).splitlines()[:2] == [
        "boxes/web is unhealthy: 2 checks failed in a row; the last one ended with exit code 4, "
        "saying:",
        "  no database",
    ]


def test_waiting_asks_in_the_start_period_as_often_as_that_says(admit: Admit) -> None:
    line = "test -e /tmp/well"
    patient = admit(
        "sh -c 'usleep 500000; touch /tmp/well; sleep 1000'",
        test=shell(line),
        retries=1,
        interval=60.0,
        start_period=30.0,
        start_interval=0.1,
    )
    began = time.monotonic()
    patient.checks.await_healthy(patient.row, 20.0, quiet)
    assert time.monotonic() - began < 5


def test_waiting_ends_in_time(admit: Admit) -> None:
    patient = admit(test=("CMD", "true"), interval=60.0)
    began = time.monotonic()
    with pytest.raises(faults.NotHealthy, match="no check was due"):
        patient.checks.await_healthy(patient.row, 0.3, quiet)
    assert time.monotonic() - began < 2


def test_waiting_for_what_keeps_ending_tells_so(admit: Admit) -> None:
    patient = admit("exit 2", test=("CMD", "true"), interval=60.0, restart=always())
    with pytest.raises(faults.NotHealthy, match=r"it keeps ending .*; restarts so far: [1-9]"):
        patient.checks.await_healthy(patient.row, 1.0, quiet)


@pytest.mark.slow
def test_nobody_waits_long_for_what_keeps_ending(admit: Admit) -> None:
    patient = admit("exit 2", test=("CMD", "true"), interval=600.0, restart=always())
    began = time.monotonic()
    with pytest.raises(faults.NotHealthy, match="it keeps ending"):
        patient.checks.await_healthy(patient.row, 120.0, quiet)
    assert time.monotonic() - began < 30


def test_waiting_ends_with_the_container(admit: Admit) -> None:
    patient = admit("usleep 300000", test=("CMD", "true"), interval=60.0)
    with pytest.raises(faults.EndedEarly):
        patient.checks.await_healthy(patient.row, 20.0, quiet)


def test_waiting_hears_of_checks_that_others_make(admit: Admit) -> None:
    patient = admit(test=("CMD", "true"), interval=3600.0)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(patient.checks.await_healthy, patient.row, 20.0, quiet)
        time.sleep(0.1)
        patient.checks.probe(patient.row)
        waiting.result(5)


def test_an_old_bad_record_is_asked_again(admit: Admit) -> None:
    patient = admit(test=shell("test -e /tmp/well"), interval=0.2, retries=1)
    health = patient.checks.probe(patient.row)
    assert health is not None
    assert health.status is HealthStatus.UNHEALTHY
    Path(patient.box.bundle / "rootfs/tmp/well").touch()
    time.sleep(0.3)
    patient.checks.await_healthy(patient.row, 5.0, quiet)


def test_nothing_to_ask_is_an_error(admit: Admit) -> None:
    patient = admit()
    with pytest.raises(faults.NoHealthcheck):
        patient.checks.await_healthy(patient.row, 1.0, quiet)


# --- jobs -----------------------------------------------------------------------------------


def test_a_job_completes(admit: Admit) -> None:
    patient = admit("usleep 200000")
    patient.checks.await_completed(patient.row, None)
    patient.checks.await_completed(patient.row, 0.0)


def test_a_job_that_fails(admit: Admit) -> None:
    patient = admit("(usleep 200000; exit 3)")
    with pytest.raises(faults.NotCompleted, match="exit code 3"):
        patient.checks.await_completed(patient.row, 10.0)


def test_a_job_that_is_tried_again_is_waited_for(admit: Admit) -> None:
    script = "(test -e /tmp/second && exit 0; touch /tmp/second; exit 3)"
    patient = admit(script, restart=RestartPolicy(kind=RestartKind.ON_FAILURE))
    patient.checks.await_completed(patient.row, 10.0)


def test_a_job_that_does_not_end(admit: Admit) -> None:
    patient = admit()
    began = time.monotonic()
    with pytest.raises(faults.StillRunning):
        patient.checks.await_completed(patient.row, 0.3)
    assert time.monotonic() - began < 2
