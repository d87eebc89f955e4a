"""``pull``, ``push`` and ``search``, on a runtime in memory: what is asked of whom, and told."""

import grp
import io
import json
import os
import pwd
from collections.abc import Sequence
from pathlib import Path

import pytest

from runtime.api import Progress, RegistryAccess, RegistrySource, SearchHit
from runtime.errors import Fault
from tests.fake_images import FakeRegistries, NoSuchImage, image_id
from tests.reconciler.cli.conftest import SPEC, World

ID = image_id("web", 1)
DIGEST = f"sha256:{'cd' * 32}"


@pytest.fixture
def two(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """A machine that looks for short names in two registries, away from any spec."""
    folder = tmp_path / "machine"
    folder.mkdir()
    (folder / "registries.yaml").write_text("search: [docker.io, 'r.lab:5000']\n")
    monkeypatch.setenv("TRUEUP_CONFIG_DIR", str(folder))
    monkeypatch.chdir(tmp_path)
    return world


def test_pull_tells_what_docker_tells(world: World) -> None:
    images = world.runtime.images
    images.local[f"docker.io/library/nginx@{DIGEST}"] = image_id(
        "docker.io/library/nginx:latest", 1
    )
    first = world.run("pull", "nginx")
    assert first.out.splitlines() == [
        "Using default tag: latest",
        "latest: Pulling from library/nginx",
        f"Digest: {DIGEST}",
        "Status: Downloaded newer image for nginx:latest",
        "docker.io/library/nginx:latest",
    ]
    again = world.run("image", "pull", "nginx:latest").out.splitlines()
    assert again[0] == "latest: Pulling from library/nginx"
    assert again[2] == "Status: Image is up to date for nginx:latest"


def test_pull_shows_each_layer_on_stderr_unless_it_shall_be_quiet(world: World) -> None:
    world.runtime.images.told = [
        Progress(what="base", doing="here already", over=True),
        Progress(what="aa", doing="pulling", done=1, total=2),
    ]
    ran = world.run("pull", "r.lab/web:1")
    assert "base: here already\naa: pulling 2B\n" in ran.err
    assert "1: Pulling from r.lab/web\n" in ran.out
    quiet = world.run("pull", "-q", "r.lab/web:1")
    assert (quiet.out, quiet.err) == ("r.lab/web:1\n", "")


def test_pull_for_another_platform(world: World) -> None:
    assert world.run("pull", "--platform", "linux/arm/v7", "nginx").code == 0
    (source,) = world.runtime.images.heard
    assert isinstance(source, RegistrySource)
    assert source.platform == "linux/arm/v7"


def test_pull_of_all_tags_takes_each_of_them(world: World) -> None:
    world.runtime.registries.tags_of["r.lab/web:latest"] = ("1", "2")
    ran = world.run("pull", "-a", "-q", "r.lab/web")
    assert ran.out == "r.lab/web:1\nr.lab/web:2\n"
    wrong = world.run("pull", "-a", "r.lab/web:1")
    assert wrong.code == 64
    assert wrong.err.startswith("--all-tags takes a name without a tag")


def test_a_short_name_is_the_first_that_a_registry_has(two: World) -> None:
    hub, lab = "docker.io/team/web:1", "r.lab:5000/team/web:1"
    two.runtime.faults["pull", hub] = NoSuchImage(hub)
    assert two.run("pull", "-q", "team/web:1").out == f"{lab}\n"
    assert two.runtime.images.local == {lab: image_id(lab, 1)}
    # From then on the short name means that one here.
    assert two.run("image", "inspect", "-f", "{{.RepoTags}}", "team/web:1").code == 0
    assert two.run("tag", "team/web:1", "r.lab:5000/copy:1").code == 0
    assert two.run("push", "-q", "copy:1").out == "r.lab:5000/copy:1\n"


def test_a_registry_that_gives_no_answer_ends_the_search(two: World) -> None:
    hub = "docker.io/team/web:1"
    two.runtime.faults["pull", hub] = Fault("docker.io gives no answer")
    ran = two.run("pull", "team/web:1")
    assert (ran.code, ran.err) == (1, "docker.io gives no answer\n")
    assert two.runtime.images.local == {}


def test_short_names_may_be_off(two: World, tmp_path: Path) -> None:
    (tmp_path / "machine" / "registries.yaml").write_text("search: []\n")
    for words in (("pull", "nginx"), ("push", "nginx"), ("search", "nginx")):
        ran = two.run(*words)
        assert ran.code == 64, words
        assert "nginx names no registry, and short names are off" in ran.err


def test_push_ends_with_the_digest(world: World) -> None:
    names = ("r.lab/web:1", "r.lab/web:latest", "r.lab/x:1", f"r.lab/web:1@{DIGEST}")
    world.runtime.images.local |= dict.fromkeys(names, ID)
    ran = world.run("push", "r.lab/web")
    assert ran.out.splitlines() == [
        "The push refers to repository [r.lab/web]",
        "Using default tag: latest",
        f"latest: digest: {ID}",
    ]
    assert "r.lab/web:latest: pushing 2B" in ran.err
    assert (
        world.run("image", "push", "-a", "-q", "r.lab/web").out == "r.lab/web:1\nr.lab/web:latest\n"
    )
    assert sorted(world.runtime.images.pushed) == ["r.lab/web:1", "r.lab/web:latest"]


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["push", f"r.lab/web@{DIGEST}"], 64, f"`r.lab/web@{DIGEST}` has a digest"),
        (["push", "-a", "r.lab/web:1"], 64, "--all-tags takes a name without a tag"),
        (["push", "-a", "r.lab/web"], 1, "there is no image named r.lab/web here"),
        (["push", "r.lab/web:1"], 1, "the image r.lab/web:1 is not here"),
        (["search", "--limit", "0", "x"], 64, "argument --limit: `0` is not between 1 and 100"),
        (["search", "-f", "is-automated=true", "x"], 64, "`is-automated=true` is no filter"),
        (["search", "-f", "stars=many", "x"], 64, "`many` is no number of stars"),
        (["search", "r.lab/"], 64, "there is nothing to look for\n  write it like r.lab/web"),
        (["search", ""], 64, "there is nothing to look for\n  write it like web"),
        (["search", "--list-tags", "r.lab/no"], 1, "the image r.lab/no:latest is not here"),
        (["pull", "--platform", "arm", "x"], 64, "argument --platform: `arm` is no platform"),
    ],
    ids=str,
)
def test_what_cannot_be_is_refused(world: World, words: list[str], code: int, told: str) -> None:
    ran = world.run(*words)
    assert ran.code == code
    assert ran.err.startswith(told)


