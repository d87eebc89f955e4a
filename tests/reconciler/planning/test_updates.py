"""What changes how: in place, beside the old generation, or after it."""

from reconciler.desired import Desired
from runtime.api import (
    AnonymousMount,
    BindMount,
    DefectKind,
    Limits,
    Phase,
    PullPolicy,
    RestartKind,
    RestartPolicy,
    VolumeMount,
)
from tests.fake_runtime import FakeRuntime
from tests.reconciler.world import MYSQL, NGINX, applied, named, plan_for, shop, show, spec, the

NEWER = "docker.io/library/nginx:1.28"
DATA = VolumeMount(volume="data", target="/data")
WEB = shop({"web": spec()}, {"web": ("8080:80",)})


def test_a_fresh_project_is_brought_up_in_the_order_of_its_dependencies() -> None:
    desired = shop(
        {"db": spec(MYSQL, mounts=(DATA,)), "web": spec(needs=("db",))}, {"web": ("8080:80",)}
    )
    assert (
        show(desired, FakeRuntime())
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


def test_without_a_difference_there_is_nothing_to_do() -> None:
    assert show(WEB, applied(WEB)) == ""
    assert show(WEB, applied(WEB), explicit=False) == ""


def test_another_image_comes_beside_the_old_one_and_takes_over_when_it_listens() -> None:
    desired = shop({"web": spec(NEWER)}, {"web": ("8080:80",)})
    assert (
        show(desired, applied(WEB))
        == """\
1 pull image nginx:1.28: not here yet
2 create container web@2 after 1: image nginx:1.27 → nginx:1.28 (shop.yaml:11)
3 start container web @2 after 2
4 await container web on 80 after 3: port 80 must listen before the old one stops
5 serve service web by @2 after 4: it leads elsewhere
6 stop container web @1 !restart after 5
7 remove container web @1 after 6: an older generation
"""
    )


def test_without_published_ports_it_waits_for_those_of_the_old_one() -> None:
    runtime = applied(shop({"web": spec()}))
    assert (
        show(shop({"web": spec(command=("nginx", "-g", "daemon off;"))}), runtime)
        == """\
1 create container web@2: command unset → nginx -g 'daemon off;' (shop.yaml:10)
2 start container web @2 after 1
3 await container web after 2: it must listen where the old one does before that stops
4 serve service web by @2 after 3: it leads elsewhere
5 stop container web @1 !restart after 4
6 remove container web @1 after 5: an older generation
"""
    )


def test_what_may_be_written_by_one_only_is_handed_over() -> None:
    for mount in (DATA, BindMount(source="/srv/www", target="/www")):
        runtime = applied(shop({"web": spec(mounts=(mount,))}, {"web": ("80",)}))
        desired = shop({"web": spec(user="app", mounts=(mount,))}, {"web": ("80",)})
        text = show(desired, runtime).replace("/srv/www", "volume data")
        assert (
            text
            == """\
1 create container web@2: user unset → app (shop.yaml:10)
2 stop container web @1 !downtime after 1: both would use volume data
3 start container web @2 after 2
4 serve service web by @2 after 3: it leads elsewhere
5 await container web after 4: it must outlive its start before the old one is removed
6 remove container web @1 after 5: an older generation
"""
        )


def test_read_only_sharing_needs_no_stop() -> None:
    mounts = (
        VolumeMount(volume="data", target="/data", read_only=True),
        BindMount(source="/etc/app.conf", target="/app.conf", read_only=True),
    )
    runtime = applied(shop({"web": spec(mounts=mounts)}))
    plan = plan_for(shop({"web": spec(user="app", mounts=mounts)}), runtime)
    assert [step.impact for step in plan.steps if step.impact != "none"] == ["restart"]


def test_volumes_without_a_name_are_inherited_and_so_handed_over() -> None:
    old = shop({"web": spec(mounts=(AnonymousMount(target="/cache"),))})
    new = shop({"web": spec(user="app", mounts=(AnonymousMount(target="/cache"),))})
    assert "down" in plan_for(new, applied(old)).changes[0].impact
    assert (
        named(plan_for(new, applied(old)), applied(old))
        == """\
1 create container web@2: user unset → app (shop.yaml:10)
2 stop container web @1 !downtime after 1: both would use its volume /cache
3 start container web @2 after 2
4 serve service web by @2 after 3: it leads elsewhere
5 await container web after 4: it must outlive its start before the old one is removed
6 remove container web @1 after 5: an older generation
"""
    )


def test_volumes_of_the_old_image_are_inherited_unless_something_else_is_mounted_there() -> None:
    runtime = applied(shop({"db": spec(MYSQL)}))
    runtime.change(the(runtime, "db"), volumes=("/var/lib/mysql",))
    handed_over = plan_for(shop({"db": spec(MYSQL, user="1")}), runtime)
    mounted = VolumeMount(volume="data", target="/var/lib/mysql")
    beside = plan_for(shop({"db": spec(MYSQL, mounts=(mounted,))}), runtime)
    assert (handed_over.impact, beside.impact) == ("downtime", "restart")


def test_volumes_that_the_runtime_calls_by_names_of_its_own_are_inherited() -> None:
    mounts = (AnonymousMount(target="/cache"),)
    runtime = applied(shop({"db": spec(MYSQL, mounts=mounts)}))
    covered = VolumeMount(volume="cache", target="/cache")
    desired = shop({"db": spec(MYSQL, mounts=(covered,))})
    runtime.change(the(runtime, "db"), volumes=("db.1~cache",))
    assert plan_for(desired, runtime).impact == "restart"
    runtime.change(the(runtime, "db"), volumes=("db.1~cache", "db.1~data"))
    assert "both would use its volume db.1~" in show(desired, runtime)


def test_limits_labels_and_policies_change_in_place() -> None:
    desired = shop(
        {
            "web": spec(
                mem_limit=1 << 30,
                cpus=1.5,
                pids_limit=-1,
                labels={"tier": "front"},
                restart=RestartPolicy(kind=RestartKind.ON_FAILURE, max_retries=3),
                stop_grace_period=90.0,
                stop_signal="SIGQUIT",
            )
        },
        {"web": ("8080:80",)},
    )
    assert (
        show(desired, applied(WEB))
        == """\
1 update container web @1
    label tier unset → front (shop.yaml:10)
    memory unlimited → 1G (shop.yaml:31)
    cpus unlimited → 1.5 (shop.yaml:10)
    pids 2048 → unlimited (shop.yaml:10)
    restart no → on-failure:3 (shop.yaml:10)
    stop_signal unset → SIGQUIT (shop.yaml:10)
    stop_grace_period 10s → 1m30s (shop.yaml:10)
"""
    )


def test_ports_change_in_place() -> None:
    desired = shop({"web": spec()}, {"web": ("8081:80", "127.0.0.1:53:53/udp")})
    assert (
        show(desired, applied(WEB))
        == """\
1 register service web: web: ports 8080:80 → 8081:80, 127.0.0.1:53:53/udp (shop.yaml:12)
"""
    )


def test_a_limit_set_by_hand_is_drift() -> None:
    desired = shop({"web": spec(mem_limit=512 << 20)})
    runtime = applied(desired)
    runtime.change(the(runtime, "web"), limits=Limits(mem_limit=768 << 20, pids_limit=2048))
    assert (
        show(desired, runtime)
        == """\
1 update container web @1: memory is 768M, set by hand
"""
    )


def test_a_limit_set_by_hand_to_what_the_spec_says_now_is_only_recorded() -> None:
    runtime = applied(shop({"web": spec(mem_limit=512 << 20)}))
    runtime.change(the(runtime, "web"), limits=Limits(mem_limit=1 << 30, pids_limit=2048))
    assert (
        show(shop({"web": spec(mem_limit=1 << 30)}), runtime)
        == """\
1 update container web @1: memory 512M → 1G (shop.yaml:31)
"""
    )


def test_both_the_file_and_the_host_changed() -> None:
    runtime = applied(shop({"web": spec(mem_limit=512 << 20)}))
    runtime.change(the(runtime, "web"), limits=Limits(mem_limit=768 << 20, pids_limit=2048))
    assert (
        show(shop({"web": spec(mem_limit=1 << 30)}), runtime)
        == """\
1 update container web @1
    memory 512M → 1G (shop.yaml:31)
    memory is 768M, set by hand
"""
    )


def test_a_newer_image_under_the_same_name_is_pulled_and_taken() -> None:
    desired = shop({"web": spec()}, pull=PullPolicy.NEWER)
    runtime = applied(desired)
    runtime.publish_image(NGINX)
    assert (
        show(desired, runtime)
        == """\
1 pull image nginx:1.27: the registry has a newer one
2 create container web@2 after 1: image nginx:1.27: the registry has a newer one (shop.yaml:11)
3 start container web @2 after 2
4 await container web after 3: it must listen where the old one does before that stops
5 serve service web by @2 after 4: it leads elsewhere
6 stop container web @1 !restart after 5
7 remove container web @1 after 6: an older generation
"""
    )


def test_an_image_that_moved_here_is_taken() -> None:
    runtime = applied(WEB)
    runtime.images.local[NGINX] = "sha256:" + "ab12" * 16
    assert (
        show(WEB, runtime)
        == """\
1 create container web@2: image nginx:1.27: is now ab12ab12ab12 (shop.yaml:11)
2 start container web @2 after 1
3 await container web on 80 after 2: port 80 must listen before the old one stops
4 serve service web by @2 after 3: it leads elsewhere
5 stop container web @1 !restart after 4
6 remove container web @1 after 5: an older generation
"""
    )


def test_an_image_that_was_removed_here_is_no_difference() -> None:
    runtime = applied(WEB)
    del runtime.images.local[NGINX]
    assert show(WEB, runtime) == ""


def test_another_name_for_the_same_image_is_only_recorded() -> None:
    runtime = applied(WEB)
    runtime.images.local[NEWER] = runtime.images.local[NGINX]
    assert (
        show(shop({"web": spec(NEWER)}, {"web": ("8080:80",)}), runtime)
        == """\
1 update container web @1: image nginx:1.27 → nginx:1.28 (shop.yaml:11)
"""
    )


def test_a_container_without_files_is_made_anew() -> None:
    runtime = applied(WEB)
    runtime.damage(the(runtime, "web"), DefectKind.BUNDLE, "the bundle of web is gone")
    assert (
        show(WEB, runtime, explicit=False)
        == """\
1 create container web@2: the bundle of web is gone
2 stop container web @1 !downtime after 1: its files are gone
3 start container web @2 after 2
4 serve service web by @2 after 3: it leads elsewhere
5 remove container web @1 after 4: an older generation
"""
    )


def test_a_container_without_files_is_stopped_whatever_is_said_of_it() -> None:
    runtime = applied(WEB)
    runtime.damage(the(runtime, "web"), DefectKind.BUNDLE, "the bundle of web is gone")
    seen = show(WEB, runtime)
    runtime.change(the(runtime, "web"), phase=Phase.LOST)
    assert show(WEB, runtime) == seen


def test_a_lost_link_is_mended_while_the_process_runs() -> None:
    runtime = applied(WEB)
    runtime.damage(the(runtime, "web"), DefectKind.LINK, "the veth of web is gone")
    assert (
        show(WEB, runtime, explicit=False)
        == """\
1 mend container web: the veth of web is gone
"""
    )


def test_a_lost_link_is_mended_after_an_update() -> None:
    """Both write what the container shall be: at the same time the older would remain."""
    runtime = applied(shop({"web": spec(mem_limit=512 << 20)}))
    runtime.damage(the(runtime, "web"), DefectKind.LINK, "the veth of web is gone")
    assert (
        show(shop({"web": spec(mem_limit=1 << 30)}), runtime)
        == """\
1 update container web @1: memory 512M → 1G (shop.yaml:31)
2 mend container web after 1: the veth of web is gone
"""
    )


def test_who_lost_its_monitor_is_replaced_by_apply_and_left_by_the_loop() -> None:
    runtime = applied(WEB)
    runtime.damage(the(runtime, "web"), DefectKind.MONITOR, "conmon is gone")
    assert (
        show(WEB, runtime, explicit=False)
        == """\
note: web runs without its monitor: its log and exit code are not kept; `trueup apply` replaces it
"""
    )
    assert (
        show(WEB, runtime)
        == """\
1 create container web@2: conmon is gone
2 start container web @2 after 1
3 await container web on 80 after 2: port 80 must listen before the old one stops
4 serve service web by @2 after 3: it leads elsewhere
5 stop container web @1 !restart after 4
6 remove container web @1 after 5: an older generation
"""
    )


def test_what_nobody_recorded_is_replaced_by_apply_and_left_by_the_loop() -> None:
    runtime = applied(WEB)
    runtime.change(the(runtime, "web"), applied=None)
    assert (
        show(WEB, runtime, explicit=False)
        == """\
note: web is left as it is: spec: cause unknown, what it was made from is not recorded any more
"""
    )
    assert (
        show(WEB, runtime)
        == """\
1 create container web@2: spec: cause unknown, what it was made from is not recorded any more
2 stop container web @1 !downtime after 1: what it uses is not known
3 start container web @2 after 2
4 serve service web by @2 after 3: it leads elsewhere
5 await container web after 4: it must outlive its start before the old one is removed
6 remove container web @1 after 5: an older generation
"""
    )


def test_secrets_never_appear() -> None:
    def made(**environment: str) -> Desired:
        return shop({"web": spec(environment=environment, secret_environment=("PW",))})

    runtime = applied(made(PW="hunter2", A="1"))
    assert (
        show(made(PW="hunter3", B="1"), runtime)
        == """\
1 create container web@2
    environment A removed (shop.yaml:10)
    environment B added (shop.yaml:10)
    environment PW changed (shop.yaml:10)
2 start container web @2 after 1
3 await container web after 2: it must listen where the old one does before that stops
4 serve service web by @2 after 3: it leads elsewhere
5 stop container web @1 !restart after 4
6 remove container web @1 after 5: an older generation
"""
    )


def test_dependants_start_when_what_they_need_answers_again() -> None:
    before = shop({"db": spec(MYSQL, mounts=(DATA,)), "web": spec(needs=("db",))})
    after = shop({"db": spec(MYSQL, user="1", mounts=(DATA,)), "web": spec(NEWER, needs=("db",))})
    assert (
        show(after, applied(before))
        == """\
1 pull image nginx:1.28: not here yet
2 create container db@2: user unset → 1 (shop.yaml:40)
3 create container web@2 after 1: image nginx:1.27 → nginx:1.28 (shop.yaml:11)
4 stop container db @1 !downtime after 2: both would use volume data
5 start container db @2 after 4
6 serve service db by @2 after 5: it leads elsewhere
7 await container db after 6: it must outlive its start before the old one is removed
8 start container web @2 after 3 7
9 await container web after 8: it must listen where the old one does before that stops
10 serve service web by @2 after 9: it leads elsewhere
11 stop container web @1 !restart after 10
12 remove container db @1 after 7: an older generation
13 remove container web @1 after 11: an older generation
"""
    )
