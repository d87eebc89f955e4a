"""What status says of tags in registries."""

import json
import re

import pytest

from runtime.errors import Fault
from tests.reconciler.cli.conftest import World
from tests.reconciler.cli.repositories import MYSQL, NGINX, digest, means, tracked


@pytest.fixture
def shop(world: World) -> World:
    """The registry has both images of the spec."""
    means(world, MYSQL, 1)
    means(world, NGINX, 2)
    return world


def _pulled(world: World, number: int) -> None:
    """Both images are here as they were pulled when the registry had that nginx."""
    world.run("apply")
    local = world.runtime.images.local
    local[f"docker.io/library/nginx@{digest(number)}"] = local[NGINX]


def _image(world: World, *options: str) -> str:
    """What status says of nginx."""
    lines = world.run("status", *options).out.splitlines()
    [line] = [each for each in lines if each.startswith("image nginx:1.2")]
    return re.split(" {2,}", line)[1]


def test_status_tells_of_a_tag_that_has_moved(shop: World) -> None:
    _pulled(shop, 2)
    assert _image(shop) == "in sync"
    means(shop, NGINX, 15 << 240)
    assert _image(shop) == (
        "in sync; its tag moved: the registry has sha256:000f00000000… (here sha256:000000000000…)"
    )
    assert _image(shop, "--offline") == "in sync"
    found = json.loads(shop.run("status", "--format", "json").out)["objects"]
    assert [len(each.get("news", ())) for each in found if "nginx" in each["object"]] == [1]


def test_offline_no_registry_is_asked_whether_it_has_what_is_pushed(shop: World) -> None:
    tag = "r.lab/mine:1"
    more = f"images: {{x: {{from: nginx:1.27, tags: [{tag}], push: true}}}}\n"
    shop.spec.write_text(shop.spec.read_text() + more)
    _pulled(shop, 2)
    del shop.runtime.images.pushed[tag]
    assert _image(shop) == "pending: change"
    assert _image(shop, "--offline") == "in sync"


def test_status_compares_with_what_is_locked(shop: World) -> None:
    shop.run("lock")
    assert _image(shop) == "pending: create"
    means(shop, NGINX, 15 << 240)
    assert _image(shop).endswith(
        "its tag moved: the registry has sha256:000f00000000… (locked sha256:000000000000…)"
    )


def test_status_tells_of_a_tag_that_is_gone(shop: World) -> None:
    _pulled(shop, 2)
    del shop.runtime.registries.resolved[NGINX]
    assert _image(shop) == "in sync; its tag is not in the registry any more"


def test_status_tells_of_a_newer_tag(shop: World, monkeypatch: pytest.MonkeyPatch) -> None:
    tracked(shop, monkeypatch)
    shop.run("lock")
    assert _image(shop).endswith("; newer tag 1.28.0 may be taken (`trueup lock --update front`)")
    shop.run("lock", "--update")
    assert _image(shop) == "pending: create"


def test_a_registry_that_does_not_answer_is_told_of_quietly(shop: World) -> None:
    _pulled(shop, 2)
    shop.runtime.registries.resolved[NGINX] = Fault("the registry docker.io cannot be reached")
    ran = shop.run("status")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.endswith(
        "\ndocker.io was not asked for its tags: the registry docker.io cannot be reached\n"
    )


def test_who_was_asked_in_vain_already_is_told_of_once(shop: World) -> None:
    _pulled(shop, 2)
    shop.spec.write_text(shop.spec.read_text() + "images: {x: {from: nginx:1.27, pull: newer}}\n")
    shop.runtime.images.silent[NGINX] = "no answer within 3 s"
    shop.runtime.registries.resolved[NGINX] = Fault("no answer within 3 s")
    assert shop.run("status").out.endswith(
        "\n\nregistry docker.io, asked for nginx:1.27: no answer within 3 s\n"
    )
    assert "registry docker.io" not in shop.run("status", "--offline").out


def test_what_must_never_be_pulled_is_not_asked_for(shop: World) -> None:
    _pulled(shop, 2)
    shop.spec.write_text(shop.spec.read_text() + "images: {x: {from: nginx:1.27, pull: never}}\n")
    means(shop, NGINX, 15 << 240)
    assert _image(shop) == "in sync"
