"""When containers are asked for their health, by whom, and who hears of it."""

import threading
import time
from collections.abc import Callable, Iterator

import msgspec
import pytest

from reconciler.loop.health import HealthChecks, Wheel
from runtime.api import (
    ContainerKey,
    Health,
    Healthcheck,
    HealthStatus,
    ObservedContainer,
    Phase,
)
from runtime.errors import Fault
from tests.eventually import eventually
from tests.fake_runtime import FakeRuntime

# --- the wheel ------------------------------------------------------------------------------


def test_the_wheel_gives_what_is_due_in_its_order() -> None:
    wheel = Wheel()
    for key, at in (("b", 2.0), ("c", 3.0), ("a", 1.0)):
        wheel.put(key, at)
    assert (wheel.next_due(), wheel.take(0.5)) == (1.0, [])
    assert wheel.take(2.0) == ["a", "b"]
    assert (wheel.next_due(), wheel.take(9.0), wheel.next_due()) == (3.0, ["c"], None)


def test_a_key_has_one_time_on_the_wheel() -> None:
    wheel = Wheel()
    wheel.put("a", 1.0)
    wheel.put("a", 5.0)
    wheel.put("b", 2.0)
    wheel.drop("b")
    assert (wheel.take(4.0), wheel.next_due()) == ([], 5.0)
    wheel.put("a", 3.0)
    assert wheel.take(9.0) == ["a"]
    assert wheel.take(9.0) == []


# --- asking ---------------------------------------------------------------------------------


