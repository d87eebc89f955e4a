"""Runtimes by name, imported when they are opened; and where an instance keeps what is ours.

The one way from the reconciler to a backend.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runtime.api import Runtime
    from runtime.embedded.paths import Paths
    from runtime.part import PartVersion

Sink = Callable[[bytes], object]


def instance(root: Path | None) -> "Paths":
    """The paths of the instance below ``root``, or of the machine's own."""
    from runtime.embedded import paths

    return paths.Paths.default() if root is None else paths.Paths.below(root)


def prepare(root: Path | None) -> None:
    """Make the folders of an instance that outlive a boot, as whoever changes something does
    first. Raises a ``Fault`` when somebody else's files are there."""
    from runtime.embedded import boot

    boot.prepare(instance(root))


def open_runtime(root: Path | None, backend: str = "embedded") -> "Runtime":
    """Open the runtime of an instance; whoever calls closes it. Raises a ``Fault`` when the
    machine cannot carry it."""
    if backend != "embedded":
        raise NotImplementedError(backend)
    from runtime.embedded.engine import Engine

    return Engine(instance(root))


def versions(backend: str = "embedded") -> "tuple[PartVersion, ...]":
    """The parts of a backend on this machine and which they are; opens nothing."""
    if backend != "embedded":
        raise NotImplementedError(backend)
    from runtime.embedded.versions import versions as found

    return found()


def copy_log(runtime: "Runtime", id: str, out: Sink, err: Sink, *, stamps: bool) -> None:
    """Give out the whole log of a container: in large pieces where the backend can, which is
    many times as fast as line by line; with ``stamps`` the time stands before each line."""
    from runtime.embedded.engine import Engine

    if isinstance(runtime, Engine):
        from runtime.embedded.streams.logs import copy

        copy(runtime.log_path(id), out, err, stamps=stamps)
        return
    sinks = {"stdout": out, "stderr": err}
    for line in runtime.logs(id, tail=None, follow=False):
        sinks[line.stream](f"{line.time} ".encode() + line.text if stamps else line.text)
