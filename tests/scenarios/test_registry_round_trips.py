"""Images through a real registry: what docker, podman, skopeo and umoci push runs here, and what
trueup pushes runs there, under one digest."""

import json
import subprocess
from pathlib import Path

import pytest

from tests.eventually import eventually
from tests.images import layers, oci, recipes
from tests.images.layers import file
from tests.images.registry import Registry
from tests.peers import Docker, Podman
from tests.scenarios.stage import Stage

pytestmark = [pytest.mark.root, pytest.mark.slow]

PLAIN = "--tls-verify=false"


def skopeo(*words: str | Path) -> str:
    done = subprocess.run(["skopeo", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def digest(reference: str) -> str:
    """As skopeo finds it in the registry."""
    form = "--format={{.Digest}}"
    return skopeo("inspect", PLAIN, form, f"docker://{reference}").strip()


# --- pushed by others -----------------------------------------------------------------------------


def by_engine(peer: Docker | Podman, base: str, name: str, folder: Path) -> str:
    """An image that the engine itself has made: a container's changes on top of another image."""
    (folder / "made-by").write_text(f"{name}\n")
    peer("pull", "--quiet", base)
    reference = f"{base.partition('/')[0]}/by-{name}:1"
    made = peer("create", base, "true").strip()
    peer("cp", folder / "made-by", f"{made}:/made-by")
    peer("commit", made, reference)
    peer("rm", made)
    peer("push", reference)
    return reference


def by_umoci(registry: Registry, base: str, folder: Path) -> str:
    layout, bundle = folder / "layout", folder / "bundle"
    skopeo("copy", "--quiet", "--src-tls-verify=false", f"docker://{base}", f"oci:{layout}:base")
    for words in (["unpack", "--image", f"{layout}:base"], ["repack", "--image", f"{layout}:new"]):
        subprocess.run(["umoci", *words, str(bundle)], check=True, capture_output=True)
        (bundle / "rootfs/made-by").write_text("umoci\n")
    reference = f"{registry.address}/by-umoci:1"
    target = f"docker://{reference}"
    skopeo("copy", "--quiet", "--dest-tls-verify=false", f"oci:{layout}:new", target)
    return reference


def runs_here(stage: Stage, reference: str, name: str) -> None:
    """From the registry into an empty store, and a container of it says who made the image."""
    stage.make(f"""
project: round
containers:
  job: {{image: "{reference}", command: [cat, /made-by]}}
""")
    eventually(lambda: stage.log("job") == f"{name}\n")
    assert stage.pending() == ""


def test_what_docker_pushes_runs_here(stage: Stage, docker: Docker, tmp_path: Path) -> None:
    runs_here(stage, by_engine(docker, stage.images.busybox, "docker", tmp_path), "docker")


def test_what_podman_pushes_runs_here(stage: Stage, podman: Podman, tmp_path: Path) -> None:
    runs_here(stage, by_engine(podman, stage.images.busybox, "podman", tmp_path), "podman")


def test_what_umoci_makes_and_skopeo_pushes_runs_here(
    stage: Stage, registry: Registry, tmp_path: Path
) -> None:
    runs_here(stage, by_umoci(registry, stage.images.busybox, tmp_path), "umoci")


@pytest.mark.parametrize("kind", ["oci", "v2s2"])
def test_what_skopeo_pushes_in_either_form_runs_here(stage: Stage, kind: str) -> None:
    (base,) = recipes.busybox().layers
    image = oci.Image(layers=[base, {"made-by": file("skopeo\n")}])
    runs_here(stage, stage.images.registry.publish(image, f"by-skopeo-{kind}", kind=kind), "skopeo")


# --- pushed by us ---------------------------------------------------------------------------------


@pytest.fixture
def pushed(stage: Stage) -> str:
    """An image that came from a registry, under another name there."""
    reference = f"{stage.images.registry.address}/pushed:1"
    stage.trueup("pull", stage.images.busybox)
    stage.trueup("tag", stage.images.busybox, reference)
    stage.trueup("push", reference)
    return reference


def test_an_image_is_pushed_under_the_digest_that_it_came_with(stage: Stage, pushed: str) -> None:
    assert digest(pushed) == digest(stage.images.busybox)
    shown = json.loads(skopeo("inspect", PLAIN, f"docker://{pushed}"))
    assert (
        shown["Layers"]
        == json.loads(skopeo("inspect", PLAIN, f"docker://{stage.images.busybox}"))["Layers"]
    )


def test_docker_runs_what_is_pushed(docker: Docker, pushed: str) -> None:
    docker("pull", "--quiet", pushed)
    assert docker("run", "--rm", "--network=none", pushed, "echo", "it runs") == "it runs\n"
    (known,) = json.loads(docker("image", "inspect", pushed))[0]["RepoDigests"]
    assert known.partition("@")[2] == digest(pushed)


def test_podman_runs_what_is_pushed(podman: Podman, pushed: str) -> None:
    podman("pull", "--quiet", pushed)
    limits = ["--ulimit=nofile=1024:1024", "--ulimit=nproc=10000:10000"]
    words = ["run", "--rm", "--network=none", *limits, pushed, "echo", "it runs"]
    assert podman(*words) == "it runs\n"
    assert podman("image", "inspect", "--format", "{{.Digest}}", pushed).strip() == digest(pushed)


def test_skopeo_and_umoci_take_what_is_pushed(pushed: str, tmp_path: Path) -> None:
    layout = tmp_path / "layout"
    skopeo("copy", "--quiet", "--src-tls-verify=false", f"docker://{pushed}", f"oci:{layout}:x")
    words = ["umoci", "raw", "unpack", "--image", f"{layout}:x", str(tmp_path / "root")]
    subprocess.run(words, check=True, capture_output=True)
    assert (tmp_path / "root/bin/busybox").stat().st_mode & 0o111


OWN = """
project: own
images:
  site:
    rootfs: rootfs.tar
    config: {cmd: [cat, /made-by], env: {PATH: /bin}, user: "33"}
    tags: ["$registry/own:1"]
    push: true
containers:
  job: {image: site}
"""


def test_an_image_of_ones_own_is_pushed_and_runs_with_docker_and_podman(
    stage: Stage, docker: Docker, podman: Podman
) -> None:
    """Its configuration and its layer are written by us."""
    (base,) = recipes.busybox().layers
    archive = layers.pack({**base, "made-by": file("trueup\n")})
    (stage.folder / "rootfs.tar").write_bytes(archive)
    registry = stage.images.registry.address
    stage.make(OWN.replace("$registry", registry))
    reference = f"{registry}/own:1"
    for peer in (docker, podman):
        peer("pull", "--quiet", reference)
        limits = ["--ulimit=nofile=1024:1024", "--ulimit=nproc=10000:10000"]
        assert peer("run", "--rm", "--network=none", *limits, reference) == "trueup\n"
    assert stage.pending() == ""
