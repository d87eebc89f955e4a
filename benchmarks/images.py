"""`python -m benchmarks.images [--write FILE] [--repeats 3] [--share 1.0] [--only trueup,docker]`.

Moves images from a registry into empty stores, out of them into archives, and back. Needs root;
starts and ends everything itself.
"""

import argparse
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from benchmarks.__main__ import HOSTS, folder
from benchmarks.contestant import Ground
from benchmarks.measure import seconds
from benchmarks.payloads import Payload, payloads
from benchmarks.results import Results, Row, machine, times
from benchmarks.stores import Docker, Podman, Store, Trueup
from tests.conftest import join_controllers
from tests.hosts import Host, make_host, remove_strays
from tests.images.registry import Registry, free_port
from tests.peers import removing_cgroups

STORES: Mapping[str, Callable[[Ground], Store]] = {
    "trueup": Trueup,
    "docker": Docker,
    "podman": Podman,
}
# The share of docker's time that each may take.
GOALS = {"large": 0.5, "layers": 0.5, "files": 0.65, "save": 0.6, "load": 0.76}
SAMPLE_SECONDS = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Entrant:
    """A store that is ready, its host, and a folder for what it writes."""

    store: Store
    ground: Ground


@dataclass(slots=True)
class Peaks:
    """The most memory by row and store, in MB."""

    megabytes: dict[str, dict[str, float]] = field(default_factory=dict)


def main() -> None:
    options = _options()
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))
    results, peaks = Results(), Peaks()
    with ExitStack() as stack:
        registry = _registry(stack)
        chosen = payloads(options.share)
        archive = Path(stack.enter_context(folder())) / "image.tar"
        for payload in chosen.values():
            registry.publish(payload.image(), payload.name)
        _archive(registry, chosen["large"], archive)
        entrants = [_ready(stack, registry, name) for name in options.only.split(",")]
        for entrant in entrants:
            results.versions[entrant.store.name] = entrant.store.versions()
        for _ in range(options.repeats):
            _moves(entrants, registry, chosen, archive, results)
        _memory(entrants, registry, chosen, archive, peaks)
    text = _document(results, peaks, options.share)
    print(text)
    if options.write:
        options.write.write_text(text)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.images")
    parser.add_argument("--write", type=Path, metavar="FILE", help="write the page here, too")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--share", type=float, default=1.0, help="of the images' full size")
    parser.add_argument("--only", default=",".join(STORES), help="stores, first: ours")
    return parser.parse_args()


def _registry(stack: ExitStack) -> Registry:
    join_controllers()
    remove_strays(HOSTS)
    stack.enter_context(removing_cgroups())
    registry = Registry(Path(stack.enter_context(folder())), free_port())
    stack.callback(registry.close)
    registry.serve()
    return registry


@contextmanager
def _memory_folder() -> Iterator[Path]:
    """A folder that no disk slows down: each run makes and removes trees, and an ext4 without a
    journal searches for seconds among inodes that were freed a moment ago."""
    with folder() as place:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6g", "none", place], check=True)
        try:
            yield place
        finally:
            subprocess.run(["umount", "--recursive", place], check=True)


def _ready(stack: ExitStack, registry: Registry, name: str) -> Entrant:
    place = stack.enter_context(_memory_folder())
    host = stack.enter_context(make_host(f"{HOSTS}{os.getpid()}-{name[:3]}"))
    registry.serve(within=host.within)
    ground = Ground(host=host, folder=place, image=f"{registry.address}/-")
    store = STORES[name](ground)
    stack.callback(store.close)
    return Entrant(store=store, ground=ground)


def _archive(registry: Registry, payload: Payload, place: Path) -> None:
    """What all of them load: as `docker save` writes it."""
    reference = f"{registry.address}/{payload.name}:latest"
    command = ["skopeo", "copy", "--quiet", "--src-tls-verify=false", f"docker://{reference}"]
    subprocess.run([*command, f"docker-archive:{place}:{reference}"], check=True)


Move = tuple[Row, Callable[[Store], None], Callable[[Store], None]]


