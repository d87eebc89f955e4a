"""Each kind of edit that people make, one after another, on a running shop that is being visited.

Whatever the kernel and the network can change is changed under the processes; another image,
command or environment replaces that one container. Nobody who visits notices either.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """The shop as it stands: the first process of each container, and all by the container's id."""

    stage: Stage
    pids: Mapping[str, int]
    names: Mapping[str, str]
    processes: Mapping[str, set[Process]]

    @property
    def web(self) -> int:
        return self.pids["web"]

    def again(self) -> "Look":
        """The processes of the same containers that are there still: whatever answers a request
        or a health check has come and gone meanwhile."""
        return replace(self, processes=_lasting(self.processes, self.stage))


def look(stage: Stage) -> Look:
    first = _all_processes(stage)
    containers = stage.containers()
    return Look(
        stage=stage,
        pids={name: each["pid"] for name, each in containers.items() if each["pid"]},
        names={each["id"]: name for name, each in containers.items()},
        processes=_lasting(first, stage),
    )


def _lasting(former: Mapping[str, set[Process]], stage: Stage) -> dict[str, set[Process]]:
    now = _all_processes(stage)
    return {id: processes & now.get(id, set()) for id, processes in former.items()}


def _all_processes(stage: Stage) -> dict[str, set[Process]]:
    return {id: set(_alive(pids)) for id, pids in processes(stage).items()}


def _alive(pids: list[int]) -> Iterator[Process]:
    """Those that live, with their start times; proc_pid_stat(5), fields 3 and 22."""
    for pid in pids:
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if fields[0] not in "ZX":
            yield pid, fields[19]


# --- what the kernel and the network say ----------------------------------------------------------

Fact = Callable[[Look], object]


@dataclass(frozen=True, slots=True)
class Seen:
    """What a fact is before and after an edit."""

    fact: Fact
    before: object
    after: object


def _inspected(name: str, template: str) -> Fact:
    """What only the engine's record can tell, as it shows when the time comes."""
    return lambda seen: seen.stage.trueup("inspect", "-f", template, name).stdout.strip()


def _limit(file: str, unified: str) -> Fact:
    return lambda seen: limit(seen.web, file, unified)


def _quota(seen: Look) -> object:
    """Processors' worth of time of the application."""
    quota = limit(seen.web, "cpu.cfs_quota_us", "cpu.max").split()
    period = quota[1] if len(quota) > 1 else limit(seen.web, "cpu.cfs_period_us", "cpu.max")
    return int(quota[0]) / int(period)


def _is_there(place: Namespace, port: int, address: str = "127.0.0.1") -> bool:
    """Whether the page is."""
    with suppress(OSError):
        return bool(shop.page(place, address, port))
    return False


def _ports(seen: Look) -> object:
    return [p for p in (PORT, OTHER_PORT, ADDED_PORT) if _is_there(seen.stage.host, p)]


def _from_outside(seen: Look) -> object:
    other = seen.stage.host.other
    return [p for p in (OTHER_PORT, ADDED_PORT) if _is_there(other, p, "192.0.2.1")]


def _links(seen: Look) -> object:
    """The application's interfaces."""
    links = Path(f"/proc/{seen.web}/net/dev").read_text()
    return sorted(re.findall(r"^ *(eth\d+):", links, re.MULTILINE))


def _found(name: str) -> Fact:
    """Whether nginx's container finds the name."""
    return lambda seen: bool(_addresses(seen.pids["proxy"], name))


def _addresses(pid: int, name: str) -> list[str]:
    said = within(pid, "busybox", "nslookup", "-type=a", name)
    return re.findall(r"^Name:.*\nAddress: (\S+)$", said, re.MULTILINE)


def _replicas(seen: Look) -> object:
    return sum(name.partition(".")[0] == "web" for name in seen.pids)


def _labelled(seen: Look) -> object:
    ps = ["ps", "--format", "{{.Names}}", "--filter", "label=tier=middle"]
    return seen.stage.trueup(*ps).stdout


