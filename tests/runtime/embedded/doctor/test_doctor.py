"""`trueup doctor` on this host, and on hosts that lack something."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from runtime.api import Finding, Verdict
from runtime.embedded import cgroups
from runtime.embedded.doctor import kernel, network, programs, system
from runtime.embedded.paths import Paths
from tests.conftest import COMMAND, Trueup
from tests.eventually import eventually
from tests.hosts import Host
from tests.inventory import inventory

FIREWALLS = Path(__file__).parent.parent / "firewall" / "hosts"


def found(host: Host, root: Path, *before: str, code: int = 0) -> dict[str, list[Finding]]:
    """What `doctor` finds on the host by subject; ``before`` are words before the command."""
    words = [*before, str(COMMAND), "--root", str(root), "doctor", "--format", "json"]
    done = host.run(*words, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    findings: dict[str, list[Finding]] = {}
    for line in done.stdout.splitlines():
        facts = json.loads(line)
        facts["commands"] = tuple(facts.get("commands", ()))
        made = Finding(**facts | {"verdict": Verdict(facts["verdict"])})
        findings.setdefault(made.subject, []).append(made)
    return findings


@pytest.mark.root
def test_this_host_carries_an_instance_and_looking_leaves_nothing(
    host: Host, tmp_path: Path
) -> None:
    root = tmp_path / "root"
    eventually(lambda: "tentative" not in str(inventory(root, host).links))
    before, folder = inventory(root, host), sorted(tmp_path.iterdir())
    seen = found(host, root)
    assert before.differences(inventory(root, host)) == ""
    assert sorted(tmp_path.iterdir()) == folder
    fine = "privileges kernel namespaces overlayfs veth nftables cgroups conmon aardvark-dns"
    names = [*fine.split(), "seccomp profile", "firewall", "addresses", "clock"]
    assert {name: seen[name][0].verdict for name in names} == dict.fromkeys(names, Verdict.OK)


@pytest.mark.root
def test_the_table_names_checks_and_commands(host: Host, tmp_path: Path) -> None:
    shown = host.run(COMMAND, "--root", tmp_path / "root", "doctor").stdout
    assert shown.splitlines()[0].split() == ["CHECK", "VERDICT", "FOUND"]
    assert "privileges" in shown.splitlines()[1]


@pytest.mark.root
def test_a_missing_program_is_a_blocker_with_the_package(host: Host, tmp_path: Path) -> None:
    hidden = "for p in $(which -a conmon); do mount --bind /dev/null $(readlink -f $p); done"
    before = ["unshare", "--mount", "sh", "-ec", f'{hidden}; exec "$@"', "sh"]
    (conmon,) = found(host, tmp_path / "root", *before, code=1)["conmon"]
    assert conmon == Finding(
        subject="conmon",
        verdict=Verdict.BLOCKER,
        text="is not installed; it keeps logs and exit codes",
        commands=("apt-get install conmon",),
    )


@pytest.mark.root
def test_without_root_the_rest_is_told(host: Host) -> None:
    before = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    readable = host.run(*before, COMMAND, "version", check=False)
    if readable.returncode:
        pytest.skip("the checkout cannot be read by others")
    seen = found(host, Path("/tmp/trueup-doctor"), *before, code=1)
    assert seen["privileges"][0].verdict is Verdict.BLOCKER
    assert "overlayfs" not in seen
    assert seen["conmon"][0].verdict is Verdict.OK


@pytest.mark.root
@pytest.mark.parametrize(
    ("size", "verdict", "code"), [("8m", Verdict.BLOCKER, 1), ("200m", Verdict.WARNING, 0)]
)
def test_a_full_disk(host: Host, tmp_path: Path, size: str, verdict: Verdict, code: int) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", tmp_path], check=True)
    try:
        (space,) = found(host, tmp_path / "root", code=code)["disk space"]
        assert space.verdict is verdict
        assert space.text.endswith(f"MiB are free in {tmp_path}")
    finally:
        subprocess.run(["umount", tmp_path], check=True)


@contextmanager
def firewall(host: Host, name: str) -> Iterator[None]:
    host.run("nft", "-f", FIREWALLS / f"{name}.nft")
    try:
        yield
    finally:
        host.run("nft", "delete", "table", "inet", "filter")


@pytest.mark.root
def test_a_firewall_that_drops_published_ports_is_a_blocker(host: Host, tmp_path: Path) -> None:
    root = tmp_path / "root"
    uplink = Paths.below(root).uplink
    with firewall(host, "own"):
        closed = found(host, root, code=1)["firewall"]
    assert closed[0].verdict is Verdict.BLOCKER
    assert closed[0].commands[0] == (
        f"nft 'insert rule inet filter forward oifname \"{uplink}\" accept'"
    )


@pytest.mark.root
def test_plans_note_what_a_firewall_drops(trueup: Trueup, tmp_path: Path) -> None:
    spec = tmp_path / "trueup.yaml"
    text = "project: shop\ncontainers: {web: {image: 'localhost:1/none:1', ports: PORTS}}\n"
    with firewall(trueup.host, "own"):
        spec.write_text(text.replace("PORTS", "['8080:80']"))
        noted = trueup("plan", spec, code=None).stdout
        spec.write_text(text.replace("PORTS", "[]"))
        silent = trueup("plan", spec, code=None).stdout
    uplink = Paths.below(trueup.root).uplink
    opening = f"nft 'insert rule inet filter forward oifname \"{uplink}\" accept' && "
    assert f"for published ports; to open it: {opening}" in noted
    assert "inet filter" not in silent


def layout(kind: cgroups.Kind, *names: str, left: tuple[str, ...] = ()) -> cgroups.Layout:
    hierarchies = (
        cgroups.Hierarchy(root=Path("/sys/fs/cgroup", name), name=name) for name in names
    )
    return cgroups.Layout(kind=kind, hierarchies=tuple(hierarchies), left=left)


V1 = ("memory", "pids", "cpu,cpuacct")
CGROUPS = {
    "v2": (layout(cgroups.Kind.V2, ""), ["cpu", "memory", "pids", "io"], Verdict.OK, ()),
    "v1": (layout(cgroups.Kind.V1, *V1), [], Verdict.OK, ()),
    "a controller is off": (layout(cgroups.Kind.V2, ""), ["cpu", "pids"], Verdict.WARNING, ()),
    "nothing is mounted": (
        layout(cgroups.Kind.V1), [], Verdict.BLOCKER,
        ("mount -t cgroup2 cgroup2 /sys/fs/cgroup",),
    ),
    "a controller is left over": (
        layout(cgroups.Kind.HYBRID, *V1, "", left=("hugetlb",)), ["hugetlb"], Verdict.WARNING,
        (
            "mkdir -p /sys/fs/cgroup/hugetlb",
            "mount -t cgroup -o hugetlb hugetlb /sys/fs/cgroup/hugetlb",
        ),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CGROUPS)
def test_control_groups(name: str) -> None:
    seen, unified, verdict, commands = CGROUPS[name]
    judged = system.judged_cgroups(seen, unified, runc=True)
    assert (judged.verdict, judged.commands) == (verdict, commands), judged.text


def test_controllers_left_over_are_a_blocker_where_crun_is_alone() -> None:
    hybrid, unified, _, _ = CGROUPS["a controller is left over"]
    assert system.judged_cgroups(hybrid, unified, runc=False).verdict is Verdict.BLOCKER


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("conmon version 2.1.6\ncommit: unknown", Verdict.OK),
        ("conmon version 2.0.25", Verdict.BLOCKER),
        ("conmon version 3.0", Verdict.OK),
        ("conmon", Verdict.OK),
    ],
)
def test_versions_of_programs(text: str, verdict: Verdict) -> None:
    wanted = programs.Wanted(name="conmon", package="conmon", oldest=(2, 1), use="keeps logs")
    judged = programs.judged(wanted, text, "apt-get install conmon")
    assert judged.verdict is verdict
    assert bool(judged.commands) == (verdict is Verdict.BLOCKER)


def test_modules_are_named_where_the_kernel_has_any(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(kernel, "_MODULES", tmp_path)
    lacks = kernel.lacking("nftables", "no numgen", ("nft_numgen",))
    assert lacks.commands == ("modprobe nft_numgen",)
    monkeypatch.setattr(kernel, "_MODULES", tmp_path / "none")
    assert kernel.lacking("nftables", "no numgen", ("nft_numgen",)).commands == ()


def test_name_servers_and_clocks() -> None:
    assert network.name_servers(["192.0.2.53"], ["192.0.2.53"]).text == "192.0.2.53"
    here = network.name_servers(["127.0.0.53"], [])
    assert (here.verdict, here.text) == (
        Verdict.OK,
        "127.0.0.53, on this host only: containers' questions are led there",
    )
    assert network.name_servers([], []).verdict is Verdict.WARNING
    assert system.clock(0.0).text.startswith("1970-01-01 00:00:00 UTC is wrong")
    assert system.clock(1_800_000_000.0).verdict is Verdict.OK
