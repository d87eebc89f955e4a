"""Tags that an image shall have, here and in registries."""

from dataclasses import replace

import msgspec

from reconciler.desired import Desired
from reconciler.views.plan import render
from runtime.api import ArchiveSource, ImageSpec, PullPolicy, RegistrySource
from runtime.errors import Fault
from tests.fake_images import image_id
from tests.fake_runtime import FakeRuntime
from tests.reconciler.world import (
    MYSQL,
    NGINX,
    applied,
    carry_out,
    events,
    plan_for,
    shop,
    show,
    spec,
)

APP, LATEST = "r.lab:5000/app:1", "r.lab:5000/app:latest"
SITE = ImageSpec(name="site@shop", source=ArchiveSource(path="/srv/shop/site.tar"))


def _declared(image: ImageSpec, *tags: str, push: bool = False, used: bool = False) -> Desired:
    """A project of this image alone, or with a container that runs it."""
    tagged = msgspec.structs.replace(image, tags=tags, push=tags if push else ())
    made = shop({"web": spec(image.name)} if used else {})
    lines = {("image", image.name, "tags"): "shop.yaml:5"}
    return replace(made, images={image.name: tagged}, places=lines)


def test_an_image_that_only_has_tags_is_fetched_and_tagged_and_pushed() -> None:
    runtime = FakeRuntime()
    desired = _declared(SITE, APP, LATEST, push=True)
    assert (
        show(desired, runtime)
        == """\
1 adopt project shop: new here
2 pull image site: not here yet
3 tag image site as r.lab:5000/app:1 after 2: gets the tag r.lab:5000/app:1 (shop.yaml:5)
4 tag image site as r.lab:5000/app:latest after 2: gets the tag r.lab:5000/app:latest (shop.yaml:5)
5 push image site as r.lab:5000/app:1 after 3: is pushed as r.lab:5000/app:1 (shop.yaml:5)
6 push image site as r.lab:5000/app:latest after 4: is pushed as r.lab:5000/app:latest (shop.yaml:5)
7 create network default after 1
"""
    )
    assert carry_out(plan_for(desired, runtime), runtime).succeeded
    assert plan_for(desired, runtime).converged


def test_the_plan_tells_of_a_new_project_whose_images_are_all_in_order() -> None:
    runtime = FakeRuntime()
    desired = replace(_declared(SITE, APP), networks={})
    runtime.images.local = dict.fromkeys((SITE.name, APP), image_id(SITE.name, 1))
    assert (
        render(plan_for(desired, runtime))
        == """\
  + project shop  new here

1 to create, 0 to change, 0 to replace, 0 to remove
"""
    )


def test_the_plan_tells_of_an_image_once() -> None:
    desired = _declared(SITE, APP, push=True)
    assert (
        render(plan_for(desired, FakeRuntime()))
        == """\
  + network default
  + image site
      not here yet
      gets the tag r.lab:5000/app:1 (shop.yaml:5)
      is pushed as r.lab:5000/app:1 (shop.yaml:5)

2 to create, 0 to change, 0 to replace, 0 to remove
"""
    )


def test_an_image_without_tags_is_not_fetched_for_nobody() -> None:
    runtime = applied(_declared(SITE))
    assert runtime.images.local == {}


def test_only_what_does_not_hold_is_done() -> None:
    desired = _declared(SITE, APP, LATEST, push=True)
    runtime = applied(desired)
    del runtime.images.pushed[APP]
    assert events(plan_for(desired, runtime), runtime) == [
        "pull site@shop",
        "push r.lab:5000/app:1",
    ]
    runtime.images.local[LATEST] = "sha256:another"
    assert (
        render(plan_for(desired, runtime))
        == """\
  ~ image site  gets the tag r.lab:5000/app:latest (shop.yaml:5)

0 to create, 1 to change, 0 to replace, 0 to remove
"""
    )


def test_tags_and_registries_follow_an_image_that_changes() -> None:
    desired = _declared(SITE, APP, push=True)
    runtime = applied(desired)
    runtime.publish_image("site@shop")
    assert events(plan_for(desired, runtime), runtime) == [
        "pull site@shop",
        "tag r.lab:5000/app:1",
        "push r.lab:5000/app:1",
    ]
    assert runtime.images.pushed[APP] == runtime.images.local["site@shop"]


def test_the_plan_tells_why_a_tag_is_pushed() -> None:
    desired = _declared(SITE, APP, LATEST, push=True)
    runtime = applied(desired)
    del runtime.images.pushed[APP]
    runtime.images.silent[LATEST] = "no answer within 3 s"
    assert (
        render(plan_for(desired, runtime))
        == """\
  ~ image site
      is pushed as r.lab:5000/app:1 (shop.yaml:5): its registry has not got it
      is pushed as r.lab:5000/app:latest (shop.yaml:5): its registry does not tell what it is now

  note: registry r.lab:5000, asked for r.lab:5000/app:latest: no answer within 3 s

0 to create, 1 to change, 0 to replace, 0 to remove
"""
    )


