"""What containers keep and where their files come from: volumes, folders, image files."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.eventually import eventually
from tests.images import layers, recipes
from tests.images.layers import directory, file
from tests.scenarios.stage import Stage, within

pytestmark = pytest.mark.root


def said(stage: Stage, name: str) -> str:
    """What a job has written once it is over."""
    eventually(lambda: name not in stage.pids())
    return stage.log(name)


# --- folders of the host --------------------------------------------------------------------------


def test_folders_and_files_of_the_host(stage: Stage) -> None:
    (stage.folder / "shared").mkdir()
    (stage.folder / "shared" / "text").write_text("hello\n")
    (stage.folder / "one.conf").write_text("setting\n")
    stage.make("""
project: binds
containers:
  job:
    image: $busybox
    volumes: ["./shared:/rw", "./shared:/ro:ro", "./one.conf:/etc/one.conf:ro"]
    command:
      - sh
      - -c
      - >-
        cat /rw/text /etc/one.conf; echo new > /rw/new;
        echo no > /ro/no; echo no > /etc/one.conf; true
""")
    assert said(stage, "job") == "hello\nsetting\n"
    assert sorted(os.listdir(stage.folder / "shared")) == ["new", "text"]
    assert (stage.folder / "one.conf").read_text() == "setting\n"


def test_a_folder_that_is_missing_is_told_by_name(stage: Stage) -> None:
    stage.write("""
project: binds
containers:
  job: {image: $busybox, volumes: ["./nowhere:/rw:ro"], command: ["true"]}
""")
    told = stage.apply(code=1).stderr
    assert f"{stage.folder}/nowhere" in told


# --- named volumes --------------------------------------------------------------------------------


def test_a_volume_has_the_owner_and_mode_that_it_was_given(stage: Stage) -> None:
    stage.make("""
project: kept
volumes:
  data: {owner: "1000:33", mode: "0750"}
containers:
  job:
    image: $busybox
    volumes: ["data:/data"]
    user: user
    command: [sh, -c, "stat -c '%u:%g %a' /data; echo mine > /data/file; cat /data/file"]
""")
    assert said(stage, "job") == "1000:33 750\nmine\n"
    stage.down("--volumes", "data")


SEEDED = """
project: kept
volumes: {data: {}}
containers:
  one:
    image: $seeded
    volumes: ["data:/data"]
    command: [sh, -c, "stat -c '%u %a' /data /data/text; cat /data/text; echo changed > /data/text"]
"""


def test_a_new_volume_begins_with_what_the_image_has_there(stage: Stage) -> None:
    content = {"data": directory(uid=33, mode=0o751), "data/text": file("of the image\n", uid=1000)}
    stage.make(SEEDED.replace("$seeded", stage.images.publish("seeded", content, {})))
    assert said(stage, "one") == "33 751\n1000 644\nof the image\n"
    stage.down()
    stage.apply()
    assert said(stage, "one").endswith("changed\n"), "it is not filled a second time"
    stage.down("--volumes", "all")


def test_containers_that_share_a_new_volume_all_see_one_folder(stage: Stage) -> None:
    """They are made at the same time, and the image has much to copy there."""
    content = {"data": directory(), **{f"data/{n}": file(f"{n}\n") for n in range(200)}}
    image = stage.images.publish("much", content, {})
    one = f"""
    image: {image}
    volumes: ["data:/data"]
    command: [sleep, "1000"]
    stop_signal: SIGKILL"""
    names = [f"box{number}" for number in range(6)]
    stage.make(
        "project: many\nvolumes: {data: {}}\ncontainers:"
        + "".join(f"\n  {name}:{one}" for name in names)
    )
    pids = stage.pids()
    assert sorted(pids) == names
    within(pids["box0"], "touch", "/data/new")
    for name in names:
        assert within(pids[name], "cat", "/data/7", "/data/new") == "7\n", name
    stage.down("--volumes", "all")


def test_two_containers_share_a_volume_one_may_only_read(stage: Stage) -> None:
    stage.make("""
