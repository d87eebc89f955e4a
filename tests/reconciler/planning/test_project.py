"""Services, networks, volumes and images of a project; what leaves it; a part of it; its end."""

from dataclasses import replace

import msgspec

from reconciler.desired import Desired
from reconciler.plan import CreateContainer, Impact, Register, RemoveContainer
from reconciler.planning import plan, plan_down
from runtime.api import (
    ArchiveSource,
    Attachment,
    ImageSpec,
    NetworkSpec,
    Observed,
    PortHolder,
    PullPolicy,
    Query,
    RegistrySource,
    VolumeMount,
    VolumeSpec,
)
from tests.fake_runtime import FakeRuntime
from tests.reconciler.world import (
    MYSQL,
    applied,
    carry_out,
    named,
    plan_for,
    port,
    shop,
    show,
    spec,
    the,
)

DATA = VolumeMount(volume="data", target="/data")
SPECS = {"db": spec(MYSQL, mounts=(DATA,)), "web": spec(needs=("db",))}
PAIR = shop(SPECS, {"web": ("8080:80",)})


# --- services -------------------------------------------------------------------------------------


def test_a_service_that_leads_elsewhere_is_led_back() -> None:
    runtime = applied(PAIR)
    runtime.serve("shop", "web", ())
    assert (
        show(PAIR, runtime)
        == """\
1 serve service web by @1: it leads nowhere yet
"""
    )


def test_a_lost_service_is_registered_again() -> None:
    runtime = applied(PAIR)
    del runtime.services_made["shop", "web"]
    assert (
        show(PAIR, runtime)
        == """\
1 register service web
2 serve service web by @1 after 1: it leads nowhere yet
"""
    )
    assert [change.reasons for change in plan_for(PAIR, runtime).changes] == [
        ("it has no service",)
    ]


def test_a_fixed_address_goes_to_another_container_once_its_holder_is_removed() -> None:
    """Running or not: a renamed container is one that goes and one that comes."""
    fixed = spec(networks=(Attachment(network="default", ipv4_address="10.0.0.5"),))
    runtime = applied(shop({"db": fixed}))
    for _ in ("running", "stopped"):
        plan = plan_for(shop({"database": fixed}), runtime)
        (removal,) = (s.number for s in plan.steps if isinstance(s.action, RemoveContainer))
        waiting = [s for s in plan.steps if isinstance(s.action, CreateContainer | Register)]
        assert [removal in step.after for step in waiting] == [True, True]
        runtime.stop(next(each.id for each in runtime.containers()))
    assert carry_out(plan_for(shop({"database": fixed}), runtime), runtime).succeeded


def test_a_port_goes_from_one_container_to_another_in_one_step() -> None:
    runtime = applied(shop({"a": spec(), "b": spec()}, {"a": ("8080:80",)}))
    assert (
        show(shop({"a": spec(), "b": spec()}, {"b": ("8080:80",)}), runtime)
        == """\
1 register services a, b
    a: ports 8080:80 → unset
    b: ports unset → 8080:80
"""
    )


def test_a_port_of_a_container_that_leaves_is_given_back_first() -> None:
    runtime = applied(shop({"a": spec()}, {"a": ("8080:80",)}))
    desired = shop({"b": spec()}, {"b": ("8080:80",)})
    assert (
        show(desired, runtime)
        == """\
1 unregister service a !downtime
2 register service b after 1
3 create container b@1
4 stop container a @1 !downtime after 1: no longer in the spec
5 start container b @1 after 2 3
6 serve service b by @1 after 5: it leads nowhere yet
7 remove container a @1 after 4: no longer in the spec
"""
    )
    assert carry_out(plan_for(desired, runtime), runtime).succeeded


def test_a_port_that_somebody_else_has_forbids_to_begin() -> None:
    runtime = FakeRuntime()
    runtime.foreign_ports[None, 8080, "tcp"] = "nginx[812]"
    found = plan_for(shop({"web": spec()}, {"web": ("8080:80",)}), runtime)
    assert found.problems == (
        "port 8080/tcp of web (shop.yaml:12) is held by nginx[812]; stop it, or publish another"
        " port",
    )
    assert not found.converged


