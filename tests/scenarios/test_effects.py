"""Every field of a running container, edited: what the kernel says then, and whether the process is
the one that it was. The table in docs/spec.md is what this saw.
"""

import textwrap
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from specs.fields import Effect, effects
from specs.model.container import Container
from tests.conftest import Images
from tests.documented import block, table, write
from tests.eventually import eventually
from tests.images.layers import file
from tests.scenarios.effect import Case
from tests.scenarios.effects_in_place import IN_PLACE
from tests.scenarios.effects_replacing import REPLACING
from tests.scenarios.facts import pid
from tests.scenarios.stage import Stage

PAGE = Path("docs/spec.md")
NAME = "effects"
TITLES = ("field", "edited", "took effect", "process", "seen by")
BASE = """\
project: shop
volumes:
  data: {}
networks:
  default: {}
  other: {}
containers:
  app:
FIELDS
    stop_grace_period: 1s
  peer: {image: $busybox, command: [sleep, "1000"], stop_signal: SIGKILL}
  third: {image: $busybox, command: [sleep, "1000"], stop_signal: SIGKILL, volumes: [data:/extra]}
"""
DEFAULTS = {
    "image": "image: $busybox",
    "command": (
        'command: [sh, -c, "echo hello > /tmp/index.html; httpd -p 80 -h /tmp; exec sleep 1000"]'
    ),
    "stop_signal": "stop_signal: SIGKILL",
}
EFFECTS = effects(Container)
CASES = IN_PLACE + REPLACING
# Fields that say nothing of a container by themselves, or that cannot be edited alone.
NOT_ALONE = {
    "env_file": "as `environment`, which it is read into",
    "deploy": "as the fields that it is read into",
    "secret_environment": "not written by people",
    "memswap_limit": "with `mem_limit`; not every kernel counts swap",
    "platform": "which image it is",
    "userns_mode": "has one value only",
}


def spec(case: Case, lines: str, other: str) -> str:
    """The project with the case's field as ``lines``."""
    fields = {**DEFAULTS, case.field: lines}
    if case.field == "stop_grace_period":
        text = BASE.replace("    stop_grace_period: 1s\n", "")
    else:
        text = BASE
    written = textwrap.indent("\n".join(fields.values()), "    ")
    return text.replace("FIELDS", written).replace("$other", other)


@pytest.fixture(scope="module")
def other(images: Images) -> str:
    """busybox with one more file."""
    return images.publish("other", {"new": file("new")}, {})


@pytest.fixture(scope="module")
def seen(pytestconfig: pytest.Config) -> Iterator[dict[str, tuple[str, ...]]]:
    """What the tests of this module saw, written down at their end."""
    rows: dict[str, tuple[str, ...]] = {}
    yield rows
    if pytestconfig.getoption("--write-docs"):
        write(PAGE, NAME, table(TITLES, list(rows.values())))


@pytest.mark.root
@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=[case.field for case in CASES])
def test_an_edit_takes_effect_and_spares_the_process_where_it_can(
    case: Case, long_stage: Stage, other: str, seen: dict[str, tuple[str, ...]]
) -> None:
    long_stage.make(spec(case, case.before, other))
    _await(case, long_stage, case.was)
    before = pid(long_stage)
    long_stage.make(spec(case, case.after, other))
    _await(case, long_stage, case.now)
    stayed = pid(long_stage) == before
    assert stayed is (EFFECTS[case.field] is Effect.IN_PLACE), f"the process stayed: {stayed}"
    assert long_stage.pending() == ""
    seen[case.field] = _row(case, "the same" if stayed else "a new one")


def _await(case: Case, stage: Stage, expected: str) -> None:
    with suppress(AssertionError):
        eventually(lambda: case.fact(stage) == expected, 5.0, step=0.1)
    assert case.fact(stage) == expected


def _row(case: Case, process: str) -> tuple[str, ...]:
    effect = str(EFFECTS[case.field])
    edited = f"`{case.before}` → `{case.after}`".replace("\n", "; ").replace("|", "\\|")
    return (f"`{case.field}`", edited, effect, process, case.seen)


def test_the_table_in_the_docs_is_what_was_seen() -> None:
    """What each row says of the process is what its field says of itself."""
    rows = [
        _row(case, "the same" if EFFECTS[case.field] is Effect.IN_PLACE else "a new one")
        for case in CASES
    ]
    assert block(PAGE, NAME).strip() == table(TITLES, rows).strip(), "run it with --write-docs"


def test_every_field_is_in_the_table() -> None:
    assert {case.field for case in CASES} | set(NOT_ALONE) >= set(Container.model_fields)
