"""File systems that leave containers and become images, beside what docker makes of the same."""

import io
import os
import shlex
import signal
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import COMMAND
from tests.eventually import eventually
from tests.images import recipes
from tests.peers import Docker, Podman
from tests.runtime.embedded.layers import tars
from tests.runtime.embedded.layers.unpacking import tree as unpacked
from tests.scenarios.stage import Stage

pytestmark = [pytest.mark.root, pytest.mark.slow]

JOB = """
project: trip
containers:
  web:
    image: $busybox
    command: [sh, -c, "mkdir /made; echo mine > /made/file; ln /made/file /made/again;
      chown 5:6 /made/file; rm /bin/vi; echo kept > /data/in-volume; mkfifo /made/pipe;
      echo seen > /tmp/seen; echo ready; sleep 1000"]
    volumes: ["data:/data", {type: tmpfs, target: /tmp}]
    restart: "no"
    stop_grace_period: 0s
volumes: {data: {}}
"""


def entries(archive: bytes) -> dict[str, tuple[Any, ...]]:
    """What a tar has, entry by entry, but for the time."""
    found = {}
    with tarfile.open(fileobj=io.BytesIO(archive)) as opened:
        for each in opened:
            file = opened.extractfile(each) if each.isreg() else None
            attributes = {k: v for k, v in each.pax_headers.items() if k.startswith("SCHILY.")}
            found[each.name.removeprefix("./")] = (
                each.type,
                oct(each.mode & 0o7777),
                (each.uid, each.gid),
                each.linkname,
                (each.devmajor, each.devminor) if each.isdev() else None,
                file.read() if file else b"",
                attributes,
            )
    return found


def exported(stage: Stage, name: str = "web") -> bytes:
    path = stage.folder / "exported.tar"
    stage.trueup("export", "-o", path, name)
    return path.read_bytes()


def test_the_file_system_of_a_container_running_stopped_and_after_a_reboot(stage: Stage) -> None:
    stage.make(JOB)
    eventually(lambda: "ready" in stage.log("web"))
    running = entries(exported(stage))
    assert running["made/again"] == (b"0", "0o644", (5, 6), "", None, b"mine\n", {})
    assert running["made/file"] == (b"1", "0o644", (5, 6), "made/again", None, b"", {})
    assert running["made/pipe"][0] == tarfile.FIFOTYPE
    assert "bin/vi" not in running
    assert "bin/busybox" in running
    # What is mounted is not in it, but for the places.
    assert {running[place][0] for place in ("data", "tmp", "proc", "sys", "dev")} == {b"5"}
    assert not [name for name in running if name.startswith(("data/", "tmp/", "proc/", "sys/"))]
    assert running["etc/hosts"][5] == b""

    os.kill(stage.pid("web"), signal.SIGKILL)
    eventually(lambda: "web" not in stage.pids())
    assert entries(exported(stage)) == running
    rootfs = stage.bundle("web") / "rootfs"
    subprocess.run([*stage.host.within, "umount", rootfs], check=True)
    before = stage.inventory()
    assert entries(exported(stage)) == running
    assert stage.inventory() == before


def a_tree() -> bytes:
    """All that a tar of a file system may have, and a program to look at it with."""
    (busybox,) = (e for name, e in recipes.busybox().layers[0].items() if name == "bin/busybox")
    capability = bytes.fromhex("0100000200200000000000000000000000000000")
    return tars.archive(
        tars.directory(b"bin"),
        tars.member(b"bin/busybox", body=busybox.content, mode=0o755),
        tars.directory(b"a", mode=0o1777, uid=1, gid=2),
        tars.member(b"a/null", kind=b"3", mode=0o666, device=(1, 3)),
        tars.member(b"a/disk", kind=b"4", mode=0o660, gid=6, device=(8, 1)),
        tars.pax({b"SCHILY.xattr.security.capability": capability}),
        tars.member(b"a/tool", body=b"#!/bin/busybox sh\n", mode=0o755),
        tars.pax({b"SCHILY.xattr.user.note": b"1"}),
        tars.member(b"a/noted"),
        tars.member(b"a/set", body=b"x", mode=0o6755, uid=2_000_000, gid=7),
        tars.member(b"a/noted2", kind=b"1", link=b"a/noted"),
        tars.symlink(b"a/link", b"/nowhere"),
        tars.member(b"a/pipe", kind=b"6", mode=0o620),
        tars.long_name(b"n" * 150),
        tars.member(b"cut", body=b"long"),
    )