HITS = (
    SearchHit(name="nginx", description=f"Official {'x' * 60}", stars=20000, official=True),
    SearchHit(name="team/nginx", description="another\none", stars=3),
)


def test_search_has_dockers_columns(world: World) -> None:
    world.runtime.registries.hits["docker.io"] = HITS
    header, first, second = world.run("search", "nginx").out.splitlines()
    assert header.split() == ["NAME", "DESCRIPTION", "STARS", "OFFICIAL"]
    assert first.split() == ["nginx", "Official", f"{'x' * 35}…", "20000", "[OK]"]
    assert second.split() == ["team/nginx", "another", "one", "3"]
    assert world.runtime.registries.asked == [("docker.io", "nginx", 25)]
    assert "x" * 60 in world.run("search", "--no-trunc", "nginx").out


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ([], ["nginx", "team/nginx"]),
        (["-f", "stars=4"], ["nginx"]),
        (["--filter", "is-official=false"], ["team/nginx"]),
        (["--limit", "1"], ["nginx"]),
    ],
    ids=str,
)
def test_search_filters(world: World, words: list[str], found: list[str]) -> None:
    world.runtime.registries.hits["docker.io"] = HITS
    shown = world.run("search", "--format", "{{.Name}}", *words, "nginx")
    assert shown.out.splitlines() == found


def test_search_of_a_private_registry_names_what_can_be_pulled(two: World) -> None:
    registries = two.runtime.registries
    registries.hits = {"docker.io": HITS[:1], "r.lab:5000": (SearchHit(name="a/web", tags=("1",)),)}
    row = json.loads(two.run("search", "--format", "json", "r.lab:5000/web").out)
    assert (row["Name"], row["Tags"]) == ("r.lab:5000/a/web", "1")
    both = two.run("search", "--format", "{{.Name}}", "web").out
    assert both == "nginx\nr.lab:5000/a/web\n"
    assert [host for host, _, _ in registries.asked] == ["r.lab:5000", "docker.io", "r.lab:5000"]
    registries.tags_of["r.lab:5000/a/web:latest"] = ("1", "2", "3")
    listed = two.run("search", "--list-tags", "--limit", "2", "a/web").out.splitlines()
    assert [line.split() for line in listed] == [
        ["NAME", "TAG"],
        ["r.lab:5000/a/web", "1"],
        ["r.lab:5000/a/web", "2"],
    ]


class Failing(FakeRegistries):
    """Some cannot be searched."""

    def __init__(self, *hosts: str) -> None:
        super().__init__()
        self.hits["r.lab:5000"] = (SearchHit(name="a/web"),)
        self.failing = hosts

    def search(
        self, host: str, term: str, limit: int, registries: Sequence[RegistryAccess]
    ) -> tuple[SearchHit, ...]:
        if host in self.failing:
            raise Fault(f"{host} cannot be searched", why="it has no list", hint="ask another one")
        return super().search(host, term, limit, registries)


def test_of_several_registries_one_that_cannot_be_searched_is_only_told(two: World) -> None:
    two.runtime.registries = Failing("docker.io")
    ran = two.run("search", "--format", "{{.Name}}", "web")
    assert (ran.code, ran.out) == (0, "r.lab:5000/a/web\n")
    assert ran.err == "warning: docker.io cannot be searched: it has no list\n"


