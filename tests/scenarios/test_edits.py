"""An edit of a running project changes what was edited and nothing else.

What the kernel and the network can change under a running process is changed in place: the
process is the same before and after. All else replaces that one container.
"""

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.eventually import eventually
from tests.scenarios.load import Load
from tests.scenarios.stage import Stage, kill, limit, status, within

pytestmark = pytest.mark.root

# Each says on port 80 who it is.
SPEC = """
project: shop
containers:
  web:
    image: $busybox
    command: [sh, -c, "echo web > /tmp/index.html; httpd -p 80 -h /tmp; exec sleep 1000"]
    ports: ["8080:80"]
    stop_signal: SIGKILL
    depends_on: [app]
  app:
    image: $busybox
    command: [sh, -c, "echo app > /tmp/index.html; httpd -p 80 -h /tmp; exec sleep 1000"]
    stop_signal: SIGKILL
"""
APP = '    image: $busybox\n    command: [sh, -c, "echo app'
WEB = '    image: $busybox\n    command: [sh, -c, "echo web'


@pytest.fixture
def shop(long_stage: Stage) -> Stage:
    """Two containers, as `SPEC` has them."""
    long_stage.make(SPEC)
    eventually(lambda: long_stage.answer(8080) == "web\n")
    return long_stage


def add(shop: Stage, field: str, *, to: str = APP) -> None:
    """Give a container one more field."""
    shop.edit(to, f"    {field}\n{to}")


# --- in place -----------------------------------------------------------------------------------


def memory(shop: Stage) -> str:
    return limit(shop.pid("app"), "memory.limit_in_bytes", "memory.max")


def processors(shop: Stage) -> float:
    pid = shop.pid("app")
    quota = limit(pid, "cpu.cfs_quota_us", "cpu.max").split()
    period = quota[1] if len(quota) > 1 else limit(pid, "cpu.cfs_period_us", "cpu.max")
    return (-1 if quota[0] == "max" else int(quota[0])) / int(period)


def processes(shop: Stage) -> str:
    return limit(shop.pid("app"), "pids.max", "pids.max")


LIMITS: dict[str, tuple[str, Callable[[Stage], object], object]] = {
    "mem_limit": ("mem_limit: 48m", memory, str(48 << 20)),
    "cpus": ("cpus: 0.5", processors, 0.5),
    "pids_limit": ("pids_limit: 77", processes, "77"),
    "no pids_limit": ("pids_limit: -1", processes, "max"),
}


@pytest.mark.parametrize("case", LIMITS)
def test_a_limit_changes_under_the_process_and_back(shop: Stage, case: str) -> None:
    field, look, wanted = LIMITS[case]
    pids, former = shop.pids(), look(shop)
    assert former != wanted
    add(shop, field)
    shop.apply()
    assert look(shop) == wanted
    shop.make(SPEC)
    assert look(shop) == former
    assert shop.pids() == pids


def test_ports_are_added_changed_removed(shop: Stage) -> None:
    pids = shop.pids()
    shop.edit('["8080:80"]', '["8080:80", "8081:80"]')
    shop.apply()
    assert [shop.answer(8080), shop.answer(8081)] == ["web\n", "web\n"]
    shop.edit('["8080:80", "8081:80"]', '["8082:80"]')
    shop.apply()
    assert [shop.answer(port) for port in (8080, 8081, 8082)] == ["refused", "refused", "web\n"]
    shop.edit('    ports: ["8082:80"]\n', "")
    shop.apply()
    assert shop.answer(8082) == "refused"
    assert shop.pids() == pids


def test_a_port_moves_to_another_container(shop: Stage) -> None:
    pids = shop.pids()
    shop.edit('    ports: ["8080:80"]\n', "")
    add(shop, 'ports: ["8080:80"]')
    shop.apply()
    assert shop.answer(8080) == "app\n"
    assert shop.pids() == pids


def test_two_containers_swap_their_ports(shop: Stage) -> None:
    add(shop, 'ports: ["8081:80"]')
    shop.apply()
    pids = shop.pids()
    shop.edit("8081:80", "8089:80")
    shop.edit("8080:80", "8081:80")
    shop.edit("8089:80", "8080:80")
    shop.apply()
    assert [shop.answer(8080), shop.answer(8081)] == ["app\n", "web\n"]
    assert shop.pids() == pids


def test_labels_change(shop: Stage) -> None:
    pids = shop.pids()
    add(shop, 'labels: {team: "blue"}')
    assert "label team unset → blue" in shop.pending()
    shop.apply()
    assert shop.trueup("ps", "-q", "--filter", "label=team=blue").stdout.count("\n") == 1
    assert shop.pids() == pids


def test_a_new_restart_policy_holds_without_a_restart(shop: Stage) -> None:
    pids = shop.pids()
    add(shop, "restart: always")
    shop.apply()
    assert shop.pids() == pids
    kill(pids["app"])
    eventually(lambda: shop.pids().get("app", pids["app"]) != pids["app"])
    shop.make(SPEC)
    back = shop.pids()
    kill(back["app"])
    assert "it ended with exit code 137" in shop.pending()
    shop.apply()
    assert shop.pids()["web"] == back["web"] == pids["web"]


