"""Definitions that change under running containers: of volumes, whose data they would cost, of
networks, and of whose network a container is in; and plans that are carried out later.
"""

import ipaddress
import os
import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.conftest import Images, Trueup
from tests.eventually import eventually
from tests.scenarios.stage import Stage, kill, within
from tests.scenarios.test_networks import get, page

pytestmark = [pytest.mark.root, pytest.mark.slow]


# --- volumes --------------------------------------------------------------------------------------

VOLUMES = """\
project: defs
volumes:
  data: {owner: "1000:1000", mode: "0750"}
  other: {}
containers:
  app:
    image: $busybox
    command: [sleep, "1000"]
    volumes: ["data:/data", "other:/other"]
    stop_signal: SIGKILL
"""
DEFINITION = 'data: {owner: "1000:1000", mode: "0750"}'
CHANGES = {
    "owner": ('data: {owner: "33:1000", mode: "0750"}', "owner 1000:1000 → 33:1000"),
    "mode": ('data: {owner: "1000:1000", mode: "0700"}', "mode 0750 → 0700"),
    "driver": (
        'data: {owner: "1000:1000", mode: "0750", driver_opts: {type: tmpfs, device: tmpfs}}',
        "driver_opts type unset → tmpfs",
    ),
}


def folder(pid: int) -> str:
    """Owner, mode and kind of file system of the volume as the container has it."""
    shown = within(pid, "stat", "-c", "%u:%g %a", "/data").strip()
    mounts = Path(f"/proc/{pid}/mountinfo").read_text()
    return f"{shown} tmpfs" if re.search(r" /data .* - tmpfs ", mounts) else shown


@pytest.mark.parametrize("change", CHANGES)
def test_a_volume_is_made_anew_only_by_who_says_so(long_stage: Stage, change: str) -> None:
    new, told = CHANGES[change]
    long_stage.write(VOLUMES)
    long_stage.down("--volumes", "all")
    long_stage.apply()
    before = long_stage.pid("app")
    within(before, "sh", "-c", "echo kept | tee /data/note > /other/note")
    long_stage.edit(DEFINITION, new)
    for options in ((), ("--yes",), ("--recreate-volume", "other")):
        refused = long_stage.apply(*options, code=1)
        assert "volume data: " in refused.stderr
        assert told in refused.stderr
        assert "all data in it would be lost" in refused.stderr
        assert "`trueup apply --recreate-volume data`" in refused.stderr
    assert within(before, "cat", "/data/note", "/other/note") == "kept\nkept\n"
    assert folder(before) == "1000:1000 750"
    done = long_stage.apply("--recreate-volume", "data").stdout
    assert "deleted with all data in it" in done
    after = long_stage.pid("app")
    expected = {"owner": "33:1000 750", "mode": "1000:1000 700", "driver": "1000:1000 750 tmpfs"}
    assert folder(after) == expected[change]
    assert within(after, "ls", "/data") == ""
    assert within(after, "cat", "/other/note") == "kept\n"
    assert long_stage.pending() == ""
    within(after, "sh", "-c", "echo kept > /data/note")
    again = long_stage.apply("--recreate-volume", "data")
    assert "its data is kept" in again.stdout + again.stderr
    assert within(after, "cat", "/data/note") == "kept\n"
    assert long_stage.pid("app") == after


def test_a_folder_of_the_host_keeps_its_files_whatever_becomes_of_its_volume(
    long_stage: Stage,
) -> None:
    places = [long_stage.folder / name for name in ("here", "there")]
    for place in places:
        place.mkdir()
        (place / "note").write_text(f"{place.name}\n")
    bound = "data: {{driver_opts: {{type: none, o: bind, device: {}}}}}"
    long_stage.write(VOLUMES.replace(DEFINITION, bound.format(places[0])))
    long_stage.down("--volumes", "all")
    long_stage.apply()
    assert within(long_stage.pid("app"), "cat", "/data/note") == "here\n"
    long_stage.edit(bound.format(places[0]), bound.format(places[1]))
    assert "driver_opts device" in long_stage.apply(code=1).stderr
    long_stage.apply("--recreate-volume", "data")
    assert within(long_stage.pid("app"), "cat", "/data/note") == "there\n"
    long_stage.down("--volumes", "all")
    assert [(place / "note").read_text() for place in places] == ["here\n", "there\n"]


# --- networks -------------------------------------------------------------------------------------

