"""Images that a spec declares, with a real registry: tags kept here and there, a lock file, tags
that move, and newer ones.
"""

import json
import subprocess
import urllib.request
from pathlib import Path

import pytest

from tests.eventually import eventually
from tests.images import layers, oci, recipes
from tests.images.layers import file
from tests.images.registry import Registry
from tests.scenarios.scene import ending
from tests.scenarios.stage import Stage, within

pytestmark = pytest.mark.root

INDEX = "application/vnd.oci.image.index.v1+json"


def publish(registry: Registry, name: str, version: str, *tags: str) -> str:
    """busybox with that word in /version, under these tags of the repository; its digest."""
    base = recipes.busybox()
    image = oci.Image(layers=[*base.layers, {"version": file(version)}], config=base.config)
    for tag in tags:
        registry.publish(image, name, tag)
    return registry.digest(name, tags[0])


def remove(registry: Registry, name: str, tag: str) -> None:
    """Take the image out of the registry, by its digest as the API wants it."""
    url = f"http://{registry.address}/v2/{name}/manifests/{registry.digest(name, tag)}"
    with urllib.request.urlopen(urllib.request.Request(url, method="DELETE"), timeout=5):
        pass


def publish_index(registry: Registry, name: str, tag: str) -> str:
    """An index of the image that the tag has, for this machine, and of one for another machine
    that nobody needs; it takes the tag over. Its digest."""
    url = f"http://{registry.address}/v2/{name}/manifests/{tag}"
    with urllib.request.urlopen(
        urllib.request.Request(url, headers={"Accept": oci.MANIFEST}), timeout=5
    ) as answer:
        size = len(answer.read())
    entry = {"mediaType": oci.MANIFEST, "size": size, "digest": registry.digest(name, tag)}
    machines = (oci.architecture(), "mips64le")
    index = {
        "schemaVersion": 2,
        "mediaType": INDEX,
        "manifests": [
            {**entry, "platform": {"os": "linux", "architecture": each}} for each in machines
        ],
    }
    request = urllib.request.Request(
        url, data=json.dumps(index).encode(), method="PUT", headers={"Content-Type": INDEX}
    )
    with urllib.request.urlopen(request, timeout=5) as answer:
        return str(answer.headers["Docker-Content-Digest"])


def write_tar(path: Path, text: str) -> None:
    """A file system with one file."""
    path.write_bytes(layers.pack({"text": file(text)}))


def version(stage: Stage, name: str = "web") -> str:
    """What a container has in /version."""
    return within(stage.pid(name), "cat", "/version")


def image_news(stage: Stage, *options: str) -> list[str]:
    """What status says of what registries have now."""
    shown = stage.trueup("status", stage.spec, "--format", "json", *options).stdout
    return [text for each in json.loads(shown)["objects"] for text in each["news"]]


WEB = """\
project: declared
containers:
  web: {image: %s, command: [sleep, "1000"], stop_signal: SIGKILL%s}
"""


# --- tags and push --------------------------------------------------------------------------------


def test_tags_are_pushed_until_the_registry_has_them(stage: Stage, registry: Registry) -> None:
    there = f"{registry.address}/declared/site"
    write_tar(stage.folder / "site.tar", "one")
    stage.write(f"""
project: tagged
images:
  site: {{rootfs: site.tar, tags: ["{there}:1", "{there}:latest", site], push: false}}
""")
    stage.apply()
    assert stage.pending() == ""
    with pytest.raises(OSError, match="404"):
        registry.digest("declared/site", "1")

    stage.edit("push: false", "push: true")
    stage.edit(", site]", "]")
    assert f"is pushed as {there}:1" in stage.pending()
    stage.apply()
    first = registry.digest("declared/site", "1")
    assert registry.digest("declared/site", "latest") == first
    assert stage.pending() == ""

    remove(registry, "declared/site", "1")
    assert f"is pushed as {there}:1" in stage.pending()
    stage.apply()
    assert registry.digest("declared/site", "1") == first
    assert stage.pending() == ""

    write_tar(stage.folder / "site.tar", "two")
    assert "site.tar changed" in stage.pending()
    stage.apply()
    assert registry.digest("declared/site", "1") != first
    assert stage.pending() == ""
    copied = subprocess.run(
        ["skopeo", "inspect", "--tls-verify=false", f"docker://{there}:latest"],
        capture_output=True, text=True,
    )  # fmt: skip
    assert json.loads(copied.stdout)["Digest"] == registry.digest("declared/site", "1")
    stage.down()
    assert registry.digest("declared/site", "1")