def test_a_new_stop_signal_and_grace_period_hold_without_a_restart(shop: Stage) -> None:
    """The next stop sends the new signal and waits no longer than the new time."""
    command = "trap 'echo hangup; exit' HUP; trap '' TERM; while :; do sleep 0.1; done"
    spec = f"""
project: shop
containers:
  app:
    image: $busybox
    command: [sh, -c, "{command}"]
    volumes: ["said:/said"]
    stop_grace_period: 1m
volumes: {{said: {{}}}}
""".replace("echo hangup", "echo hangup > /said/it")
    shop.make(spec)
    pid = shop.pid("app")
    shop.edit("stop_grace_period: 1m", "stop_grace_period: 20s\n    stop_signal: SIGHUP")
    shop.apply()
    assert shop.pid("app") == pid
    shop.down()
    said = shop.trueup.root / "lib" / "volumes" / "shop" / "said"
    assert [file.read_text() for file in said.rglob("it")] == ["hangup\n"]
    shop.make(spec)
    shop.edit("stop_grace_period: 1m", "stop_grace_period: 100ms")
    shop.apply()
    shop.trueup("down", shop.spec, "--volumes", "all", timeout=20)


def test_depends_on_changes(shop: Stage) -> None:
    pids = shop.pids()
    shop.edit("    depends_on: [app]\n", "")
    assert "depends_on app → unset" in shop.pending()
    shop.apply()
    assert shop.pids() == pids
    assert shop.pending() == ""


# --- replaced -----------------------------------------------------------------------------------


def said(pid: int, *command: str) -> str:
    return within(pid, *command).strip()


def environ(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/environ").read_text().split("\0")


REPLACING: dict[str, tuple[str, Callable[[int], bool]]] = {
    "environment": ("environment: {COLOUR: blue}", lambda pid: "COLOUR=blue" in environ(pid)),
    "entrypoint": (
        "entrypoint: [env, COLOUR=red]",
        lambda pid: "COLOUR=red" in environ(pid),
    ),
    "user": ('user: "1000"', lambda pid: status(pid)["Uid"].split() == ["1000"] * 4),
    "working_dir": (
        "working_dir: /www",
        lambda pid: os.readlink(f"/proc/{pid}/cwd") == "/www",
    ),
    "hostname": ("hostname: till", lambda pid: said(pid, "hostname") == "till"),
    "read_only": (
        "read_only: true\n    tmpfs: [/tmp]",
        lambda pid: " / ro," in Path(f"/proc/{pid}/mountinfo").read_text(),
    ),
    "cap_add": (
        "cap_add: [SYS_TIME]",
        lambda pid: bool(int(status(pid)["CapBnd"], 16) >> 25 & 1),
    ),
    "volumes": (
        'volumes: ["./page:/page:ro"]',
        lambda pid: said(pid, "cat", "/page/text") == "mounted",
    ),
}


@pytest.mark.parametrize("field", REPLACING)
def test_a_field_of_the_process_replaces_that_container_alone(shop: Stage, field: str) -> None:
    text, holds = REPLACING[field]
    (shop.folder / "page").mkdir(exist_ok=True)
    (shop.folder / "page" / "text").write_text("mounted\n")
    before = shop.pids()
    add(shop, text)
    shop.apply()
    after = shop.pids()
    assert holds(after["app"])
    eventually(lambda: said(after["web"], "wget", "-qO-", "http://app/") == "app")
    assert after["app"] != before["app"]
    assert after["web"] == before["web"]
    assert shop.pending() == ""


def test_a_new_command_answers_at_the_old_name(shop: Stage) -> None:
    before = shop.pids()
    shop.edit("echo app", "echo other")
    shop.apply()
    after = shop.pids()
    assert after["web"] == before["web"]
    eventually(lambda: said(after["web"], "wget", "-qO-", "http://app/") == "other")


def test_a_new_image_replaces_its_container(shop: Stage) -> None:
    other = shop.images.with_config("variant", Labels={"variant": "yes"})
    before = shop.pids()
    shop.edit(APP, APP.replace("$busybox", other))
    shop.apply()
    after = shop.pids()
    assert after["app"] != before["app"]
    assert after["web"] == before["web"]
    assert other in shop.trueup("ps").stdout


# --- coming and going -----------------------------------------------------------------------------


def looked_up(shop: Stage, name: str) -> str:
    """What a client in `web` is told of a name."""
    return within(shop.pid("web"), "nslookup", name)


def test_who_is_gone_from_the_spec_goes_and_who_is_new_comes(shop: Stage) -> None:
    pids = shop.pids()
    assert re.search(r"Address:.* 10\.", looked_up(shop, "app").partition("app")[2])
    shop.edit(shop.spec.read_text()[shop.spec.read_text().index("  app:") :], NEW)
    shop.edit("    depends_on: [app]\n", "")
    shop.apply()
    assert set(shop.pids()) == {"web", "new"}
    assert shop.pid("web") == pids["web"]
    assert not Path(f"/proc/{pids['app']}").exists()
    assert "NXDOMAIN" in looked_up(shop, "app") or "can't find" in looked_up(shop, "app")
    assert "new" in within(shop.pid("web"), "wget", "-qO-", "http://new/")
    assert shop.pending() == ""


NEW = """  new:
    image: $busybox
    command: [sh, -c, "echo new > /tmp/index.html; httpd -p 80 -h /tmp; exec sleep 1000"]
    stop_signal: SIGKILL
"""


# --- under load -----------------------------------------------------------------------------------

LOADED = """
project: shop
containers:
  web:
    image: $nginx
    environment: {VERSION: "1"}
    ports: ["8080:80"]
"""


@pytest.mark.slow
def test_no_request_fails_while_a_container_is_updated(shop: Stage) -> None:
    shop.make(LOADED)
    eventually(lambda: "nginx" in shop.answer(8080))
    before = shop.pid("web")
    with Load(shop, 8080, threads=8, pause=0) as load:
        for version in "23":
            shop.edit(f'VERSION: "{int(version) - 1}"', f'VERSION: "{version}"')
            assert "stops first" not in shop.pending()
            shop.apply()
        reached = load.said.total()
        eventually(lambda: load.said.total() > reached + 100)
    assert shop.pid("web") != before
    assert [text for text in load.said if "nginx" not in text] == []
