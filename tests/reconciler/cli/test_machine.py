"""The commands on the real engine: what a person types, and what the machine then does."""

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Images, Trueup
from tests.eventually import eventually

pytestmark = pytest.mark.root

# A shell that ends at once when it is asked to; busybox httpd as pid 1 would not.
SERVER = """\
project: shop
containers:
  web:
    image: {image}
    command: [sh, -c, "trap 'exit 0' TERM; echo up; echo bad >&2; httpd -f -p 80 -h /www & wait"]
    ports: ["18080:80"]
    restart: always
"""


@pytest.fixture
def spec(tmp_path: Path, images: Images) -> Path:
    file = tmp_path / "trueup.yaml"
    file.write_text(SERVER.format(image=images.busybox))
    return file


def change(spec: Path, old: str, new: str) -> None:
    text = spec.read_text()
    assert old in text
    spec.write_text(text.replace(old, new))


def answers(trueup: Trueup, port: int) -> bool:
    url = f"http://127.0.0.1:{port}/"
    done = trueup.host.run("busybox", "wget", "-qO-", url, check=False)
    return done.returncode == 0


def state(trueup: Trueup, spec: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(trueup("status", spec, "--format", "json").stdout)
    return found


def pid(trueup: Trueup, spec: Path) -> int:
    (container,) = state(trueup, spec)["containers"]
    return int(container["pid"])


def test_from_a_spec_to_an_answer_and_back_to_nothing(trueup: Trueup, spec: Path) -> None:
    assert trueup("plan", spec, code=2).stdout.endswith(" 0 to remove\n")
    trueup("apply", spec)
    eventually(lambda: answers(trueup, 18080))
    time.sleep(2)  # the links' IPv6 addresses have settled
    before = trueup.inventory()
    assert trueup("apply", spec).stdout == "nothing to change\n"
    assert trueup("plan", spec).stdout == "nothing to change\n"
    assert trueup.inventory() == before
    assert state(trueup, spec)["in_sync"] is True
    trueup("down", spec)
    assert trueup.inventory().leftovers() == ""


def test_ps_and_images_show_what_is_here(trueup: Trueup, spec: Path, images: Images) -> None:
    trueup("apply", spec)
    head, row = trueup("ps").stdout.splitlines()
    assert " ".join(head.split()) == ("CONTAINER ID IMAGE COMMAND CREATED STATUS PORTS NAMES")
    assert images.busybox in row
    assert "0.0.0.0:18080->80/tcp" in row
    assert row.endswith("shop/web")
    assert re.search(r"Up (Less than a second|\d+ seconds?)", row)
    repository, _, tag = images.busybox.rpartition(":")
    shown = trueup("images", "--format", "{{.Repository}} {{.Tag}}").stdout
    assert f"{repository} {tag}" in shown.splitlines()


def test_logs_keep_the_streams_apart_and_follow_to_the_end(trueup: Trueup, spec: Path) -> None:
    change(spec, "restart: always", 'restart: "no"')
    trueup("apply", spec)
    eventually(lambda: trueup("logs", "web").stdout == "up\n")
    assert trueup("logs", "web").stderr == "bad\n"
    stamped = trueup("logs", "-t", "--tail", "1", "shop/web")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]{18}Z bad\n", stamped.stderr)
    following = trueup.start("logs", "-f", "web")
    time.sleep(0.5)
    assert following.poll() is None
    os.kill(pid(trueup, spec), signal.SIGKILL)
    assert following.wait(10) == 0
    assert "Exited (137)" in trueup("ps", "-a").stdout


def test_a_change_in_place_keeps_the_process(trueup: Trueup, spec: Path) -> None:
    trueup("apply", spec)
    before = pid(trueup, spec)
    change(spec, "18080:80", "18081:80")
    change(spec, "restart: always", "restart: unless-stopped\n    mem_limit: 64m")
    plan = trueup("plan", spec, code=2).stdout
    assert "ports 18080:80 → 18081:80" in plan
    assert "memory unlimited → 64M" in plan
    trueup("apply", spec)
    assert pid(trueup, spec) == before
    assert answers(trueup, 18081)
    assert not answers(trueup, 18080)


def test_a_container_that_fails_is_told_with_its_last_words(trueup: Trueup, spec: Path) -> None:
    trueup("apply", spec)
    change(spec, "echo up;", "echo no config; exit 3;")
    change(spec, "restart: always", 'restart: "no"')
    failed = trueup("apply", spec, code=1)
    assert "ended with exit code 3" in failed.stderr
    assert "    | no config\n" in failed.stderr
    assert answers(trueup, 18080), "the old one goes on"
    assert state(trueup, spec)["in_sync"] is False


def test_a_program_that_is_not_in_the_image_is_told(trueup: Trueup, spec: Path) -> None:
    change(spec, "[sh,", "[nosuch,")
    failed = trueup("apply", spec, code=1)
    assert "nosuch" in failed.stderr
    assert "correct `command` or `entrypoint`" in failed.stderr


@pytest.fixture
def watch(trueup: Trueup, spec: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """`watch` on the spec, with the first pass done."""
    process = trueup.start("watch", spec)
    try:
        eventually(lambda: answers(trueup, 18080), 20)
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
        process.wait(20)


def test_watch_follows_the_spec_heals_and_leaves_containers_at_its_end(
    trueup: Trueup, spec: Path, watch: "subprocess.Popen[bytes]"
) -> None:
    before = pid(trueup, spec)
    time.sleep(1.5)  # the folder is being watched
    change(spec, "18080:80", "18082:80")
    eventually(lambda: answers(trueup, 18082))
    assert pid(trueup, spec) == before
    os.kill(before, signal.SIGKILL)
    eventually(lambda: answers(trueup, 18082))
    assert pid(trueup, spec) != before
    spec.write_text("containers: [")
    time.sleep(1.5)
    assert watch.poll() is None
    watch.terminate()
    assert watch.wait(20) == 0
    assert answers(trueup, 18082)


def test_apply_works_beside_watch(
    trueup: Trueup, spec: Path, watch: "subprocess.Popen[bytes]"
) -> None:
    assert trueup("apply", spec).stdout == "nothing to change\n"
    change(spec, "18080:80", "18083:80")
    trueup("apply", spec)
    assert answers(trueup, 18083)
    assert watch.poll() is None


def test_many_containers_start_at_a_time(trueup: Trueup, images: Images, tmp_path: Path) -> None:
    spec = tmp_path / "trueup.yaml"
    one = "{{image: {image}, command: [httpd, -f, -p, '80', -h, /www], ports: ['{port}:80'],"
    one += " stop_signal: SIGKILL}}"
    lines = [f"  w{n}: {one.format(image=images.busybox, port=18100 + n)}" for n in range(20)]
    spec.write_text("\n".join(["project: many", "containers:", *lines, ""]))
    trueup("apply", spec, timeout=60)
    assert len(trueup("ps", "-q").stdout.split()) == 20
    assert all(answers(trueup, 18100 + n) for n in range(20))
    trueup("down", spec, timeout=60)