def test_a_tag_of_an_image_that_runs_and_a_registry_that_is_not_there(
    stage: Stage, registry: Registry
) -> None:
    publish(registry, "declared/app", "one", "1")
    images = f"""images:
  app: {{from: "{registry.address}/declared/app:1", tags: ["127.0.0.1:1/mine:1"], push: true}}
"""
    stage.write(WEB % ("app", "") + images)
    done = stage.apply(code=1)
    assert "push image" in done.stdout + done.stderr
    assert "127.0.0.1:1" in done.stderr
    assert version(stage) == "one"
    assert "is pushed as 127.0.0.1:1/mine:1" in stage.pending()
    pid = stage.pid("web")
    stage.edit("push: true", "push: false")
    assert stage.apply().stdout == "nothing to change\n"
    assert stage.pid("web") == pid


# --- policies -------------------------------------------------------------------------------------

POLICIES = {
    # policy: what runs after the tag has moved and somebody said apply
    "missing": "one",
    "newer": "two",
    "always": "two",
    "never": "one",
}


@pytest.mark.parametrize("policy", POLICIES)
def test_a_pull_policy_decides_who_hears_of_a_tag_that_moved(
    policy: str, stage: Stage, registry: Registry
) -> None:
    name = f"declared/policy-{policy}"
    reference = f"{registry.address}/{name}:1"
    publish(registry, name, "one", "1")
    stage.write(WEB % ("app", "") + f'images: {{app: {{from: "{reference}", pull: {policy}}}}}\n')
    if policy == "never":
        assert "`pull: never` forbids a pull" in stage.apply(code=1).stderr
        stage.trueup("pull", reference)
    stage.apply()
    publish(registry, name, "two", "1")
    stage.apply()
    assert version(stage) == POLICIES[policy]
    assert stage.pending() == ""


def test_a_tag_that_is_gone_is_told_of_and_for_always_fails(
    stage: Stage, registry: Registry
) -> None:
    publish(registry, "declared/lost", "one", "1")
    reference = f"{registry.address}/declared/lost:1"
    stage.make(WEB % (reference, ", pull_policy: always"))
    pid = stage.pid("web")
    remove(registry, "declared/lost", "1")
    note = (
        f"note: registry {registry.address}, asked for {reference}:"
        f" {reference} does not exist in its registry\n"
    )
    assert note in stage.pending()
    done = stage.apply(code=1)
    assert note in done.stdout
    assert f"{reference} does not exist in its registry" in done.stderr
    stage.edit("always", "newer")
    assert stage.apply().stdout == f"  {note}\nnothing to change\n"
    assert stage.pid("web") == pid


# --- the lock file --------------------------------------------------------------------------------


def test_what_is_locked_is_what_runs_until_it_is_locked_anew(
    stage: Stage, registry: Registry
) -> None:
    name = "declared/locked"
    publish(registry, name, "one", "1")
    stage.write(WEB % (f"{registry.address}/{name}:1", ", pull_policy: always"))
    stage.trueup("lock", stage.spec)
    two = publish(registry, name, "two", "1")
    stage.apply("--frozen")
    assert version(stage) == "one"
    assert stage.pending() == ""
    pid = stage.pid("web")

    stage.trueup("lock", stage.spec, "--update")
    assert two in (stage.folder / "trueup.lock").read_text()
    assert f"locked:1@{two[:19]} (" in stage.pending()
    stage.apply("--frozen")
    assert (version(stage), stage.pending()) == ("two", "")
    assert stage.pid("web") != pid