def test_a_port_of_another_project_forbids_to_begin() -> None:
    runtime = applied(shop({"web": spec()}, {"web": ("8080:80",)}, project="blog", path="/b"))
    found = plan_for(shop({"web": spec()}, {"web": ("127.0.0.1:8080:80",)}), runtime)
    assert found.problems == (
        "port 127.0.0.1:8080/tcp of web (shop.yaml:12) is held by project blog, container web;"
        " stop it, or publish another port",
    )


def test_a_port_that_was_taken_from_us_is_reported() -> None:
    runtime = applied(PAIR)
    observed = runtime.observe(PAIR.query())
    held = (PortHolder(port=port("8080:80"), holder="nginx[812]"),)
    observed = msgspec.structs.replace(observed, port_holders=held)
    found = plan(PAIR, observed, explicit=True)
    assert (found.problems, found.notes) == (
        (),
        (
            "port 8080/tcp of web (shop.yaml:12) is held by nginx[812]; stop it, or publish"
            " another port",
        ),
    )


# --- the ground -----------------------------------------------------------------------------------


def test_the_host_is_mended_before_anything_else() -> None:
    runtime = applied(PAIR)
    runtime.break_host("the host table trueup is missing")
    more = shop({**SPECS, "new": spec()}, {"web": ("8080:80",)})
    assert (
        show(more, runtime)
        == """\
1 mend the host's network: the host table trueup is missing
2 register service new after 1
3 create container new@1 after 1
4 start container new @1 after 2 3
5 serve service new by @1 after 4: it leads nowhere yet
"""
    )


def test_another_folder_of_the_same_name_is_refused_unless_it_takes_over() -> None:
    runtime = applied(PAIR)
    moved = shop(SPECS, {"web": ("8080:80",)}, path="/home/ci/shop")
    assert plan_for(moved, runtime).problems == (
        "project shop is applied from /srv/shop, not from /home/ci/shop;"
        " --take-over makes this folder its spec",
    )
    taken = plan_for(moved, runtime, take_over=True)
    assert taken.problems == ()
    assert (
        named(taken, runtime)
        == """\
1 adopt project shop: taken over from /srv/shop
"""
    )


def _with_volume(volume: VolumeSpec) -> Desired:
    return replace(PAIR, volumes={volume.name: volume})


def test_a_network_changes_under_its_containers() -> None:
    runtime = applied(PAIR)
    network = NetworkSpec(project="shop", name="default", subnet="10.90.0.0/24", internal=True)
    desired = replace(PAIR, networks={"default": network})
    assert (
        show(desired, runtime)
        == """\
1 create network default
    subnet 10.240.0.0/24 → 10.90.0.0/24, its connections end
    internal no → yes
"""
    )
    assert carry_out(plan_for(desired, runtime), runtime).succeeded
    assert plan_for(desired, runtime).converged


def test_a_subnet_that_the_spec_leaves_to_the_engine_stays() -> None:
    picked = NetworkSpec(project="shop", name="default", subnet="10.90.0.0/24")
    runtime = applied(replace(PAIR, networks={"default": picked}))
    assert plan_for(PAIR, runtime).converged


def test_a_network_that_is_not_declared_any_more_goes_last() -> None:
    runtime = applied(PAIR)
    nothing = shop({}, path="/srv/shop")
    assert (
        show(replace(nothing, networks={}), runtime)
        == """\
1 unregister services db, web !downtime
2 stop container web @1 !downtime after 1: no longer in the spec
3 stop container db @1 !downtime after 2: no longer in the spec
4 remove container db @1 after 3: no longer in the spec
5 remove container web @1 after 2: no longer in the spec
6 remove network default after 4 5: no longer in the spec
"""
    )


# --- images ---------------------------------------------------------------------------------------


def test_an_image_that_nobody_uses_is_not_fetched() -> None:
    runtime = applied(PAIR)
    extra = ImageSpec(name="site", source=ArchiveSource(path="/srv/site.tar"))
    assert show(replace(PAIR, images={**PAIR.images, "site": extra}), runtime) == ""