NETWORKS = """\
project: defs
networks:
  default: {}
  back: {ipam: {config: [{subnet: 10.77.1.0/24}]}}
containers:
  a:
    image: $busybox
    command: [httpd, -f, -p, "80", -h, /etc]
    networks: [default, back]
    stop_signal: SIGKILL
  b:
    image: $busybox
    command: [httpd, -f, -p, "80", -h, /etc]
    networks: [back]
    stop_signal: SIGKILL
"""


def hostname(stage: Stage, name: str) -> str:
    return f"{stage.containers()[name]['id'][:12]}\n"


def addresses(pid: int) -> list[str]:
    """All IPv4 addresses of a container but loopback's."""
    shown = within(pid, "ip", "-o", "-4", "address")
    return re.findall(r"inet ([0-9.]+)/\d+ .*eth", shown)


def test_a_network_is_renumbered_under_its_containers(long_stage: Stage) -> None:
    long_stage.make(NETWORKS)
    pids = long_stage.pids()
    long_stage.edit("10.77.1.0/24", "10.77.2.0/24")
    assert "10.77.1.0/24 → 10.77.2.0/24" in long_stage.pending()
    long_stage.apply()
    assert page(pids["a"], "b") == hostname(long_stage, "b")
    assert page(pids["b"], "a") == hostname(long_stage, "a")
    assert long_stage.pids() == pids
    assert addresses(pids["b"])[0].startswith("10.77.2.")
    assert [each.startswith("10.77.2.") for each in addresses(pids["a"])].count(True) == 1
    shown = long_stage.trueup("network", "inspect", "defs/back").stdout
    assert "10.77.2.0/24" in shown
    assert "10.77.1." not in shown
    assert long_stage.pending() == ""


def leaves(pid: int) -> bool:
    """Whether the container gets as far as another host, which listens to nobody on port 9."""
    try:
        get(pid, "192.0.2.2:9")
    except OSError as error:
        return "refused" in str(error)
    return True


def test_a_network_is_made_internal_and_back(long_stage: Stage) -> None:
    long_stage.make(NETWORKS)
    pids = long_stage.pids()
    assert leaves(pids["b"])
    plain = "back: {ipam"
    long_stage.edit(plain, "back: {internal: true, ipam")
    long_stage.apply()
    assert not leaves(pids["b"])
    assert leaves(pids["a"]), "by its other network"
    assert page(pids["a"], "b") == hostname(long_stage, "b")
    long_stage.edit("back: {internal: true, ipam", plain)
    long_stage.apply()
    assert leaves(pids["b"])
    assert long_stage.pids() == pids
    assert long_stage.pending() == ""


def test_a_network_goes_once_all_have_left_it(long_stage: Stage) -> None:
    long_stage.make(NETWORKS)
    pids = long_stage.pids()
    long_stage.edit("    networks: [default, back]\n", "")
    long_stage.edit("    networks: [back]\n", "")
    long_stage.apply()
    assert page(pids["a"], "b") == hostname(long_stage, "b")
    long_stage.edit("  back: {ipam: {config: [{subnet: 10.77.1.0/24}]}}\n", "")
    told = long_stage.apply().stdout
    assert "network back" in told
    assert long_stage.trueup("network", "ls", "-f", "{{.Name}}").stdout.split() == ["defs/default"]
    assert page(pids["b"], "a") == hostname(long_stage, "a")
    assert long_stage.pids() == pids
    assert long_stage.pending() == ""


def test_who_leaves_and_the_network_go_in_one_apply(long_stage: Stage) -> None:
    long_stage.make(NETWORKS)
    pids = long_stage.pids()
    text = re.sub(r"  back: .*\n|    networks: .*\n", "", long_stage.spec.read_text())
    long_stage.make(text)
    assert page(pids["a"], "b") == hostname(long_stage, "b")
    assert long_stage.pids() == pids
    assert long_stage.pending() == ""


def test_who_is_renamed_keeps_its_fixed_address_and_its_port(long_stage: Stage) -> None:
    fixed = "    networks: {back: {ipv4_address: 10.77.1.10}}\n    ports: ['18082:80']"
    long_stage.make(NETWORKS.replace("    networks: [back]", fixed))
    other = long_stage.pid("a")
    long_stage.edit("  b:\n", "  database:\n")
    long_stage.apply()
    pids = long_stage.pids()
    assert set(pids) == {"a", "database"}
    assert pids["a"] == other
    assert addresses(pids["database"]) == ["10.77.1.10"]
    assert page(other, "database") == hostname(long_stage, "database")
    assert long_stage.answer(18082, path="/hostname") == hostname(long_stage, "database")
    assert long_stage.pending() == ""


