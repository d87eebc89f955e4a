"""Each kind of edit that people make, one after another, on a running shop that is being visited.

Whatever the kernel and the network can change is changed under the processes; another image,
command or environment replaces that one container. Nobody who visits notices either.
"""

import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.eventually import eventually
from tests.hosts import Namespace
from tests.resolver import answering
from tests.scenarios import shop
from tests.scenarios.scene import processes
from tests.scenarios.shop import ADDED_PORT, DNS, EDITS, OTHER_PORT, PORT, VARIANT, Edit, Visitors
from tests.scenarios.stage import Stage, limit, within

pytestmark = [pytest.mark.root, pytest.mark.slow]

Process = tuple[int, str]  # pid and start time
Container = tuple[str, str]  # id and name


@dataclass(frozen=True, slots=True)
class Seen:
    """What the kernel or the network says before and after an edit."""

    fact: Callable[[Stage], object]
    before: object
    after: object


def _inspected(name: str, template: str) -> Callable[[Stage], object]:
    """What only the engine's record can tell, as it shows when the time comes."""
    return lambda stage: stage.trueup("inspect", "-f", template, name).stdout.strip()


def _limit(file: str, unified: str) -> Callable[[Stage], object]:
    return lambda stage: limit(stage.pid("web"), file, unified)


def _quota(stage: Stage) -> object:
    """Processors' worth of time of the application."""
    pid = stage.pid("web")
    quota = limit(pid, "cpu.cfs_quota_us", "cpu.max").split()
    period = quota[1] if len(quota) > 1 else limit(pid, "cpu.cfs_period_us", "cpu.max")
    return int(quota[0]) / int(period)


def _shown(place: Namespace, port: int, address: str = "127.0.0.1") -> bool:
    """Whether the page is there."""
    try:
        return bool(shop.page(place, address, port, timeout=2))
    except OSError:
        return False


def _ports(stage: Stage) -> object:
    return [port for port in (PORT, OTHER_PORT, ADDED_PORT) if _shown(stage.host, port)]


def _from_outside(stage: Stage) -> object:
    return [p for p in (OTHER_PORT, ADDED_PORT) if _shown(stage.host.other, p, "192.0.2.1")]


def _links(stage: Stage) -> object:
    """The application's interfaces."""
    links = within(stage.pid("web"), "cat", "/proc/net/dev")
    return re.findall(r"^ *(eth\d+):", links, re.MULTILINE)


def _found(name: str) -> Callable[[Stage], object]:
    """Whether nginx's container finds the name."""
    return lambda stage: (
        "Name:" in within(stage.pid("proxy"), "busybox", "nslookup", "-type=a", name)
    )


def _replicas(stage: Stage) -> object:
    return sum(name.partition(".")[0] == "web" for name in stage.pids())


def _labelled(stage: Stage) -> object:
    return stage.trueup("ps", "--format", "{{.Names}}", "--filter", "label=tier=middle").stdout


def _host_of(name: str) -> Callable[[Stage], object]:
    """The line of a name in the application's /etc/hosts."""

    def line(stage: Stage) -> object:
        hosts = within(stage.pid("web"), "cat", "/etc/hosts")
        return re.findall(rf"^(\S+)\s+{name}$", hosts, re.MULTILINE)

    return line


def _asks_the_resolver(stage: Stage) -> object:
    """What a name of the wide world leads to while a name server answers where the edit says."""
    with answering(stage.host.other, DNS, "203.0.113.9"):
        said = within(stage.pid("web"), "busybox", "nslookup", "-type=a", "www.example.com")
    return re.findall(r"^Name:.*\nAddress: (\S+)$", said, re.MULTILINE)


def _environment(word: str) -> Callable[[Stage], object]:
    return lambda stage: (
        word.encode() in Path(f"/proc/{stage.pid('web')}/environ").read_bytes().split(b"\0")
    )


def _arguments(stage: Stage) -> object:
    return Path(f"/proc/{stage.pid('web')}/cmdline").read_text().split("\0")[1:-1]


def _pending(stage: Stage) -> object:
    """For what shows in the next plan only."""
    return stage.pending()


