"""Plans as people see them."""

from reconciler.planning import plan_down
from reconciler.views.plan import render, steps, summary
from runtime.api import Limits, Query, VolumeMount
from tests.fake_runtime import FakeRuntime
from tests.reconciler.world import MYSQL, applied, plan_for, shop, spec, the

DATA = VolumeMount(volume="data", target="/data")
BEFORE = shop(
    {
        "app": spec(),
        "db": spec(MYSQL, mounts=(DATA,)),
        "old": spec(),
        "web": spec(mem_limit=512 << 20, needs=("db",)),
    },
    {"web": ("8080:80",)},
)
AFTER = shop(
    {
        "app": spec("docker.io/library/nginx:1.28", user="app"),
        "cache": spec(),
        "db": spec(MYSQL, user="1", mounts=(DATA,)),
        "web": spec(mem_limit=1 << 30, needs=("db",)),
    },
    {"web": ("8080:80", "443")},
)


def test_a_new_project() -> None:
    assert (
        render(plan_for(BEFORE, FakeRuntime()))
        == """\
  + network default
  + volume data
  + image mysql:8.4  not here yet
  + image nginx:1.27  not here yet
  + container app
  + container db
  + container old
  + container web

8 to create, 0 to change, 0 to replace, 0 to remove
"""
    )


def test_every_kind_of_change() -> None:
    runtime = applied(BEFORE)
    runtime.change(the(runtime, "web"), limits=Limits(mem_limit=768 << 20, pids_limit=2048))
    runtime.break_host("the host table trueup is missing")
    assert (
        render(plan_for(AFTER, runtime))
        == """\
  ~ the host's network  the host table trueup is missing
  + image nginx:1.28  not here yet
-/+ container app
      image nginx:1.27 → nginx:1.28
      user unset → app
  + container cache
-/+ container db
      user unset → 1 (shop.yaml:40)
      the old one stops first: both would use volume data
      down for a moment
  ~ container web, in place
      memory 512M → 1G (shop.yaml:31)
      memory is 768M, set by hand
      ports 8080:80 → 8080:80, 443 (shop.yaml:12)
  - container old  no longer in the spec

2 to create, 2 to change, 2 to replace, 1 to remove
"""
    )


def test_nothing_to_change() -> None:
    assert render(plan_for(BEFORE, applied(BEFORE))) == "nothing to change\n"


def test_notes_without_changes() -> None:
    runtime = applied(BEFORE)
    runtime.exit(the(runtime, "app"), 3)
    assert (
        render(plan_for(BEFORE, runtime, explicit=False))
        == """\
  note: app failed: it ended with exit code 3; `trueup apply` starts it again

nothing to change
"""
    )


def test_problems_come_with_the_plan() -> None:
    runtime = FakeRuntime()
    runtime.foreign_ports[None, 8080, "tcp"] = "nginx[812]"
    assert (
        render(plan_for(shop({"web": spec()}, {"web": ("8080:80",)}), runtime))
        == """\
  + network default
  + image nginx:1.27  not here yet
  + container web

  ! port 8080/tcp of web (shop.yaml:12) is held by nginx[812]; stop it, or publish another port

3 to create, 0 to change, 0 to replace, 0 to remove
"""
    )


def test_the_end_of_a_project_with_its_data() -> None:
    observed = applied(BEFORE).observe(Query(project="shop"))
    assert (
        render(plan_down(observed, volumes=frozenset({"data"})))
        == """\
  - network default  the project is taken down
  - volume data  deleted with all data in it
  - container app  the project is taken down
  - container db  the project is taken down
  - container old  the project is taken down
  - container web  the project is taken down

0 to create, 0 to change, 0 to replace, 6 to remove
"""
    )
    assert plan_down(observed).notes == ("volume data is kept",)
    assert summary(plan_down(observed)) == "0 to create, 0 to change, 0 to replace, 5 to remove"


def test_foreign_text_is_shown_and_not_sent() -> None:
    evil = spec(labels={"x": "\x1b]0;title\x07"}, command=("\x1b[2J",))
    plan = plan_for(shop({"web": evil}), applied(shop({"web": spec()})))
    assert "\x1b" not in render(plan) + steps(plan)
    assert "\\x1b" in render(plan)
