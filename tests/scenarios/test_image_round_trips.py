"""Images in files, to docker and podman and back: every image keeps its id and its names, and in
the OCI form its manifest's digest."""

import json
import subprocess
import tarfile
from pathlib import Path

import pytest

from tests.conftest import Images, Trueup
from tests.peers import Docker, Podman

pytestmark = [pytest.mark.root, pytest.mark.slow]

FORMS = ("docker-archive", "oci-archive")


def ids(peer: Docker | Podman) -> dict[str, str]:
    """By reference, the images that it has."""
    shown = peer("images", "--no-trunc", "--format", "{{.Repository}}:{{.Tag}} {{.ID}}")
    pairs = (line.split() for line in shown.splitlines())
    return {name: id if id.startswith("sha256:") else f"sha256:{id}" for name, id in pairs}


def ours(trueup: Trueup) -> dict[str, str]:
    lines = trueup("images", "--no-trunc", "--format", "json").stdout.splitlines()
    rows = [json.loads(line) for line in lines]
    return {f"{row['Repository']}:{row['Tag']}": row["ID"] for row in rows}


def manifests(path: Path) -> list[str]:
    """Digests of the manifests that an OCI archive lists."""
    with tarfile.open(path) as archive:
        file = archive.extractfile("index.json")
        assert file
        return sorted({entry["digest"] for entry in json.load(file)["manifests"]})


@pytest.fixture
def two(trueup: Trueup, images: Images) -> dict[str, str]:
    """Two images and their ids; one has two names."""
    trueup("pull", images.busybox)
    trueup("pull", images.nginx)
    trueup("tag", images.busybox, "localhost/spare:2")
    return ours(trueup)


def save(trueup: Trueup, names: dict[str, str], form: str, path: Path) -> Path:
    trueup("save", "--format", form, "--output", path, *names)
    return path


def test_docker_and_back(
    trueup: Trueup, two: dict[str, str], docker: Docker, tmp_path: Path
) -> None:
    for form in FORMS:
        docker("load", "--input", save(trueup, two, form, tmp_path / "out.tar"))
        assert ids(docker) == two, form
        docker("save", "--output", tmp_path / "back.tar", *two)
        docker("rmi", *two)
        trueup("rmi", *two)
        trueup("load", "--input", tmp_path / "back.tar")
        assert ours(trueup) == two, form


def test_podman_and_back(
    trueup: Trueup, two: dict[str, str], podman: Podman, tmp_path: Path
) -> None:
    for form in FORMS:
        podman("load", "--input", save(trueup, two, form, tmp_path / "out.tar"))
        assert ids(podman) == two, form
        back = tmp_path / f"back.{form}"  # podman adds nothing to an archive that is there
        podman("save", "--multi-image-archive", "--output", back, *two)
        podman("rmi", "--all")
        trueup("rmi", *two)
        trueup("load", "--input", back)
        assert ours(trueup) == two, form


def test_podmans_oci_form_keeps_digests(
    trueup: Trueup, images: Images, podman: Podman, tmp_path: Path
) -> None:
    trueup("pull", images.nginx)
    id = ours(trueup)
    first = save(trueup, id, "oci-archive", tmp_path / "out.tar")
    podman("load", "--input", first)
    assert ids(podman) == id
    podman("save", "--format", "oci-archive", "--output", tmp_path / "back.tar", images.nginx)
    trueup("rmi", images.nginx)
    trueup("load", "--input", tmp_path / "back.tar")
    assert ours(trueup) == id
    second = save(trueup, id, "oci-archive", tmp_path / "again.tar")
    assert manifests(second) == manifests(tmp_path / "back.tar")


def tool(*words: str | Path) -> str:
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout


def test_skopeo_and_umoci_read_both_forms_by_name_and_digest(
    trueup: Trueup, images: Images, tmp_path: Path
) -> None:
    trueup("pull", images.nginx)
    inspect = ("skopeo", "inspect", "--format={{.Digest}} {{.Layers}}")
    there = tool(*inspect, "--tls-verify=false", f"docker://{images.nginx}")
    path = save(trueup, ours(trueup), "oci-archive", tmp_path / "oci.tar")
    assert tool(*inspect, f"oci-archive:{path}:{images.nginx}") == there
    layout, bundle = tmp_path / "layout", tmp_path / "bundle"
    layout.mkdir()
    tool("tar", "-xf", path, "-C", layout)
    assert tool("umoci", "ls", "--layout", layout) == f"{images.nginx}\n"

    tool("umoci", "unpack", "--image", f"{layout}:{images.nginx}", bundle)
    assert (bundle / "rootfs/usr/sbin/nginx").exists()

    path = save(trueup, ours(trueup), "docker-archive", tmp_path / "docker.tar")
    raw = json.loads(tool("skopeo", "inspect", "--raw", f"docker-archive:{path}:{images.nginx}"))
    assert [raw["config"]["digest"]] == [*ours(trueup).values()]
