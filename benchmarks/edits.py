"""`python -m benchmarks.edits [--write]`: what each kind of edit of a running shop costs.

examples/shop stands twice, kept by trueup and by docker-compose, and is visited by four clients
while it is edited. Needs root; starts and ends everything itself.
"""

import argparse
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from copy import deepcopy
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.__main__ import HOSTS, folder
from benchmarks.contestant import Ground
from benchmarks.keepers import Compose, Keeper, Processes, Trueup
from benchmarks.measure import seconds
from benchmarks.results import machine
from tests import documented
from tests.conftest import join_controllers
from tests.eventually import eventually
from tests.hosts import make_host, remove_strays
from tests.images.registry import Registry, free_port
from tests.peers import removing_cgroups
from tests.scenarios import shop
from tests.scenarios.shop import EDITS, Edit, Spec, Visitors

PAGE = Path("docs/edits.md")
KEEPERS: Mapping[str, Callable[[Ground], Keeper]] = {"trueup": Trueup, "docker-compose": Compose}
AGAIN = 8  # pages that must be seen after an edit
PATIENCE = 20.0  # seconds; who waits longer restarts nginx


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """``replaced`` are containers that lost a process; ``stuck``: the page came back only when
    nginx was restarted by hand."""

    replaced: Sequence[str]
    seconds: float
    failed: int
    stuck: bool

    def cells(self) -> tuple[str, str, str]:
        process = f"**new: {', '.join(self.replaced)}**" if self.replaced else "the same"
        failed = f"{self.failed}, until nginx is restarted" if self.stuck else str(self.failed)
        return process, f"{self.seconds:.2f}", failed


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.edits")
    parser.add_argument("--write", action="store_true", help=f"put the table into {PAGE}")
    options = parser.parse_args()
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))
    with ExitStack() as stack:
        costs = _measure(stack)
    text = "\n".join((*machine({}, f"{datetime.now(UTC):%Y-%m-%d}"), "", _table(costs)))
    print(text)
    if options.write:
        documented.write(PAGE, "edits", text)


def _measure(stack: ExitStack) -> Mapping[str, Mapping[str, Cost]]:
    join_controllers()
    remove_strays(HOSTS)
    stack.enter_context(removing_cgroups())
    registry = Registry(stack.enter_context(folder()), free_port())
    stack.callback(registry.close)
    registry.serve()
    shop.push(registry, stack.enter_context(folder()) / "variant")
    return {name: dict(_costs(name, registry)) for name in KEEPERS}


def _costs(name: str, registry: Registry) -> Iterator[tuple[str, Cost]]:
    """The cost of each edit that can be said there."""
    with ExitStack() as stack:
        place = stack.enter_context(folder())
        host = stack.enter_context(make_host(f"{HOSTS}{os.getpid()}-{name[:3]}"))
        registry.serve(within=host.within)
        shop.write(place, registry)
        ground = Ground(host=host, folder=place, image="")
        keeper = KEEPERS[name](ground)
        stack.callback(keeper.close)
        spec = shop.read(place)
        keeper.apply(spec)
        for edit in EDITS:
            former = keeper.says(spec)
            spec = _edited(spec, edit)
            if keeper.says(spec) != former:
                yield edit.name, _cost(keeper, ground, spec)
                print(f"{name}: {edit.name}", file=sys.stderr)


def _edited(spec: Spec, edit: Edit) -> Spec:
    copy = deepcopy(spec)
    edit.apply(copy)
    return copy


def _cost(keeper: Keeper, ground: Ground, spec: Spec) -> Cost:
    before = keeper.processes()
    with Visitors(ground.host) as visitors:
        eventually(lambda: visitors.pages > AGAIN, PATIENCE)
        took = seconds(lambda: keeper.apply(spec))
        stuck = not _comes_back(visitors)
        after = keeper.processes()
        if stuck:
            keeper.restart("proxy")
            eventually(lambda: _comes_back(visitors), PATIENCE)
    failed = len(visitors.failures)
    return Cost(replaced=_replaced(before, after), seconds=took, failed=failed, stuck=stuck)


def _comes_back(visitors: Visitors) -> bool:
    """Whether the page is seen again: some in a row, and none that fails between."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        pages, failures = visitors.pages, len(visitors.failures)
        time.sleep(0.5)
        if visitors.pages >= pages + AGAIN and len(visitors.failures) == failures:
            return True
    return False


def _replaced(before: Processes, after: Processes) -> list[str]:
    """A replica that shall go is no loss."""
    names = sorted(before)
    spare = {name: max(0, len(before[name]) - len(after.get(name, ()))) for name in names}
    return [n for n in names if len(before[n] - after.get(n, set())) > spare[n]]


def _table(costs: Mapping[str, Mapping[str, Cost]]) -> str:
    parts = ("process", "seconds", "failed")
    titles = ("edit", *(f"{name}: {part}" for name in costs for part in parts))
    rows = [
        (edit.name, *(cell for each in costs.values() for cell in _cells(each.get(edit.name))))
        for edit in EDITS
    ]
    return documented.table(titles, rows)


def _cells(cost: Cost | None) -> tuple[str, ...]:
    return ("—", "—", "—") if cost is None else cost.cells()


if __name__ == "__main__":
    main()
