"""The commands on images that are here, on a runtime in memory: Docker's words and columns."""

import json
from collections.abc import Sequence

import pytest

from reconciler.cli.image_prune import NobodyAsked
from runtime.api import Damage, HistoryRow, ImageDefaults, ImageDetails
from tests.fake_images import image_id
from tests.reconciler.cli.conftest import World

WEB, OLD, SITE = (image_id(name, 1) for name in ("web", "old", "site"))
DIGEST = f"docker.io/library/nginx@sha256:{'cd' * 32}"


@pytest.fixture
def stocked(world: World) -> World:
    """Three images: one with two tags and a digest, one without a name, one of a file."""
    images = world.runtime.images
    images.local |= {
        "docker.io/library/nginx:1.27": WEB,
        "r.lab:5000/team/web:2": WEB,
        DIGEST: WEB,
        "site@shop": SITE,
    }
    images.facts = {
        WEB: ImageDetails(
            id=WEB,
            created=1_700_000_000.0,
            size=187_000_000,
            platform="linux/arm/v7",
            author="me",
            defaults=ImageDefaults(
                cmd=("nginx",), env=("A=1",), exposed_ports=("80/tcp",), labels={"tier": "web"}
            ),
            layers=(f"sha256:{'01' * 32}",),
            history=(
                HistoryRow(created=1_600_000_000.0, created_by="ADD tree\tin /", size=186_000_000),
                HistoryRow(
                    created=1_700_000_000.0, created_by=f"RUN {'x' * 60}", comment="b", empty=True
                ),
            ),
        ),
        OLD: ImageDetails(id=OLD, created=1_500_000_000.0, size=5_000_000),
        SITE: ImageDetails(id=SITE, created=1_800_000_000.0, size=1000, comment="from a tar"),
    }
    return world


def names(world: World, *words: str) -> list[str]:
    shown = world.run("images", "--format", "{{.Repository}}:{{.Tag}}", *words)
    assert shown.code == 0, shown.err
    return shown.out.splitlines()


ALL = ["site (shop):<none>", "nginx:1.27", "r.lab:5000/team/web:2", "<none>:<none>"]


@pytest.mark.parametrize(
    ("words", "kept"),
    [
        ([], ALL),
        (["-a"], ALL),
        (["nginx"], ALL[1:2]),
        (["nginx:1.2?"], ALL[1:2]),
        (["docker.io/library/nginx"], ALL[1:2]),
        (["nginx:1.28"], []),
        (["*"], ALL[:2]),  # no slash
        (["site"], ALL[:1]),
        (["--filter", "reference=*/*/web"], ALL[2:3]),
        (["--filter", "reference=nginx", "--filter", "reference=site"], ALL[:2]),
        (["--filter", "dangling=true"], ALL[3:]),
        (["--filter", "dangling=false"], ALL[:3]),
        (["--filter", "label=tier"], ALL[1:3]),
        (["--filter", "label=tier=db"], []),
        (["-f", "before=nginx:1.27"], ALL[3:]),
        (["-f", f"since={OLD[7:19]}"], ALL[:3]),
        (["-f", "until=1600000000"], ALL[3:]),
        (["-f", "until=2017-08-01T00:00:00Z"], ALL[3:]),
        (["-f", "label=tier", "-f", "until=1600000000"], []),
    ],
    ids=str,
)
def test_images_lists_what_fits(stocked: World, words: Sequence[str], kept: list[str]) -> None:
    assert names(stocked, *words) == kept


