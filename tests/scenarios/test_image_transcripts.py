"""The commands on images, the same words to docker and to trueup: same ends, same lines where a
script reads them, same images afterwards."""

import json
import os
import subprocess
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import pytest

from tests.conftest import Images, Trueup, fresh_instance
from tests.hosts import Host
from tests.images import oci
from tests.images.layers import file
from tests.images.registry import Registry
from tests.peers import Docker, removing_cgroups, restoring_network

pytestmark = [pytest.mark.root, pytest.mark.slow]

SPEC = """\
project: {project}
containers:
  web: {{image: "{image}", command: [sleep, "100"]}}
"""
NONE: Mapping[str, str] = MappingProxyType({})
TAGS = "{{.Repository}}:{{.Tag}}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What a command said, and how it ended."""

    code: int
    out: str
    err: str

    @property
    def said(self) -> str:
        return self.out + self.err

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Docker and trueup on one host, side by side."""

    docker: Docker
    trueup: Trueup
    folder: Path

    def __call__(self, *words: str | Path, code: int = 0) -> tuple[Done, Done]:
        """The same words to both, which end alike: (trueup's, docker's)."""
        ours, theirs = self.ours(*words), self.theirs(*words)
        assert (ours.code, theirs.code) == (code, code), f"{words}\n{ours}\n{theirs}"
        return ours, theirs

    def alike(self, *words: str | Path) -> list[str]:
        """The same words to both, the same lines from both."""
        ours, theirs = self(*words)
        assert ours.out == theirs.out, words
        return ours.lines

    def ours(
        self,
        *words: str | Path,
        stdin: bytes = b"",
        settings: Mapping[str, str] = MappingProxyType({}),
    ) -> Done:
        command = ["trueup", "--root", self.trueup.root, *words]
        program = Path(os.environ.get("VIRTUAL_ENV", Path(__file__).parents[2] / ".venv"))
        command[0] = program / "bin" / "trueup"
        return self._run(command, stdin, settings)

    def theirs(
        self,
        *words: str | Path,
        stdin: bytes = b"",
        settings: Mapping[str, str] = MappingProxyType({}),
    ) -> Done:
        known = {**self.docker.environment, **settings}
        return self._run(["docker", *words], stdin, known)

    def _run(
        self, words: Sequence[str | Path], stdin: bytes, environment: Mapping[str, str]
    ) -> Done:
        done = subprocess.run(
            [*self.trueup.host.within, *map(str, words)],
            input=stdin,
            capture_output=True,
            cwd=self.folder,
            env={**os.environ, **environment},
            timeout=120,
            check=False,
        )
        return Done(code=done.returncode, out=done.stdout.decode(), err=done.stderr.decode())


@pytest.fixture(scope="module")
def both(host: Host, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    folder = tmp_path_factory.mktemp("both")
    with removing_cgroups(), restoring_network(host), fresh_instance(host) as root:
        docker = Docker(host, tmp_path_factory.mktemp("d"))
        try:
            yield Pair(docker=docker, trueup=Trueup(root=root, host=host), folder=folder)
        finally:
            docker.close()


@pytest.fixture
def box(both: Pair, images: Images) -> Iterator[str]:
    """An image that both have, and no other."""
    both("pull", "-q", images.busybox)
    yield images.busybox
    for command in (both.ours, both.theirs):
        if ids := sorted(set(command("images", "-a", "-q", "--no-trunc").lines)):
            assert command("rmi", "-f", *ids).code == 0


def tags(done: Done) -> list[str]:
    return sorted(done.lines)


def test_pull(both: Pair, images: Images, registry: Registry, box: str) -> None:
    """Row `pull`: the tag that was not written, digest, status, full name; twice; by digest."""
    both("rmi", box)
    short = box.removesuffix(":latest")
    for status in ("Downloaded newer image", "Image is up to date"):
        ours, theirs = both("pull", short)
        assert ours.lines[-3:] == theirs.lines[-3:]
        assert status in ours.lines[-2]
        assert "Using default tag: latest" in ours.lines
        assert "Using default tag: latest" in theirs.lines
    digest = registry.digest("busybox")
    assert both.alike("pull", "-q", f"{short}@{digest}")[-1] == f"{short}@{digest}"
    both("pull", f"{registry.address}/no/such:thing", code=1)
    registry.publish(oci.Image(layers=[{"v": file("1")}]), "many", "1")
    registry.publish(oci.Image(layers=[{"v": file("2")}]), "many", "2")
    both("pull", "-a", f"{registry.address}/many")
    listed = both("images", "--format", TAGS, f"{registry.address}/many")
    assert tags(listed[0]) == tags(listed[1]) == [f"{registry.address}/many:{n}" for n in (1, 2)]


def test_images(both: Pair, registry: Registry, box: str) -> None:
    """Row `images`: columns, ids, digests and filters."""
    both("tag", box, "app/web:1")
    both("tag", box, "app/web:2")
    ours, theirs = both("images")
    assert ours.lines[0].split() == theirs.lines[0].split()
    ours, theirs = both("images", "--digests")
    assert ours.lines[0].split() == theirs.lines[0].split()
    for words in (
        ["-q", "--no-trunc"],
        ["-a", "-q"],
        ["--format", f"{TAGS} {{{{.ID}}}}"],
        ["--format", TAGS, "--filter", "reference=app/*"],
        ["--format", TAGS, "--filter", "dangling=true"],
        ["--format", TAGS, "--filter", "label=no"],
        ["--format", TAGS, "app/web"],
        ["--format", TAGS, "app/web:2"],
    ):
        ours, theirs = both("images", *words)
        assert tags(ours) == tags(theirs), words
    second = registry.publish(oci.Image(layers=[{"v": file("2")}]), "second")
    both("pull", "-q", second)
    for key in ("before", "since"):
        ours, theirs = both("images", "--format", TAGS, "--filter", f"{key}={second}")
        assert tags(ours) == tags(theirs), key


def test_tag_and_rmi(both: Pair, box: str) -> None:
    """Rows `tag` and `rmi`: names come and go, the image with the last; in use it stays."""
    both("tag", box, "app:1")
    both("tag", "app:1", "app:2")
    both("tag", "nobody", "app:3", code=1)
    assert both.alike("rmi", "app:2") == ["Untagged: app:2"]
    both("rmi", "app:2", code=1)
    id = both.ours("images", "-q", "--no-trunc", "app:1").out.strip()
    both("rmi", id, code=1)  # it has names in two repositories
    ours, theirs = both("rmi", "-f", id)
    untagged = [
        sorted(line for line in each.lines if "Untagged" in line) for each in (ours, theirs)
    ]
    assert untagged[0] == untagged[1]
    assert f"Deleted: {id}" in ours.lines
    assert f"Deleted: {id}" in theirs.lines
    assert both("images", "-q")[0].out == ""
    both("pull", "-q", box)
    both("rmi", "nobody", box, code=1)  # goes on after the first
    assert both("images", "-q")[0].out == ""


def test_rmi_of_an_image_in_use(both: Pair, box: str) -> None:
    """Row `rmi`: refused while a container, running or not, was made from it, by name."""
    spec = both.folder / "trueup.yaml"
    spec.write_text(
        f"project: used\ncontainers:\n  web: {{image: '{box}', command: [sleep, 100]}}\n"
    )
    both.trueup("apply", spec)
    both.docker("create", "--name", "web", box, "sleep", "100")
    ours, _ = both("rmi", box, code=1)
    assert "used/web" in ours.err
    both.trueup("down", spec)
    both.docker("rm", "web")
    both("rmi", box)


def test_prune(both: Pair, registry: Registry, box: str) -> None:
    """`image prune`: those without a name, with -a all that nobody uses; filters; what went."""
    reference = registry.publish(oci.Image(layers=[{"v": file("1")}]), "prune")
    both("pull", "-q", reference)
    registry.publish(oci.Image(layers=[{"v": file("2")}]), "prune")
    both("pull", "-q", reference)
    ours, theirs = both("image", "prune", "-f")
    assert ours.lines[0] == theirs.lines[0] == "Deleted Images:"
    assert "Total reclaimed space" in ours.lines[-1]
    both("image", "prune", "-a", "-f", "--filter", "label=nobody")
    assert len(both("images", "-q")[0].lines) == 2
    both("image", "prune", "-a", "-f")
    assert [done.out for done in both("images", "-q")] == ["", ""]


def test_history_and_inspect(both: Pair, box: str) -> None:
    """Row `history`, and `image inspect`: what is told of the same image."""
    for form in ("{{.ID}} {{.CreatedBy}} {{.Comment}} {{.Size}}", "{{.CreatedAt}}"):
        both.alike("history", "--no-trunc", "--format", form, box)
    both.alike("history", "-q", box)
    ours, theirs = both("history", box)
    assert ours.lines[0].split() == theirs.lines[0].split()
    mine, other = (json.loads(done.out)[0] for done in both("image", "inspect", box))
    for key in ("Id", "RepoTags", "RepoDigests", "Created", "Architecture", "Os", "RootFS"):
        assert mine[key] == other[key], key
    for key in ("Cmd", "Entrypoint", "WorkingDir", "User", "Env"):
        assert (mine["Config"].get(key) or None) == (other["Config"].get(key) or None), key
    both.alike("image", "inspect", "--format", "{{.Id}} {{.Os}}", box)
    both("image", "inspect", "nobody", code=1)
    both("history", "nobody", code=1)


def test_save_and_load(both: Pair, box: str) -> None:
    """Rows `save` and `load`: two images with their tags go and come back; each loads the
    other's; to a terminal nothing is written; a pipe and gzip will do."""
    both("tag", box, "app/web:1")
    id = both.ours("images", "-q", "--no-trunc", box).lines[0]
    ours, theirs = both.folder / "ours.tar", both.folder / "theirs.tar"
    assert both.ours("save", "-o", ours, box, "app/web:1").code == 0
    assert both.theirs("save", "-o", theirs, box, "app/web:1").code == 0
    both("rmi", "-f", id)
    for command, archive in ((both.ours, theirs), (both.theirs, ours)):
        done = command("load", "-i", archive)
        assert done.code == 0, done.said
        assert sorted(done.lines)[-2:] == ["Loaded image: " + n for n in sorted((box, "app/web:1"))]
        assert set(command("images", "-q", "--no-trunc").lines) == {id}
    packed = subprocess.run(["gzip", "-c", ours], capture_output=True, check=True).stdout
    both("rmi", "-f", id)
    for command in (both.ours, both.theirs):
        done = command("load", stdin=packed)
        assert done.code == 0, done.said
    assert tags(both.ours("images", "--format", TAGS)) == tags(
        both.theirs("images", "--format", TAGS)
    )
    both("save", "nobody", code=1)
    both("load", "-i", both.folder / "absent.tar", code=1)
    broken = both.folder / "broken.tar"
    broken.write_bytes(ours.read_bytes()[:100_000])
    both("load", "-i", broken, code=1)