def test_what_was_pulled_before_is_not_what_is_locked(stage: Stage, registry: Registry) -> None:
    """Somebody has the tag here already, as something else than the lock file says."""
    publish(registry, "declared/before", "one", "1")
    reference = f"{registry.address}/declared/before:1"
    stage.write(WEB % (reference, ""))
    stage.trueup("lock", stage.spec)
    publish(registry, "declared/before", "two", "1")
    stage.trueup("pull", reference)
    stage.apply()
    assert (version(stage), stage.pending()) == ("one", "")


def test_a_lock_file_is_of_no_concern_to_other_projects(stage: Stage, registry: Registry) -> None:
    """Nor does what they pull, or somebody by hand, touch what is locked."""
    first = publish(registry, "declared/shared", "one", "1")
    reference = f"{registry.address}/declared/shared:1"
    stage.write(WEB % (reference, ""))
    stage.trueup("lock", stage.spec)
    second = publish(registry, "declared/shared", "two", "1")
    assert first != second
    other = stage.folder / "other/trueup.yaml"
    other.parent.mkdir()
    other.write_text(WEB.replace("declared", "other") % (reference, ", pull_policy: newer"))
    for _ in range(2):
        stage.trueup("apply", other)
        stage.apply("--frozen")
    assert stage.pending() == ""
    stage.trueup("plan", other)
    stage.trueup("pull", reference)
    assert (version(stage), stage.pending()) == ("one", "")
    shown = stage.trueup("ps", "--format", "{{.Project}} {{.Image}}").stdout
    assert set(shown.splitlines()) == {f"declared {reference}", f"other {reference}"}


def test_what_is_locked_may_come_from_an_archive(stage: Stage, registry: Registry) -> None:
    """Of an index, too, which an archive does not hold; the registry need not be there."""
    publish(registry, "declared/carried", "one", "1")
    publish_index(registry, "declared/carried", "1")
    reference = f"{registry.address}/declared/carried:1"
    stage.write(WEB % (reference, ", pull_policy: never"))
    stage.trueup("lock", stage.spec)
    stage.trueup("pull", reference)
    archive = stage.folder / "carried.tar"
    stage.trueup("save", "--oci", "-o", archive, reference)
    stage.trueup("rmi", reference)
    assert "`pull: never` forbids a pull" in stage.apply(code=1).stderr
    stage.trueup("load", "-i", archive)
    stage.apply("--frozen")
    assert (version(stage), stage.pending()) == ("one", "")


def test_of_several_platforms_all_are_locked_together(stage: Stage, registry: Registry) -> None:
    publish(registry, "declared/several", "one", "1")
    index = publish_index(registry, "declared/several", "1")
    stage.write(WEB % (f"{registry.address}/declared/several:1", ""))
    stage.trueup("lock", stage.spec)
    text = (stage.folder / "trueup.lock").read_text()
    assert f"    digest: {index}\n" in text
    assert "      linux/mips64le: sha256:" in text
    stage.apply("--frozen")
    assert (version(stage), stage.pending(), image_news(stage)) == ("one", "", [])


def test_frozen_refuses_and_a_stale_lock_file_warns(stage: Stage, registry: Registry) -> None:
    publish(registry, "declared/frozen", "one", "1", "2")
    reference = f"{registry.address}/declared/frozen"
    stage.write(WEB % (f"{reference}:1", ""))
    assert "run `trueup lock`" in stage.apply("--frozen", code=64).stderr
    stage.trueup("lock", stage.spec)
    stage.trueup("lock", stage.spec, "--check")
    stage.edit(":1,", ":2,")
    assert "is not up to date" in stage.trueup("lock", stage.spec, "--check", code=1).stderr
    assert f"has no entry for {reference}:2" in stage.apply("--frozen", code=64).stderr
    done = stage.apply()
    assert f"lacks {reference}:2 and still has {reference}:1" in done.stderr
    assert version(stage) == "one"