# --- networks of others ---------------------------------------------------------------------------

GUEST = """\
project: guest
networks: {theirs: {external: true, name: defs_back}}
containers:
  visitor:
    image: $busybox
    command: [sleep, "1000"]
    networks: [theirs]
    stop_signal: SIGKILL
"""


@pytest.fixture
def guest(trueup: Trueup, images: Images, tmp_path: Path) -> Stage:
    place = tmp_path / "guest"
    place.mkdir()
    return Stage(trueup=trueup, images=images, folder=place)


def test_an_owner_cannot_take_its_network_from_a_guest(stage: Stage, guest: Stage) -> None:
    stage.make(NETWORKS.replace("10.77", "10.78"))  # the module's own project stands beside it
    guest.make(GUEST)
    visitor = guest.pid("visitor")
    assert page(visitor, "b") == hostname(stage, "b")
    stage.edit("10.78.1.0/24", "10.78.2.0/24")
    stage.apply()
    assert page(visitor, "b") == hostname(stage, "b")
    assert addresses(visitor)[0].startswith("10.78.2.")
    refused = stage.trueup("down", stage.spec, code=1)
    said = refused.stdout + refused.stderr
    assert "guest" in said, said
    assert "defs" in said
    assert guest.pid("visitor") == visitor
    guest.down()
    stage.down()
    assert stage.inventory().leftovers() == ""


# --- plans that are kept --------------------------------------------------------------------------


def test_a_kept_plan_is_carried_out_in_the_world_that_it_was_made_for(long_stage: Stage) -> None:
    long_stage.make(NETWORKS)
    file = long_stage.folder / "kept.plan"
    long_stage.edit("    networks: [back]\n", "    networks: [back]\n    mem_limit: 33m\n")
    long_stage.trueup("plan", long_stage.spec, "-o", file, code=2)
    assert file.stat().st_mode & 0o777 == 0o600
    long_stage.write(NETWORKS)  # the plan holds what was wanted then
    long_stage.trueup("apply", "--plan", file)
    assert memory(long_stage, "b") == 33 << 20
    stale = long_stage.trueup("apply", "--plan", file, code=1)
    assert stale.stderr.count("\n") <= 4
    assert "trueup plan" in stale.stderr


def memory(stage: Stage, name: str) -> int:
    shown = stage.state()["containers"]
    return next(int(each["mem_limit"] or 0) for each in shown if each["name"] == name)


def other_spec(stage: Stage) -> None:
    stage.write(NETWORKS.replace('"80", -h, /etc', '"81", -h, /etc', 1))
    stage.apply()


def death(stage: Stage) -> None:
    kill(stage.pid("a"))


def flush(stage: Stage) -> None:
    stage.host.run("nft", "flush", "ruleset")


MOVES = {"another apply": other_spec, "a container that died": death, "lost rules": flush}


@pytest.mark.parametrize("move", MOVES)
def test_a_kept_plan_is_refused_when_the_world_has_moved(long_stage: Stage, move: str) -> None:
    long_stage.make(NETWORKS)
    file = long_stage.folder / "kept.plan"
    long_stage.edit("networks: [back]\n", "networks: [back]\n    mem_limit: 44m\n")
    long_stage.trueup("plan", long_stage.spec, "-o", file, code=2)
    MOVES[move](long_stage)
    refused = long_stage.trueup("apply", "--plan", file, code=1)
    assert "trueup plan" in refused.stderr
    assert memory(long_stage, "b") != 44 << 20


@pytest.mark.parametrize(
    "text",
    [b"", b"\xff\xfe\0", b"{}", b"[1]", b'{"format": 1}', b'{"format": 99}', b"a: b\n", None],
)
def test_what_is_no_plan_is_told_in_one_message(long_stage: Stage, text: bytes | None) -> None:
    file = long_stage.folder / "no.plan"
    file.unlink(missing_ok=True)
    if text is not None:
        file.write_bytes(text)
    refused = long_stage.trueup("apply", "--plan", file, code=1)
    assert refused.stdout == ""
    assert str(file) in refused.stderr.splitlines()[0]
    assert len(refused.stderr.splitlines()) <= 3, refused.stderr


# --- whose network --------------------------------------------------------------------------------