class Ward(FakeRuntime):
    """Containers whose answers a test decides; it is told who was asked how often at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.answers: dict[str, Callable[[], Health | None]] = {}
        self.asked: dict[str, int] = {}
        self.at_once: dict[str, int] = {}
        self.most = 0
        self._guard = threading.Lock()

    def probe(self, id: str, *, due: bool = False) -> Health | None:
        assert due, "others may have asked meanwhile"
        with self._guard:
            self.asked[id] = self.asked.get(id, 0) + 1
            self.at_once[id] = self.at_once.get(id, 0) + 1
            self.most = max(self.most, self.at_once[id])
        try:
            return self.answers[id]()
        finally:
            with self._guard:
                self.at_once[id] -= 1


def container(name: str, interval: float = 0.02, started: float = 1.0) -> ObservedContainer:
    return ObservedContainer(
        key=ContainerKey(project="shop", name=name),
        id=name,
        generation=1,
        phase=Phase.RUNNING,
        started_at=started,
        healthcheck=Healthcheck(test=("CMD", "ask"), interval=interval),
        health=Health(),
    )


def says(status: HealthStatus) -> Callable[[], Health]:
    return lambda: Health(status=status, checked_at=time.time())


class Nurse:
    def __init__(self) -> None:
        self.ward = Ward()
        self.changes: list[tuple[str, str, str]] = []
        self.failures: list[str] = []
        self.checks = HealthChecks(self.ward, self._changed, self._failed)

    def _changed(self, container: ObservedContainer, before: HealthStatus, now: Health) -> None:
        self.changes.append((container.id, str(before), str(now.status)))

    def _failed(self, container: ObservedContainer, error: Exception) -> None:
        self.failures.append(f"{container.id}: {error}")


@pytest.fixture
def nurse() -> Iterator[Nurse]:
    nurse = Nurse()
    yield nurse
    nurse.checks.close()


def test_each_change_is_told_once(nurse: Nurse) -> None:
    nurse.ward.answers["web"] = says(HealthStatus.HEALTHY)
    nurse.checks.follow([container("web")])
    eventually(lambda: nurse.ward.asked.get("web", 0) > 3)
    assert nurse.changes == [("web", "starting", "healthy")]
    nurse.ward.answers["web"] = says(HealthStatus.UNHEALTHY)
    eventually(lambda: len(nurse.changes) > 1)
    assert nurse.changes[1] == ("web", "healthy", "unhealthy")


def test_another_look_at_the_same_run_changes_nothing(nurse: Nurse) -> None:
    nurse.ward.answers["web"] = says(HealthStatus.HEALTHY)
    nurse.checks.follow([container("web", interval=0.3)])
    for _ in range(20):
        nurse.checks.follow([container("web", interval=0.3)])
        time.sleep(0.02)
    assert nurse.ward.asked["web"] <= 3


def test_one_that_answers_late_is_not_asked_twice_and_holds_up_nobody(nurse: Nurse) -> None:
    def late() -> Health:
        time.sleep(0.4)
        return says(HealthStatus.HEALTHY)()

    nurse.ward.answers = {"slow": late, "web": says(HealthStatus.HEALTHY)}
    nurse.checks.follow([container("slow"), container("web")])
    for _ in range(10):
        time.sleep(0.05)
        nurse.checks.follow([container("slow"), container("web")])
    assert nurse.ward.most == 1
    assert nurse.ward.asked["web"] > 5


def test_who_is_gone_is_asked_no_more(nurse: Nurse) -> None:
    nurse.ward.answers = {each: says(HealthStatus.HEALTHY) for each in ("web", "db")}
    nurse.checks.follow([container("web"), container("db")])
    eventually(lambda: len(nurse.ward.asked) == 2)
    nurse.checks.follow([container("db")])
    time.sleep(0.05)
    before = dict(nurse.ward.asked)
    time.sleep(0.1)
    assert nurse.ward.asked["web"] == before["web"]
    assert nurse.ward.asked["db"] > before["db"]


def test_one_that_ended_is_asked_again_when_it_runs_anew(nurse: Nurse) -> None:
    nurse.ward.answers["web"] = lambda: None
    nurse.checks.follow([container("web")])
    time.sleep(0.1)
    assert nurse.ward.asked["web"] == 1
    nurse.ward.answers["web"] = says(HealthStatus.HEALTHY)
    nurse.checks.follow([container("web", started=2.0)])
    eventually(lambda: nurse.changes)


def test_a_run_that_began_during_a_check_is_asked_for_itself(nurse: Nurse) -> None:
    go = threading.Event()

    def old() -> Health | None:
        go.wait(5)
        nurse.ward.answers["web"] = says(HealthStatus.HEALTHY)
        return None

    nurse.ward.answers["web"] = old
    nurse.checks.follow([container("web")])
    eventually(lambda: nurse.ward.asked)
    nurse.checks.follow([container("web", started=2.0)])
    go.set()
    eventually(lambda: nurse.changes == [("web", "starting", "healthy")])


def test_a_check_that_cannot_be_asked_is_told_and_asked_again(nurse: Nurse) -> None:
    def fail() -> Health:
        raise Fault("crun is not installed")

    nurse.ward.answers["web"] = fail
    nurse.checks.follow([container("web", interval=0.1)])
    time.sleep(0.35)
    assert 2 <= len(nurse.failures) <= 4
    assert nurse.failures[0] == "web: crun is not installed"
    assert nurse.changes == []


def test_the_first_check_waits_for_its_time(nurse: Nurse) -> None:
    nurse.ward.answers["web"] = says(HealthStatus.HEALTHY)
    nurse.checks.follow([container("web", interval=0.4, started=time.time())])
    time.sleep(0.2)
    assert nurse.ward.asked == {}
    eventually(lambda: nurse.changes, 2)


def test_a_check_changed_in_place_is_asked_by_its_new_times(nurse: Nurse) -> None:
    nurse.ward.answers["web"] = says(HealthStatus.HEALTHY)
    seldom = container("web", interval=1000.0, started=time.time())
    nurse.checks.follow([seldom])
    often = Healthcheck(test=("CMD", "ask"), interval=0.02)
    nurse.checks.follow([msgspec.structs.replace(seldom, healthcheck=often)])
    eventually(lambda: nurse.changes)
