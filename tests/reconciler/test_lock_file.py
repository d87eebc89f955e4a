"""What a lock file calls the images of a spec, and how the two go together."""

from pathlib import Path

import pytest

from reconciler.desired import desire
from reconciler.lock_file import Locking, entry
from reconciler.spec import SpecBroken
from runtime.api import RegistrySource
from specs.load import load
from specs.lock import Lock, Pin
from tests.reconciler.reading import read

DIGEST, OTHER = (f"sha256:{number:064x}" for number in (7, 8))

NAMES = [
    # what containers call it; its entry
    ("docker.io/library/nginx:1.27", "nginx:1.27"),
    ("r.lab:5000/team/app:2", "r.lab:5000/team/app:2"),
    ("nginx:1.27@shop", "nginx:1.27"),  # a short name that several registries may have
    ("site@shop", ""),
    (f"docker.io/library/nginx@{DIGEST}", ""),
    (f"docker.io/library/nginx:1.27@{DIGEST}", ""),
    (f"nginx@{DIGEST}@shop", ""),
]


@pytest.mark.parametrize(("name", "expected"), NAMES)
def test_the_entry_of_an_image(name: str, expected: str) -> None:
    assert entry(name) == expected


SPEC = """
images:
  front: {from: nginx:1.27, platform: linux/arm64, track: {tags: "1.27.*", min_age: 2d}}
  site: {archive: site.tar}
containers:
  web: {image: front}
  twin: {image: docker.io/library/nginx:1.27}
  page: {image: site}
  db: {image: "mysql@$DIGEST"}
  cache: {image: "redis:7"}
""".replace("$DIGEST", DIGEST)


def test_every_reference_has_one_entry_with_all_that_is_said_of_it(tmp_path: Path) -> None:
    cache, front = sorted(
        read(tmp_path, SPEC).locking.wanted, key=lambda each: each.entry, reverse=True
    )
    assert (cache.entry, cache.names, cache.choice) == ("redis:7", (), None)
    assert (front.entry, front.names, front.platform) == ("nginx:1.27", ("front",), "linux/arm64")
    assert [str(each) for each in front.candidates] == ["docker.io/library/nginx:1.27"]
    assert front.min_age == 2 * 86400
    assert front.choice is not None
    assert front.choice.newest_first(["1.27.1", "1.26.9"], "1.27") == ["1.27.1"]


def test_the_pin_of_a_reference_goes_with_its_image_whoever_names_it(tmp_path: Path) -> None:
    read(tmp_path, SPEC)
    pins = {
        "nginx:1.27": Pin(digest=DIGEST, tag="1.27.5", platforms={"linux/arm64": OTHER}),
        "old:1": Pin(digest=DIGEST),
    }
    lock = Lock(path="trueup.lock", pins=pins)
    desired = desire(load(tmp_path / "shop", {}).project, {}, lock)
    locked = f"docker.io/library/nginx:1.27.5@{DIGEST}"
    assert desired.images[locked].source == RegistrySource(
        reference=locked, variants=(OTHER,), platform="linux/arm64"
    )
    mysql, redis = f"docker.io/library/mysql@{DIGEST}", "docker.io/library/redis:7"
    assert set(desired.images) == {locked, mysql, redis, "site@shop"}
    images = {key.name: spec.image for key, spec in desired.containers.items()}
    assert (images["web"], images["twin"]) == (locked, locked)
    assert desired.locking.warning == (
        "trueup.lock lacks redis:7 and still has old:1; `trueup lock` brings it up to date"
    )


@pytest.mark.parametrize(
    ("tag", "holds"), [("", True), ("1.27.5", True), ("1.26.9", False), ("1.28.0", False)]
)
def test_a_tag_that_the_spec_does_not_let_it_take_is_not_locked(
    tmp_path: Path, tag: str, holds: bool
) -> None:
    read(tmp_path, SPEC)
    pins = {"nginx:1.27": Pin(digest=DIGEST, tag=tag), "redis:7": Pin(digest=DIGEST, tag=tag)}
    project = load(tmp_path / "shop", {}).project
    missing = desire(project, {}, Lock(path="trueup.lock", pins=pins)).locking.missing
    assert ("nginx:1.27" not in missing) is holds
    assert ("redis:7" not in missing) is (tag == "")  # which no `track` speaks of


def test_a_short_name_and_the_complete_one_are_locked_apart(tmp_path: Path) -> None:
    """With a search list nobody knows beforehand whether they mean the same."""
    spec = """
search_registries: [r.lab, docker.io]
containers:
  one: {image: "nginx:1"}
  two: {image: "docker.io/library/nginx:1"}
"""
    wanted = read(tmp_path, spec).locking.wanted
    assert [each.entry for each in wanted] == ["docker.io/library/nginx:1", "nginx:1"]
    pins = {"nginx:1": Pin(digest=DIGEST), "docker.io/library/nginx:1": Pin(digest=OTHER)}
    project = load(tmp_path / "shop", {}).project
    images = desire(project, {}, Lock(path="trueup.lock", pins=pins)).images
    assert set(images) == {f"nginx:1@{DIGEST}@shop", f"docker.io/library/nginx:1@{OTHER}"}
    source = images[f"nginx:1@{DIGEST}@shop"].source
    assert source == RegistrySource(
        reference=f"r.lab/nginx:1@{DIGEST}", alternatives=(f"docker.io/library/nginx:1@{DIGEST}",)
    )


MEETING = {
    "two platforms": """
images:
  a: {from: 'r.lab/app:1.0.0', track: {semver: 1.x}, platform: linux/arm64}
  b: {from: 'r.lab/app:1.0.4', platform: linux/amd64}
containers: {one: {image: a}, two: {image: b}}
""",
    "is where the image comes from": """
images:
  a: {from: 'r.lab/app:1.0.0', track: {semver: 1.x}, tags: ['r.lab/app:1.0.4'], push: true}
containers: {one: {image: a}}
""",
}


@pytest.mark.parametrize("told", MEETING)
def test_what_becomes_one_image_by_the_lock_file_is_checked_as_such(
    tmp_path: Path, told: str
) -> None:
    read(tmp_path, MEETING[told])
    pins = {
        "r.lab/app:1.0.0": Pin(digest=DIGEST, tag="1.0.4"),
        "r.lab/app:1.0.4": Pin(digest=DIGEST),
    }
    project = load(tmp_path / "shop", {}).project
    with pytest.raises(SpecBroken, match=told):
        desire(project, {}, Lock(path="trueup.lock", pins=pins))


def test_without_a_lock_file_nothing_is_said_of_it(tmp_path: Path) -> None:
    locking = read(tmp_path, SPEC).locking
    assert locking.missing == ("nginx:1.27", "redis:7")
    assert locking.warning == ""


def test_of_very_many_only_some_are_named() -> None:
    pins = {f"app:{number}": Pin(digest=DIGEST) for number in range(10, 30)}
    warning = Locking(file="trueup.lock", pins=pins).warning
    assert warning == (
        "trueup.lock still has app:10, app:11, app:12, app:13, app:14 and 15 more; `trueup lock`"
        " brings it up to date"
    )
