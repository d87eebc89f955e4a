"""The main job: from a spec to an answer, once more without a change, and away without a trace."""

import re
from pathlib import Path

import msgspec
import pytest

from reconciler.plan import CreateContainer, Plan
from tests.conftest import Trueup
from tests.eventually import eventually
from tests.scenarios.pair import visit, write
from tests.scenarios.stage import NOTHING, Stage, answer

pytestmark = pytest.mark.root

HELLO = """
containers:
  web:
    image: $nginx
    ports: ["8080:80"]
"""


@pytest.fixture
def pair(stage: Stage) -> Stage:
    """nginx in front of a program that counts visits, not yet applied."""
    write(stage)
    return stage


def test_hello(stage: Stage) -> None:
    stage.make(HELLO)
    eventually(lambda: "nginx" in stage.answer(8080))


def test_the_pair_answers_here_and_other_hosts_whose_address_it_sees(pair: Stage) -> None:
    pair.apply()
    visit(pair)
    page = answer(pair.host.other, pair.host.address, 8080)
    assert page.endswith(f", from {pair.host.other.address}.\n")


def test_visits_survive_down_and_go_with_their_volume(pair: Stage) -> None:
    pair.apply()
    assert [visit(pair), visit(pair)] == [1, 2]
    pair.down()
    assert pair.inventory().leftovers() == ""
    assert pair.answer(8080) == "refused"
    pair.apply()
    assert visit(pair) == 3
    pair.down("--volumes", "all")
    assert pair.inventory().leftovers() == ""
    pair.apply()
    assert visit(pair) == 1


def test_a_second_apply_changes_nothing(pair: Stage) -> None:
    pair.apply()
    visit(pair)
    eventually(lambda: settled(pair))
    before = pair.inventory()
    assert pair.apply().stdout == NOTHING
    assert pair.pending() == ""
    pair.trueup("status", pair.spec)
    pair.trueup("ps")
    assert before.differences(pair.inventory()) == ""


def settled(stage: Stage) -> bool:
    """Whether the links of the host have their IPv6 addresses for good."""
    return "tentative" not in "".join(stage.inventory().links)


def test_plan_tells_by_its_exit_code_whether_changes_are_pending(pair: Stage) -> None:
    before = pair.inventory()
    told = pair.trueup("plan", pair.spec, code=2).stdout
    assert re.findall(r"^  \+ (container \w+)", told, re.M) == ["container app", "container web"]
    assert before.differences(pair.inventory()) == "", "planning makes nothing"
    pair.apply()
    assert pair.trueup("plan", pair.spec, code=0).stdout == NOTHING


def test_a_plan_as_json(pair: Stage) -> None:
    shown = pair.trueup("plan", pair.spec, "--format", "json", code=2).stdout
    plan = msgspec.json.decode(shown, type=Plan)
    made = [each.action.key.name for each in plan.steps if isinstance(each.action, CreateContainer)]
    assert sorted(made) == ["app", "web"]
    pair.apply()
    shown = pair.trueup("plan", pair.spec, "--format", "json", code=0).stdout
    assert msgspec.json.decode(shown, type=Plan).steps == ()


def test_down_needs_no_file_and_two_downs_are_as_good_as_one(stage: Stage) -> None:
    stage.make(HELLO.replace("containers:", "project: hello\ncontainers:", 1))
    stage.spec.unlink()
    stage.trueup("down", "--project", "hello")
    assert stage.inventory().leftovers() == ""
    again = stage.trueup("down", "--project", "hello").stdout
    assert again == f"  note: there is no project hello here; those that are: none\n\n{NOTHING}"


def test_two_projects_go_one_by_one(trueup: Trueup, stage: Stage, tmp_path: Path) -> None:
    (tmp_path / "two").mkdir()
    two = Stage(trueup=trueup, images=stage.images, folder=tmp_path / "two")
    stage.make("project: one\n" + HELLO)
    two.make("project: two\n" + HELLO.replace("8080", "8081"))
    stage.down()
    eventually(lambda: "nginx" in two.answer(8081))
    assert two.pending() == ""
    two.down()
    assert stage.inventory().leftovers() == ""