def test_image_ls_is_images(stocked: World) -> None:
    plain = stocked.run("images", "--digests")
    assert plain.out.splitlines()[0].split() == (
        ["REPOSITORY", "TAG", "DIGEST", "IMAGE", "ID", "CREATED", "SIZE"]
    )
    assert stocked.run("image", "ls", "--digests").out == plain.out
    assert stocked.run("image", "list", "--digests").out == plain.out
    once = stocked.run("images", "-q", "--no-trunc", "nginx").out
    assert once == f"{WEB}\n"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["images", "-f", "size=1"], "`size=1` is no filter"),
        (["images", "-f", "dangling=maybe"], "`maybe` is neither true nor false"),
        (["images", "-f", "until=soon"], "`soon` is no time"),
        (["image", "prune", "--filter", "dangling=true"], "`dangling=true` is no filter"),
        (["image", "pul", "x"], "trueup image has no command `pul`\n  did you mean `trueup image"),
        (["image"], "the following arguments are required: COMMAND"),
        (["image", "ls", "--tree"], "trueup image ls has no option --tree"),
        (["tag", "nginx", DIGEST], f"`{DIGEST}` has a digest"),
        (["tag", "nginx", "UPPER"], "'UPPER' is not an image reference"),
        (["history"], "the following arguments are required: IMAGE"),
        (["rmi"], "the following arguments are required: IMAGE"),
    ],
    ids=str,
)
def test_wrong_usage_is_64_and_one_message(stocked: World, words: list[str], told: str) -> None:
    ran = stocked.run(*words)
    assert (ran.code, ran.out) == (64, "")
    assert ran.err.startswith(told)


def test_history_has_the_newest_step_first_and_an_id_only_there(stocked: World) -> None:
    header, newest, oldest = stocked.run("history", "nginx:1.27").out.splitlines()
    assert header.split() == ["IMAGE", "CREATED", "CREATED", "BY", "SIZE", "COMMENT"]
    assert newest.split()[0] == WEB[7:19]
    assert newest.split()[-2:] == ["0B", "b"]
    assert f"RUN {'x' * 40}…" in newest
    assert oldest.split()[0] == "<missing>"
    assert "ADD tree in /" in oldest
    assert oldest.endswith("186MB")
    exact = stocked.run("history", "--human=false", "--no-trunc", "nginx:1.27").out.splitlines()
    assert exact[1].split()[:2] == [WEB, "2023-11-14T22:13:20Z"]
    assert "x" * 60 in exact[1]
    assert exact[2].endswith("186000000")
    assert stocked.run("history", "-q", "nginx:1.27").out == f"{WEB[7:19]}\n<missing>\n"
    row = json.loads(stocked.run("image", "history", "--format", "json", "site@shop").out)
    assert (row["ID"], row["Comment"], row["Size"]) == (SITE[7:19], "from a tar", "1kB")


def test_image_inspect_tells_in_dockers_keys(stocked: World) -> None:
    (told,) = json.loads(stocked.run("image", "inspect", "nginx:1.27").out)
    assert told["Id"] == WEB
    assert told["RepoTags"] == ["nginx:1.27", "r.lab:5000/team/web:2"]
    assert told["RepoDigests"] == [DIGEST.removeprefix("docker.io/library/")]
    assert (told["Os"], told["Architecture"], told["Variant"]) == ("linux", "arm", "v7")
    assert told["RootFS"] == {"Type": "layers", "Layers": [f"sha256:{'01' * 32}"]}
    assert told["Config"]["Cmd"] == ["nginx"]
    assert told["Config"]["Entrypoint"] is None
    assert told["Config"]["ExposedPorts"] == {"80/tcp": {}}
    assert told["Created"] == "2023-11-14T22:13:20Z"
    shown = stocked.run("image", "inspect", "-f", "{{.Author}} {{.Size}}", "nginx:1.27", WEB[:20])
    assert shown.out == "me 187000000\n" * 2


def test_inspect_finds_an_image_when_nothing_else_is_called_so(stocked: World) -> None:
    assert stocked.run("inspect", "-f", "{{.Id}}", "nginx:1.27").out == f"{WEB}\n"
    assert stocked.run("inspect", "--type", "image", "-f", "{{.Id}}", "site@shop").code == 0
    missing = stocked.run("inspect", "NOBODY")
    assert (missing.code, missing.out) == (1, "")
    assert "there is no container, network, volume or image `NOBODY`" in missing.err