NODES = """
project: nodes
containers:
  web:
    image: localhost/tree:1
    command: [/bin/busybox, sh, -c, "busybox stat -c %t:%T /a/null /a/disk; echo ready; sleep 1000"]
    cap_add: [MKNOD, SYS_ADMIN]
    stop_grace_period: 0s
"""


def test_an_imported_tree_is_what_docker_makes_of_it(stage: Stage, docker: Docker) -> None:
    """Owners, modes, attributes, hard links and device nodes, entry by entry; what a node opens
    is for the container's cgroup to say."""
    source, tree = stage.folder / "tree.tar", a_tree()
    source.write_bytes(tree)
    docker("import", source, "tree:1")
    form = "{{.GraphDriver.Data.UpperDir}}"
    theirs = unpacked(Path(docker("image", "inspect", "-f", form, "tree:1").strip()))
    assert {path[1:] for path in theirs} == entries(tree).keys()

    stage.trueup("import", source, "localhost/tree:1")
    stage.make(NODES)
    eventually(lambda: "ready" in stage.log("web"))
    assert stage.log("web") == "1:3\n8:1\nready\n"
    tried = stage.trueup("exec", "web", "/bin/busybox", "head", "-c1", "/a/disk", code=1)
    assert "Operation not permitted" in tried.stderr
    ours = unpacked(stage.bundle("web") / "rootfs")
    assert {path: ours[path] for path in theirs} == theirs
    again, before = entries(exported(stage)), entries(tree)
    assert {name: again[name] for name in before} == before


def test_what_trueup_exports_docker_and_podman_import_and_run(
    stage: Stage, docker: Docker, podman: Podman
) -> None:
    stage.make(JOB)
    eventually(lambda: "ready" in stage.log("web"))
    exported(stage)
    for peer in (docker, podman):
        peer("import", stage.folder / "exported.tar", "trip:1")
        run = ("run", "--rm", "--network=none", "trip:1", "stat", "-c", "%u:%g %h", "/made/again")
        assert peer(*run) == "5:6 2\n"


def test_what_docker_and_podman_export_runs_here(
    stage: Stage, docker: Docker, podman: Podman
) -> None:
    """By a pipe, from one command to the other."""
    for name, peer in (("docker", docker), ("podman", podman)):
        peer("pull", "--quiet", stage.images.busybox)
        peer("run", "--name=made", "--network=none", stage.images.busybox, "touch", f"/by-{name}")
        words = [COMMAND, "--root", stage.trueup.root, "import", "-c", 'CMD ["ls", "/"]']
        take = shlex.join([*map(str, words), "-", f"localhost/{name}:1"])
        settings = [f"{key}={value}" for key, value in peer.environment.items()]
        stage.host.run("env", *settings, "sh", "-c", f"{name} export made | {take}")
    stage.make("""
project: round
containers:
  docker: {image: "localhost/docker:1"}
  podman: {image: "localhost/podman:1"}
""")
    eventually(lambda: "by-docker\n" in stage.log("docker"))
    eventually(lambda: "by-podman\n" in stage.log("podman"))


def test_a_container_that_goes_while_it_is_exported_is_no_short_archive(stage: Stage) -> None:
    """The pipe is full, so the command waits with most of the files still to come."""
    stage.make(JOB)
    eventually(lambda: "ready" in stage.log("web"))
    stage.trueup("exec", "web", "dd", "if=/dev/zero", "of=/bin/aaa", "bs=1M", "count=8")
    words: list[str | Path] = [COMMAND, "--root", stage.trueup.root, "export", "web"]
    command = [*stage.host.within, *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as export:
        assert export.stdout
        export.stdout.read(1)
        stage.down()
        _, said = export.communicate(timeout=60)
    assert export.returncode == 1
    assert b"there is no container" in said
