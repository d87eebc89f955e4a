"""A plan that is kept is carried out as it is, in the world that it was made for, or not at all."""

from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from reconciler.passes import Exactly, Spec, WorldMoved
from reconciler.records import plan_file
from reconciler.records.plan_file import KeptPlan, PlanFileBroken, PlanFileForeign, PlanNotKept
from runtime.api import Health, Healthcheck, HealthStatus, Limits, RegistryAccess
from runtime.errors import Fault
from tests.fake_runtime import FakeRuntime
from tests.reconciler.world import NGINX, applied, carry_out, shop, spec, the

SECRET = spec(environment={"PW": "hunter2"}, secret_environment=("PW",))
WEB = shop({"web": SECRET}, {"web": ("8080:80",)})
CHECKED = shop({"web": spec(healthcheck=Healthcheck(test=("CMD", "true")))})


def kept(runtime: FakeRuntime, file: Path) -> KeptPlan:
    """The plan of WEB, written and read back."""
    plan_file.write(file, Spec(desired=WEB, explicit=True).kept(runtime, "/srv/shop"))
    return plan_file.read(file)


def test_it_does_what_was_planned_with_the_secrets_that_it_needs(tmp_path: Path) -> None:
    runtime = FakeRuntime()
    again = kept(runtime, tmp_path / "plan")
    assert (tmp_path / "plan").stat().st_mode & 0o777 == 0o600
    assert again.spec == "/srv/shop"
    assert carry_out(Exactly(kept=again, registries=()).plan(runtime), runtime).succeeded
    web = runtime.generations[the(runtime, "web")]
    assert web.applied is not None
    assert web.applied.environment == {"PW": "hunter2"}


def test_access_to_registries_is_not_kept(tmp_path: Path) -> None:
    access = RegistryAccess(host="r.example", username="ci", password="swordfish")
    aim = Spec(desired=replace(WEB, registries=(access,)), explicit=True)
    plan_file.write(tmp_path / "plan", aim.kept(FakeRuntime(), "/srv/shop"))
    assert b"swordfish" not in (tmp_path / "plan").read_bytes()


def test_it_is_refused_when_the_world_has_moved(tmp_path: Path) -> None:
    runtime = FakeRuntime()
    again = kept(runtime, tmp_path / "plan")
    applied(WEB, runtime)
    with pytest.raises(WorldMoved) as refused:
        Exactly(kept=again, registries=()).plan(runtime)
    assert str(refused.value) == (
        "shop: the world has moved since the plan was made, and nothing was changed: different now:"
        " container web@1, image docker.io/library/nginx:1.27, network default, project shop,"
        " service web\n  make a new plan with `trueup plan -o FILE`, or apply without --plan"
    )


def test_what_changes_by_itself_does_not_move_the_world() -> None:
    runtime = applied(CHECKED)
    aim = Spec(desired=CHECKED, explicit=True)
    before = aim.kept(runtime, "/srv/shop")
    id = the(runtime, "web")
    health = runtime.generations[id].health
    assert health is not None
    later = Health(status=health.status, failing_streak=2, output="no", checked_at=1.0)
    runtime.change(id, restarts=3, pid=77, started_at=1.0, health=later)
    assert Exactly(kept=before, registries=()).plan(runtime) == before.plan
    runtime.change(id, health=Health(status=HealthStatus.UNHEALTHY))
    with pytest.raises(WorldMoved, match="different now: container web@1"):
        Exactly(kept=before, registries=()).plan(runtime)


def test_what_registries_have_of_what_is_pushed_does_not_move_the_world(tmp_path: Path) -> None:
    tag = "r.lab/app:1"
    image = msgspec.structs.replace(WEB.images[NGINX], tags=(tag,), push=(tag,))
    desired = replace(WEB, images={NGINX: image})
    runtime = applied(desired)
    before = Spec(desired=desired, explicit=True).kept(runtime, "/srv/shop")
    runtime.images.silent[tag] = "no answer within 3 s"
    assert Exactly(kept=before, registries=()).plan(runtime) == before.plan
    del runtime.images.silent[tag], runtime.images.pushed[tag]
    assert Exactly(kept=before, registries=()).plan(runtime) == before.plan
    runtime.images.local[tag] = "sha256:another"
    with pytest.raises(WorldMoved, match=r"different now: image docker.io/library/nginx"):
        Exactly(kept=before, registries=()).plan(runtime)


def test_drift_moves_the_world(tmp_path: Path) -> None:
    runtime = applied(WEB)
    again = kept(runtime, tmp_path / "plan")
    runtime.change(the(runtime, "web"), limits=Limits(mem_limit=1 << 20))
    with pytest.raises(WorldMoved):
        Exactly(kept=again, registries=()).plan(runtime)


# What is in the file, and what is told of it.
BAD: dict[str, tuple[bytes, type[Fault], str]] = {
    "nothing": (b"", PlanFileBroken, "holds no plan that can be read"),
    "no JSON": (b"\xff\x00garbage", PlanFileBroken, "holds no plan that can be read"),
    "another JSON": (b'{"a": 1}', PlanFileBroken, "missing required field `format`"),
    "half a plan": (b'{"format": 2, "spec": "/x"}', PlanFileBroken, "missing required field"),
    "another version": (b'{"format": 1}', PlanFileForeign, "its format is 1, this trueup knows 2"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_file_that_holds_no_plan_of_ours(case: str, tmp_path: Path) -> None:
    content, fault, words = BAD[case]
    (tmp_path / "plan").write_bytes(content)
    with pytest.raises(fault) as told:
        plan_file.read(tmp_path / "plan")
    assert words in str(told.value)
    assert "`trueup plan -o FILE`" in told.value.hint


def test_a_file_that_is_not_there_or_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(PlanFileBroken, match="No such file"):
        plan_file.read(tmp_path / "plan")
    with pytest.raises(PlanNotKept, match="No such file"):
        kept(FakeRuntime(), tmp_path / "missing" / "plan")
