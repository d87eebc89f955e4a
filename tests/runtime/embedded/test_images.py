"""The verbs on images beside real containers: what is in use stays, also while it is only about to
be used."""

import multiprocessing
import os
import random
import signal
import threading
from collections.abc import Iterator
from contextlib import suppress

import pytest

from runtime.api import ContainerSpec, ImageSummary
from runtime.embedded.containers.generation import Generations
from runtime.embedded.engine import Engine
from runtime.embedded.faults import ImageMissing
from runtime.embedded.paths import Paths
from runtime.embedded.store.faults import ImageAbsent, ImageInUse, TagWithDigest
from runtime.embedded.store.images import Image, ImageStore
from tests.conftest import Images
from tests.hosts import Host
from tests.images.layers import file
from tests.runtime.embedded.workshop import Workshop, make_workshop

pytestmark = pytest.mark.root


@pytest.fixture
def shop(host: Host, images: Images) -> Iterator[Workshop]:
    with make_workshop(host, images) as made:
        yield made


def everything(_: ImageSummary) -> bool:
    return True


def test_an_image_stays_while_a_container_was_made_from_it(shop: Workshop) -> None:
    images = shop.engine.images
    web = shop.start("web")
    for name in (shop.image, web.seen.image_id):
        with pytest.raises(ImageInUse, match=r"shop/web \(running\)"):
            images.remove(name, force=name != shop.image)
    shop.engine.stop(web.id)
    with pytest.raises(ImageInUse, match=r"shop/web \(stopped\)"):
        images.remove(shop.image, force=False)
    assert images.prune(everything=True, chosen=everything).deleted == ()
    removal = images.remove(shop.image, force=True)
    assert (removal.untagged[0], removal.deleted) == (shop.image, ())
    shop.engine.start(web.id)
    assert web.pid
    assert [image.references for image in images.list()] == [()]
    shop.engine.remove(web.id)
    pruned = images.prune(everything=False, chosen=everything)
    assert len(pruned.deleted) == 1
    assert pruned.freed > 1 << 20
    with pytest.raises(ImageMissing):
        shop.create("again")


def test_details_and_tags(shop: Workshop) -> None:
    images = shop.engine.images
    images.tag(shop.image, "elsewhere.example/box:1")
    details = images.details("elsewhere.example/box:1")
    assert set(details.references) == {shop.image, "elsewhere.example/box:1"}
    assert [digest.partition("@")[0] for digest in details.digests] == [
        shop.image.removesuffix(":latest")
    ]
    assert len(details.layers) == len([row for row in details.history if not row.empty])
    assert sum(row.size for row in details.history) == details.size > 0
    with pytest.raises(TagWithDigest):
        images.tag(shop.image, f"elsewhere.example/box@{details.id}")
    with pytest.raises(ImageAbsent):
        images.details("nobody")


def test_no_container_is_made_of_an_image_that_goes_meanwhile(
    shop: Workshop, images: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever finds the image has it until the container's row keeps it here."""
    done, failures, made = threading.Event(), list[BaseException](), list[str]()
    pruned, rounds = list[str](), 3
    find = Generations.image

    def find_slowly(generations: Generations, spec: ContainerSpec, name: str) -> Image:
        found = find(generations, spec, name)
        done.wait(0.02)  # as long as it takes to remove it
        return found

    monkeypatch.setattr(Generations, "image", find_slowly)

    def create(name: str) -> None:
        image = images.publish(f"pruned-{name}", {"name": file(name)}, {})
        try:
            for _ in range(rounds):
                shop.pull(image)
                try:
                    container = shop.create(name, image=image)
                except ImageMissing:
                    continue  # it went before we looked
                made.append(container.id)
                shop.engine.start(container.id)
                assert container.says("cat /name") == name
                shop.engine.remove(container.id)
        except BaseException as error:  # noqa: BLE001 - shown by the test
            failures.append(error)

    def prune() -> None:
        while not done.is_set():
            try:
                pruned.extend(shop.engine.images.prune(everything=True, chosen=everything).deleted)
            except BaseException as error:  # noqa: BLE001 - shown by the test
                failures.append(error)

    makers = [threading.Thread(target=create, args=(f"web{number}",)) for number in range(8)]
    pruner = threading.Thread(target=prune)
    for thread in (pruner, *makers):
        thread.start()
    for thread in makers:
        thread.join(120)
    done.set()
    pruner.join(30)
    assert failures == []
    assert made
    assert pruned


def _make_without_end(paths: Paths, image: str) -> None:
    """Pull, make a container, remove it, again and again: in a process that will be killed."""
    shop = Workshop(engine=Engine(paths), paths=paths, image=image)
    while True:
        shop.pull(image)
        with suppress(ImageMissing):
            shop.engine.remove(shop.create("killed").id)


@pytest.mark.slow
def test_whoever_makes_a_container_may_be_killed_while_images_are_pruned(
    shop: Workshop, images: Images
) -> None:
    context, chance = multiprocessing.get_context("fork"), random.Random(1)
    image = images.publish("killed", {"name": file("killed")}, {})
    store, kept = ImageStore(shop.paths.store), 0
    for _ in range(20):
        process = context.Process(target=_make_without_end, args=(shop.paths, image))
        process.start()
        process.join(chance.uniform(0.05, 0.35))
        shop.engine.images.prune(everything=True, chosen=everything)
        assert process.pid
        assert process.exitcode is None
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        shop.engine.images.prune(everything=True, chosen=everything)
        made = shop.engine.containers()
        kept += len(made)
        for container in made:
            assert store.layers(container.image_id)
            shop.engine.remove(container.id)
    assert kept
    shop.engine.images.prune(everything=True, chosen=everything)
    assert store.list() == ()
    assert os.listdir(store.layout.layers) == os.listdir(store.layout.tmp) == []
