"""Names without a host: what they may mean, and what containers call such images."""

from pathlib import Path

import pytest

from reconciler.desired import image_label
from reconciler.registries import CONFIG_DIR
from reconciler.short_names import (
    NoRegistryNamed,
    NowhereThere,
    Search,
    called,
    candidates,
    first_there,
    own_name,
)
from reconciler.spec import SpecBroken
from reconciler.views.containers import image
from runtime.api import ArchiveSource, ImageSpec, RegistrySource
from runtime.errors import Absent
from runtime.reference import BadReference, Reference
from tests.reconciler.reading import key, read

DIGEST = f"sha256:{'ab' * 32}"
TWO = Search(hosts=("docker.io", "r.lab:5000"))

MEANINGS = [
    ("nginx", ["docker.io/library/nginx:latest", "r.lab:5000/nginx:latest"]),
    ("nginx:1.27", ["docker.io/library/nginx:1.27", "r.lab:5000/nginx:1.27"]),
    ("team/app", ["docker.io/team/app:latest", "r.lab:5000/team/app:latest"]),
    (f"app@{DIGEST}", [f"docker.io/library/app@{DIGEST}", f"r.lab:5000/app@{DIGEST}"]),
    ("r.lab:5000/nginx", ["r.lab:5000/nginx:latest"]),
    ("docker.io/nginx", ["docker.io/library/nginx:latest"]),
    ("localhost/app", ["localhost/app:latest"]),
    ("x.lab/team/app:1", ["x.lab/team/app:1"]),
]


@pytest.mark.parametrize(("text", "expected"), MEANINGS)
def test_a_short_name_may_mean_one_image_of_each_registry_in_order(
    text: str, expected: list[str]
) -> None:
    assert [str(each) for each in candidates(text, TWO)] == expected


def test_one_registry_twice_is_one() -> None:
    search = Search(hosts=("docker.io", "index.docker.io"))
    assert [str(each) for each in candidates("x", search)] == ["docker.io/library/x:latest"]


def test_where_short_names_are_off_only_those_are_refused() -> None:
    off = Search(hosts=(), place="/etc/trueup/registries.yaml:3")
    assert str(candidates("r.lab/x:1", off)[0]) == "r.lab/x:1"
    with pytest.raises(NoRegistryNamed) as caught:
        candidates("nginx:1.27", off)
    assert caught.value.exit_code == 64
    assert str(caught.value) == (
        "nginx:1.27 names no registry, and short names are off (/etc/trueup/registries.yaml:3)\n"
        "  write the registry, too: docker.io/nginx:1.27, if that one is meant"
    )


def test_what_no_registry_has_is_told_with_all_that_were_asked() -> None:
    def ask(reference: Reference) -> str:
        if reference.host == "r.lab:5000" and reference.tag == "1":
            return "here"
        raise Absent(f"{reference} does not exist")

    assert first_there(candidates("team/app:1", TWO), ask)[1] == "here"
    with pytest.raises(NowhereThere) as caught:
        first_there(candidates("team/app:2", TWO), ask)
    assert caught.value.why == "not there: team/app:2, r.lab:5000/team/app:2"
    with pytest.raises(Absent, match=r"^r.lab:5000/app:2 does not exist"):
        first_there(candidates("r.lab:5000/app:2", TWO), ask)


@pytest.mark.parametrize("text", ["UPPER", "x:", "a//b", "ab" * 32])
def test_what_is_no_reference_is_told_so_first(text: str) -> None:
    for search in (TWO, Search(hosts=(), place="x")):
        with pytest.raises(BadReference):
            candidates(text, search)


@pytest.mark.parametrize(
    ("text", "search", "name"),
    [
        ("nginx", Search(), "docker.io/library/nginx:latest"),
        ("nginx", TWO, "nginx:latest@shop"),
        ("nginx:1.27", TWO, "nginx:1.27@shop"),
        ("team/app:1", TWO, "team/app:1@shop"),
        (f"app@{DIGEST}", TWO, f"app@{DIGEST}@shop"),
        (f"app:1@{DIGEST}", TWO, f"app:1@{DIGEST}@shop"),
        ("r.lab:5000/app", TWO, "r.lab:5000/app:latest"),
    ],
)
def test_an_image_that_several_registries_may_have_is_called_by_name_and_project(
    text: str, search: Search, name: str
) -> None:
    assert called(text, search, "shop") == name


