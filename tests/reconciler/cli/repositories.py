"""A registry for commands in memory: what references mean there."""

import pytest

from runtime.api import Resolved
from tests.reconciler.cli.conftest import World

MYSQL, NGINX = "docker.io/library/mysql:8.4", "docker.io/library/nginx:1.27"
DAY = 86400.0


def digest(number: int) -> str:
    """A digest of its own for each number."""
    return f"sha256:{number:064x}"


def means(world: World, reference: str, number: int, *, created: float = 0.0) -> None:
    """The registry has that image under the reference."""
    world.runtime.registries.resolved[reference] = Resolved(
        reference=reference,
        digest=digest(number),
        platforms={"linux/amd64": digest(number + 1000)},
        created=created,
    )


TRACK = "images: {front: {from: nginx:1.27, track: {semver: '1.x', min_age: 3d}}}\n"


def tracked(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """nginx has newer tags, of several ages, and the spec tracks it."""
    world.spec.write_text(world.spec.read_text() + TRACK)
    tags = ("1.27", "1.27.5", "1.28.0", "1.28.1", "1.29.0", "2.0", "latest")
    world.runtime.registries.tags_of[NGINX] = tags
    now = 1_800_000_000.0
    monkeypatch.setattr("time.time", lambda: now)
    for number, tag in enumerate(tags, start=20):
        age = {"1.28.1": 1.0, "1.28.0": 3.0}.get(tag, 30.0)
        created = 0.0 if tag == "1.29.0" else now - age * DAY
        means(world, f"docker.io/library/nginx:{tag}", number, created=created)
