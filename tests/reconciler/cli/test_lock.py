"""lock, and what other commands make of a lock file."""

from pathlib import Path

import pytest

from runtime.errors import Fault
from tests.reconciler.cli.conftest import World
from tests.reconciler.cli.repositories import MYSQL, NGINX, TRACK, digest, means, tracked


@pytest.fixture
def shop(world: World) -> World:
    """The registry has both images of the spec."""
    means(world, MYSQL, 1)
    means(world, NGINX, 2)
    return world


def _lock(world: World) -> Path:
    return world.folder / "trueup.lock"


LOCK = f"""\
# Written by `trueup lock`: what image references mean. Keep it with the spec.
version: 1
images:
  "mysql:8.4":
    digest: {digest(1)}
    platforms:
      linux/amd64: {digest(1001)}
  "nginx:1.27":
    digest: {digest(2)}
    platforms:
      linux/amd64: {digest(1002)}
"""


# --- the file -----------------------------------------------------------------------------------


def test_it_writes_every_reference_beside_the_spec(shop: World) -> None:
    ran = shop.run("lock")
    assert (ran.code, ran.err) == (0, "")
    assert (
        ran.out
        == """\
  + mysql:8.4  sha256:000000000000
  + nginx:1.27  sha256:000000000000
trueup.lock has 2 images
"""
    )
    assert _lock(shop).read_text() == LOCK


def test_a_second_time_asks_nobody_and_leaves_the_file(shop: World) -> None:
    shop.run("lock")
    before = _lock(shop).stat().st_mtime_ns
    shop.runtime.registries.resolved.clear()
    assert shop.run("lock").out == "trueup.lock is up to date\n"
    assert _lock(shop).stat().st_mtime_ns == before


def test_only_what_lacks_is_added_and_what_is_unused_goes(shop: World) -> None:
    shop.run("lock")
    means(shop, NGINX, 7)
    means(shop, "docker.io/library/redis:7", 3)
    shop.spec.write_text(shop.spec.read_text().replace("mysql:8.4", "redis:7"))
    ran = shop.run("lock")
    assert ran.out.splitlines()[:2] == ["  + redis:7  sha256:000000000000", "  - mysql:8.4"]
    assert f'"nginx:1.27":\n    digest: {digest(2)}' in _lock(shop).read_text()


UPDATES = [
    ((), {1, 2}), (("nginx:1.27",), {2}), ((MYSQL,), {1}), (("front",), {2}),
    (("front", "mysql:8.4"), {1, 2}),
]  # fmt: skip


@pytest.mark.parametrize(("names", "renewed"), UPDATES)
def test_update_asks_again_for_all_or_those_named(
    shop: World, names: tuple[str, ...], renewed: set[int]
) -> None:
    shop.spec.write_text(shop.spec.read_text() + "images: {front: {from: nginx:1.27}}\n")
    shop.run("lock")
    means(shop, MYSQL, 11)
    means(shop, NGINX, 12)
    assert shop.run("lock", "--update", *names).code == 0
    text = _lock(shop).read_text()
    assert {n for n in (1, 2) if f"digest: {digest(10 + n)}\n" in text} == renewed


def test_a_name_that_the_spec_has_not_is_told_with_those_it_has(shop: World) -> None:
    ran = shop.run("lock", "--update", "mysqk")
    assert (ran.code, ran.out) == (64, "")
    assert "no image mysqk" in ran.err
    assert "mysql:8.4, nginx:1.27" in ran.err


def test_nothing_is_written_when_a_registry_does_not_tell(shop: World) -> None:
    shop.run("lock")
    shop.runtime.registries.resolved[NGINX] = Fault("docker.io cannot be reached", why="no route")
    means(shop, MYSQL, 11)
    ran = shop.run("lock", "--update")
    assert (ran.code, ran.out) == (1, "")
    assert ran.err == (
        "trueup.lock is left as it was\n  nginx:1.27: docker.io cannot be reached: no route\n"
    )
    assert _lock(shop).read_text() == LOCK


def test_of_a_short_name_the_first_registry_that_has_it_is_locked(shop: World) -> None:
    shop.spec.write_text("search_registries: [r.lab, docker.io]\n" + shop.spec.read_text())
    means(shop, "r.lab/mysql:8.4", 5)
    assert shop.run("lock").code == 0
    text = _lock(shop).read_text()
    assert f'"mysql:8.4":\n    digest: {digest(5)}' in text
    assert f'"nginx:1.27":\n    digest: {digest(2)}' in text


def test_a_digest_needs_no_entry(shop: World) -> None:
    shop.spec.write_text(f"containers: {{web: {{image: 'nginx@{digest(2)}'}}}}\n")
    assert shop.run("lock").code == 0
    assert "images:" not in _lock(shop).read_text()
    assert shop.run("plan", "--frozen").code == 2


def test_the_file_keeps_its_owner_and_rights_and_a_link_stays_one(shop: World) -> None:
    real = shop.folder / "real.lock"
    real.write_text("")
    real.chmod(0o640)
    _lock(shop).symlink_to(real)
    shop.run("lock")
    assert (real.read_text(), real.stat().st_mode & 0o777) == (LOCK, 0o640)
    assert _lock(shop).is_symlink()


def test_it_lies_beside_a_spec_of_another_name(shop: World) -> None:
    shop.spec.rename(shop.folder / "shop.yaml")
    assert shop.run("lock", "shop.yaml").out.endswith("shop.lock has 2 images\n")
    assert (shop.folder / "shop.lock").read_text() == LOCK
    assert shop.run("lock", "--check", "shop.yaml").code == 0