def test_import_and_export(both: Pair, box: str) -> None:
    """Rows `import` and `export`: a tar becomes an image with its words, and a container's file
    system a tar."""
    tree = both.folder / "tree.tar"
    with tarfile.open(tree, "w") as tar:
        for name in ("bin", "bin/run"):
            member = tarfile.TarInfo(name)
            member.type, member.mode = (
                (tarfile.DIRTYPE if name == "bin" else tarfile.REGTYPE),
                0o755,
            )
            tar.addfile(member)
    changes = ["-c", 'CMD ["run", "it"]', "-c", "ENV A=b", "-c", "LABEL x=y", "-c", "WORKDIR /bin"]
    ours, _ = both("import", "-m", "out of a tar", *changes, tree, "imported:1")
    assert ours.lines[-1].startswith("sha256:")
    for form in (
        "{{json .Config.Cmd}} {{json .Config.Env}} {{json .Config.Labels}} {{.Config.WorkingDir}}",
        "{{.Comment}} {{json .RepoTags}} {{json .RootFS.Layers}}",
    ):
        both.alike("image", "inspect", "--format", form, "imported:1")
    both.alike("history", "--format", "{{.Size}} {{.Comment}}", "imported:1")
    assert both.ours("import", "-", "piped:1", stdin=tree.read_bytes()).code == 0
    refused = both.ours("import", "http://127.0.0.1:1/tree.tar", "url:1")
    assert refused.code in (1, 64)
    assert "URL" in refused.err

    spec = both.folder / "trueup.yaml"
    spec.write_text(
        f"project: out\ncontainers:\n  web: {{image: '{box}', command: [sleep, 100]}}\n"
    )
    both.trueup("apply", spec)
    both.docker("create", "--name", "web", box, "sleep", "100")
    names: list[set[str]] = []
    for command, place in ((both.ours, "ours"), (both.theirs, "theirs")):
        archive = both.folder / f"{place}-export.tar"
        assert command("export", "-o", archive, "web").code == 0
        with tarfile.open(archive) as tar:
            names.append({member.name.removeprefix("./") for member in tar})
    made = {".dockerenv", "etc/hosts", "etc/hostname", "etc/resolv.conf", "etc/mtab"}
    system = {
        name for each in names for name in each if name.split("/")[0] in ("dev", "proc", "sys")
    }
    assert names[0] - made - system - {"etc"} == names[1] - made - system - {"etc"}
    both.trueup("down", spec)
    both.docker("rm", "web")


