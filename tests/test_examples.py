"""The examples work as their READMEs say; `make demo` is run from beginning to end."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.conftest import COMMAND, Trueup

TOP = Path(__file__).parent.parent
EXAMPLES = sorted(path.parent for path in (TOP / "examples").glob("*/trueup.yaml"))


@pytest.mark.parametrize("folder", EXAMPLES, ids=lambda folder: str(folder.name))
def test_an_example_is_valid(folder: Path) -> None:
    if (folder / "pack").exists():
        subprocess.run([folder / "pack"], check=True)
    done = subprocess.run([COMMAND, "validate", folder], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.root
@pytest.mark.slow
def test_the_demo_counts_visits_over_a_down_and_leaves_nothing(trueup: Trueup) -> None:
    environment = {**os.environ, "ROOT": str(trueup.root), "PORT": "18080"}
    done = subprocess.run(
        [*trueup.host.within, TOP / "examples/demo"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=150,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    visits = re.findall(r"visitor (\d+), from (.*)\.", done.stdout)
    assert [number for number, _ in visits] == ["1", "2", "3"]
    assert visits[1] == ("2", "198.51.100.2")
    assert "nothing to change" in done.stdout
    assert trueup.inventory().leftovers() == ""