def test_where_none_can_be_searched_that_is_the_failure(two: World) -> None:
    two.runtime.registries = Failing("docker.io", "r.lab:5000")
    for words, host in (("web", "docker.io"), ("r.lab:5000/web", "r.lab:5000")):
        ran = two.run("search", words)
        assert (ran.code, ran.out) == (1, "")
        assert ran.err == f"{host} cannot be searched: it has no list\n  ask another one\n"


# --- a spec that merely lies here -----------------------------------------------------------------

SEARCHING = f"{SPEC}search_registries: [r.lying]\n"
UNUSED = "warning: the spec in this folder is not used: "


def _hosts(world: World, *words: str) -> tuple[list[str], str]:
    """Which registries a search asks, and what it says on stderr."""
    world.runtime.registries.asked.clear()
    ran = world.run("search", *words, "web")
    assert ran.code == 0
    return [host for host, _, _ in world.runtime.registries.asked], ran.err


def test_the_spec_in_this_folder_is_used(world: World) -> None:
    world.spec.write_text(SEARCHING)
    assert _hosts(world) == (["r.lying"], "")


@pytest.mark.parametrize("mode", [0o777, 0o1777])
def test_a_spec_in_a_folder_where_others_may_put_one_is_not_used(world: World, mode: int) -> None:
    world.spec.write_text(SEARCHING)
    world.folder.chmod(mode)
    told = f"{UNUSED}others may write the folder; `--spec .` uses it all the same\n"
    assert _hosts(world) == (["docker.io"], told)
    assert _hosts(world, "--spec", ".") == (["r.lying"], "")


@pytest.mark.parametrize(
    ("own", "members", "others", "used"),
    [
        (True, [], 0, True),  # as with a umask of 002 on many systems
        (True, ["me"], 0, True),
        (True, ["you"], 0, False),
        (True, [], 1, False),  # another one has it as his first group
        (False, [], 0, False),
    ],
)
def test_the_group_of_the_owner_alone_may_write_it(
    world: World,
    monkeypatch: pytest.MonkeyPatch,
    own: bool,
    members: list[str],
    others: int,
    used: bool,
) -> None:
    world.spec.write_text(SEARCHING)
    world.folder.chmod(0o775)
    me, group = os.getuid(), world.folder.stat().st_gid

    def user(name: str, uid: int, gid: int) -> pwd.struct_passwd:
        return pwd.struct_passwd((name, "x", uid, gid, "", "/", "/bin/sh"))

    people = [user("me", me, group + (not own)), *[user("you", me + 1, group)] * others]
    monkeypatch.setattr(pwd, "getpwuid", lambda _: people[0])
    monkeypatch.setattr(pwd, "getpwall", lambda: people)
    monkeypatch.setattr(grp, "getgrgid", lambda gid: grp.struct_group(("g", "x", gid, members)))
    assert _hosts(world)[0] == (["r.lying"] if used else ["docker.io"])


@pytest.mark.parametrize("part", ["trueup.yaml", "trueup.d", "trueup.d/a.yaml", ".env"])
def test_nor_is_one_of_which_others_may_write_a_part(world: World, part: str) -> None:
    world.spec.write_text(SEARCHING)
    (world.folder / "trueup.d").mkdir()
    (world.folder / "trueup.d" / "a.yaml").write_text("volumes: {more: {}}\n")
    (world.folder / ".env").write_text("A=b\n")
    assert _hosts(world) == (["r.lying"], "")
    (world.folder / part).chmod(0o777)
    hosts, told = _hosts(world)
    assert hosts == ["docker.io"]
    assert told.startswith(f"{UNUSED}others may write {part};")


@pytest.mark.root
def test_nor_is_a_strangers(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.spec.write_text(SEARCHING)
    os.chown(world.spec, 4711, 4711)
    told = f"{UNUSED}trueup.yaml belongs to the user 4711; `--spec .` uses it all the same\n"
    assert _hosts(world) == (["docker.io"], told)
    monkeypatch.setenv("SUDO_UID", "4711")  # who may do this by sudo is no stranger
    assert _hosts(world) == (["r.lying"], "")
    monkeypatch.setenv("SUDO_UID", "")
    assert _hosts(world) == (["docker.io"], told)


def test_a_login_is_not_checked_as_a_strangers_spec_says(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[RegistryAccess] = []
    monkeypatch.setattr(world.runtime.registries, "check_login", heard.append)
    monkeypatch.setenv("DOCKER_CONFIG", str(world.root))
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"secret")))
    world.spec.write_text(f"{SPEC}registries: {{r.lab: {{insecure: true}}}}\n")
    world.folder.chmod(0o777)
    ran = world.run("login", "-u", "me", "--password-stdin", "r.lab")
    assert ran.code == 0
    assert [each.insecure for each in heard] == [False]
    assert ran.err.startswith(f"{UNUSED}others may write the folder; what a registry needs may")