def test_the_plan_tells_what_a_push_leaves_behind() -> None:
    image = ImageSpec(name=NGINX, source=RegistrySource(reference=NGINX))
    runtime = applied(_declared(image, APP))
    runtime.images.alone[NGINX] = "linux/amd64"
    desired = _declared(image, APP, push=True)
    assert plan_for(desired, runtime).notes == (
        "image nginx:1.27 came for several platforms, and only linux/amd64 is pushed",
    )
    runtime = applied(desired, runtime)
    assert plan_for(desired, runtime).notes == ()


def test_without_push_no_registry_is_told() -> None:
    runtime = applied(_declared(SITE, APP))
    assert (runtime.images.local[APP], runtime.images.pushed) == (
        runtime.images.local["site@shop"],
        {},
    )


def test_a_push_that_fails_hinders_no_container_and_is_tried_again() -> None:
    desired = _declared(SITE, APP, push=True, used=True)
    runtime = FakeRuntime()
    runtime.faults["push", APP] = Fault("r.lab:5000 gives no answer")
    outcome = carry_out(plan_for(desired, runtime), runtime)
    assert [step.object for step, _ in outcome.failed] == ["image site"]
    assert [each.key.name for each in runtime.containers()] == ["web"]
    runtime.faults.clear()
    assert events(plan_for(desired, runtime), runtime) == [
        "pull site@shop",
        "push r.lab:5000/app:1",
    ]


def test_a_part_of_the_project_tags_only_what_it_uses() -> None:
    mine = ImageSpec(name=NGINX, source=RegistrySource(reference=NGINX), tags=(APP,))
    other = msgspec.structs.replace(SITE, tags=(LATEST,))
    desired = replace(shop({"web": spec()}), images={NGINX: mine, "site@shop": other})
    runtime = FakeRuntime()
    tagged = [
        step.object
        for step in plan_for(desired, runtime, only=frozenset({"web"})).steps
        if step.action.__class__.__name__ == "TagImage"
    ]
    assert tagged == ["image nginx:1.27"]


REFUSED = "no access to docker.io/library/nginx: it asks for a login"


def test_a_registry_that_does_not_tell_what_a_tag_is_now_is_noted_once() -> None:
    newer = [
        ImageSpec(name=name, source=RegistrySource(reference=name, pull=PullPolicy.NEWER))
        for name in (NGINX, MYSQL)
    ]
    desired = replace(shop({"web": spec()}), images={each.name: each for each in newer})
    runtime = applied(desired)
    runtime.images.local[MYSQL] = "sha256:here"
    runtime.images.silent = {NGINX: REFUSED, MYSQL: REFUSED}
    for explicit in (True, False):
        found = plan_for(desired, runtime, explicit=explicit)
        assert found.converged
        assert found.notes == (f"registry docker.io, asked for mysql:8.4, nginx:1.27: {REFUSED}",)


def test_what_is_always_pulled_and_cannot_be_asked_for_is_a_step_that_fails() -> None:
    desired = shop({"web": spec()}, pull=PullPolicy.ALWAYS)
    runtime = applied(desired)
    runtime.images.silent[NGINX] = REFUSED
    assert (
        show(desired, runtime)
        == f"""\
1 pull image nginx:1.27: its registry does not tell what it is now (pull: always)
note: registry docker.io, asked for nginx:1.27: {REFUSED}
"""
    )
    runtime.faults["pull", NGINX] = Fault(REFUSED)
    outcome = carry_out(plan_for(desired, runtime), runtime)
    assert [step.object for step, _ in outcome.failed] == ["image nginx:1.27"]
    assert [each.generation for each in runtime.containers()] == [1]
    assert plan_for(desired, runtime, only=frozenset({"web"})).steps


def test_the_loop_goes_on_with_what_is_here_and_says_so() -> None:
    """It asks again by itself, and other projects wait meanwhile."""
    desired = shop({"web": spec(), "more": spec()}, pull=PullPolicy.ALWAYS)
    runtime = applied(shop({"web": spec()}))
    runtime.images.silent[NGINX] = REFUSED
    found = plan_for(desired, runtime, explicit=False)
    assert not [step for step in found.steps if step.object.startswith("image")]
    assert [change.object for change in found.changes] == ["container more"]
    assert found.notes == (f"registry docker.io, asked for nginx:1.27: {REFUSED}",)


def test_an_image_that_must_not_be_pulled_cannot_be_tagged() -> None:
    never = RegistrySource(reference=NGINX, pull=PullPolicy.NEVER)
    desired = _declared(ImageSpec(name=NGINX, source=never), APP)
    [problem] = plan_for(desired, FakeRuntime()).problems
    assert problem.startswith("image nginx:1.27 is not here, and `pull: never` forbids a pull")


def test_an_image_that_must_not_be_pulled_cannot_become_another_one() -> None:
    never = RegistrySource(reference=NGINX, pull=PullPolicy.NEVER)
    desired = _declared(ImageSpec(name=NGINX, source=never), used=True)
    runtime = FakeRuntime()
    runtime.images.local[NGINX] = "sha256:before"
    runtime.images.stale[NGINX] = "the lock file has sha256:1234"
    [problem] = plan_for(desired, runtime).problems
    assert problem.startswith(
        "image nginx:1.27 is not as it shall be (the lock file has sha256:1234), and `pull: never`"
    )