def test_an_image_that_may_not_be_pulled_forbids_to_begin() -> None:
    found = plan_for(shop({"web": spec()}, pull=PullPolicy.NEVER), FakeRuntime())
    assert found.problems == (
        "image nginx:1.27 is not here, and `pull: never` forbids a pull; `trueup pull nginx:1.27`,"
        " or allow it",
    )


def test_an_archive_that_was_never_read_in_is_another_image() -> None:
    site = ImageSpec(name="site", source=ArchiveSource(path="/srv/site.tar"))
    desired = replace(shop({"web": spec("site")}), images={"site": site})
    runtime = applied(desired)
    del runtime.images.local["site"]
    assert (
        show(desired, runtime)
        == """\
1 pull image site: not here yet
2 create container web@2 after 1: image site: has not been read in yet (shop.yaml:11)
3 start container web @2 after 2
4 await container web after 3: it must listen where the old one does before that stops
5 serve service web by @2 after 4: it leads elsewhere
6 stop container web @1 !restart after 5
7 remove container web @1 after 6: an older generation
"""
    )


def test_an_image_of_a_file_is_read_in_for_every_new_container_so_that_its_name_is_right() -> None:
    site = ImageSpec(name="site", source=ArchiveSource(path="/srv/site.tar"))
    desired = replace(shop({"web": spec("site")}), images={"site": site})
    runtime = applied(desired)
    more = replace(shop({"new": spec("site"), "web": spec("site")}), images={"site": site})
    assert "1 pull image site\n" in show(more, runtime)
    assert [c.object for c in plan_for(more, runtime).changes] == ["container new"]
    assert show(desired, runtime) == ""


def test_so_is_one_that_several_registries_may_have() -> None:
    source = RegistrySource(reference="docker.io/library/site:1", alternatives=("r.lab/site:1",))
    images = {"site:1@shop": ImageSpec(name="site:1@shop", source=source)}
    web = spec("site:1@shop")
    desired = replace(shop({"web": web}), images=images)
    runtime = applied(desired)
    more = replace(shop({"new": web, "web": web}), images=images)
    assert "1 pull image site:1\n" in show(more, runtime)
    assert show(desired, runtime) == ""


def test_an_archive_that_changed_is_read_in_again() -> None:
    site = ImageSpec(name="site", source=ArchiveSource(path="/srv/site.tar"))
    desired = replace(shop({"web": spec("site")}), images={"site": site})
    runtime = applied(desired)
    runtime.images.stale["site"] = "site.tar changed"
    runtime.images.registry["site"] = "sha256:" + "cd" * 32
    assert (
        show(desired, runtime)
        == """\
1 pull image site: site.tar changed
2 create container web@2 after 1: image site: site.tar changed (shop.yaml:11)
3 start container web @2 after 2
4 await container web after 3: it must listen where the old one does before that stops
5 serve service web by @2 after 4: it leads elsewhere
6 stop container web @1 !restart after 5
7 remove container web @1 after 6: an older generation
"""
    )


# --- what leaves ----------------------------------------------------------------------------------


def test_what_the_spec_does_not_name_any_more_goes_but_volumes_stay() -> None:
    runtime = applied(PAIR)
    desired = shop({"cache": spec()})
    assert (
        show(desired, runtime)
        == """\
1 unregister services db, web !downtime
2 register service cache after 1
3 create container cache@1
4 stop container web @1 !downtime after 1: no longer in the spec
5 stop container db @1 !downtime after 4: no longer in the spec
6 start container cache @1 after 2 3
7 serve service cache by @1 after 6: it leads nowhere yet
8 remove container db @1 after 5: no longer in the spec
9 remove container web @1 after 4: no longer in the spec
"""
    )
    assert carry_out(plan_for(desired, runtime), runtime).succeeded
    assert set(runtime.observe(Query(project="shop")).volumes) == {"data"}


