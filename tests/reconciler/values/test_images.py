"""Images: which registry is asked for what, and how often."""

from pathlib import Path

import pytest

from runtime.api import PullPolicy, RegistrySource
from tests.reconciler.reading import read
from tests.reconciler.world import NGINX

SOURCES = [
    # image of the first and the second container, and what is declared; the policy that holds
    ("pull_policy: never", "", "", PullPolicy.NEVER),
    ("", "", "", PullPolicy.MISSING),
    ("pull_policy: never", "pull_policy: always", "", PullPolicy.ALWAYS),
    ("pull_policy: never", "", "images: {a: {from: 'nginx:1.27', pull: newer}}", PullPolicy.NEWER),
    ("pull_policy: never", "", "images: {a: {from: 'nginx:1.27'}}", PullPolicy.NEVER),
]


@pytest.mark.parametrize(("one", "two", "more", "policy"), SOURCES)
def test_who_asks_most_often_counts_and_silence_does_not(
    tmp_path: Path, one: str, two: str, more: str, policy: PullPolicy
) -> None:
    image = "image: nginx:1.27"
    text = f"containers: {{a: {{{image}, {one}}}, b: {{{image}, {two}}}}}\n{more}\n"
    assert read(tmp_path, text).images[NGINX].source == RegistrySource(reference=NGINX, pull=policy)


@pytest.mark.parametrize(
    "text",
    [
        "containers: {a: {image: 'nginx:1.27', platform: linux/arm64}}",
        "containers: {a: {image: web}}\nimages: {web: {from: 'nginx:1.27', platform: linux/arm64}}",
    ],
)
def test_the_platform_goes_with_the_image(tmp_path: Path, text: str) -> None:
    source = RegistrySource(reference=NGINX, platform="linux/arm64")
    assert read(tmp_path, text).images[NGINX].source == source