def test_push(both: Pair, registry: Registry, box: str) -> None:
    """Row `push`: the last line has the digest, which is the registry's; what is there already is
    not sent again; a tag that nobody has; all tags."""
    name = f"{registry.address}/sent/app"
    for tag in ("1", "2"):
        both("tag", box, f"{name}:{tag}")
    ours = both.ours("push", f"{name}:1")
    assert ours.code == 0, ours.said
    assert ours.lines[-1] == f"1: digest: {registry.digest('sent/app', '1')}"
    theirs = both.theirs("push", f"{name}:1")
    assert "Layer already exists" in theirs.out
    assert theirs.code == 0
    assert both.ours("push", f"{name}:1").code == 0
    both("push", f"{name}:none", code=1)
    both("push", "-a", name)
    assert registry.digest("sent/app", "2")
    both("rmi", "-f", f"{name}:1")
    both("pull", "-q", f"{name}:2")


def test_search_of_a_private_registry(both: Pair, registry: Registry) -> None:
    """Row `search`: docker asks its Hub only; a registry is asked for its catalogue and tags."""
    registry.publish(oci.Image(layers=[{"v": file("1")}]), "team/needle", "1")
    registry.publish(oci.Image(layers=[{"v": file("1")}]), "team/needle", "2")
    done = both.ours("search", f"{registry.address}/needle")
    assert done.code == 0, done.said
    assert done.lines[0].split()[:4] == ["NAME", "DESCRIPTION", "STARS", "OFFICIAL"]
    assert [line.split()[0] for line in done.lines[1:]] == [f"{registry.address}/team/needle"]
    listed = both.ours("search", "--list-tags", f"{registry.address}/team/needle")
    assert listed.code == 0, listed.said
    assert sorted(line.split()[-1] for line in listed.lines[1:]) == ["1", "2"]