project: shared
volumes: {data: {}}
containers:
  writer:
    image: $busybox
    volumes: ["data:/data"]
    command: [sh, -c, "echo hello > /data/text; sleep 1000"]
    stop_signal: SIGKILL
  reader:
    image: $busybox
    volumes: ["data:/data:ro"]
    command: [sleep, "1000"]
    stop_signal: SIGKILL
""")
    pid = stage.pid("reader")
    eventually(lambda: within(pid, "cat", "/data/text") == "hello\n")
    assert "Read-only file system" in within(pid, "touch", "/data/more")
    stage.down("--volumes", "all")


def test_a_removed_volume_is_the_one_that_was_named(stage: Stage) -> None:
    stage.make("""
project: kept
volumes: {one: {}, two: {}}
containers:
  job: {image: $busybox, volumes: ["one:/one", "two:/two"], command: [touch, /one/x, /two/x]}
""")
    said(stage, "job")
    stage.down("--volumes", "one")
    volumes = stage.trueup.root / "lib" / "volumes" / "kept"
    assert [path.name for path in volumes.iterdir() if path.is_dir()] == ["two"]
    assert len(list(volumes.rglob("x"))) == 1


# --- volumes that an image asks for ---------------------------------------------------------------


def test_an_images_volume_goes_with_the_container_from_one_process_to_the_next(
    stage: Stage,
) -> None:
    content = {"kept": directory(uid=1000), "kept/text": file("of the image\n")}
    image = stage.images.publish("keeper", content, {"Volumes": {"/kept": {}}})
    stage.make(f"""
project: keeper
containers:
  web:
    image: {image}
    command: [sh, -c, "cat /kept/text; echo changed > /kept/text; sleep 1000"]
    environment: {{RUN: first}}
    stop_signal: SIGKILL
""")
    eventually(lambda: stage.log("web") == "of the image\n")
    eventually(lambda: within(stage.pid("web"), "cat", "/kept/text") == "changed\n")
    before = stage.pid("web")
    stage.edit("RUN: first", "RUN: second")
    assert "the old one stops first" in stage.pending()
    stage.apply()
    assert stage.pid("web") != before
    eventually(lambda: stage.log("web") == "changed\n")


# --- images that are files ------------------------------------------------------------------------


def test_an_archive_is_an_image(stage: Stage) -> None:
    archive = stage.folder / "site.tar"
    source = f"oci:{recipes.layouts()['busybox']}:latest"
    subprocess.run(
        ["skopeo", "copy", "--quiet", source, f"docker-archive:{archive}:site:1"], check=True
    )
    stage.make("""
project: files
images:
  site: {archive: site.tar}
containers:
  web: {image: site, ports: ["8080:80"], stop_signal: SIGKILL}
""")
    eventually(lambda: stage.answer(8080) == recipes.PAGE)
    assert stage.pending() == ""


ROOTFS = """
project: files
images:
  base:
    rootfs: rootfs.tar
    config:
      entrypoint: [sh, -c]
      cmd: ["id -u; pwd; echo $$COLOUR; cat /text"]
      env: {PATH: /bin, COLOUR: blue}
      user: "33"
      working_dir: /www
containers:
  job: {image: base}
"""


def test_a_bare_file_system_is_an_image_and_a_new_one_replaces_it(stage: Stage) -> None:
    bare(stage.folder / "rootfs.tar", "first\n")
    stage.make(ROOTFS)
    assert said(stage, "job") == "33\n/www\nblue\nfirst\n"
    bare(stage.folder / "rootfs.tar", "second one\n")
    assert "rootfs.tar" in stage.pending()
    stage.apply()
    assert said(stage, "job").endswith("\nsecond one\n")
    assert stage.pending() == ""


def bare(path: Path, text: str) -> None:
    """A tar of busybox with a file /text."""
    (base,) = recipes.busybox().layers
    path.write_bytes(layers.pack({**base, "text": file(text)}))
