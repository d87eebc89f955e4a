"""Networks that change under containers, what belongs to others, volumes made anew."""

from dataclasses import replace
from typing import Any

import pytest

from reconciler.desired import Desired
from reconciler.planning import plan, plan_down
from reconciler.views.plan import render
from runtime.api import (
    Attachment,
    BindMount,
    NetworkSpec,
    Phase,
    Query,
    VolumeMount,
    VolumeSpec,
)
from tests.fake_runtime import FakeRuntime
from tests.reconciler.world import (
    applied,
    carry_out,
    events,
    named,
    newest,
    plan_for,
    shop,
    show,
    spec,
)

DATA = VolumeMount(volume="data", target="/data")
BACK = (Attachment(network="default"), Attachment(network="back"))
WEB = shop({"web": spec()})
LINES = {("volume", "data", "owner"): "shop.yaml:5", ("network", "back", "subnet"): "shop.yaml:8"}


# --- networks ---------------------------------------------------------------------------------


def test_a_running_container_joins_a_network_and_leaves_it() -> None:
    runtime = applied(WEB)
    joined = shop({"web": spec(networks=BACK)})
    assert (
        show(joined, runtime)
        == """\
1 create network back
2 register service web after 1: web: networks default → default, back (shop.yaml:10)
3 update container web @1 after 2: networks default → default, back (shop.yaml:10)
"""
    )
    assert carry_out(plan_for(joined, runtime), runtime).succeeded
    assert plan_for(joined, runtime).converged
    assert (
        show(WEB, runtime)
        == """\
1 register service web: web: networks default, back → default (shop.yaml:10)
2 update container web @1 after 1: networks default, back → default (shop.yaml:10)
3 remove network back after 2: no longer in the spec
"""
    )
    assert carry_out(plan_for(WEB, runtime), runtime).succeeded
    assert plan_for(WEB, runtime).converged


def with_back(network: NetworkSpec) -> Desired:
    desired = shop({"web": spec(networks=BACK)})
    return replace(desired, networks={**desired.networks, "back": network}, places=LINES)


def test_a_network_that_changes_is_told_in_place() -> None:
    runtime = applied(with_back(NetworkSpec(project="shop", name="back", subnet="10.90.0.0/24")))
    changed = NetworkSpec(
        project="shop", name="back", subnet="10.91.0.0/24", ipv6=True, labels={"a": "b"}
    )
    assert (
        render(plan_for(with_back(changed), runtime))
        == """\
  ~ network back, in place
      subnet 10.90.0.0/24 → 10.91.0.0/24 (shop.yaml:8), its connections end
      ipv6 no → yes
      labels changed

0 to create, 1 to change, 0 to replace, 0 to remove
"""
    )
    assert events(plan_for(with_back(changed), runtime), runtime) == ["create network back"]
    assert plan_for(with_back(changed), runtime).converged


def test_a_network_of_another_project_is_used_and_never_made_nor_removed() -> None:
    owner = shop({"db": spec(networks=BACK)}, project="blog", path="/srv/blog")
    theirs = NetworkSpec(project="shop", name="back", external=True, full_name="blog_back")
    runtime = FakeRuntime()
    assert plan_for(with_back(theirs), runtime).problems == (
        "network back is external, and nobody has a network blog_back; apply the project that it"
        " belongs to, or see `trueup network ls`",
    )
    applied(owner, runtime)
    changes = {change.object for change in plan_for(with_back(theirs), runtime).changes}
    assert changes == {"network default", "container web"}
    done = events(plan_for(with_back(theirs), runtime), runtime)
    assert [each for each in done if "network" in each] == ["create network default"]
    assert plan_for(with_back(theirs), runtime).converged
    down = plan_down(runtime.observe(with_back(theirs).query()))
    assert [s.object for s in down.steps if "network" in s.object] == ["network default"]
    assert carry_out(plan_for(WEB, runtime), runtime).succeeded
    assert ("blog", "back") in runtime.networks_made


# --- volumes ----------------------------------------------------------------------------------


def store(volume: VolumeSpec, **fields: Any) -> Desired:
    desired = shop({"web": spec(mounts=(DATA,), **fields)})
    return replace(desired, volumes={"data": volume}, places=LINES)


OLD = VolumeSpec(project="shop", name="data", mode=0o750)
DEFINITIONS: dict[str, dict[str, Any]] = {
    "owner unset → 27:27 (shop.yaml:5)": {"owner": (27, 27)},
    "mode 0750 → unset": {"mode": None},
    "driver_opts type unset → tmpfs": {"driver_opts": {"type": "tmpfs"}},
    "name shop_data → db": {"full_name": "db"},
}


