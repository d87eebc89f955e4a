"""Whatever breaks beneath a running pair: `plan` names the cause, `apply` mends it, and who was
healthy does not notice."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from runtime.embedded.paths import Paths
from tests.eventually import eventually
from tests.scenarios.pair import PAIR, visit, write
from tests.scenarios.stage import Stage, kill, limit, limit_file

pytestmark = pytest.mark.root


@pytest.fixture
def pair(long_stage: Stage) -> Stage:
    """The pair, healthy: as the test before left it, or anew."""
    write(long_stage)
    if long_stage.pending():
        long_stage.down()
        long_stage.apply()
    visit(long_stage)
    return long_stage


def paths(pair: Stage) -> Paths:
    return Paths.below(pair.trueup.root)


def host(pair: Stage, *words: str) -> None:
    pair.host.run(*words)


def router(pair: Stage, *words: str) -> None:
    command = ["nsenter", f"--net={paths(pair).router}", *words]
    subprocess.run(command, check=True, capture_output=True)


def namespace(pair: Stage, name: str) -> Path:
    return paths(pair).namespace(str(pair.containers()[name]["id"]))


def unmount(place: Path) -> None:
    subprocess.run(["umount", "-l", str(place)], check=True)


def process(pair: Stage, *words: str) -> int:
    """The only process of the instance with these words in its command line."""
    found = pair.inventory().processes.items()
    (pid,) = [pid for (pid, _), line in found if all(word in line for word in words)]
    return pid


def kill_monitor(pair: Stage, name: str) -> None:
    kill(process(pair, "conmon", str(pair.containers()[name]["id"])))


def kill_with_monitor(pair: Stage, name: str) -> None:
    pid = pair.pid(name)
    kill_monitor(pair, name)
    kill(pid)


def destroy_router(pair: Stage) -> None:
    """Nothing holds it any more, so the kernel takes it and every link in it away."""
    kill(process(pair, "aardvark-dns"))
    unmount(paths(pair).router)


def delete_link(pair: Stage, name: str) -> None:
    command = ["nsenter", f"--net={namespace(pair, name)}", "ip", "link", "delete", "eth0"]
    subprocess.run(command, check=True)


def set_memory(pair: Stage, name: str, bytes_: int) -> None:
    file = limit_file(pair.pid(name), "memory.limit_in_bytes", "memory.max")
    file.write_text(str(bytes_))


# What breaks, what `plan` says of it, and whose process is another one when it is mended.
Fault = tuple[Callable[[Stage], object], str, set[str]]
FAULTS: dict[str, Fault] = {
    "a process is killed": (
        lambda pair: kill(pair.pid("app")),
        "it ended with exit code 137",
        {"app"},
    ),
    "a bundle is removed": (
        lambda pair: shutil.rmtree(pair.bundle("app"), ignore_errors=True),
        "the bundle of app is gone",
        {"app"},
    ),
    "kept files are removed": (
        lambda pair: shutil.rmtree(pair.kept("web")),
        "the files of web are gone",
        {"web"},
    ),
    "a link is deleted": (
        lambda pair: delete_link(pair, "web"),
        "container web, in place  the veth eth0 is gone",
        set(),
    ),
    "a network namespace loses its name": (
        lambda pair: unmount(namespace(pair, "app")),
        "container app, in place  its network namespace is gone",
        set(),
    ),
    "the service map is flushed": (
        lambda pair: router(pair, "nft", "flush", "map", "inet", "trueup", "services"),
        "the service map does not lead app to",
        set(),
    ),
    "the router's rules are flushed": (
        lambda pair: router(pair, "nft", "flush", "ruleset"),
        "router table trueup is missing",
        set(),
    ),
    "the host's table is deleted": (
        lambda pair: host(pair, "nft", "delete", "table", "inet", paths(pair).table),
        "host table trueup-",
        set(),
    ),
    "all rules of the host are flushed": (
        lambda pair: host(pair, "nft", "flush", "ruleset"),
        "host table trueup-",
        set(),
    ),
    "the DNS server is killed": (
        lambda pair: kill(process(pair, "aardvark-dns")),
        "the DNS server is not running",
        set(),
    ),
    "the holder of ports is killed": (
        lambda pair: kill(json.loads(paths(pair).holder.read_text())["pid"]),
        "port 8080/tcp on 0.0.0.0 is not reserved",
        set(),
    ),
    "the uplink is deleted": (
        lambda pair: host(pair, "ip", "link", "delete", paths(pair).uplink),
        "between host and router is gone",
        set(),
    ),
    "the router namespace loses its name": (
        lambda pair: unmount(paths(pair).router),
        "the router namespace is gone",
        set(),
    ),
    "the router namespace is gone for good": (
        destroy_router,
        "the router namespace is gone",
        set(),
    ),
    "a process is killed together with its monitor": (
        lambda pair: kill_with_monitor(pair, "app"),
        "it is gone, exit code unknown",
        {"app"},
    ),
    "a monitor is killed": (
        lambda pair: kill_monitor(pair, "app"),
        "the monitor (conmon) of app is gone",
        {"app"},
    ),
    "a limit is changed by hand": (
        lambda pair: set_memory(pair, "app", 96 << 20),
        "memory is 96M, set by hand",
        set(),
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_it_is_told_and_mended(pair: Stage, fault: str) -> None:
    damage, cause, replaced = FAULTS[fault]
    before = pair.pids()
    damage(pair)
    assert cause in pair.pending()
    pair.apply()
    assert pair.pending() == ""
    visit(pair)
    after = pair.pids()
    assert {name for name in before if before[name] != after[name]} == replaced


def test_the_limit_is_in_force_again(pair: Stage) -> None:
    set_memory(pair, "app", 96 << 20)
    pair.apply()
    assert limit(pair.pid("app"), "memory.limit_in_bytes", "memory.max") == str(64 << 20)


def test_a_policy_brings_a_killed_process_back_without_us(pair: Stage) -> None:
    before = pair.pid("web")
    kill(before)
    eventually(lambda: pair.pids().get("web", before) != before)
    visit(pair)
    assert pair.pending() == ""


def test_nginx_reaches_its_app_after_the_app_alone_was_replaced(pair: Stage) -> None:
    before = pair.pids()
    pair.edit("mem_limit: 64m", "mem_limit: 64m\n    environment: {NEW: yes}")
    pair.apply()
    after = pair.pids()
    assert after["web"] == before["web"]
    assert after["app"] != before["app"]
    number = visit(pair)
    assert visit(pair) == number + 1
    assert PAIR not in pair.spec.read_text()