@pytest.mark.parametrize(
    ("name", "own"),
    [
        ("site@shop", "site"),
        ("nginx:1.27@shop", "nginx:1.27"),
        (f"app@{DIGEST}@shop", f"app@{DIGEST}"),
        (f"docker.io/library/app@{DIGEST}", ""),
        ("docker.io/library/app:1", ""),
    ],
)
def test_what_only_a_project_calls_so_is_told_from_a_reference(name: str, own: str) -> None:
    assert own_name(name) == own


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("team/app:1@shop", "team/app:1@shop"),
        ("site@shop", "site@shop"),
        ("docker.io/library/nginx:1.27", "nginx:1.27"),
        (f"docker.io/library/app@{DIGEST}", f"app@{DIGEST}"),
    ],
)
def test_a_list_of_containers_shows_such_a_name_as_it_is(name: str, shown: str) -> None:
    assert image(name) == shown


SPEC = """\
    search_registries: [docker.io, "r.lab:5000"]
    images:
      web: {from: "nginx:1.27"}
      nginx: {archive: site.tar}
    containers:
      a: {image: web}
      b: {image: "nginx:1.27", pull_policy: always}
      c: {image: nginx}
      d: {image: "r.lab:5000/x:1"}
"""


def test_containers_get_images_by_the_name_of_the_project(tmp_path: Path) -> None:
    desired = read(tmp_path, SPEC)
    names = [desired.containers[key(name)].image for name in "abcd"]
    assert names == ["nginx:1.27@shop", "nginx:1.27@shop", "nginx@shop", "r.lab:5000/x:1"]
    declared = desired.images["nginx:1.27@shop"]
    assert declared == ImageSpec(
        name="nginx:1.27@shop",
        source=RegistrySource(
            reference="docker.io/library/nginx:1.27",
            alternatives=("r.lab:5000/nginx:1.27",),
            pull=desired.images["nginx:1.27@shop"].source.pull,  # type: ignore[union-attr]
        ),
    )
    assert isinstance(declared.source, RegistrySource)
    assert declared.source.pull == "always"
    assert isinstance(desired.images["nginx@shop"].source, ArchiveSource)
    assert sorted(map(image_label, desired.images.values())) == [
        "nginx", "nginx:1.27", "r.lab:5000/x:1",
    ]  # fmt: skip
    assert desired.place("image", "nginx:1.27@shop").endswith("trueup.yaml:3")


def test_an_image_of_a_file_may_have_the_name_that_another_comes_from(tmp_path: Path) -> None:
    spec = """\
        images: {nginx: {archive: site.tar}, web: {from: nginx}}
        containers: {a: {image: web}, b: {image: nginx}}
    """
    desired = read(tmp_path, spec)
    assert desired.containers[key("a")].image == "docker.io/library/nginx:latest"
    assert desired.containers[key("b")].image == "nginx@shop"
    assert set(desired.images) == {"docker.io/library/nginx:latest", "nginx@shop"}


def test_the_machines_order_counts_where_the_spec_has_none(tmp_path: Path) -> None:
    (tmp_path / "registries.yaml").write_text("search: [r.lab]")
    spec = "containers: {a: {image: 'nginx:1'}}"
    desired = read(tmp_path, spec, **{CONFIG_DIR: str(tmp_path)})
    assert list(desired.images) == ["r.lab/nginx:1"]


def test_refused_short_names_of_a_spec_are_told_all_at_once(tmp_path: Path) -> None:
    (tmp_path / "registries.yaml").write_text("registries: {}\n\nsearch: []\n")
    spec = """\
        images: {web: {from: "nginx:1.27"}, ok: {archive: site.tar}}
        containers:
          a: {image: web}
          b: {image: team/app}
          c: {image: ok}
          d: {image: r.lab/x}
    """
    with pytest.raises(SpecBroken) as caught:
        read(tmp_path, spec, **{CONFIG_DIR: str(tmp_path)})
    assert caught.value.what.replace(f"{tmp_path}/", "") == (
        "shop/trueup.yaml:1:16: `nginx:1.27` names no registry, and short names are off"
        " (registries.yaml:3)\n"
        "  write the registry, too: docker.io/nginx:1.27, if that one is meant\n"
        "\n"
        "shop/trueup.yaml:4:7: `team/app` names no registry, and short names are off"
        " (registries.yaml:3)\n"
        "  write the registry, too: docker.io/team/app, if that one is meant\n"
    )
