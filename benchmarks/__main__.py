"""`python -m benchmarks [--write FILE] [--counts 1,10,50] [--repeats 3] [--only trueup,docker]`.

Needs root. Starts and ends everything itself: registry, dockerd, namespaces.
"""

import argparse
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from benchmarks.contestant import Contestant, Ground
from benchmarks.docker import Docker
from benchmarks.measure import beside, seconds, up_and_answering
from benchmarks.ours import Trueup
from benchmarks.podman import Podman
from benchmarks.results import Results, Row, document
from tests.conftest import join_controllers
from tests.hosts import make_host, remove_strays
from tests.images import recipes
from tests.images.registry import Registry, free_port
from tests.peers import removing_cgroups

CONTESTANTS: dict[str, Callable[[Ground], Contestant]] = {
    "trueup": Trueup,
    "docker": Docker,
    "podman": Podman,
}
CLIENT_RUNS = 10
MEMORY_AT = 10
HOSTS = "tub"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entrant:
    """A contestant that is ready, and where it stands."""

    contestant: Contestant
    ground: Ground


def main() -> None:
    options = _options()
    # An installed program has its bytecode; a checkout is not to compile itself at every start.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    # So that a run that is stopped takes away what it started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))
    with ExitStack() as stack:
        entrants = _enter(stack, options.only.split(","))
        results = Results()
        for entrant in entrants:
            results.versions[entrant.contestant.name] = entrant.contestant.versions()
        for _ in range(options.repeats):
            for count in map(int, options.counts.split(",")):
                _round(entrants, count, results)
        _clients(entrants, results)
    text = document(results, date=f"{datetime.now(UTC):%Y-%m-%d}")
    print(text)
    if options.write:
        options.write.parent.mkdir(parents=True, exist_ok=True)
        options.write.write_text(text)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("--write", type=Path, metavar="FILE", help="write the page here, too")
    parser.add_argument("--counts", default="1,10,50", help="numbers of containers")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", default=",".join(CONTESTANTS), help="contestants, first: ours")
    return parser.parse_args()


def _enter(stack: ExitStack, names: Sequence[str]) -> list[Entrant]:
    """Every contestant on its ground, with the image pulled."""
    join_controllers()
    remove_strays(HOSTS)
    stack.enter_context(removing_cgroups())
    storage = Path(stack.enter_context(folder()))
    registry = Registry(storage, free_port())
    stack.callback(registry.close)
    registry.serve()
    registry.push(recipes.layouts()["busybox"], "busybox")
    return [_ready(stack, registry, name) for name in names]


def _ready(stack: ExitStack, registry: Registry, name: str) -> Entrant:
    place = stack.enter_context(folder())
    host = stack.enter_context(make_host(f"{HOSTS}{os.getpid()}-{name[:3]}"))
    registry.serve(within=host.within)
    ground = Ground(host=host, folder=place, image=f"{registry.address}/busybox:latest")
    contestant = CONTESTANTS[name](ground)
    stack.callback(contestant.close)
    return Entrant(contestant=contestant, ground=ground)


@contextmanager
def folder() -> Iterator[Path]:
    """A folder for the block; short, because sockets lie in it."""
    with tempfile.TemporaryDirectory(prefix="tub", ignore_cleanup_errors=True) as place:
        yield Path(place)


def _round(entrants: Sequence[Entrant], count: int, results: Results) -> None:
    """Up, the same again, down: each contestant in turn."""
    for entrant in entrants:
        contestant, ground = entrant.contestant, entrant.ground
        took = seconds(partial(up_and_answering, contestant, ground, count))
        results.add(_row("bring-up", count, 0.25), contestant.name, took)
        took = seconds(partial(contestant.up, count))
        results.add(_row("nothing to change", count, 0.5), contestant.name, took)
        if count == MEMORY_AT:
            results.memory[contestant.name] = (count, beside(ground))
        took = seconds(partial(contestant.down, count))
        results.add(_row("down", count, 0.25), contestant.name, took)
        print(f"{contestant.name}: {count} up and down", file=sys.stderr)


def _row(title: str, count: int, goal: float) -> Row:
    """The goals are set for fifty containers."""
    return Row(title=f"{title}, {count}", goal=goal if count == 50 else None)


def _clients(entrants: Sequence[Entrant], results: Results) -> None:
    for _ in range(CLIENT_RUNS):
        for entrant in entrants:
            for label, command in entrant.contestant.clients().items():
                took = seconds(partial(entrant.ground.run, *command))
                results.clients[label].append(took)


if __name__ == "__main__":
    main()