def test_check_asks_nobody_and_answers_by_its_exit_status(shop: World) -> None:
    ran = shop.run("lock", "--check")
    assert (ran.code, ran.out) == (1, "")
    assert ran.err == "trueup.lock is not up to date: there is none\n  run `trueup lock`\n"
    shop.run("lock")
    shop.runtime.registries.resolved.clear()
    assert shop.run("lock", "--check").out == "trueup.lock is up to date\n"
    shop.spec.write_text(shop.spec.read_text().replace("mysql:8.4", "redis:7"))
    ran = shop.run("lock", "--check")
    assert (ran.code, ran.err.splitlines()[0]) == (
        1,
        "trueup.lock is not up to date: lacks redis:7 and still has mysql:8.4",
    )
    assert shop.run("lock", "--check", "--update").code == 64


def test_of_a_tree_every_project_gets_a_lock_file_of_its_own(shop: World) -> None:
    other = shop.folder / "other"
    other.mkdir()
    (other / "trueup.yaml").write_text("containers: {db: {image: 'mysql:8.4'}}\n")
    (shop.folder / "broken").mkdir()
    (shop.folder / "broken/trueup.yaml").write_text("containers: [\n")
    ran = shop.run("lock", "-r", ".")
    assert (ran.code, "lock" in ran.err) == (64, False)
    assert "other/trueup.lock has 1 image\n" in ran.out
    assert _lock(shop).read_text() == LOCK
    assert shop.run("lock", "-r", "--update", "mysql:8.4").code == 64
    assert shop.run("lock", "-r", "--check").out.count("is up to date\n") == 2


# --- track --------------------------------------------------------------------------------------


def test_update_takes_the_newest_tag_that_is_old_enough(
    shop: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracked(shop, monkeypatch)
    shop.run("lock")
    assert f'"nginx:1.27":\n    digest: {digest(20)}\n' in _lock(shop).read_text()
    ran = shop.run("lock", "--update", "front")
    assert ran.out == (
        "  ~ nginx:1.27  sha256:000000000000 → 1.28.0 sha256:000000000000\n"
        "trueup.lock has 2 images\n"
    )
    assert (
        f'"nginx:1.27":\n    tag: "1.28.0"\n    digest: {digest(22)}\n' in _lock(shop).read_text()
    )
    assert shop.run("lock").out == "trueup.lock is up to date\n"


def test_without_a_tag_that_may_be_taken_it_stays_with_the_one_that_is_written(
    shop: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracked(shop, monkeypatch)
    shop.runtime.registries.tags_of[NGINX] = ("1.26", "1.28.1", "1.29.0", "2.0")
    shop.run("lock", "--update")
    assert f'"nginx:1.27":\n    digest: {digest(20)}\n' in _lock(shop).read_text()


def test_one_reference_cannot_be_tracked_in_two_ways(shop: World) -> None:
    more = TRACK.replace("}}}", "}}, back: {from: 'nginx:1.27', track: {tags: '1.27.*'}}}")
    shop.spec.write_text(shop.spec.read_text() + more)
    ran = shop.run("plan")
    assert ran.code == 64
    assert "nginx:1.27 is tracked in two ways" in ran.err


# --- what the others make of it -----------------------------------------------------------------


def test_apply_takes_what_is_locked(shop: World) -> None:
    shop.run("lock")
    shop.run("apply")
    assert set(shop.runtime.images.local) == {f"{MYSQL}@{digest(1)}", f"{NGINX}@{digest(2)}"}
    shown = shop.run("ps").out
    assert "nginx:1.27 " in shown
    assert "sha256" not in shown
    assert f"nginx:1.27@{digest(2)}" in shop.run("ps", "--no-trunc").out


@pytest.mark.parametrize("command", [("plan",), ("apply", "--dry-run"), ("status",), ("validate",)])
def test_a_lock_file_that_is_behind_is_warned_of(shop: World, command: tuple[str, ...]) -> None:
    shop.run("lock")
    shop.spec.write_text(shop.spec.read_text().replace("mysql:8.4", "redis:7"))
    assert shop.run(*command).err == (
        "warning: trueup.lock lacks redis:7 and still has mysql:8.4; `trueup lock` brings it up to"
        " date\n"
    )


FROZEN = [("plan", "--frozen"), ("apply", "--frozen"), ("watch", "--frozen"),
          ("apply", "--frozen", "-r"), ("plan", "--frozen", "-r")]  # fmt: skip


@pytest.mark.parametrize("command", FROZEN)
def test_frozen_refuses_what_is_not_locked(shop: World, command: tuple[str, ...]) -> None:
    ran = shop.run(*command)
    assert ran.code == 64
    assert ran.err == (
        "shop: --frozen takes only images that are locked: no lock file has mysql:8.4, nginx:1.27\n"
        "  run `trueup lock`, and keep the file with the spec\n"
    )
    shop.run("lock")
    shop.spec.write_text(shop.spec.read_text().replace("mysql:8.4", "redis:7"))
    ran = shop.run(*command)
    assert ran.code == 64
    assert "trueup.lock has no entry for redis:7" in ran.err
    assert shop.runtime.effects == []


def test_frozen_goes_on_with_what_is_locked(shop: World) -> None:
    shop.run("lock")
    assert shop.run("apply", "--frozen").code == 0
    assert shop.run("plan", "--frozen").code == 0


@pytest.mark.parametrize("command", ["plan", "apply", "status", "validate", "lock"])
def test_a_damaged_lock_file_is_one_clear_error(shop: World, command: str) -> None:
    _lock(shop).write_text(LOCK.replace(digest(1), "sha256:12"))
    ran = shop.run(command)
    assert (ran.code, ran.out) == (64, "")
    assert ran.err.startswith("trueup.lock:5:13: `sha256:12` is no digest\n")
    assert shop.runtime.effects == []
