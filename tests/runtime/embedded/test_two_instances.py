"""Two instances on one host share what the host has only once."""

from ipaddress import IPv4Network
from pathlib import Path

import pytest

from runtime.embedded.network.kernel import Network
from runtime.embedded.paths import Paths
from runtime.embedded.router.wiring import Pool, Wiring
from tests.runtime.embedded.lab import Lab

pytestmark = pytest.mark.root

OTHER = Pool(pool=IPv4Network("10.202.0.0/16"), shadow=IPv4Network("10.252.0.0/16"))


def forwarding(lab: Lab) -> str:
    return lab.host.run("sysctl", "-n", "net.ipv4.conf.eth0.forwarding").stdout.strip()


def guarded(lab: Lab, paths: Paths) -> bool:
    shown = lab.host.run("nft", "list", "set", "inet", paths.table, "opened").stdout
    return '"eth0" . "eth0"' in shown


@pytest.mark.parametrize("first", ["the first goes first", "the second goes first"])
def test_who_leaves_last_closes_the_links(lab: Lab, tmp_path: Path, first: str) -> None:
    """And while one of them is there, packets do not pass between the links that were opened."""
    paths = Paths.below(tmp_path / "j")
    second, wiring = Network(paths), Wiring(pool=OTHER)
    try:
        lab.mend()
        assert forwarding(lab) == "1"
        second.mend(wiring)
        assert guarded(lab, paths)
        leaving = [(lab.net, lab.wiring, paths), (second, wiring, lab.paths)]
        if first == "the second goes first":
            leaving.reverse()
        (net, its, staying), (last, whose, _) = leaving
        net.tear_down(its)
        assert forwarding(lab) == "1"
        assert guarded(lab, staying)
        last.tear_down(whose)
        assert forwarding(lab) == "0"
    finally:
        second.tear_down(wiring)
        second.close()


def test_a_record_is_nobody_elses_business_where_the_host_forwards_itself(
    lab: Lab, tmp_path: Path
) -> None:
    lab.host.run("sysctl", "-qw", "net.ipv4.ip_forward=1")
    second, wiring = Network(Paths.below(tmp_path / "j")), Wiring(pool=OTHER)
    try:
        lab.mend()
        second.mend(wiring)
        lab.net.tear_down(lab.wiring)
        second.tear_down(wiring)
        assert forwarding(lab) == "1"
    finally:
        second.close()