def test_who_writes_where_somebody_leaves_waits_for_it() -> None:
    runtime = applied(PAIR)
    renamed = shop({"database": spec(MYSQL, mounts=(DATA,)), "web": spec()}, {"web": ("8080:80",)})
    assert (
        show(renamed, runtime)
        == """\
1 unregister service db !downtime
2 register service database after 1
3 create container database@1
4 update container web @1: depends_on db → unset (shop.yaml:10)
5 stop container db @1 !downtime after 1: no longer in the spec
6 start container database @1 after 2 3 5
7 serve service database by @1 after 6: it leads nowhere yet
8 remove container db @1 after 5: no longer in the spec
"""
    )


# --- a part ---------------------------------------------------------------------------------------


def test_only_plans_for_what_is_named_and_what_it_needs() -> None:
    three = shop(
        {
            "db": spec(MYSQL, mounts=(DATA,)),
            "web": spec(needs=("db",)),
            "other": spec(mounts=(VolumeMount(volume="more", target="/more"),)),
        },
    )
    runtime = FakeRuntime()
    part = plan_for(three, runtime, only=frozenset({"web"}))
    assert (
        named(part, runtime)
        == """\
1 adopt project shop: new here
2 pull image mysql:8.4: not here yet
3 pull image nginx:1.27: not here yet
4 create network default after 1
5 create volume data after 1
6 register services db, web after 4
7 create container db@1 after 2 4 5
8 create container web@1 after 3 4
9 start container db @1 after 6 7
10 serve service db by @1 after 9: it leads nowhere yet
11 start container web @1 after 8 10
12 serve service web by @1 after 11: it leads nowhere yet
"""
    )


def test_only_leaves_a_dependency_that_runs_and_what_leaves_the_project() -> None:
    runtime = applied(shop({"db": spec(MYSQL), "web": spec(), "old": spec()}))
    desired = shop({"db": spec(MYSQL, user="1"), "web": spec(user="1", needs=("db",))})
    part = plan_for(desired, runtime, only=frozenset({"web"}))
    assert {change.object for change in part.changes} == {"container web"}


def test_only_of_what_does_not_exist() -> None:
    found = plan_for(PAIR, FakeRuntime(), only=frozenset({"wep"}))
    assert (found.problems, found.steps[1:]) == (("there is no container wep",), ())


# --- the end --------------------------------------------------------------------------------------


def test_down_stops_in_the_reverse_order_of_dependencies() -> None:
    runtime = applied(PAIR)
    end = plan_down(runtime.observe(Query(project="shop")))
    assert (
        named(end, runtime)
        == """\
1 stop container web @1 !downtime: the project is taken down
2 stop container db @1 !downtime after 1: the project is taken down
3 remove container db @1 after 2: the project is taken down
4 remove container web @1 after 1: the project is taken down
5 unregister services db, web !downtime after 3 4
6 remove network default after 5: the project is taken down
7 forget project shop after 6
note: volume data is kept
"""
    )
    assert carry_out(end, runtime).succeeded
    assert plan_down(runtime.observe(Query(project="shop"))).converged


def test_down_deletes_the_volumes_that_are_named() -> None:
    runtime = applied(PAIR)
    end = plan_down(runtime.observe(Query(project="shop")), volumes=frozenset({"data"}))
    assert (end.impact, end.changes[-2].object) == (Impact.DATA, "container db")
    assert [c.object for c in end.changes if c.impact is Impact.DATA] == ["volume data"]
    assert carry_out(end, runtime).succeeded
    assert runtime.observe(Query(project="shop")).volumes == {}


def test_down_of_a_volume_that_is_not_there() -> None:
    runtime = applied(PAIR)
    end = plan_down(runtime.observe(Query(project="shop")), volumes=frozenset({"dada"}))
    assert end.problems == ("project shop has no volume dada; its volumes: data",)


def test_down_of_nothing_is_nothing() -> None:
    assert plan_down(Observed(project="shop")).converged


def test_down_ends_even_where_what_was_applied_goes_round_in_a_circle() -> None:
    runtime = applied(shop({"a": spec(), "b": spec()}))
    runtime.change(the(runtime, "a"), applied=spec(needs=("b",)))
    runtime.change(the(runtime, "b"), applied=spec(needs=("a",)))
    assert carry_out(plan_down(runtime.observe(Query(project="shop"))), runtime).succeeded