def _steps(
    registry: Registry, chosen: Mapping[str, Payload], archive: Path, saved: Path
) -> Iterator[Move]:
    """Row, what is done before, and what is measured; the store is empty at the beginning."""
    for key, payload in chosen.items():
        reference = f"{registry.address}/{payload.name}:latest"
        row = Row(title=f"pull, {payload.title}", goal=GOALS[key])
        yield row, lambda _: None, partial(_pull, reference=reference)
    large = chosen["large"]
    reference = f"{registry.address}/{large.name}:latest"
    row = Row(title=f"save, {large.title}", goal=GOALS["save"])
    save = partial(_save, reference=reference, archive=saved)
    yield row, partial(_pull, reference=reference), save
    row = Row(title=f"load, {large.title}", goal=GOALS["load"])
    yield row, lambda _: None, partial(_load, archive=archive)


def _pull(store: Store, reference: str) -> None:
    store.pull(reference)


def _save(store: Store, reference: str, archive: Path) -> None:
    store.save(reference, archive)


def _load(store: Store, archive: Path) -> None:
    store.load(archive)


def _moves(
    entrants: Sequence[Entrant],
    registry: Registry,
    chosen: Mapping[str, Payload],
    archive: Path,
    results: Results,
) -> None:
    """Every step, each store in turn: what slows the machine for a while slows all of them."""
    saved = archive.with_name("saved.tar")
    for row, before, work in _steps(registry, chosen, archive, saved):
        for entrant in entrants:
            store = entrant.store
            before(store)
            os.sync()  # else one pays for what the other has written
            results.add(row, store.name, seconds(partial(work, store)))
            store.forget()
            saved.unlink(missing_ok=True)
        print(row.title, file=sys.stderr)


def _memory(
    entrants: Sequence[Entrant],
    registry: Registry,
    chosen: Mapping[str, Payload],
    archive: Path,
    peaks: Peaks,
) -> None:
    """Once more, watched: looking at all processes would slow what is timed."""
    saved = archive.with_name("saved.tar")
    for row, before, work in _steps(registry, chosen, archive, saved):
        for entrant in entrants:
            store = entrant.store
            before(store)
            with _watching(entrant.ground.host) as most:
                work(store)
            peaks.megabytes.setdefault(row.title, {})[store.name] = most[0]
            store.forget()
            saved.unlink(missing_ok=True)


@contextmanager
def _watching(host: Host) -> Iterator[list[float]]:
    """The most memory that the host's processes (but for the registry) have had at once, in MB:
    of docker that is its daemon, too."""
    most, ended = [0.0], threading.Event()
    home = host.path.stat().st_ino

    def watch() -> None:
        while not ended.wait(SAMPLE_SECONDS):
            most[0] = max(most[0], sum(_resident(home)))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield most
    finally:
        ended.set()
        thread.join()


def _resident(home: int) -> Iterator[float]:
    for place in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            inside = (place / "ns/net").stat().st_ino == home
            if inside and (place / "comm").read_text().strip() != "docker-registry":
                pages = int((place / "statm").read_text().split()[1])
                yield pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


def _document(results: Results, peaks: Peaks, share: float) -> str:
    """The whole page."""
    scale = "" if share == 1 else f" **A trial at {share:g} of the size.**"
    return "\n".join(
        (
            "# Images: how long it takes to move them",
            "",
            "Made by `make bench-images`: the same images from the same registry on loopback into",
            "empty stores, in turn and repeated; a network namespace each. A cell shows the median",
            "and (least..most); `x` is the peer's median divided by trueup's. Two thirds of the",
            "bytes do not compress. All load the same archive. The stores lie in memory, since a",
            f"disk's file system would be measured more than they are.{scale}",
            "",
            *machine(results.versions, f"{datetime.now(UTC):%Y-%m-%d}"),
            "",
            *times(results),
            "",
            *_peaks(results, peaks),
            "",
        )
    )


def _peaks(results: Results, peaks: Peaks) -> Iterator[str]:
    names = list(results.versions)
    yield f"| most memory at once (RSS, with daemons), MB | {' | '.join(names)} |"
    yield f"| --- |{' --- |' * len(names)}"
    for title, by_name in peaks.megabytes.items():
        yield f"| {title} | {' | '.join(f'{by_name[name]:.0f}' for name in names)} |"


if __name__ == "__main__":
    main()