def test_tag_adds_a_name_and_says_nothing(stocked: World) -> None:
    ran = stocked.run("tag", "nginx:1.27", "r.lab/copy")
    assert (ran.code, ran.out, ran.err) == (0, "", "")
    assert stocked.runtime.images.local["r.lab/copy:latest"] == WEB
    missing = stocked.run("tag", "nobody", "x")
    assert (missing.code, missing.err.splitlines()[0]) == (1, "the image nobody is not here")


def test_rmi_untags_then_deletes_and_goes_on_after_a_failure(stocked: World) -> None:
    images = stocked.runtime.images
    assert stocked.run("rmi", "r.lab:5000/team/web:2").out == "Untagged: r.lab:5000/team/web:2\n"
    ran = stocked.run("rmi", "nobody", "site@shop", OLD[7:19])
    assert ran.code == 1
    assert ran.err.splitlines()[0] == "the image nobody is not here"
    assert ran.out == f"Untagged: site@shop\nDeleted: {SITE}\nDeleted: {OLD}\n"
    images.used.add(WEB)
    refused = stocked.run("rmi", WEB[7:19])
    assert (refused.code, refused.out) == (1, "")
    forced = stocked.run("image", "rm", "-f", WEB[7:19], "nobody")
    assert forced.code == 0
    assert forced.out.splitlines() == [
        "Untagged: nginx:1.27",
        f"Untagged: nginx@sha256:{'cd' * 32}",
    ]


def test_prune_without_a_terminal_needs_force(stocked: World) -> None:
    refused = stocked.run("image", "prune")
    assert (refused.code, refused.out) == (1, "")
    assert refused.err.startswith(str(NobodyAsked()).splitlines()[0])
    assert OLD in stocked.runtime.images.facts
    done = stocked.run("image", "prune", "-f")
    assert done.out == f"Deleted Images:\ndeleted: {OLD}\n\nTotal reclaimed space: 5MB\n"
    assert stocked.run("image", "prune", "-f").out == "Total reclaimed space: 0B\n"


@pytest.mark.parametrize(
    ("words", "gone"),
    [
        (["-a"], [OLD, SITE, WEB]),
        (["-a", "--filter", "label=tier=web"], [WEB]),
        (["-a", "--filter", "label!=tier"], [OLD, SITE]),
        (["-a", "--filter", "until=2017-08-01"], [OLD]),
        (["--filter", "until=2017-01-01"], []),
    ],
    ids=str,
)
def test_prune_takes_what_fits(stocked: World, words: list[str], gone: list[str]) -> None:
    before = set(stocked.runtime.images.facts)
    assert stocked.run("image", "prune", "-f", *words).code == 0
    assert sorted(before - set(stocked.runtime.images.facts)) == sorted(gone)


@pytest.mark.parametrize(("answer", "left"), [("y", 2), ("n", 3), ("", 3)])
def test_prune_asks_on_a_terminal(
    stocked: World, monkeypatch: pytest.MonkeyPatch, answer: str, left: int
) -> None:
    monkeypatch.setattr("reconciler.cli.image_prune.is_terminal", lambda _stream: True)
    monkeypatch.setattr("sys.stdin.readline", lambda: f"{answer}\n", raising=False)
    ran = stocked.run("image", "prune")
    assert ran.code == 0
    assert ran.out.startswith(
        "WARNING! This will remove all dangling images.\nAre you sure you want to continue? [y/N] "
    )
    assert len(stocked.runtime.images.facts) == left


def test_verify_lists_damage_and_says_what_mends_it(stocked: World) -> None:
    whole = stocked.run("image", "verify")
    assert (whole.code, whole.out, whole.err) == (0, "", "")
    stocked.runtime.images.damage = [
        Damage(what="layer sha256:0101: usr/bin/env differs", images=(WEB,)),
        Damage(what="layer sha256:02: its files are gone", images=(OLD,)),
    ]
    found = stocked.run("image", "verify", "nginx:1.27")
    assert (found.code, found.out) == (1, "layer sha256:0101: usr/bin/env differs\n")
    assert found.err.splitlines()[-1] == "  trueup pull nginx:1.27"
    every = stocked.run("image", "verify", "-q")
    assert len(every.out.splitlines()) == 2
    assert f"  load {OLD[7:19]} again" in every.err