def test_watch_makes_true_what_somebody_locked(stage: Stage, registry: Registry) -> None:
    publish(registry, "declared/watched", "one", "1")
    stage.write(WEB % (f"{registry.address}/declared/watched:1", ""))
    stage.trueup("lock", stage.spec)
    with ending(stage.trueup.start("watch", stage.spec, "--frozen", "--interval", "600")):
        eventually(lambda: "web" in stage.pids() and version(stage) == "one")
        publish(registry, "declared/watched", "two", "1")
        stage.trueup("lock", stage.spec, "--update")
        eventually(lambda: len(stage.state()["containers"]) == 1 and version(stage) == "two")


# --- tags that move -------------------------------------------------------------------------------


def test_status_tells_of_a_tag_that_moved_under_a_container(
    stage: Stage, registry: Registry
) -> None:
    one = publish(registry, "declared/moved", "one", "1")
    reference = f"{registry.address}/declared/moved:1"
    stage.make(WEB % (reference, ""))
    assert image_news(stage) == []
    two = publish(registry, "declared/moved", "two", "1")
    [news] = image_news(stage)
    assert news == (f"its tag moved: the registry has {two[:19]}… (here {one[:19]}…)")
    assert image_news(stage, "--offline") == []
    assert stage.state()["in_sync"] is True

    stage.trueup("pull", reference)
    assert image_news(stage) == []
    assert stage.state()["in_sync"] is False
    assert f"container web  image {reference}: is now " in stage.pending()


def test_a_registry_that_is_gone_is_told_of_and_soon(stage: Stage, registry: Registry) -> None:
    publish(registry, "declared/gone", "one", "1")
    reference = f"{registry.address}/declared/gone:1"
    stage.make(WEB % (reference, ""))
    with stage.host.inside():
        subprocess.run(["nft", "-f", "-"], input=_closed(registry.port), text=True, check=True)
    try:
        shown = stage.trueup("status", stage.spec, timeout=20).stdout
    finally:
        with stage.host.inside():
            subprocess.run(["nft", "delete", "table", "inet", "declared"], check=True)
    assert f"{registry.address} was not asked for its tags: " in shown
    assert f"image {reference}" in shown


def _closed(port: int) -> str:
    """Nobody answers at the port, and nobody says so."""
    return f"""
table inet declared {{
  chain output {{
    type filter hook output priority 0;
    tcp dport {port} drop
  }}
}}
"""


def test_newer_tags_are_told_and_taken_only_when_locked(stage: Stage, registry: Registry) -> None:
    for number in ("1.26.0", "1.27.0", "1.27.9", "1.27.10", "1.28.0-rc.1", "2.0.0"):
        publish(registry, "declared/tracked", number, number)
    publish(registry, "declared/tracked", "1.27.0", "1.27")
    stage.write(
        WEB % ("app", "")
        + f'images: {{app: {{from: "{registry.address}/declared/tracked:1.27", '
        + "track: {semver: '>=1.26 <2', min_age: 1d}}}\n"
    )
    stage.apply()
    assert version(stage) == "1.27.0"
    stage.trueup("lock", stage.spec)
    assert image_news(stage) == ["newer tag 1.27.10 may be taken (`trueup lock --update app`)"]
    pid = stage.pid("web")
    assert "~ container web, in place  image" in stage.pending()
    stage.apply()
    assert (stage.pending(), stage.pid("web")) == ("", pid)

    stage.trueup("lock", stage.spec, "--update", "app")
    assert 'tag: "1.27.10"' in (stage.folder / "trueup.lock").read_text()
    stage.apply("--frozen")
    assert (version(stage), stage.pending(), image_news(stage)) == ("1.27.10", "", [])