@pytest.mark.parametrize("words", DEFINITIONS)
def test_a_definition_that_changed_is_refused_until_somebody_allows_the_loss(words: str) -> None:
    runtime = applied(store(OLD))
    fields: dict[str, Any] = {"mode": 0o750, **DEFINITIONS[words]}
    changed = store(VolumeSpec(project="shop", name="data", **fields))
    found = plan_for(changed, runtime)
    assert (found.steps, found.problems) == (
        (),
        (
            f"volume data: {words} needs a new volume, and all data in it would be lost; take the"
            " change back, or allow it with `trueup apply --recreate-volume data`",
        ),
    )
    observed = runtime.observe(changed.query())
    allowed = plan(changed, observed, explicit=True, recreate=frozenset({"data"}))
    done = events(allowed, runtime)
    assert done[:3] == ["stop web@1", "remove volume data", "create volume data"]
    assert runtime.volumes_made["shop", "data"].applied == changed.volumes["data"]
    assert newest(runtime, "web", 1).phase is Phase.RUNNING
    assert plan_for(changed, runtime).converged


def test_a_volume_made_anew_is_one_change_with_its_impact() -> None:
    runtime = applied(store(OLD))
    changed = store(VolumeSpec(project="shop", name="data", owner=(1, 1), mode=0o750))
    made = plan(
        changed, runtime.observe(changed.query()), explicit=True, recreate=frozenset({"data"})
    )
    assert (
        named(made, runtime)
        == """\
1 stop container web @1 !downtime: both would use volume data
2 remove volume data !data after 1
    owner unset → 1:1 (shop.yaml:5)
    made anew, deleted with all data in it
3 create volume data after 2
4 create container web@2 after 3: its volume data is made anew
5 start container web @2 after 4
6 serve service web by @2 after 5: it leads elsewhere
7 remove container web @1 after 6: an older generation
"""
    )
    assert (
        render(made)
        == """\
-/+ volume data
      owner unset → 1:1 (shop.yaml:5)
      made anew, deleted with all data in it
-/+ container web
      its volume data is made anew
      the old one stops first: both would use volume data
      down for a moment

0 to create, 0 to change, 2 to replace, 0 to remove
"""
    )


def test_whoever_only_reads_stops_as_well() -> None:
    reader = spec(mounts=(VolumeMount(volume="data", target="/data", read_only=True),))
    before = replace(shop({"web": reader}), volumes={"data": OLD})
    changed = replace(before, volumes={"data": VolumeSpec(project="shop", name="data")})
    runtime = applied(before)
    made = plan(
        changed, runtime.observe(changed.query()), explicit=True, recreate=frozenset({"data"})
    )
    assert events(made, runtime)[:2] == ["stop web@1", "remove volume data"]
    assert plan_for(changed, runtime).converged


def test_allowing_what_is_not_necessary_loses_nothing() -> None:
    runtime = applied(store(OLD))
    observed = runtime.observe(store(OLD).query())
    found = plan(store(OLD), observed, explicit=True, recreate=frozenset({"data", "dta"}))
    assert (found.steps, found.notes, found.problems) == (
        (),
        ("volume data is as its spec says; its data is kept",),
        ("the spec has no volume dta; its volumes: data",),
    )


def test_labels_of_a_volume_change_in_place() -> None:
    runtime = applied(shop({"db": spec(mounts=(DATA,))}))
    relabelled = VolumeSpec(project="shop", name="data", labels={"backup": "daily"})
    desired = replace(shop({"db": spec(mounts=(DATA,))}), volumes={"data": relabelled})
    assert show(desired, runtime) == "1 create volume data: labels changed\n"
    assert "  ~ volume data, in place  labels changed\n" in render(plan_for(desired, runtime))
    assert carry_out(plan_for(desired, runtime), runtime).succeeded
    assert plan_for(desired, runtime).converged


def test_a_volume_of_another_project() -> None:
    runtime = FakeRuntime()
    desired = store(VolumeSpec(project="shop", name="data", external=True, full_name="blog_data"))
    assert plan_for(desired, runtime).problems == (
        "volume data is external, and nobody has a volume blog_data; apply the project that it"
        " belongs to, or see `trueup volume ls`",
    )
    owner = shop({"db": spec(mounts=(DATA,))}, project="blog", path="/srv/blog")
    applied(owner, runtime)
    assert plan_for(desired, runtime).problems == ()
    changes = {change.object for change in plan_for(desired, runtime).changes}
    assert changes == {"network default", "container web"}
    assert carry_out(plan_for(desired, runtime), runtime).succeeded
    assert plan_for(desired, runtime).converged
    assert ("shop", "data") not in runtime.volumes_made
    down = plan_down(runtime.observe(desired.query()), volumes=frozenset({"data"}))
    assert down.problems == ("project shop has no volume data; its volumes: none",)


def test_a_folder_of_the_host_is_no_volume() -> None:
    bound = shop({"web": spec(mounts=(BindMount(source="/srv", target="/data"),))})
    assert applied(bound).observe(Query(project="shop")).volumes == {}
