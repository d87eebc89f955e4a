"""Plans as values: JSON, secrets, impact."""

import msgspec
import pytest

from reconciler.plan import (
    HIDDEN,
    ChangeKind,
    CreateContainer,
    Impact,
    Mend,
    Plan,
    Step,
    decode,
    encode,
    redacted,
    verb,
    worst,
)
from runtime.api import RestartPolicy, TmpfsMount, VolumeMount
from tests.fake_runtime import FakeRuntime
from tests.reconciler.world import plan_for, shop, spec

SECRET = shop(
    {
        "web": spec(
            environment={"PW": "hunter2", "A": "b"},
            secret_environment=("PW",),
            restart=RestartPolicy(),
            mounts=(VolumeMount(volume="data", target="/d"), TmpfsMount(target="/tmp")),
        )
    },
    {"web": ("8080:80", "53/udp")},
)


def test_a_plan_reads_back_as_itself() -> None:
    plan = plan_for(SECRET, FakeRuntime())
    assert decode(encode(plan)) == plan


def test_equal_plans_are_equal_bytes() -> None:
    one, other = (encode(plan_for(SECRET, FakeRuntime())) for _ in range(2))
    assert one == other


def test_a_plan_that_is_shown_has_no_secrets() -> None:
    plan = plan_for(SECRET, FakeRuntime())
    shown = redacted(plan)
    assert b"hunter2" not in encode(shown)
    (made,) = [s.action for s in shown.steps if isinstance(s.action, CreateContainer)]
    assert made.spec.environment == {"PW": HIDDEN, "A": "b"}
    assert [s.number for s in shown.steps] == [s.number for s in plan.steps]


def test_what_is_no_plan_is_refused() -> None:
    with pytest.raises(msgspec.ValidationError):
        decode(
            b'{"project":"shop","steps":[{"number":1,"object":"x","action":{"type":"explode"}}]}'
        )


def test_the_gravest_impact_counts() -> None:
    assert worst([]) is Impact.NONE
    assert worst([Impact.RESTART, Impact.DATA, Impact.DOWNTIME]) is Impact.DATA
    step = Step(number=1, action=Mend(), object="host", impact=Impact.RESTART)
    assert Plan(project="shop", steps=(step,)).impact is Impact.RESTART


def test_a_plan_with_problems_is_not_converged() -> None:
    assert Plan(project="shop").converged
    assert not Plan(project="shop", problems=("the port is taken",)).converged


def test_verbs_are_one_word() -> None:
    plan = plan_for(SECRET, FakeRuntime())
    assert {verb(step.action) for step in plan.steps} == {
        "adopt", "pull", "create", "register", "start", "serve",
    }  # fmt: skip
    assert {change.kind for change in plan.changes} == {ChangeKind.CREATE}