def test_login_and_logout(both: Pair, locked_registry: Registry) -> None:
    """Row `login`: the password from stdin, kept as docker keeps it and used by both; a wrong one
    is told at once and not kept."""
    address, name = locked_registry.address, f"{locked_registry.address}/busybox:latest"
    files = [both.folder / "ours-login", both.folder / "theirs-login"]
    words = ["login", address, "-u", "ci", "--password-stdin"]
    kept: list[object] = []
    for command, folder in zip((both.ours, both.theirs), files, strict=True):
        settings = {"DOCKER_CONFIG": str(folder)}
        assert command("pull", name, settings=settings).code == 1
        wrong = command(*words, stdin=b"wrong", settings=settings)
        assert wrong.code == 1, wrong.said
        assert (
            not (folder / "config.json").exists()
            or address not in (folder / "config.json").read_text()
        )
        right = command(*words, stdin=b"secret\n", settings=settings)
        assert right.code == 0, right.said
        assert "Login Succeeded" in right.said
        kept.append(json.loads((folder / "config.json").read_text())["auths"])
        assert (folder / "config.json").stat().st_mode & 0o777 == 0o600
        done = command("pull", "-q", name, settings=settings)
        assert done.code == 0, done.said
    assert kept[0] == kept[1]
    swapped = both.ours("pull", "-q", name, settings={"DOCKER_CONFIG": str(files[1])})
    assert swapped.code == 0, swapped.said
    for command, folder in zip((both.ours, both.theirs), files, strict=True):
        out = command("logout", address, settings={"DOCKER_CONFIG": str(folder)})
        assert (out.code, out.lines[0]) == (0, f"Removing login credentials for {address}")
        assert (
            command(
                "pull", f"{address}/busybox:other", settings={"DOCKER_CONFIG": str(folder)}
            ).code
            == 1
        )
