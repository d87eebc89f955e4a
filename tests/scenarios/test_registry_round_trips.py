"""Images through a real registry: what docker, podman, skopeo and umoci push runs here, and what
trueup pushes runs there, under one digest."""

import subprocess
from pathlib import Path

import pytest

from tests.eventually import eventually
from tests.images import oci, recipes
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
