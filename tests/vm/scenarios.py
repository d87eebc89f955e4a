"""The whole part: pytest on the checkout's scenario tests inside, against the installed trueup."""

import shlex
from collections.abc import Callable, Sequence

from tests.vm.machine import Failed, Machine
from tests.vm.smoke import install, unpack

WHOLE_SECONDS = 3 * 3600.0
TESTS = ("tests/scenarios",)
# Code runs about ten times slower without KVM: every wait of the tests is allowed that much more.
PATIENCE = "10"
# Not run here, each with its reason in docs/hosts.md.
LEFT_OUT: tuple[str, ...] = ()


def scenarios(machine: Machine, options: Sequence[str], say: Callable[[str], object]) -> None:
    """Run them; ``options`` are pytest's, paths among them replace the usual ones."""
    unpack(machine)
    install(machine, "pytest", "pytest-timeout", "hypothesis", "types-PyYAML")
    machine.run("mkdir -p ~/.cache && mv /payload/layouts ~/.cache/trueup-tests")
    machine.run("ln -s /opt/trueup /payload/checkout/.venv")  # where examples/demo finds it
    paths = [] if any(word.startswith("tests/") for word in options) else list(TESTS)
    left_out = [f"--deselect={name}" for name in LEFT_OUT]
    words = " ".join([*paths, *left_out, *map(shlex.quote, options)])
    result = machine.run(
        f"cd /payload/checkout && TRUEUP_TEST_PATIENCE={PATIENCE}"
        f" /opt/trueup/bin/python -m pytest --timeout=1200 -p no:cacheprovider {words}",
        code=None,
        seconds=WHOLE_SECONDS,
        show=say,
    )
    last = result.rstrip().splitlines()[-1]
    if " passed" not in last or "failed" in last or "error" in last:
        raise Failed(f"pytest: {last}")
