"""Images: which registry is asked for what, and how often."""

from pathlib import Path

import pytest

from reconciler.spec import SpecBroken
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


def test_tags_are_complete_references_and_none_twice(tmp_path: Path) -> None:
    text = """
    images:
      site: {archive: site.tar, tags: [r.lab/site, r.lab/site:latest, me/site:1], push: yes}
      web: {from: nginx:1.27, tags: mine}
    containers: {a: {image: site}}
    """
    images = read(tmp_path, text).images
    assert (images["site@shop"].tags, images["site@shop"].push) == (
        ("r.lab/site:latest", "docker.io/me/site:1"),
        ("r.lab/site:latest", "docker.io/me/site:1"),
    )
    assert (images[NGINX].tags, images[NGINX].push) == (("docker.io/library/mine:latest",), ())


def test_of_one_image_only_the_tags_of_the_entries_that_say_so_are_pushed(tmp_path: Path) -> None:
    text = """
    images:
      a: {from: nginx:1.27, tags: [r.lab/a:1, r.lab/both:1], push: true}
      b: {from: nginx:1.27, tags: [r.other/b:1, r.lab/both:1]}
    containers: {w: {image: a}}
    """
    image = read(tmp_path, text).images[NGINX]
    assert image.tags == ("r.lab/a:1", "r.lab/both:1", "r.other/b:1")
    assert image.push == ("r.lab/a:1", "r.lab/both:1")


def test_another_entry_of_the_same_image_may_name_where_it_comes_from(tmp_path: Path) -> None:
    text = """
    images:
      a: {from: nginx:1.27, tags: [r.lab/a:1], push: true}
      b: {from: nginx:1.27, tags: [nginx:1.27]}
    containers: {w: {image: a}}
    """
    assert read(tmp_path, text).images[NGINX].push == ("r.lab/a:1",)


CLASHES = {
    "two images": (
        "images: {a: {archive: site.tar, tags: [r.lab/x]}, b: {from: n, tags: [r.lab/x:latest]}}",
        "trueup.yaml:1:71: the tag `r.lab/x:latest` would mean two images",
        "shop/trueup.yaml:1",
    ),
    "a tag and what another one comes from": (
        "images: {a: {archive: site.tar, tags: [nginx]}, b: {from: nginx}}",
        "trueup.yaml:1:40: the tag `nginx` would mean two images",
        "shop/trueup.yaml:1",
    ),
    "a tag and what a container runs": (
        "images: {a: {archive: site.tar, tags: [nginx]}}\ncontainers: {w: {image: nginx}}",
        "trueup.yaml:1:40: the tag `nginx` would mean two images",
        "shop/trueup.yaml:2",
    ),
}


@pytest.mark.parametrize("case", CLASHES)
def test_a_tag_means_one_image(tmp_path: Path, case: str) -> None:
    text, told, other = CLASHES[case]
    if "containers" not in text:
        text += "\ncontainers: {w: {image: a}}"
    with pytest.raises(SpecBroken) as error:
        read(tmp_path, text)
    assert told in str(error.value)
    assert str(error.value).rstrip().endswith(other)


@pytest.mark.parametrize("other", ["nginx", "docker.io/library/nginx:latest"])
def test_an_image_is_for_one_platform_whatever_it_is_called(tmp_path: Path, other: str) -> None:
    text = f"""images:
  a: {{from: nginx, platform: linux/arm64}}
  b: {{from: '{other}', platform: linux/amd64}}
containers: {{w: {{image: a}}}}
"""
    with pytest.raises(SpecBroken, match="`b` cannot be here for two platforms at a time"):
        read(tmp_path, text)


def test_an_image_is_not_pushed_to_where_it_comes_from(tmp_path: Path) -> None:
    text = "images: {a: {from: nginx, tags: [x, nginx], push: true}}\n"
    with pytest.raises(SpecBroken, match="`nginx` is where the image comes from"):
        read(tmp_path, text + "containers: {w: {image: a}}")


def test_the_tag_of_the_image_itself_is_no_clash(tmp_path: Path) -> None:
    text = "images: {a: {from: nginx, tags: [nginx]}, b: {from: nginx, tags: [nginx, x]}}\n"
    images = read(tmp_path, text + "containers: {w: {image: a}}").images
    [image] = images.values()
    assert image.tags == ("docker.io/library/nginx:latest", "docker.io/library/x:latest")