MODES = """\
project: defs
containers:
  app:
    image: $busybox
    command: [httpd, -f, -p, "80", -h, /etc]
    ports: ["18080:80", "18081:81"]
    restart: always
    stop_signal: SIGKILL
  side:
    image: $busybox
    command: [httpd, -f, -p, "81", -h, /etc]
    network_mode: service:app
    stop_signal: SIGKILL
  onhost:
    image: $busybox
    command: [httpd, -f, -p, "18090", -h, /etc]
    network_mode: host
    stop_signal: SIGKILL
  alone:
    image: $busybox
    command: [httpd, -f, -p, "80", -h, /etc]
    network_mode: none
    stop_signal: SIGKILL
"""


@pytest.fixture
def modes(long_stage: Stage) -> Stage:
    long_stage.make(MODES)
    eventually(lambda: both_answer(long_stage))
    return long_stage


def space(pid: int) -> str:
    return os.readlink(f"/proc/{pid}/ns/net")


def both_answer(stage: Stage) -> bool:
    pages: Sequence[str] = [stage.answer(port, path="/passwd") for port in (18080, 18081)]
    return all(each.startswith("root:") for each in pages)


def test_each_mode_is_what_it_says(modes: Stage) -> None:
    pids = modes.pids()
    assert space(pids["side"]) == space(pids["app"])
    assert os.stat(f"/proc/{pids['onhost']}/ns/net").st_ino == modes.host.path.stat().st_ino
    assert modes.answer(18090, path="/passwd").startswith("root:")
    links = within(pids["alone"], "ls", "/sys/class/net").split()
    assert [each for each in links if not re.match("tunl|sit|ip6|gre|erspan", each)] == ["lo"]
    with pytest.raises(OSError, match="unreachable"):
        get(pids["alone"], "192.0.2.2")
    assert modes.pending() == ""


def test_who_lives_in_anothers_network_goes_on_when_that_is_restarted(modes: Stage) -> None:
    before = modes.pids()
    kill(before["app"])
    eventually(lambda: modes.pids().get("app", before["app"]) != before["app"])
    eventually(lambda: both_answer(modes))
    after = modes.pids()
    assert after["side"] == before["side"]
    assert space(after["side"]) == space(after["app"])
    assert page(after["side"], "app") == hostname(modes, "app")
    assert modes.pending() == ""


def test_who_lives_in_anothers_network_is_replaced_with_it(modes: Stage) -> None:
    before = modes.pids()
    modes.edit('    ports: ["18080:80"', '    environment: {A: "1"}\n    ports: ["18080:80"')
    assert "-/+ container side" in modes.pending()
    modes.apply()
    eventually(lambda: both_answer(modes))
    after = modes.pids()
    assert space(after["side"]) == space(after["app"]) != space(before["onhost"])
    assert {name for name in after if after[name] != before[name]} == {"app", "side"}
    assert modes.pending() == ""


@pytest.mark.parametrize("name", ["side", "onhost", "alone"])
def test_the_old_one_goes_on_in_anothers_network_when_the_new_one_dies(
    modes: Stage, name: str
) -> None:
    """None of them has a service that could be led back."""
    before = modes.containers()[name]["id"]
    port = {"side": '"81"', "onhost": '"18090"', "alone": '"80", -h, /etc]\n    network_mode: none'}
    good = f"[httpd, -f, -p, {port[name]}"
    modes.edit(good, f"[httpd, --no-such-option, -p, {port[name]}")
    failed = modes.apply(code=1)
    assert name in failed.stderr
    running = [each["id"] for each in modes.state()["containers"] if each["pid"]]
    assert before in running, failed.stdout + failed.stderr
    assert len(running) == 4
    eventually(lambda: both_answer(modes))
    modes.write(MODES)
    modes.apply()
    assert modes.pending() == ""


def test_a_mode_changes_and_back(modes: Stage) -> None:
    before = modes.pids()
    modes.edit("network_mode: service:app", "network_mode: none")
    modes.apply()
    assert modes.answer(18081, path="/passwd") == "refused"
    assert space(modes.pid("side")) != space(before["app"])
    modes.edit(
        "network_mode: none\n    stop_signal: SIGKILL\n  onhost", "stop_signal: SIGKILL\n  onhost"
    )
    modes.apply()
    assert ipaddress.ip_address(addresses(modes.pid("side"))[0]) in ipaddress.ip_network(
        "10.0.0.0/8"
    )
    modes.write(MODES)
    modes.apply()
    eventually(lambda: both_answer(modes))
    assert modes.pid("app") == before["app"]
    assert modes.pending() == ""