def _scales(seen: Look) -> object:
    """The lines of a name in the application's /etc/hosts."""
    hosts = Path(f"/proc/{seen.web}/root/etc/hosts").read_text()
    return re.findall(r"^(\S+)\s+scales$", hosts, re.MULTILINE)


def _asks_the_resolver(seen: Look) -> object:
    """What a name of the wide world leads to while a name server answers where the edit says."""
    with answering(seen.stage.host.other, DNS, "203.0.113.9"):
        return _addresses(seen.web, "www.example.com")


def _environment(word: str) -> Fact:
    return lambda seen: word.encode() in Path(f"/proc/{seen.web}/environ").read_bytes().split(b"\0")


def _arguments(seen: Look) -> object:
    return Path(f"/proc/{seen.web}/cmdline").read_text().split("\0")[1:-1]


def _nothing_to_see(seen: Look) -> object:
    """It shows when the next change or start comes: `plan` is empty, and that is all."""
    return None


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
        _inspected("web", "{{json .HostConfig.LogConfig.Config}}"),
        '{"max-file":"1"}',
        '{"max-size":"1048576","max-file":"1"}',
    ),
    "extra_hosts": Seen(_scales, [], ["192.0.2.9"]),
    "dns": Seen(_asks_the_resolver, [], ["203.0.113.9"]),
    "container_name": Seen(_found("the-shop"), False, True),
    "depends_on": Seen(_nothing_to_see, None, None),
    "update policy": Seen(_nothing_to_see, None, None),
    "image": Seen(_environment(VARIANT), False, True),
    "command": Seen(_arguments, ["/srv/app.py"], ["-u", "/srv/app.py"]),
    "environment": Seen(_environment("COLOUR=blue"), False, True),
}


def test_the_edits_are_twenty_four_and_three_of_them_touch_a_process() -> None:
    assert [edit.name for edit in EDITS] == list(FACTS)
    assert len(EDITS) == 24
    assert [edit.name for edit in EDITS if edit.replaces] == ["image", "command", "environment"]


@pytest.mark.timeout(600)
def test_edits_of_a_visited_shop_touch_no_process_but_that_of_the_last_three(
    open_shop: Stage,
) -> None:
    with Visitors(open_shop.host) as visitors:
        stood = look(open_shop)
        eventually(lambda: visitors.pages > 10)
        for edit in EDITS:
            stood = _edit(edit, stood, visitors)
            assert (edit.name, visitors.failures) == (edit.name, [])
    assert visitors.pages > 10 * len(EDITS)


def _edit(edit: Edit, stood: Look, visitors: Visitors) -> Look:
    """Make the edit, apply it, and compare; what stands then."""
    stage, seen, before = stood.stage, FACTS[edit.name], stood.again()
    assert (edit.name, seen.fact(before)) == (edit.name, seen.before)
    spec = shop.read(stage.folder)
    edit.apply(spec)
    shop.save(stage.folder, spec)
    stage.apply()
    reached = visitors.pages
    eventually(lambda: visitors.pages >= reached + 8)
    now = look(stage)
    _await(edit, seen, now)
    assert (edit.name, stage.pending()) == (edit.name, "")
    assert (edit.name, set(_touched(before, now))) == (edit.name, _may_be_touched(edit))
    return now


def _touched(before: Look, now: Look) -> Iterator[str]:
    """The containers of which a process is gone."""
    for id, former in before.processes.items():
        if former - now.processes.get(id, set()):
            yield before.names[id]


def _may_be_touched(edit: Edit) -> set[str]:
    """Who is replaced, or a replica that goes away."""
    return {"web.2"} if edit.name == "replicas down" else {edit.replaces} - {""}


def _await(edit: Edit, seen: Seen, now: Look) -> None:
    """An alias takes until the name server has read its files."""
    facts: list[object] = []

    def is_so() -> bool:
        facts.append(seen.fact(now))
        return facts[-1] == seen.after

    with suppress(AssertionError):
        eventually(is_so, 5, step=0.05)
    assert (edit.name, facts[-1]) == (edit.name, seen.after)