FACTS: Mapping[str, Seen] = {
    "memory": Seen(_limit("memory.limit_in_bytes", "memory.max"), str(128 << 20), str(192 << 20)),
    "cpus": Seen(_quota, 0.5, 0.75),
    "pids": Seen(_limit("pids.max", "pids.max"), "64", "96"),
    "restart": Seen(
        _inspected("web", "{{.HostConfig.RestartPolicy.Name}}"), "unless-stopped", "always"
    ),
    "healthcheck": Seen(
        _inspected("redis", "{{.Config.Healthcheck.Interval}}"), "10000000000", "5000000000"
    ),
    "labels": Seen(_labelled, "", "shop/web\n"),
    "published port": Seen(_ports, [PORT], [OTHER_PORT]),
    "added port": Seen(_ports, [OTHER_PORT], [OTHER_PORT, ADDED_PORT]),
    "host address": Seen(_from_outside, [OTHER_PORT, ADDED_PORT], [OTHER_PORT]),
    "network added": Seen(_links, ["eth0", "eth1"], ["eth0", "eth1", "eth2"]),
    "network removed": Seen(_links, ["eth0", "eth1", "eth2"], ["eth0", "eth1"]),
    "alias": Seen(_found("till"), False, True),
    "replicas up": Seen(_replicas, 1, 2),
    "replicas down": Seen(_replicas, 2, 1),
    "stop_grace_period": Seen(_inspected("redis", "{{.Config.StopTimeout}}"), "10", "20"),
    "log size": Seen(
        _inspected("web", "{{index .HostConfig.LogConfig.Config `max-size`}}"), "", "1m"
    ),
    "extra_hosts": Seen(_host_of("scales"), [], ["192.0.2.9"]),
    "dns": Seen(_asks_the_resolver, [], ["203.0.113.9"]),
    "container_name": Seen(_found("the-shop"), False, True),
    "depends_on": Seen(_pending, "", ""),
    "update policy": Seen(_pending, "", ""),
    "image": Seen(_environment(VARIANT), False, True),
    "command": Seen(_arguments, ["/srv/app.py"], ["-u", "/srv/app.py"]),
    "environment": Seen(_environment("COLOUR=blue"), False, True),
}


def lasting(stage: Stage) -> dict[Container, set[Process]]:
    """The processes of each container that were there a second ago, too: whatever answers a
    request or a health check comes and goes."""
    former = _all_processes(stage)
    time.sleep(1)
    now = _all_processes(stage)
    return {container: former.get(container, set()) & now[container] for container in now}


def _all_processes(stage: Stage) -> dict[Container, set[Process]]:
    names = {each["id"]: name for name, each in stage.containers().items()}
    return {(id, names[id]): set(_alive(pids)) for id, pids in processes(stage).items()}


def _alive(pids: list[int]) -> Iterator[Process]:
    """Those that live, with their start times; proc_pid_stat(5), fields 3 and 22."""
    for pid in pids:
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if fields[0] not in "ZX":
            yield pid, fields[19]


def test_the_edits_are_twenty_four_and_three_of_them_touch_a_process() -> None:
    assert [edit.name for edit in EDITS] == list(FACTS)
    assert len(EDITS) == 24
    assert [edit.name for edit in EDITS if edit.replaces] == ["image", "command", "environment"]


def test_edits_of_a_visited_shop_touch_no_process_but_that_of_the_last_three(
    open_shop: Stage,
) -> None:
    with Visitors(open_shop.host) as visitors:
        eventually(lambda: visitors.pages > 10)
        for edit in EDITS:
            _edit(open_shop, edit, visitors)
            assert (edit.name, visitors.failures) == (edit.name, [])
        assert visitors.pages > 10 * len(EDITS)


def _edit(stage: Stage, edit: Edit, visitors: Visitors) -> None:
    seen, before = FACTS[edit.name], lasting(stage)
    assert seen.fact(stage) == seen.before, edit.name
    spec = shop.read(stage.folder)
    edit.apply(spec)
    shop.save(stage.folder, spec)
    stage.apply()
    reached = visitors.pages
    eventually(lambda: visitors.pages >= reached + 8)
    _await(stage, edit.name, seen)
    assert (edit.name, stage.pending()) == (edit.name, "")
    now = _all_processes(stage)
    spared = {who: pids for who, pids in before.items() if who[1] not in _may_end(edit)}
    gone = {who[1]: pids - now.get(who, set()) for who, pids in spared.items()}
    assert (edit.name, {name for name, pids in gone.items() if pids}) == (edit.name, set())
    if edit.replaces:
        assert {who for who in now if who[1] == edit.replaces}.isdisjoint(before)


def _await(stage: Stage, name: str, seen: Seen) -> None:
    """An alias takes until the name server has read its files."""
    facts: list[object] = []

    def is_so() -> bool:
        facts.append(seen.fact(stage))
        return facts[-1] == seen.after

    try:
        eventually(is_so, 5, step=0.05)
    except AssertionError:
        pytest.fail(f"{name}: {facts[-1]!r}, not {seen.after!r}")


def _may_end(edit: Edit) -> set[str]:
    """Who is replaced, and a replica that goes away."""
    return {edit.replaces, *(["web.2"] if edit.name == "replicas down" else [])}
